package main

import (
	"errors"
	"fmt"
	"time"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/postgres"
	"quartermaster/internal/reconcile"
	"quartermaster/internal/reconcile/inaws"
)

// reconcileOptions say how long something may look wrong before it counts. Only a machine on which nothing is real has reasons to
// change them: a run that is taken over while an attempt of the earlier one still works would be two at once.
type reconcileOptions struct {
	ReconcileAccepted time.Duration `help:"How long an order may have no row, or be accepted and no more, before that is a finding." env:"QM_RECONCILE_ACCEPTED" default:"5m" hidden:""`
	ReconcileGrace    time.Duration `help:"How long something may look wrong before it is a finding." env:"QM_RECONCILE_GRACE" default:"1m" hidden:""`
	ReconcileSettled  time.Duration `help:"How long after the end of a workflow's run no attempt of it can be running; only then it is taken over." env:"QM_RECONCILE_SETTLED" default:"6m" hidden:""`
}

func (o reconcileOptions) bounds() reconcile.Bounds {
	bounds := reconcile.DefaultBounds()
	bounds.Accepted, bounds.Grace, bounds.Settled = o.ReconcileAccepted, o.ReconcileGrace, o.ReconcileSettled
	return bounds
}

type verifyCommand struct {
	databaseOptions
	awsOptions
	reconcileOptions
	AWS  bool `name:"aws" help:"Also look into AWS: Allocated accounts have their order's IAM user, Ready accounts have none of ours. Only reads."`
	JSON bool `help:"Print findings as JSON, one a line."`
}

// Help says what the exit code means.
func (verifyCommand) Help() string {
	return "Checks that nothing is stuck and nothing contradicts itself: orders, accounts and audit rows against each other, and against " +
		"Temporal's workflows. It changes nothing. A line per finding; the exit code is 1 when there is a finding, or when something could not be checked."
}

// Run checks everything and fails when something is wrong.
func (c *verifyCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	reconciler := &reconcile.Reconciler{Reconciliation: store.Reconciliation, Accounts: store.Accounts, Orders: store.Orders, Bounds: c.bounds(), All: true}
	temporal, namespace, failed := dialTemporal(e, nil) // it only reads what is not sealed
	if failed == nil {
		defer temporal.Close()
		reconciler.Workflows = namespace.Runs()
	}
	findings, err := reconciler.Find(e.ctx)
	failed = errors.Join(failed, err)
	if reconciler.Workflows != nil {
		aboutWorkers, err := reconcile.FindQueue(e.ctx, namespace)
		findings, failed = append(findings, aboutWorkers...), errors.Join(failed, err)
	}
	if c.AWS {
		more, err := c.findInAWS(e, store)
		findings, failed = append(findings, more...), errors.Join(failed, err)
	}
	return c.tell(e, findings, failed)
}

// tell prints the findings and turns them into an error.
func (c *verifyCommand) tell(e *env, findings []reconcile.Finding, failed error) error {
	for _, f := range findings {
		if c.JSON {
			if err := writeJSON(e, f); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(e.out, f)
	}
	if len(findings) > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d findings", len(findings)))
	}
	if failed == nil && !c.JSON {
		fmt.Fprintln(e.out, "nothing is stuck and nothing contradicts itself")
	}
	return failed
}

func (c *verifyCommand) findInAWS(e *env, store *postgres.DB) ([]reconcile.Finding, error) {
	caller, err := c.callerConfig(e.ctx)
	if err != nil {
		return nil, err
	}
	cloud, err := awscloud.New(awscloud.Options{Config: caller, Endpoint: c.AWSEndpoint, SessionPrefix: inaws.SessionPrefix, Limits: awscloud.DefaultLimits()})
	if err != nil {
		return nil, err
	}
	findings, err := reconcile.FindUsers(e.ctx, store.Reconciliation, inaws.Cloud{Sessions: cloud})
	if err != nil {
		err = fmt.Errorf("AWS could not be checked: %w", err)
	}
	return findings, err
}
