package control

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

const (
	checkEvery   = 2 * time.Second // a new namespace, or a new search attribute, takes Temporal some seconds to show
	checkTimeout = 5 * time.Second
	remindEvery  = time.Minute // how often the log repeats a reason that lasts
)

// Temporal is a namespace of Temporal.
type Temporal struct {
	client    client.Client
	namespace string
	payloads  converter.DataConverter
	failures  converter.FailureConverter
	publicURL string                 // of the API, which serves the console; empty: workflows do not link to it
	unusable  atomic.Pointer[string] // why the namespace cannot be used; nil since it could be used for the first time
}

// New returns the namespace that a client uses. The options are those with which the client was made; its data converter must seal,
// because the memo of a workflow holds the order. The client may be a lazy one: New sends nothing to Temporal.
func New(c client.Client, options client.Options) *Temporal {
	t := &Temporal{client: c, namespace: cmp.Or(options.Namespace, client.DefaultNamespace), payloads: options.DataConverter,
		failures: options.FailureConverter}
	if t.payloads == nil {
		t.payloads = converter.GetDefaultDataConverter()
	}
	if t.failures == nil {
		t.failures = temporal.GetDefaultFailureConverter()
	}
	t.setUnusable("Temporal was not asked yet")
	return t
}

// LinkTo makes the workflows of orders that start from now on link to the console. The URL is that of the API, which serves it. Call it
// before anything starts workflows.
func (t *Temporal) LinkTo(publicURL string) { t.publicURL = publicURL }

// Namespace returns the name of the namespace.
func (t *Temporal) Namespace() string { return t.namespace }

func (t *Temporal) setUnusable(reason string) { t.unusable.Store(&reason) }

// Usable returns nil once AwaitUsable has found everything in order, and before that the reason why the namespace cannot be used. It stays
// nil when Temporal goes down later. The reason names no addresses, so callers may show it.
func (t *Temporal) Usable() error {
	if reason := t.unusable.Load(); reason != nil {
		return errors.New(*reason)
	}
	return nil
}

// AwaitUsable runs Check and then the other steps. When one fails, AwaitUsable logs why and begins again. It returns nil when all have
// succeeded, or the error of the context.
func (t *Temporal) AwaitUsable(ctx context.Context, log *slog.Logger, steps ...func(context.Context) error) error {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	var logged time.Time
	for {
		before := t.unusable.Load()
		err := t.try(ctx, steps)
		switch {
		case err == nil:
			t.unusable.Store(nil)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		reason := "Temporal could not be asked: the log of this process has the error"
		if said, ok := errors.AsType[*unusableError](err); ok {
			reason = said.reason
		}
		t.setUnusable(reason)
		if *before != reason || time.Since(logged) >= remindEvery {
			log.Error("Temporal cannot be used yet; this is checked again every "+checkEvery.String(), "error", err)
			logged = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func (t *Temporal) try(ctx context.Context, steps []func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := t.Check(ctx)
	for _, step := range steps {
		if err == nil {
			err = step(ctx)
		}
	}
	return err
}

// Ready returns nil when the namespace was usable and Temporal answers now.
func (t *Temporal) Ready(ctx context.Context) error {
	if err := t.Usable(); err != nil {
		return err
	}
	_, err := t.client.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}

// unusableError says what is wrong with the namespace and what to do.
type unusableError struct {
	reason string
	cause  error
}

// Error returns the reason and its cause.
func (e *unusableError) Error() string {
	if e.cause == nil {
		return e.reason
	}
	return e.reason + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *unusableError) Unwrap() error { return e.cause }
