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

// reconcileOptions say how long something may look wrong before it is a finding. They exist for tests, in which minutes are
// seconds: if a run were taken over while an attempt of the earlier run still worked, two would work at once.
type reconcileOptions struct {
	ReconcileAccepted time.Duration `help:"How long an order may have no row, or only be accepted, before that is a finding." env:"QM_RECONCILE_ACCEPTED" default:"5m" hidden:""`
	ReconcileGrace    time.Duration `help:"How long something may look wrong before it is a finding." env:"QM_RECONCILE_GRACE" default:"1m" hidden:""`
	ReconcileSettled  time.Duration `help:"How long after the end of a workflow run none of its attempts can still be running, so that the run can be taken over." env:"QM_RECONCILE_SETTLED" default:"6m" hidden:""`
}

func (o reconcileOptions) bounds() reconcile.Bounds {
	bounds := reconcile.DefaultBounds()
	bounds.Accepted, bounds.Grace, bounds.Settled = o.ReconcileAccepted, o.ReconcileGrace, o.ReconcileSettled
	return bounds
}

type reconcileCommand struct {
	databaseOptions
	awsOptions
	reconcileOptions
	AWS  bool `name:"aws" help:"Also read the AWS accounts: Allocated accounts must have their order's IAM user, and Ready accounts must have none of ours."`
	JSON bool `help:"Print one JSON object a finding."`
}

// Help says what the exit code means.
func (reconcileCommand) Help() string {
	return "Compares orders, accounts and their histories with each other and with Temporal's workflows. It changes nothing. It prints one line " +
		"for each finding. The exit code is 1 when there is a finding, or when something could not be checked."
}

// Run checks everything and fails when something is wrong.
func (c *reconcileCommand) Run(e *env, store *postgres.Store) error {
	reconciler := &reconcile.Reconciler{Store: store, Bounds: c.bounds(), All: true}
	temporal, namespace, failed := dialTemporal(e, nil) // it reads only what is not sealed
	if failed == nil {
		defer temporal.Close()
		runs, err := newOrderRuns(temporal, nil)
		if err != nil {
			return err
		}
		reconciler.Workflows = runs
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
	return c.report(e, findings, failed)
}

// report prints the findings and returns an error when there are any, or when a check failed.
func (c *reconcileCommand) report(e *env, findings []reconcile.Finding, failed error) error {
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

func (c *reconcileCommand) findInAWS(e *env, store *postgres.Store) ([]reconcile.Finding, error) {
	caller, err := c.callerConfig(e.ctx)
	if err != nil {
		return nil, err
	}
	cloud, err := awscloud.New(awscloud.Options{Config: caller, Endpoint: c.AWSEndpoint, SessionPrefix: inaws.SessionPrefix, Limits: awscloud.DefaultLimits()})
	if err != nil {
		return nil, err
	}
	findings, err := reconcile.FindUsers(e.ctx, store, inaws.Cloud{Sessions: cloud})
	if err != nil {
		err = fmt.Errorf("AWS could not be checked: %w", err)
	}
	return findings, err
}
