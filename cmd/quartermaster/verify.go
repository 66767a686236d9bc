package main

import (
	"errors"
	"fmt"
	"time"

	"quartermaster/internal/audit"
	"quartermaster/internal/audit/inaws"
	"quartermaster/internal/awscloud"
	"quartermaster/internal/postgres"
)

// auditOptions say how long something may look wrong before it counts. Only a machine on which nothing is real has reasons to
// change them: a run that is taken over while an attempt of the earlier one still works would be two at once.
type auditOptions struct {
	AuditAccepted time.Duration `help:"How long an order may have no row, or be accepted and no more, before that is a finding." env:"QM_AUDIT_ACCEPTED" default:"5m" hidden:""`
	AuditGrace    time.Duration `help:"How long something may look wrong before it is a finding." env:"QM_AUDIT_GRACE" default:"1m" hidden:""`
	AuditSettled  time.Duration `help:"How long after the end of a workflow's run no attempt of it can be running; only then it is taken over." env:"QM_AUDIT_SETTLED" default:"6m" hidden:""`
}

func (o auditOptions) bounds() audit.Bounds {
	bounds := audit.DefaultBounds()
	bounds.Accepted, bounds.Grace, bounds.Settled = o.AuditAccepted, o.AuditGrace, o.AuditSettled
	return bounds
}

type verifyCommand struct {
	databaseOptions
	awsOptions
	auditOptions
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
	auditor := &audit.Auditor{Store: store, Bounds: c.bounds(), All: true}
	temporal, namespace, failed := dialTemporal(e, nil) // it only reads what is not sealed
	if failed == nil {
		defer temporal.Close()
		if auditor.Workflows, err = newOrderRuns(temporal, nil); err != nil {
			return err
		}
	}
	findings, err := auditor.Find(e.ctx)
	failed = errors.Join(failed, err)
	if auditor.Workflows != nil {
		aboutWorkers, err := audit.FindQueue(e.ctx, namespace)
		findings, failed = append(findings, aboutWorkers...), errors.Join(failed, err)
	}
	if c.AWS {
		more, err := c.findInAWS(e, store)
		findings, failed = append(findings, more...), errors.Join(failed, err)
	}
	return c.tell(e, findings, failed)
}

// tell prints the findings and turns them into an error.
func (c *verifyCommand) tell(e *env, findings []audit.Finding, failed error) error {
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

func (c *verifyCommand) findInAWS(e *env, store *postgres.Store) ([]audit.Finding, error) {
	caller, err := c.callerConfig(e.ctx)
	if err != nil {
		return nil, err
	}
	cloud, err := awscloud.New(awscloud.Options{Config: caller, Endpoint: c.AWSEndpoint, SessionPrefix: inaws.SessionPrefix, Limits: awscloud.DefaultLimits()})
	if err != nil {
		return nil, err
	}
	findings, err := audit.FindUsers(e.ctx, store, inaws.Cloud{Sessions: cloud})
	if err != nil {
		err = fmt.Errorf("AWS could not be checked: %w", err)
	}
	return findings, err
}
