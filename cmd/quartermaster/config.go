package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	temporallog "go.temporal.io/sdk/log"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/migrations"
	"quartermaster/workflows/control"
)

// secretVariables may also be given as files.
var secretVariables = []string{"QM_DATABASE_URL", "QM_SEAL_KEYS", "QM_CODEC_TOKEN"}

// databaseOptions are the database's.
type databaseOptions struct {
	DatabaseURL string `help:"PostgreSQL, as postgres://user:password@host:port/name?sslmode=…" env:"QM_DATABASE_URL,DATABASE_URL" required:"" placeholder:"URL"`
}

// open connects, and refuses a schema of another version: half-migrated is worse than down.
func (o databaseOptions) open(ctx context.Context) (*postgres.DB, *sqlx.DB, error) {
	db, err := postgres.Open(ctx, o.DatabaseURL)
	if err != nil {
		return nil, nil, err
	}
	if err := migrations.Check(ctx, db.SQL().DB); err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	return db, db.SQL(), nil
}

// sealOptions are the keys that seal Temporal's payloads and the passwords.
type sealOptions struct {
	SealKeys string `help:"Keys that seal payloads and passwords, as id:base64,id:base64: the first one seals, all open. Make one with: quartermaster keys seal." env:"QM_SEAL_KEYS" required:"" placeholder:"KEYS"`
}

func (o sealOptions) ring() (*secrets.Ring, error) {
	ring, err := secrets.ParseRing(o.SealKeys)
	if err != nil {
		return nil, fmt.Errorf("QM_SEAL_KEYS: %w", err)
	}
	return ring, nil
}

// temporalOptions are those of the TEMPORAL_* variables (address, namespace, TLS, API key). Without a ring the client can only send
// what carries no payload.
func temporalOptions(e *env, ring *secrets.Ring) (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return options, fmt.Errorf("the TEMPORAL_* variables: %w", err)
	}
	options.Namespace = cmp.Or(options.Namespace, client.DefaultNamespace)
	if ring != nil {
		options.DataConverter, options.FailureConverter = secrets.Converters(ring)
	}
	options.Logger = temporallog.NewStructuredLogger(e.log)
	return options, nil
}

// dialTemporal connects, for a command that cannot do its work without Temporal.
func dialTemporal(e *env, ring *secrets.Ring) (client.Client, *control.Temporal, error) {
	options, err := temporalOptions(e, ring)
	if err != nil {
		return nil, nil, err
	}
	c, err := client.DialContext(e.ctx, options)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to Temporal: %w", err)
	}
	return c, control.New(c, options), nil
}

// lazyTemporal connects with the first call, for a server that starts without Temporal and uses it as soon as it is there.
func lazyTemporal(e *env, ring *secrets.Ring) (client.Client, *control.Temporal, error) {
	options, err := temporalOptions(e, ring)
	if err != nil {
		return nil, nil, err
	}
	c, err := client.NewLazyClient(options)
	if err != nil {
		return nil, nil, fmt.Errorf("the TEMPORAL_* variables: %w", err)
	}
	return c, control.New(c, options), nil
}

// shareConnection returns a client that has converters of its own and uses the connection of another client, which it makes if
// need be. No failure converter: the SDK's own.
func shareConnection(ctx context.Context, e *env, c client.Client, data converter.DataConverter, failures converter.FailureConverter) (client.Client, error) {
	options, err := temporalOptions(e, nil)
	if err != nil {
		return nil, err
	}
	options.DataConverter, options.FailureConverter = data, failures
	return client.NewClientFromExistingWithContext(ctx, c, options)
}

// awsOptions say which AWS.
type awsOptions struct {
	AWSEndpoint string `name:"aws-endpoint" help:"Address of an AWS simulator on this machine, for trying things out. Unset: AWS itself." env:"QM_AWS_ENDPOINT" placeholder:"URL"`
}

// Validate refuses a simulator that is not on this machine: credentials must never go astray.
func (o awsOptions) Validate() error {
	if o.AWSEndpoint == "" {
		return nil
	}
	u, err := url.Parse(o.AWSEndpoint)
	if err != nil || u.Scheme != "http" {
		return errors.New("QM_AWS_ENDPOINT: write it as http://127.0.0.1:PORT")
	}
	return loopback("QM_AWS_ENDPOINT", u.Host)
}

// callerConfig is the service's own identity in AWS, by the SDK's usual chain.
func (o awsOptions) callerConfig(ctx context.Context) (aws.Config, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion("us-east-1"))
	if err != nil {
		return cfg, fmt.Errorf("the AWS credentials of the service: %w", err)
	}
	return cfg, nil
}

func loopback(name, hostPort string) error {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port", name, hostPort)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s: %q is not on this machine: only a loopback address is allowed", name, hostPort)
}

// wake tells the waiting orders that got one of the new accounts. When Temporal cannot be reached they find out by
// themselves within 15 minutes, so that is no error.
func wake(e *env, orders []provision.OrderKey) {
	if len(orders) == 0 {
		return
	}
	err := tellTemporal(e, func(ctx context.Context, temporal *control.Temporal) error { return temporal.WakeOrders(ctx, orders) })
	if err != nil {
		e.log.Warn("waiting orders got an account and could not be told; they look by themselves within 15 minutes", "orders", len(orders), "error", err)
	}
}

// tellTemporal sends what carries no payload, in some seconds or not at all, even when the command was told to stop.
func tellTemporal(e *env, what func(context.Context, *control.Temporal) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 10*time.Second)
	defer cancel()
	connection, temporal, err := dialTemporal(&env{ctx: ctx, out: e.out, log: e.log}, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	return what(ctx, temporal)
}
