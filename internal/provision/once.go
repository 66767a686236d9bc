package provision

import (
	"context"
	"fmt"
	"time"
)

// OnceKeptFor is how long a request with an Idempotency-Key is remembered.
const OnceKeptFor = 24 * time.Hour

// Once identifies a request that takes effect only once, however often its caller sends it.
type Once struct {
	Provider string `json:"provider"`
	Caller   string `json:"caller"` // an API key or a person
	Key      string `json:"key"`    // the caller's Idempotency-Key
	SHA256   []byte `json:"sha256"` // of the operation and its content
	Makes    string `json:"makes"`  // the id of what the request makes
}

type onceKey struct{}

// WithOnce returns a context for the one call that does what the request asks for. The transaction of that call records the request.
// nil is a request that may take effect several times.
func WithOnce(ctx context.Context, once *Once) context.Context {
	if once == nil {
		return ctx
	}
	return context.WithValue(ctx, onceKey{}, once)
}

// OnceOf returns the request of [WithOnce], or nil.
func OnceOf(ctx context.Context) *Once {
	once, _ := ctx.Value(onceKey{}).(*Once)
	return once
}

// RepeatError says that an earlier request had the same Idempotency-Key, so this one has no effect.
type RepeatError struct {
	Running bool      // the earlier request has not ended
	Differs bool      // the earlier request asked for something else
	Made    string    // the id of what the earlier request made; empty while it runs
	At      time.Time // when it made that
}

// Error says what the earlier request did.
func (e *RepeatError) Error() string {
	if e.Running {
		return "a request with this Idempotency-Key is running"
	}
	return fmt.Sprintf("a request with this Idempotency-Key made %s at %s", e.Made, e.At.UTC().Format(time.RFC3339))
}
