package main

import (
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"

	"quartermaster/api"
	"quartermaster/internal/metrics"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

type apiCommand struct {
	databaseOptions
	sealOptions
	awsOptions
	metricsOptions
	webhookOptions
	Listen            string   `help:"Address to serve on." env:"QM_LISTEN" default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	PublicURL         string   `help:"Where marketplaces and customers reach this service." env:"QM_PUBLIC_URL" required:"" placeholder:"URL"`
	ProtectedAccounts []string `help:"AWS account ids that never enter a pool: payers, our own." env:"QM_PROTECTED_ACCOUNTS" placeholder:"ID"`
	RequestsPerSecond float64  `help:"Limit of each API key." env:"QM_REQUESTS_PER_SECOND" default:"50"`
	CodecListen       string   `help:"Address of the codec endpoint, by which the Web UI reads sealed payloads. Unset: there is none." env:"QM_CODEC_LISTEN" placeholder:"HOST:PORT"`
	CodecOrigin       string   `help:"Origin of the Web UI that may use the codec." env:"QM_CODEC_ORIGIN" placeholder:"URL"`
	CodecToken        string   `help:"Bearer token that the codec demands." env:"QM_CODEC_TOKEN" placeholder:"TOKEN"`
}

// Run serves until it is told to stop.
func (c *apiCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ring, err := c.ring()
	if err != nil {
		return err
	}
	leave, err := joinOthers(e, store, ring, provision.ProcessAPI)
	if err != nil {
		return err
	}
	defer leave()
	temporal, namespace, err := lazyTemporal(e, ring)
	if err != nil {
		return err
	}
	defer temporal.Close()
	registry := metrics.New(store.Stock, store.Orders, e.log)
	registry.MustRegister(metrics.OfTemporal(namespace, e.log))
	handler, err := api.New(api.Config{
		Database: api.Database{
			Accounts: store.Accounts, APIKeys: store.APIKeys, Deliveries: store.Deliveries, Events: store.Events, Imports: store.Imports,
			Leftovers: store.Leftovers, Orders: store.Orders, Passwords: store.Passwords, Pools: store.Pools,
			ProtectedAccounts: store.ProtectedAccounts, Stock: store.Stock, Webhooks: store.Webhooks, Ping: store.Ping,
		},
		Workflows:         namespace,
		TemporalUsable:    namespace.Usable,
		Opener:            ring,
		Sealer:            ring,
		Signer:            ring,
		WebhookPolicy:     c.policy(c.AWSEndpoint != ""),
		EventHints:        postgres.ListenEvents(e.ctx, c.DatabaseURL, e.log),
		Log:               e.log,
		PublicURL:         c.PublicURL,
		ProtectedIDs:      c.ProtectedAccounts,
		RequestsPerSecond: c.RequestsPerSecond,
		Metrics:           registry,
		Simulated:         c.AWSEndpoint != "",
	})
	if err != nil {
		return err
	}
	serving, ctx := errgroup.WithContext(e.ctx)
	serving.Go(func() error {
		if namespace.AwaitUsable(ctx, e.log) == nil {
			go alarmMissingKeys(ctx, e, store, namespace, ring)
			namespace.WatchWorkers(ctx, e.log)
		}
		return nil
	})
	listen := func(name, address string, handler http.Handler) error {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		e.log.Info("serving", "what", name, "address", listener.Addr().String())
		serving.Go(func() error { return api.Run(ctx, listener, handler, e.log) })
		return nil
	}
	if err := listen("API", c.Listen, handler); err != nil {
		return err
	}
	if c.CodecListen != "" {
		if loopback("QM_CODEC_LISTEN", c.CodecListen) != nil && c.CodecToken == "" {
			e.log.Warn("the codec endpoint is not on a loopback address and demands no token: who reaches it reads every payload that he holds")
		}
		if err := listen("codec", c.CodecListen, secrets.CodecHandler(ring, c.CodecOrigin, c.CodecToken)); err != nil {
			return err
		}
	}
	if err := c.serve(ctx, e, serving, registry); err != nil {
		return err
	}
	return serving.Wait()
}
