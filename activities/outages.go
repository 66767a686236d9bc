package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"golang.org/x/time/rate"
)

// Outages lets the activities of a process log once a minute that the database does not answer, no matter how many attempts
// wait for it.
type Outages struct {
	interceptor.WorkerInterceptorBase
	line rate.Sometimes
}

// NewOutages returns the interceptor. A process needs one.
func NewOutages() *Outages { return &Outages{line: rate.Sometimes{Interval: time.Minute}} }

// InterceptActivity wraps one execution of an activity.
func (o *Outages) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &outageActivity{interceptor.ActivityInboundInterceptorBase{Next: next}, o}
}

type outageActivity struct {
	interceptor.ActivityInboundInterceptorBase
	outages *Outages
}

type outagesKey struct{}

// ExecuteActivity runs the activity with the interceptor in its context, where logOutage finds it.
func (a *outageActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	return a.Next.ExecuteActivity(context.WithValue(ctx, outagesKey{}, a.outages), in)
}

// logOutage logs an error, unless this process has logged one less than a minute ago.
func logOutage(ctx context.Context, problem string, details ...any) {
	if o, ok := ctx.Value(outagesKey{}).(*Outages); ok {
		o.line.Do(func() { activity.GetLogger(ctx).Error(problem, details...) })
	}
}
