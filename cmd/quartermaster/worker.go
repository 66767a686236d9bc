package main

import (
	"context"
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"quartermaster/activities"
	"quartermaster/internal/awscloud"
	"quartermaster/internal/metrics"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/internal/secrets"
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
	VisibleFor        time.Duration `help:"How long one attempt waits for AWS to show what it was told, before a retry." env:"QM_AWS_VISIBLE_FOR" default:"2m"`
	AbsentFor         time.Duration `help:"How long a thing must stay unseen before an undo believes that it never was; 0 = a quarter of the above." env:"QM_AWS_ABSENT_FOR" default:"30s"`
	DeniedFor         time.Duration `help:"How long AWS may deny a permission before an operator is asked: a new one takes minutes to hold." env:"QM_AWS_DENIED_FOR" default:"2m"`
	RefusedFor        time.Duration `help:"How long AWS may give any other answer that does not change, before an operator is asked." env:"QM_AWS_REFUSED_FOR" default:"10m"`
	ProtectedAccounts []string      `help:"AWS account ids that nothing is ever done in: payers, our own. The same as the API's." env:"QM_PROTECTED_ACCOUNTS" placeholder:"ID"`
	VerifyPerSecond   float64       `help:"How many accounts this worker verifies a second at most; 0 = as fast as it can." env:"QM_VERIFY_PER_SECOND" default:"2"`
	PollEvery         time.Duration `help:"Pause between two looks at AWS." env:"QM_AWS_POLL_EVERY" default:"1s"`
}

// Run works until it is told to stop.
func (c *workerCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ring, err := c.ring()
	if err != nil {
		return err
	}
	leave, err := joinOthers(e, store, ring, provision.ProcessWorker)
	if err != nil {
		return err
	}
	defer leave()
	temporal, namespace, err := lazyTemporal(e, ring)
	if err != nil {
		return err
	}
	defer temporal.Close()
	caller, err := c.callerConfig(e.ctx)
	if err != nil {
		return err
	}
	limits := awscloud.DefaultLimits()
	if c.AWSEndpoint != "" {
		limits = awscloud.Limits{} // nobody else's account to spare
	}
	cloud, err := awscloud.New(awscloud.Options{Config: caller, Endpoint: c.AWSEndpoint, Limits: limits})
	if err != nil {
		return err
	}
	if c.AWSEndpoint != "" {
		e.log.Warn("this worker talks to an AWS simulator, not to AWS", "endpoint", c.AWSEndpoint)
	}
	reconciler := &reconcile.Reconciler{Reconciliation: store.Reconciliation, Accounts: store.Accounts, Orders: store.Orders,
		Workflows: namespace.Runs(), Bounds: c.bounds()}
	acts := &activities.Activities{
		Database: activities.Database{
			Orders: store.Orders, Steps: store.Steps, Passwords: store.Passwords, Leftovers: store.Leftovers, Verifications: store.Verifications,
			ProtectedAccounts: store.ProtectedAccounts, Stock: store.Stock, Imports: store.Imports,
		},
		Cloud: cloud, Sealer: ring, Reconciler: reconciler,
		Timings:      activities.Timings{VisibleFor: c.VisibleFor, PollEvery: c.PollEvery, AbsentFor: c.AbsentFor, DeniedFor: c.DeniedFor, RefusedFor: c.RefusedFor},
		ProtectedIDs: c.ProtectedAccounts,
	}
	acts.Webhooks = activities.Webhooks{Deliveries: store.Deliveries, Events: store.Events, Sender: c.sender(c.policy(c.AWSEndpoint != "")), Wake: namespace.WakeWebhooks}
	if c.VerifyPerSecond > 0 {
		acts.VerifyPace = rate.NewLimiter(rate.Limit(c.VerifyPerSecond), 1)
	}
	running, ctx := errgroup.WithContext(e.ctx)
	if err := c.serve(ctx, e, running, metrics.New(store.Stock, store.Orders, e.log), metrics.Need{Name: "Temporal", Ask: namespace.Ready}, metrics.Need{Name: "the database", Ask: store.Ping}); err != nil {
		return err
	}
	go wakeOnEvents(e, postgres.ListenEvents(ctx, c.DatabaseURL, e.log), acts.Webhooks)
	running.Go(func() error {
		schedules := func(ctx context.Context) error { return ensureSchedules(ctx, e, temporal) }
		if err := namespace.AwaitUsable(ctx, e.log, schedules); err != nil {
			return err
		}
		go alarmMissingKeys(ctx, e, store, namespace, ring)
		data, failures := secrets.Strict(ring)
		strict, err := shareConnection(ctx, e, temporal, data, failures)
		if err != nil {
			return err
		}
		defer strict.Close()
		stop := make(chan any)
		defer context.AfterFunc(ctx, func() { close(stop) })()
		return worker.Run(strict, acts, stop)
	})
	return running.Wait()
}

// ensureSchedules makes the schedules with a client that seals nothing, so that every worker can read them, whatever keys it
// has.
func ensureSchedules(ctx context.Context, e *env, temporal client.Client) error {
	open, err := shareConnection(ctx, e, temporal, secrets.Unsealed(), nil)
	if err != nil {
		return err
	}
	defer open.Close()
	return workflows.EnsureSchedules(ctx, open.ScheduleClient())
}
