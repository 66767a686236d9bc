package health

import (
	"context"
	"fmt"
	"strings"
	"time"

	"quartermaster/internal/provision"
)

// The messages never contain the text of an error, which may name hosts and users: the logs have it.

// slowAnswer is how long the database may take for nothing before someone should look.
const slowAnswer = 500 * time.Millisecond

func (e Examiner) database(ctx context.Context) Check {
	c := Check{Name: "database", Runbook: "database-unavailable"}
	began := time.Now()
	err := errorOf(ctx, e.Ping)
	took := time.Since(began).Round(time.Millisecond)
	switch {
	case err != nil:
		return c.failing("PostgreSQL does not answer: orders wait, and none is lost.")
	case took > slowAnswer:
		return c.warning("PostgreSQL is slow: it took %s to answer.", took)
	}
	return c.ok("PostgreSQL answered within %s.", max(took, time.Millisecond))
}

func (e Examiner) schema(ctx context.Context) Check {
	c := Check{Name: "schema", Runbook: "installation"}
	fits, err := answerOf(ctx, e.SchemaFits)
	switch {
	case err != nil:
		return c.warning("The version of the schema could not be read.")
	case fits:
		return c.ok("The schema of the database is that of this program.")
	}
	return c.failing("The schema of the database is not that of this program: run `quartermaster migrate`, or deploy the release whose " +
		"`quartermaster migrate` has run.")
}

func (e Examiner) temporal(ctx context.Context) Check {
	c := Check{Name: "temporal", Runbook: "temporal-unavailable"}
	began := time.Now()
	if err := errorOf(ctx, e.Temporal.Ready); err != nil {
		return c.failing("Temporal does not answer, or its namespace cannot be used: orders are refused until it can.")
	}
	return c.ok("Temporal answered within %s.", max(time.Since(began).Round(time.Millisecond), time.Millisecond))
}

// lateAfter is how long a task may wait for a worker before someone should look.
const lateAfter = time.Minute

func workers(queues []provision.TaskQueue, err error) Check {
	c := Check{Name: "workers", Runbook: "no-workers"}
	if err != nil {
		return c.warning("Temporal did not say which workers run.")
	}
	var running []string
	for _, queue := range queues {
		if queue.Pollers == 0 {
			return c.failing("No worker polls for %s tasks: nothing is lost, but orders do not go on. Start `quartermaster worker`.", queue.Type)
		}
		running = append(running, fmt.Sprintf("%d for %s tasks", queue.Pollers, queue.Type))
	}
	for _, queue := range queues {
		if queue.BacklogAge > lateAfter {
			c.Runbook = "workers-are-late"
			return c.warning("About %d %s tasks wait for a worker, the oldest for %s.", queue.Backlog, queue.Type,
				queue.BacklogAge.Round(time.Second))
		}
	}
	return c.ok("Workers run: %s.", strings.Join(running, ", "))
}

// runsLate is how many intervals may pass without a run of a schedule.
const runsLate = 3

func runs(schedules []provision.ScheduleState, err error, now time.Time) Check {
	c := Check{Name: "schedules", Runbook: "is-anything-stuck"}
	if err != nil {
		return c.warning("Temporal did not say whether the schedules run.")
	}
	var missing, late, wrong []string
	for _, s := range schedules {
		since := s.LastRun
		if since == nil {
			since = s.CreatedAt
		}
		switch {
		case !s.Exists:
			missing = append(missing, s.ID)
		case s.Paused:
			wrong = append(wrong, s.ID+" is paused")
		case since != nil && now.Sub(*since) > runsLate*s.Every+time.Minute:
			late = append(late, s.ID)
		case s.LastResult != "" && s.LastResult != provision.RunCompleted && s.LastResult != provision.RunRunning:
			wrong = append(wrong, fmt.Sprintf("the last run of %s ended as %s", s.ID, s.LastResult))
		}
	}
	switch {
	case len(missing) > 0:
		return c.failing("Schedules are missing: %s. A worker that starts creates them.", strings.Join(missing, ", "))
	case len(late) > 0:
		return c.failing("Schedules do not run: %s. Check that workers run.", strings.Join(late, ", "))
	case len(wrong) > 0:
		return c.warning("%s.", firstUpper(strings.Join(wrong, "; ")))
	}
	return c.ok("All %d schedules run.", len(schedules))
}

// reconciledWithin is how old the newest result of the reconciler may be: it runs every five minutes.
const reconciledWithin = 20 * time.Minute

func reconciled(last *provision.Reconciliation, err error, now time.Time) Check {
	c := Check{Name: "reconcile", Runbook: "reconcile"}
	switch {
	case err != nil:
		return c.warning("The result of the last reconciliation could not be read.")
	case last == nil:
		return c.warning("The reconciler has not run yet.")
	case now.Sub(last.At) > reconciledWithin:
		return c.failing("The reconciler last ended %s ago, on %s.", now.Sub(last.At).Round(time.Minute), moment(last.At))
	case last.Raised > 0:
		return c.failing("The reconciler found %d things that need an operator of the service, on %s: run `quartermaster reconcile`.",
			last.Raised, moment(last.At))
	}
	return c.ok("The reconciler found nothing that needs an operator, on %s.", moment(last.At))
}

func pools(of provision.Concerns, err error) Check {
	c := Check{Name: "pools", Runbook: "claims-suspended"}
	if err != nil {
		return c.warning("The pools could not be read.")
	}
	if len(of.ClaimsSuspended) > 0 {
		return c.failing("Orders get no accounts of %s.", strings.Join(of.ClaimsSuspended, ", "))
	}
	if len(of.VerificationSuspended) > 0 {
		c.Runbook = "verification-suspended"
		return c.warning("So many accounts fail their verification together that none becomes Invalid: %s.",
			strings.Join(of.VerificationSuspended, ", "))
	}
	return c.ok("No pool is suspended.")
}

func webhooks(of provision.Concerns, err error) Check {
	c := Check{Name: "webhooks", Runbook: "webhooks-fail"}
	switch {
	case err != nil:
		return c.warning("The webhooks could not be read.")
	case of.WebhooksDisabled > 0:
		return c.warning("Webhooks that failed for days are switched off: %d. Repair the receiver, then enable them.", of.WebhooksDisabled)
	case of.WebhooksDisabledByHand > 0:
		return c.ok("No webhook was switched off because it failed; %d were by hand.", of.WebhooksDisabledByHand)
	}
	return c.ok("No webhook is switched off.")
}

func apiKeys(of provision.Concerns, err error) Check {
	c := Check{Name: "api_keys", Runbook: "api-key-refused"}
	switch {
	case err != nil:
		return c.warning("The API keys could not be read.")
	case of.KeysExpiring > 0:
		return c.warning("API keys that expire within %d days and were not rotated: %d, the first on %s.",
			int(provision.KeyExpiresSoon.Hours()/24), of.KeysExpiring, moment(*of.FirstExpiry))
	}
	return c.ok("No API key expires within %d days.", int(provision.KeyExpiresSoon.Hours()/24))
}

func (c Check) ok(message string, args ...any) Check      { return c.as(OK, message, args) }
func (c Check) warning(message string, args ...any) Check { return c.as(Warning, message, args) }
func (c Check) failing(message string, args ...any) Check { return c.as(Failing, message, args) }

func (c Check) as(status Status, message string, args []any) Check {
	c.Status, c.Message = status, fmt.Sprintf(message, args...)
	return c
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func firstUpper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
