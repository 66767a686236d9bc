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

// ErrLeaseExpired reports that a write was not sent, or was cut off, because the attempt can no longer be sure that it is the only
// one that works in the account. The call itself is fine: the next attempt makes it.
var ErrLeaseExpired = errors.New("the attempt holds no lease on the account")

// Moment is a point in time on two clocks that keep running while the process is stopped.
type Moment struct {
	Boot time.Duration // since the boot, including the time the machine was asleep
	Wall time.Time
}

// Now reads both clocks.
func Now() Moment {
	return Moment{Boot: sinceBoot(), Wall: time.Now().Round(0)} // Round drops the monotonic clock, which stops while the machine is asleep
}

// Since returns the time since an earlier moment, by the clock that advanced more: after a host has frozen the machine, only one
// of the two may be right.
func (m Moment) Since(earlier Moment) time.Duration {
	return max(m.Boot-earlier.Boot, m.Wall.Sub(earlier.Wall))
}

// Lease is the permission of one attempt of an activity to write in an account. The database grants it and accepted heartbeats
// extend it; without them it expires before another attempt may work in the account. It is passed in the context. A write
// without a live lease is refused.
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

// NewLease returns a lease that lives for lasts after each renewal, and for limit in total. It is not granted yet.
func NewLease(lasts, limit time.Duration, now func() Moment) *Lease {
	return &Lease{now: now, lasts: lasts, began: now(), limit: limit}
}

// Now reads the lease's clock. A renewal counts from the moment before the request that justifies it was sent.
func (l *Lease) Now() Moment { return l.now() }

// Renew extends the lease: at the moment since or later, this attempt was the current one.
func (l *Lease) Renew(since Moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since.Since(l.renewed) > 0 {
		l.renewed = since
	}
}

// Grant extends the lease and permits writes: at the moment since or later, the database confirmed that the order holds the account.
func (l *Lease) Grant(since Moment) {
	l.Renew(since)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.granted = true
}

// End ends the lease permanently: the attempt is no longer the current one.
func (l *Lease) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// Left returns how long the lease lives unless it is renewed. It is zero or less when the lease has expired or was never granted.
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

// WithLease returns a context whose calls may write while the lease lives.
func WithLease(ctx context.Context, lease *Lease) context.Context {
	return context.WithValue(ctx, leaseKey{}, lease)
}

// LeaseOf returns the context's lease, or, if there is none, an ended lease, which permits no write.
func LeaseOf(ctx context.Context) *Lease {
	if lease, ok := ctx.Value(leaseKey{}).(*Lease); ok {
		return lease
	}
	return &Lease{now: Now, ended: true}
}

// isWrite reports whether a call may change something in the account: every call does that is not a read or a call of STS.
func isWrite(ctx context.Context) bool {
	return !IsRead(awsmiddleware.GetOperationName(ctx)) && awsmiddleware.GetServiceID(ctx) != "STS"
}

// underLease sends a write only while the lease lives, and cuts it off when the lease ends. It is the last middleware, after
// everything that takes time: pacing, assuming the role, and signing.
func underLease(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	out middleware.FinalizeOutput, metadata middleware.Metadata, err error,
) {
	if !isWrite(ctx) {
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
		for left := l.Left(); left > 0; left = l.Left() { // it may have been renewed since
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

// leasedBody checks the lease once more when the request's body is read, which happens after the connection is made and may be
// much later. A request without its body has no effect.
type leasedBody struct {
	io.Reader
	lease *Lease
}

// Read reads from the body while the lease lives.
func (b leasedBody) Read(p []byte) (int, error) {
	if b.lease.Left() <= 0 {
		return 0, ErrLeaseExpired
	}
	return b.Reader.Read(p)
}
