package main

import (
	"context"
	"time"

	"go.temporal.io/sdk/contrib/envconfig"

	"quartermaster/api"
	"quartermaster/internal/provision"
)

// wake wakes the waiting orders that got one of the new accounts. When Temporal cannot be reached it only logs a warning,
// because waiting orders also look automatically every 15 minutes.
func wake(e *env, orders []provision.OrderKey) {
	if len(orders) == 0 {
		return
	}
	err := withTemporal(e, func(ctx context.Context, workflows api.Workflows) error { return workflows.WakeOrders(ctx, orders) })
	if err != nil {
		e.log.Warn("waiting orders got an account and could not be woken; they look automatically within 15 minutes", "orders", len(orders), "error", err)
	}
}

// verifyDue starts the verification of the new accounts when the configuration names a Temporal server, and returns a
// sentence that says when they will be verified.
func verifyDue(e *env) string {
	const later = "the new accounts are verified within 5 minutes, while a worker runs"
	if options, err := envconfig.LoadDefaultClientOptions(); err != nil || options.HostPort == "" {
		return later
	}
	if err := withTemporal(e, func(ctx context.Context, workflows api.Workflows) error { return workflows.VerifyDue(ctx) }); err != nil {
		e.log.Warn("the verification was not started; the schedule starts it within 5 minutes", "error", err)
		return later
	}
	return "the new accounts are being verified"
}

// withTemporal connects to Temporal without the seal keys, for calls that carry no payload. It gives up after 10 seconds,
// and it also works after the command was told to stop.
func withTemporal(e *env, call func(context.Context, api.Workflows) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 10*time.Second)
	defer cancel()
	temporal, _, err := dialTemporal(&env{ctx: ctx, out: e.out, log: e.log}, nil)
	if err != nil {
		return err
	}
	defer temporal.Close()
	return call(ctx, api.NewWorkflows(temporal))
}
