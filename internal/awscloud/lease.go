package awscloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ErrLeaseExpired says that a call that changes something was not sent, or was cut off, because the attempt that makes it
// does not know any more that the account is its own. Nothing is wrong with the call: the next attempt makes it.
var ErrLeaseExpired = errors.New("the attempt holds no lease on the account")

// Moment is a point in time on two clocks that run on while the process is stopped.
type Moment struct {
	Boot time.Duration // since the machine was started, its sleep included
	Wall time.Time
}

// Now reads both clocks.
func Now() Moment {
	return Moment{Boot: sinceBoot(), Wall: time.Now().Round(0)} // Round drops Go's own clock, which stands still while the machine sleeps
}

// Since returns the time that has passed since an earlier moment: by the clock that ran further, because a machine that was
// frozen by its host finds only one of them set right.
func (m Moment) Since(earlier Moment) time.Duration {
	return max(m.Boot-earlier.Boot, m.Wall.Sub(earlier.Wall))
}

// Lease is the permission of one attempt at an activity to change something in an account. The database grants it, accepted
// heartbeats extend it, and without either it ends by itself, before anyone else may work in the account. It travels in
// the context. A call that changes something without a lease is refused.
type Lease struct {
	now   func() Moment
	lasts time.Duration
	began Moment
	limit time.Duration // how long the attempt may take as a whole

	mu      sync.Mutex
	renewed Moment
	granted bool
	ended   bool
}

// NewLease makes a lease that lasts for the given time after each renewal, and for limit in all. It is not granted yet.
func NewLease(lasts, limit time.Duration, now func() Moment) *Lease {
	return &Lease{now: now, lasts: lasts, began: now(), limit: limit}
}

// Now reads the lease's clock. A renewal counts from the moment before the question was sent that is its reason.
func (l *Lease) Now() Moment { return l.now() }

// Renew extends the lease: at that moment or later the attempt was the one that works in the account.
func (l *Lease) Renew(since Moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since.Since(l.renewed) > 0 {
		l.renewed = since
	}
}

// Grant extends the lease, and permits changes: at that moment or later the database said that the account is the order's.
func (l *Lease) Grant(since Moment) {
	l.Renew(since)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.granted = true
}

// End takes the lease away for good: the attempt is not the one that works in the account.
func (l *Lease) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// Left returns how long the lease lives unless it is renewed; zero or less when it has expired or was never granted.
func (l *Lease) Left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.granted || l.ended {
		return 0
	}
	now := l.now()
	return min(l.lasts-now.Since(l.renewed), l.limit-now.Since(l.began))
}

type leaseKey struct{}

// WithLease returns a context whose calls may change something while the lease lives.
func WithLease(ctx context.Context, lease *Lease) context.Context {
	return context.WithValue(ctx, leaseKey{}, lease)
}

// LeaseOf returns the context's lease. Without one it returns a lease that nobody holds: it permits nothing.
func LeaseOf(ctx context.Context) *Lease {
	if lease, ok := ctx.Value(leaseKey{}).(*Lease); ok {
		return lease
	}
	return &Lease{now: Now, ended: true}
}

// changes tells whether a call changes something in the account. What is not known to be harmless does.
func changes(ctx context.Context) bool {
	return !IsRead(awsmiddleware.GetOperationName(ctx)) && awsmiddleware.GetServiceID(ctx) != "STS" // an identity, or a way in
}

// underLease sends a call that changes something only while the lease lives, and cuts it off when the lease ends. It comes
// after everything that takes time: waiting for the pace, assuming the role, signing.
func underLease(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	out middleware.FinalizeOutput, metadata middleware.Metadata, err error,
) {
	if !changes(ctx) {
		return next.HandleFinalize(ctx, in)
	}
	refused := func() error { return fmt.Errorf("%s: %w", awsmiddleware.GetOperationName(ctx), ErrLeaseExpired) }
	lease := LeaseOf(ctx)
	if lease.Left() <= 0 {
		return out, metadata, refused()
	}
	if request, ok := in.Request.(*smithyhttp.Request); ok && request.GetStream() != nil {
		if in.Request, err = request.SetStream(leasedBody{request.GetStream(), lease}); err != nil {
			return out, metadata, err
		}
	}
	held, release := lease.hold(ctx)
	defer release()
	out, metadata, err = next.HandleFinalize(held, in)
	if err != nil && (errors.Is(err, ErrLeaseExpired) || errors.Is(context.Cause(held), ErrLeaseExpired)) {
		return out, metadata, refused()
	}
	return out, metadata, err
}

// hold returns a context that ends when the lease does.
func (l *Lease) hold(ctx context.Context) (held context.Context, release func()) {
	held, end := context.WithCancelCause(ctx)
	go func() {
		for left := l.Left(); left > 0; left = l.Left() { // it may have been renewed
			select {
			case <-held.Done():
				return
			case <-time.After(left):
			}
		}
		end(ErrLeaseExpired)
	}()
	return held, func() { end(nil) }
}

// leasedBody looks at the lease once more when the request's body is read. That is when the connection stands, which may
// have taken a while: a request without its body has no effect.
type leasedBody struct {
	io.Reader
	lease *Lease
}

// Read reads the body while the lease lives.
func (b leasedBody) Read(p []byte) (int, error) {
	if b.lease.Left() <= 0 {
		return 0, ErrLeaseExpired
	}
	return b.Reader.Read(p)
}
