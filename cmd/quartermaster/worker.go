package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"quartermaster/activities"
	"quartermaster/internal/awscloud"
	"quartermaster/internal/httpserver"
	"quartermaster/internal/metrics"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/internal/secrets"
	"quartermaster/internal/verbs"
	"quartermaster/internal/webhooks"
	"quartermaster/worker"
	"quartermaster/workflows"
)

type workerCommand struct {
	databaseOptions
	sealOptions
	awsOptions
	metricsOptions
	webhookOptions
	deliveryOptions
	reconcileOptions
	consoleOptions
	protectedOptions
	VisibleFor      time.Duration `help:"How long one attempt waits for AWS to show a change." env:"QM_AWS_VISIBLE_FOR" default:"2m"`
	AbsentFor       time.Duration `help:"How long AWS must not show a resource before an undo concludes that it does not exist. 0: a quarter of the above." env:"QM_AWS_ABSENT_FOR" default:"30s"`
	DeniedFor       time.Duration `help:"How long AWS may deny a permission before an operator is asked, because new permissions take minutes to propagate." env:"QM_AWS_DENIED_FOR" default:"2m"`
	RefusedFor      time.Duration `help:"How long AWS may give any other answer that does not change, before an operator is asked." env:"QM_AWS_REFUSED_FOR" default:"10m"`
	VerifyPerSecond float64       `help:"Most accounts this worker verifies a second. 0: no limit." env:"QM_VERIFY_PER_SECOND" default:"2"`
	BatchPerSecond  float64       `help:"Most rows of batches that this worker begins a second. 0: no limit." env:"QM_BATCH_PER_SECOND" default:"20"`
	PollEvery       time.Duration `help:"Pause between two reads while AWS does not show a change. The first ones are shorter, down to a sixteenth; later ones are up to three times as long." env:"QM_AWS_POLL_EVERY" default:"1s"`
}

// Run runs workflows and activities until the process is told to stop.
func (c *workerCommand) Run(e *env, db *postgres.DB, ring *secrets.Ring) error {
	leave, err := ring.Join(e.ctx, db.Processes, secrets.ThisProcess(provision.ProcessWorker, programVersion()), e.log)
	if err != nil {
		return err
	}
	defer leave()
	temporal, err := lazyTemporal(e, ring)
	if err != nil {
		return err
	}
	temporal.LinkTo(c.PublicURL)
	acts, cloud, err := c.activities(e, db, ring, temporal)
	if err != nil {
		return err
	}
	running, ctx := errgroup.WithContext(e.ctx)
	go reportIdentity(ctx, cloud, db.Processes, e.log)
	err = c.serve(ctx, e, running, metrics.New(db.Stock, db.Orders, e.log),
		httpserver.Dependency{Name: "Temporal", Check: temporal.Ready}, httpserver.Dependency{Name: "the database", Check: db.Ping})
	if err != nil {
		return err
	}
	hints, unsubscribe := postgres.ListenEvents(ctx, c.DatabaseURL, e.log).Subscribe("")
	defer unsubscribe()
	go webhooks.WakeOnHints(ctx, hints, func(ctx context.Context, provider string) error {
		_, err := acts.Webhooks.WakeDue(ctx, provider)
		return err
	}, e.log)
	running.Go(func() error {
		schedules := func(ctx context.Context) error { return ensureSchedules(ctx, temporal) }
		if err := temporal.AwaitUsable(ctx, e.log, schedules); err != nil {
			return err
		}
		go ring.LogMissing(ctx, db.SealKeys, temporal, e.log)
		return work(ctx, temporal, ring, acts)
	})
	return running.Wait()
}

// activities wires the activities with the database, AWS, the keys and Temporal.
func (c *workerCommand) activities(
	e *env, db *postgres.DB, ring *secrets.Ring, temporal temporalConnection,
) (*activities.Activities, *awscloud.Cloud, error) {
	caller, err := c.callerConfig(e.ctx)
	if err != nil {
		return nil, nil, err
	}
	limits := awscloud.DefaultLimits()
	if c.simulated() {
		e.log.Warn("this worker talks to an AWS simulator, not to AWS", "endpoint", c.AWSEndpoint)
		limits = awscloud.Limits{} // a simulator needs no protection
	}
	cloud, err := awscloud.New(awscloud.Options{Config: caller, Endpoint: c.AWSEndpoint, Limits: limits})
	if err != nil {
		return nil, nil, err
	}
	reconciler := &reconcile.Reconciler{Reconciliation: db.Reconciliation, Accounts: db.Accounts, Orders: db.Orders,
		Workflows: temporal.Runs(), Bounds: c.bounds()}
	acts := &activities.Activities{
		Database: activities.Database{
			Orders: db.Orders, Steps: db.Steps, Passwords: db.Passwords, Leftovers: db.Leftovers, Verifications: db.Verifications,
			ProtectedAccounts: db.ProtectedAccounts, Stock: db.Stock, Imports: db.Imports,
			Batches: db.Batches,
		},
		Cloud:      cloud,
		Sealer:     ring,
		Reconciler: reconciler,
		Timings: activities.Timings{VisibleFor: c.VisibleFor, PollEvery: c.PollEvery, AbsentFor: c.AbsentFor, DeniedFor: c.DeniedFor,
			RefusedFor: c.RefusedFor},
		ProtectedIDs: c.ProtectedAccounts,
		Webhooks: activities.Webhooks{Deliveries: db.Deliveries, Events: db.Events, Sender: c.sender(c.policy(c.simulated())),
			Wake: temporal.WakeWebhooks},
		Batching: activities.Batching{Verbs: verbs.Verbs{Orders: db.Orders, Workflows: temporal, Log: e.log},
			WakeOrders: temporal.WakeOrders, VerifyDue: temporal.VerifyDue},
	}
	if c.BatchPerSecond > 0 {
		acts.Batching.Pace = rate.NewLimiter(rate.Limit(c.BatchPerSecond), 1)
	}
	if c.VerifyPerSecond > 0 {
		acts.VerifyPace = rate.NewLimiter(rate.Limit(c.VerifyPerSecond), 1)
	}
	return acts, cloud, nil
}

// work runs the worker until ctx ends. Its client never ends a workflow because of a payload that this process cannot read.
func work(ctx context.Context, temporal temporalConnection, ring *secrets.Ring, acts *activities.Activities) error {
	data, failures := secrets.Strict(ring)
	strict, err := temporal.share(ctx, data, failures)
	if err != nil {
		return err
	}
	defer strict.Close()
	stop := make(chan any)
	forget := context.AfterFunc(ctx, func() { close(stop) })
	defer forget()
	return worker.Run(strict, acts, stop)
}

// ensureSchedules creates the schedules with a client that seals nothing, so that every worker can read them with its own
// keys.
func ensureSchedules(ctx context.Context, temporal temporalConnection) error {
	unsealed, err := temporal.share(ctx, secrets.Unsealed(), nil)
	if err != nil {
		return err
	}
	defer unsealed.Close()
	return workflows.EnsureSchedules(ctx, unsealed.ScheduleClient())
}
