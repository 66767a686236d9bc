package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	temporallog "go.temporal.io/sdk/log"

	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows/control"
)

// temporalConnection is a connection to Temporal and the namespace that it uses.
type temporalConnection struct {
	*control.Temporal
	client  client.Client
	options client.Options
}

// dialTemporal connects, for a command that cannot work without Temporal. Without a ring the connection is only good for
// calls that carry no payload.
func dialTemporal(e *env, ring *secrets.Ring) (temporalConnection, error) {
	return connectTemporal(e, ring, func(options client.Options) (client.Client, error) { return client.DialContext(e.ctx, options) })
}

// lazyTemporal connects with the first call, for a server that starts without Temporal and uses it as soon as it answers.
func lazyTemporal(e *env, ring *secrets.Ring) (temporalConnection, error) {
	return connectTemporal(e, ring, client.NewLazyClient)
}

// connectTemporal connects as the TEMPORAL_* variables say: address, namespace, TLS, API key. The connection is closed after
// the command.
func connectTemporal(e *env, ring *secrets.Ring, connect func(client.Options) (client.Client, error)) (temporalConnection, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return temporalConnection{}, fmt.Errorf("reading the TEMPORAL_* variables: %w", err)
	}
	options.Namespace = cmp.Or(options.Namespace, client.DefaultNamespace)
	options.Logger = temporallog.NewStructuredLogger(e.log)
	if ring != nil {
		options.DataConverter, options.FailureConverter = secrets.Converters(ring)
	}
	c, err := connect(options)
	if err != nil {
		return temporalConnection{}, fmt.Errorf("connecting to Temporal: %w", err)
	}
	e.onClose(func() error { c.Close(); return nil })
	return temporalConnection{Temporal: control.New(c, options), client: c, options: options}, nil
}

// share returns a client with other converters that uses the same connection. No failure converter: the SDK's own.
func (t temporalConnection) share(
	ctx context.Context, data converter.DataConverter, failures converter.FailureConverter,
) (client.Client, error) {
	options := t.options
	options.DataConverter, options.FailureConverter = data, failures
	return client.NewClientFromExistingWithContext(ctx, t.client, options)
}

// wake wakes the waiting orders that got one of the new accounts. When Temporal cannot be reached it only logs a warning,
// because waiting orders also look automatically every 15 minutes.
func wake(e *env, orders []provision.OrderKey) {
	if len(orders) == 0 {
		return
	}
	err := withTemporal(e, func(ctx context.Context, temporal *control.Temporal) error { return temporal.WakeOrders(ctx, orders) })
	if err != nil {
		e.log.Warn("waiting orders got an account and could not be woken; they look automatically within 15 minutes",
			"orders", len(orders), "error", err)
	}
}

// verifyDue starts the verification of the new accounts when the configuration names a Temporal server, and returns a
// sentence that says when they will be verified.
func verifyDue(e *env) string {
	const later = "the new accounts are verified within 5 minutes, while a worker runs"
	if options, err := envconfig.LoadDefaultClientOptions(); err != nil || options.HostPort == "" {
		return later
	}
	if err := withTemporal(e, func(ctx context.Context, temporal *control.Temporal) error { return temporal.VerifyDue(ctx) }); err != nil {
		e.log.Warn("the verification was not started; the schedule starts it within 5 minutes", "error", err)
		return later
	}
	return "the new accounts are being verified"
}

// withTemporal connects to Temporal without the seal keys, for calls that carry no payload. It gives up after 10 seconds,
// and it also works after the command was told to stop.
func withTemporal(e *env, call func(context.Context, *control.Temporal) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 10*time.Second)
	defer cancel()
	short := &env{ctx: ctx, out: e.out, logs: e.logs, log: e.log}
	defer short.close()
	temporal, err := dialTemporal(short, nil)
	if err != nil {
		return err
	}
	return call(ctx, temporal.Temporal)
}
