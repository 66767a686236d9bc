package main

import (
	"cmp"
	"context"
	"fmt"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	temporallog "go.temporal.io/sdk/log"

	"quartermaster/internal/secrets"
	"quartermaster/workflows/control"
)

// consoleOptions name the console for commands that do not serve it.
type consoleOptions struct {
	PublicURL string `help:"URL of the API, to whose console the workflows of orders link. Unset: no links." env:"QM_PUBLIC_URL" placeholder:"URL"`
}

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
	options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{} // sealed payloads cannot be compressed
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
