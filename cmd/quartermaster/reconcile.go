package main

import (
	"errors"
	"fmt"
	"time"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/postgres"
	"quartermaster/internal/reconcile"
	"quartermaster/internal/reconcile/inaws"
	"quartermaster/internal/secrets"
)

// reconcileOptions say how long something may look wrong before it is a finding. They exist for tests, in which minutes are
// seconds: if a run were taken over while an attempt of the earlier run still worked, two would work at once.
type reconcileOptions struct {
	ReconcileAccepted time.Duration `help:"How long an order may have no row, or only be accepted, before that is a finding." env:"QM_RECONCILE_ACCEPTED" default:"5m" hidden:""`
	ReconcileGrace    time.Duration `help:"What looks wrong for so long is a finding." env:"QM_RECONCILE_GRACE" default:"1m" hidden:""`
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
	consoleOptions
	Repair   bool   `help:"Also repair what is safe to repair, as the schedule \"reconcile\" does. Needs the seal keys of the workers."`
	SealKeys string `help:"Seal keys of the workers, for --repair." env:"QM_SEAL_KEYS" placeholder:"KEYS"`
	AWS      bool   `name:"aws" help:"Also look in AWS: Allocated accounts must have their order's IAM user, Ready accounts none of ours."`
	JSON     bool   `help:"Print one JSON object a finding."`
}

// Help says what the command changes and what its exit code means.
func (reconcileCommand) Help() string {
	return "Compares orders, accounts and their histories with each other and with Temporal's workflows. " +
		"It changes nothing, unless --repair is given. It prints one line for each finding. " +
		"The exit code is 1 when a finding is left that was not repaired, or when something could not be checked."
}

// Run checks everything and fails when something is wrong.
func (c *reconcileCommand) Run(e *env, db *postgres.DB) error {
	ring, err := c.ring(e, db)
	if err != nil {
		return err
	}
	reconciler := &reconcile.Reconciler{
		Reconciliation: db.Reconciliation,
		Accounts:       db.Accounts,
		Orders:         db.Orders,
		Bounds:         c.bounds(),
		All:            true,
	}
	var findings []reconcile.Finding
	temporal, failed := dialTemporal(e, ring)
	if failed == nil {
		temporal.LinkTo(c.PublicURL)
		reconciler.Workflows = temporal.Runs()
		findings, err = reconcile.FindQueue(e.ctx, temporal)
		failed = errors.Join(failed, err)
	}
	if c.Repair && reconciler.Workflows != nil {
		report, err := reconciler.FindAndRepair(e.ctx)
		findings, failed = append(report.Findings, findings...), errors.Join(failed, err)
	} else {
		found, err := reconciler.Find(e.ctx)
		findings, failed = append(found, findings...), errors.Join(failed, err)
	}
	if c.AWS {
		more, err := c.findInAWS(e, db)
		findings, failed = append(findings, more...), errors.Join(failed, err)
	}
	return c.report(e, findings, failed)
}

// ring returns the ring that a repair needs, to read the histories of orders and to start their workflows; nil without
// --repair, because the checks read only what is not sealed.
func (c *reconcileCommand) ring(e *env, db *postgres.DB) (*secrets.Ring, error) {
	if !c.Repair {
		return nil, nil //nolint:nilnil // no ring is needed
	}
	ring, err := parseRing(c.SealKeys)
	if err != nil {
		return nil, err
	}
	return ring, followProcesses(e, db, ring)
}

// report prints the findings. It returns an error when one of them was not repaired, or when a check failed.
func (c *reconcileCommand) report(e *env, findings []reconcile.Finding, failed error) error {
	left := 0
	for _, f := range findings {
		if f.Repaired == "" {
			left++
		}
		if c.JSON {
			if err := writeJSON(e, f); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(e.out, f)
	}
	switch {
	case left > 0:
		failed = errors.Join(failed, fmt.Errorf("findings: %d", left))
	case failed == nil && len(findings) == 0 && !c.JSON:
		fmt.Fprintln(e.out, "nothing is stuck and nothing contradicts itself")
	}
	return failed
}

func (c *reconcileCommand) findInAWS(e *env, db *postgres.DB) ([]reconcile.Finding, error) {
	caller, err := c.callerConfig(e.ctx)
	if err != nil {
		return nil, err
	}
	cloud, err := awscloud.New(awscloud.Options{
		Config:        caller,
		Endpoint:      c.AWSEndpoint,
		SessionPrefix: inaws.SessionPrefix,
		Limits:        awscloud.DefaultLimits(),
	})
	if err != nil {
		return nil, err
	}
	findings, err := reconcile.FindUsers(e.ctx, db.Reconciliation, inaws.Cloud{Sessions: cloud})
	if err != nil {
		err = fmt.Errorf("AWS could not be checked: %w", err)
	}
	return findings, err
}
