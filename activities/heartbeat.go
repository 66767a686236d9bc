package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/awscloud"
)

// LeaseTime is how long an attempt may write in an account after its last accepted heartbeat. It is also the heartbeat timeout of
// the activities: when Temporal starts another attempt because heartbeats are missing, the lease has expired.
const LeaseTime = 15 * time.Second

// Heartbeats sends the heartbeats of every attempt on this worker. The first is sent before the work begins: an attempt that timed
// out while the process was stopped does nothing. The others are sent until the attempt returns, so that Temporal notices a dead
// worker within the heartbeat timeout, and the attempt learns about a cancel. Heartbeats do not hide work that hangs: calls
// to AWS have their own timeouts, and the attempt has StartToClose.
//
// Each accepted heartbeat extends the attempt's lease (awscloud.Lease). One that did not arrive does not.
type Heartbeats struct {
	interceptor.WorkerInterceptorBase
	Client HeartbeatClient        // nil only in tests; the SDK then sends the heartbeats and does not report which were accepted
	Now    func() awscloud.Moment // the leases' clock; nil: awscloud.Now
}

// HeartbeatClient is the part of Temporal's client that sends a heartbeat and returns the server's answer.
type HeartbeatClient interface {
	RecordActivityHeartbeat(ctx context.Context, taskToken []byte, details ...any) error
}

// InterceptActivity wraps one execution of an activity.
func (h *Heartbeats) InterceptActivity(
	_ context.Context, next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	return &leasedActivity{interceptor.ActivityInboundInterceptorBase{Next: next}, h}
}

type leasedActivity struct {
	interceptor.ActivityInboundInterceptorBase
	heartbeats *Heartbeats
}

// ExecuteActivity runs the activity under a lease.
func (a *leasedActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	info := activity.GetInfo(ctx)
	if info.IsLocalActivity {
		return a.Next.ExecuteActivity(ctx, in)
	}
	clock, lasts := a.heartbeats.Now, LeaseTime
	if clock == nil {
		clock = awscloud.Now
	}
	if info.HeartbeatTimeout > 0 {
		lasts = min(lasts, info.HeartbeatTimeout)
	}
	lease := awscloud.NewLease(lasts, time.Until(info.Deadline), clock)
	ctx, stop := context.WithCancelCause(awscloud.WithLease(ctx, lease))
	defer stop(nil)
	if info.HeartbeatTimeout > 0 {
		h := &heart{client: a.heartbeats.Client, info: info, lease: lease, lasts: lasts, stop: stop}
		if err := h.beat(ctx); err != nil {
			return nil, stopped(err)
		}
		end := h.keepBeating(ctx)
		defer end()
	}
	result, err := a.Next.ExecuteActivity(ctx, in)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = stopped(context.Cause(ctx))
	}
	return result, err
}

// heart sends the heartbeats of one attempt.
type heart struct {
	client   HeartbeatClient
	info     activity.Info
	lease    *awscloud.Lease
	lasts    time.Duration
	stop     context.CancelCauseFunc // of the attempt
	accepted awscloud.Moment         // when the last accepted heartbeat was sent: the attempt was the current one then
}

// keepBeating sends heartbeats until the returned function is called, which returns after the last one.
func (h *heart) keepBeating(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(h.interval())
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = h.beat(ctx) // it stops the attempt if necessary
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (h *heart) interval() time.Duration { return h.info.HeartbeatTimeout / 3 }

// beat sends one heartbeat. It stops the attempt when Temporal refuses the heartbeat, or has accepted none for the time of a lease.
func (h *heart) beat(ctx context.Context) error {
	sent := h.lease.Now()
	err := h.send(ctx)
	switch {
	case err == nil:
		h.accepted = sent
		h.lease.Renew(sent)
	case superseded(err):
		h.lease.End()
		h.refuse(ctx, err)
	case toldToStop(err):
		h.refuse(ctx, err)
	case ctx.Err() != nil: // the attempt has ended
	case h.lease.Now().Since(h.accepted) >= h.lasts:
		h.stop(err)
	}
	return err
}

func (h *heart) send(ctx context.Context) error {
	if h.client == nil {
		activity.RecordHeartbeat(ctx)
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, h.interval())
	defer cancel()
	return h.client.RecordActivityHeartbeat(ctx, h.info.TaskToken)
}

// refuse stops the attempt. It also sends a heartbeat through the SDK, which otherwise would not report a cancel as a cancel.
func (h *heart) refuse(ctx context.Context, answer error) {
	activity.RecordHeartbeat(ctx)
	h.stop(answer)
}

// superseded reports that Temporal no longer considers this attempt the current one, because it timed out or its workflow was closed
// or reset. Another attempt may be running.
func superseded(err error) bool {
	_, gone := errors.AsType[*serviceerror.NotFound](err)
	_, noNamespace := errors.AsType[*serviceerror.NamespaceNotFound](err)
	_, passive := errors.AsType[*serviceerror.NamespaceNotActive](err)
	return gone || noNamespace || passive
}

// toldToStop reports that the workflow or an operator wants the attempt to end.
func toldToStop(err error) bool {
	return temporal.IsCanceledError(err) || errors.Is(err, activity.ErrActivityPaused) || errors.Is(err, activity.ErrActivityReset)
}
