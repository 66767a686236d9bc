package main

import (
	"fmt"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
)

type healthCommand struct {
	apiOptions
	outputOptions
}

// Help says what the exit code means.
func (healthCommand) Help() string {
	return "Checks the database, Temporal, the workers, the schedules and the reconciler, and the pools, webhooks and API keys " +
		"of the key's provider. The exit code is 1 unless everything is well, and 5 if the API does not answer."
}

// healthy is the status of a service in which everything is well.
const healthy = "ok"

// Run prints what was checked. It fails unless everything is well.
func (c *healthCommand) Run(e *env, api *client.Client) error {
	health, raw, err := client.Object[openapi.Health](api.GetHealth(e.ctx))
	if err == nil {
		err = writeObject(e, c.outputOptions, health, raw, health.Status, showHealth)
	}
	if err != nil {
		return err
	}
	if health.Status != healthy {
		return fmt.Errorf("the service is %s: docs/operations has a page for each runbook", health.Status)
	}
	return nil
}

func showHealth(e *env, h openapi.Health) error {
	checks := newTable(e.out, "CHECK", "STATUS", "FOUND", "RUNBOOK")
	for _, c := range h.Checks {
		checks.row(c.Name, c.Status, c.Message, c.Runbook)
	}
	if err := checks.flush(); err != nil {
		return err
	}
	fmt.Fprintln(e.out)
	workers := newTable(e.out, "WORKERS FOR", "COUNT", "LAST SEEN", "TASKS WAITING")
	for _, w := range h.Workers {
		workers.row(w.Type, w.Count, e.whenOr(w.SeenAt, "-"), w.Backlog)
	}
	if err := workers.flush(); err != nil {
		return err
	}
	fmt.Fprintln(e.out)
	schedules := newTable(e.out, "SCHEDULE", "STATE", "LAST RUN", "RESULT", "NEXT RUN")
	for _, s := range h.Schedules {
		schedules.row(s.ID, scheduleState(s), e.whenOr(s.LastRunAt, "never"), orDash(s.LastResult), e.whenOr(s.NextRunAt, "-"))
	}
	return schedules.flush()
}

func scheduleState(s openapi.Schedule) string {
	switch {
	case !s.Exists:
		return "missing"
	case s.Paused:
		return "paused"
	}
	return "active"
}
