package health_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/health"
)

func TestAServiceThatWorksIsOK(t *testing.T) {
	t.Parallel()
	report := well().examiner().Examine(t.Context(), "acme")
	require.Equal(t, health.OK, report.Status, "%+v", report.Checks)
	var names []string
	for _, check := range report.Checks {
		require.Equal(t, health.OK, check.Status, "%+v", check)
		require.NotEmpty(t, check.Message)
		names = append(names, check.Name)
	}
	require.Equal(t, []string{"database", "schema", "temporal", "workers", "schedules", "reconcile", "pools", "webhooks", "api_keys"}, names)
	require.Len(t, report.Workers, 2)
	require.Len(t, report.Schedules, 2)
}

func TestEveryFaultIsFoundWhereItIs(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial tcp db.internal:5432: password of qm refused")
	tomorrow := now.Add(24 * time.Hour)
	for name, c := range map[string]struct {
		broken  func(*parts)
		check   string
		status  health.Status
		message string
	}{
		"the database is down": {func(p *parts) { p.database = secret }, "database", health.Failing, "PostgreSQL does not answer"},
		"another schema":       {func(p *parts) { p.fits = false }, "schema", health.Failing, "quartermaster migrate"},
		"the schema is hidden": {func(p *parts) { p.schemaUnknown = secret }, "schema", health.Warning, "could not be read"},
		"Temporal is down":     {func(p *parts) { p.ready = secret }, "temporal", health.Failing, "Temporal does not answer"},
		"no activity worker":   {func(p *parts) { p.queues[1].Pollers = 0 }, "workers", health.Failing, "No worker polls for activity tasks"},
		"no workflow worker":   {func(p *parts) { p.queues[0].Pollers = 0 }, "workers", health.Failing, "No worker polls for workflow tasks"},
		"late workers": {func(p *parts) { p.queues[1].Backlog, p.queues[1].BacklogAge = 7, 90*time.Second }, "workers", health.Warning,
			"About 7 activity tasks wait for a worker, the oldest for 1m30s."},
		"unknown workers":    {func(p *parts) { p.down = secret }, "workers", health.Warning, "did not say which workers"},
		"unknown schedules":  {func(p *parts) { p.down = secret }, "schedules", health.Warning, "did not say"},
		"a schedule is gone": {func(p *parts) { p.schedules[1].Exists = false }, "schedules", health.Failing, "missing: watch-stock"},
		"a schedule is paused": {func(p *parts) { p.schedules[0].Paused, p.schedules[0].LastRun = true, ago(time.Hour) }, "schedules",
			health.Warning, "Reconcile is paused."},
		"a schedule stopped": {func(p *parts) { p.schedules[0].LastRun = ago(5 * time.Minute) }, "schedules", health.Failing,
			"do not run: reconcile"},
		"a schedule never ran": {func(p *parts) { p.schedules[0].LastRun, p.schedules[0].CreatedAt = nil, ago(time.Hour) }, "schedules",
			health.Failing, "do not run: reconcile"},
		"a run failed": {func(p *parts) { p.schedules[1].LastResult = "failed" }, "schedules", health.Warning,
			"The last run of watch-stock ended as failed."},
		"findings": {func(p *parts) { p.last.Raised = 3 }, "reconcile", health.Failing,
			"The reconciler found 3 things that need an operator of the service, on 2026-11-22 09:58 UTC"},
		"an old reconciliation": {func(p *parts) { p.last.At = now.Add(-time.Hour) }, "reconcile", health.Failing, "last ended 1h0m0s ago"},
		"no reconciliation":     {func(p *parts) { p.last = nil }, "reconcile", health.Warning, "has not run yet"},
		"claims are suspended": {func(p *parts) { p.concerns.ClaimsSuspended = []string{"nordic/production"} }, "pools", health.Failing,
			"Orders get no accounts of nordic/production."},
		"verification is suspended": {func(p *parts) { p.concerns.VerificationSuspended = []string{"nordic/test"} }, "pools", health.Warning,
			"nordic/test"},
		"webhooks are off": {func(p *parts) { p.concerns.WebhooksDisabled = 2 }, "webhooks", health.Warning, "switched off: 2."},
		"keys expire": {func(p *parts) { p.concerns.KeysExpiring, p.concerns.FirstExpiry = 2, &tomorrow }, "api_keys", health.Warning,
			"2, the first on 2026-11-23 10:00 UTC"},
		"unknown pools":    {func(p *parts) { p.concernsUnknown = secret }, "pools", health.Warning, "could not be read"},
		"unknown webhooks": {func(p *parts) { p.concernsUnknown = secret }, "webhooks", health.Warning, "could not be read"},
		"unknown keys":     {func(p *parts) { p.concernsUnknown = secret }, "api_keys", health.Warning, "could not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := well()
			c.broken(p)
			report := p.examiner().Examine(t.Context(), "acme")
			require.Equal(t, c.status, report.Status, "%+v", report.Checks)
			for _, check := range report.Checks {
				require.NotContains(t, check.Message, "db.internal", "messages are shown to providers")
				_, err := os.Stat("../../docs/operations/" + check.Runbook + ".md")
				require.NoError(t, err, "the runbook of %+v", check)
				if check.Name == c.check {
					require.Equal(t, c.status, check.Status)
					require.Contains(t, check.Message, c.message)
				}
			}
		})
	}
}

func TestWebhooksThatSomeoneDisabledAreNoFault(t *testing.T) {
	t.Parallel()
	p := well()
	p.concerns.WebhooksDisabledByHand = 1
	require.Equal(t, health.OK, p.examiner().Examine(t.Context(), "acme").Status)
}

// Temporal neither answers nor notices that no one waits any more.
func TestAPartThatDoesNotAnswerCostsNothingElse(t *testing.T) {
	t.Parallel()
	p := well()
	p.hang = make(chan struct{})
	defer close(p.hang)
	examiner := p.examiner()
	examiner.Limit = 50 * time.Millisecond
	began := time.Now()
	report := examiner.Examine(t.Context(), "acme")
	require.Less(t, time.Since(began), 2*time.Second)
	require.Equal(t, health.Failing, report.Status)
	for _, check := range report.Checks {
		asksTemporal := map[string]bool{"temporal": true, "workers": true, "schedules": true, "reconcile": true}[check.Name]
		require.Equal(t, !asksTemporal, check.Status == health.OK, "%+v", check)
	}
	require.Nil(t, report.Workers)
}
