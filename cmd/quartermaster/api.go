package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"

	"quartermaster/api"
	"quartermaster/console"
	"quartermaster/internal/health"
	"quartermaster/internal/httpserver"
	"quartermaster/internal/metrics"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/migrations"
)

type apiCommand struct {
	databaseOptions
	sealOptions
	awsOptions
	metricsOptions
	webhookOptions
	protectedOptions
	proxyOptions
	oidcOptions
	Listen            string  `help:"Address to serve on." env:"QM_LISTEN" default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	PublicURL         string  `help:"URL of this service for marketplaces and customers." env:"QM_PUBLIC_URL" required:"" placeholder:"URL"`
	TemporalWeb       string  `help:"URL of the Temporal Web UI, to which orders link. Unset: no links." env:"QM_TEMPORAL_WEB" placeholder:"URL"`
	RequestsPerSecond float64 `help:"How many requests a second each API key may send." env:"QM_REQUESTS_PER_SECOND" default:"50"`
	PrincipalARN      string  `name:"aws-principal-arn" help:"Role or user that the workers run as, for the trust policies of accounts' roles. Unset: the one that a worker has reported, without its path." env:"QM_AWS_PRINCIPAL_ARN" placeholder:"ARN"`
	CodecListen       string  `help:"Address of the codec endpoint, with which Temporal's Web UI decrypts payloads. Unset: no endpoint." env:"QM_CODEC_LISTEN" placeholder:"HOST:PORT"`
	CodecOrigin       string  `help:"Origin of the Web UI that may use the codec endpoint." env:"QM_CODEC_ORIGIN" placeholder:"URL"`
	CodecToken        string  `help:"Bearer token that the codec endpoint requires." env:"QM_CODEC_TOKEN" placeholder:"TOKEN"`
}

// Validate checks the options. It names those of the embedded structs, because kong calls one Validate of a command only.
func (c *apiCommand) Validate() error {
	if err := errors.Join(c.awsOptions.Validate(), c.oidcOptions.Validate()); err != nil {
		return err
	}
	if c.PrincipalARN == "" {
		return nil
	}
	if err := provision.ValidatePrincipal(c.PrincipalARN); err != nil {
		return fmt.Errorf("QM_AWS_PRINCIPAL_ARN: %w", err)
	}
	return nil
}

// Run serves until the process is told to stop.
func (c *apiCommand) Run(e *env, db *postgres.DB, ring *secrets.Ring) error {
	leave, err := ring.Join(e.ctx, db.Processes, secrets.ThisProcess(provision.ProcessAPI, programVersion()), e.log)
	if err != nil {
		return err
	}
	defer leave()
	temporal, err := lazyTemporal(e, ring)
	if err != nil {
		return err
	}
	temporal.LinkTo(c.PublicURL)
	registry := metrics.New(db.Stock, db.Orders, e.log)
	registry.MustRegister(metrics.OfTemporal(temporal, e.log))
	handler, err := api.New(api.Config{
		Database:          databaseOf(db),
		Workflows:         temporal,
		Health:            examinerOf(db, temporal),
		TemporalUsable:    temporal.Usable,
		Opener:            ring,
		Sealer:            ring,
		Signer:            ring,
		WebhookPolicy:     c.policy(c.simulated()),
		EventHints:        postgres.ListenEvents(e.ctx, c.DatabaseURL, e.log),
		Log:               e.log,
		PublicURL:         c.PublicURL,
		TemporalWeb:       c.TemporalWeb,
		TemporalNamespace: temporal.Namespace(),
		ProtectedIDs:      c.ProtectedAccounts,
		PrincipalARN:      c.PrincipalARN,
		RequestsPerSecond: c.RequestsPerSecond,
		TrustedProxies:    c.networks(),
		Metrics:           registry,
		Simulated:         c.simulated(),
	})
	if err != nil {
		return err
	}
	root, err := c.withConsole(e, db, ring, handler)
	if err != nil {
		return err
	}
	serving, ctx := errgroup.WithContext(e.ctx)
	serving.Go(func() error {
		if temporal.AwaitUsable(ctx, e.log) == nil {
			go ring.LogMissing(ctx, db.SealKeys, temporal, e.log)
			temporal.WatchWorkers(ctx, e.log)
		}
		return nil
	})
	if err := (httpserver.Server{Name: "API", Address: c.Listen, Handler: root}).Start(ctx, serving, e.log); err != nil {
		return err
	}
	if c.CodecListen != "" {
		if loopback("QM_CODEC_LISTEN", c.CodecListen) != nil && c.CodecToken == "" {
			e.log.Warn("the codec endpoint is not on a loopback address and requires no token: " +
				"anyone who can reach it can decrypt any payload they have a copy of")
		}
		codec := httpserver.Server{Name: "codec", Address: c.CodecListen, Handler: secrets.CodecHandler(ring, c.CodecOrigin, c.CodecToken)}
		if err := codec.Start(ctx, serving, e.log); err != nil {
			return err
		}
	}
	if err := c.serve(ctx, e, serving, registry); err != nil {
		return err
	}
	return serving.Wait()
}

// withConsole returns the API's handler with the console below /console/.
func (c *apiCommand) withConsole(e *env, db *postgres.DB, ring *secrets.Ring, handler *api.Handler) (http.Handler, error) {
	if err := c.warnOfStrangers(e.ctx, db.Providers, e.log); err != nil {
		return nil, err
	}
	pages, err := console.New(console.Config{API: handler, Sessions: db.Sessions, PublicURL: c.PublicURL, OIDC: c.issuer(ring), Log: e.log})
	if err != nil {
		return nil, err
	}
	root := http.NewServeMux()
	root.Handle("/", handler)
	root.Handle("/console/", pages)
	return root, nil
}

// databaseOf returns what the API needs of the database.
func databaseOf(db *postgres.DB) api.Database {
	return api.Database{
		Accounts: db.Accounts, APIKeys: db.APIKeys, Batches: db.Batches, Deliveries: db.Deliveries, Events: db.Events, History: db.History,
		IdempotencyKeys: db.IdempotencyKeys, Imports: db.Imports, Leftovers: db.Leftovers, Models: db.Models, Orders: db.Orders,
		Passwords: db.Passwords, Pools: db.Pools, Processes: db.Processes, ProtectedAccounts: db.ProtectedAccounts,
		SavedFilters: db.SavedFilters, Sessions: db.Sessions, Stock: db.Stock, Webhooks: db.Webhooks, Ping: db.Ping,
	}
}

// examinerOf returns what finds out whether anything is stuck.
func examinerOf(db *postgres.DB, temporal health.Temporal) health.Examiner {
	return health.Examiner{
		Temporal: temporal,
		Ping:     db.Ping,
		SchemaFits: func(ctx context.Context) (bool, error) {
			err := migrations.Check(ctx, db.SQL().DB)
			if errors.Is(err, migrations.ErrMismatch) {
				return false, nil
			}
			return err == nil, err
		},
		Concerns: db.Providers.Concerns,
	}
}
