package health

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"quartermaster/internal/provision"
)

// Status says how well something is.
type Status string

// The statuses, from good to bad.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it works, and someone should look at it
	Failing Status = "failing" // orders wait because of it
)

// worse reports whether the status is worse than the other one.
func (s Status) worse(than Status) bool {
	rank := map[Status]int{OK: 0, Warning: 1, Failing: 2}
	return rank[s] > rank[than]
}

// Check is the result of one check.
type Check struct {
	Name    string
	Status  Status
	Message string // a sentence for an operator
	Runbook string // a page of docs/operations, without .md
}

// Report is what Examine found.
type Report struct {
	At        time.Time
	Status    Status // the worst of the checks
	Checks    []Check
	Workers   []provision.TaskQueue     // nil: Temporal did not say
	Schedules []provision.ScheduleState // nil: as above
}

// Temporal is what Examine asks Temporal.
type Temporal interface {
	// Ready returns nil when the namespace is usable and Temporal answers.
	Ready(ctx context.Context) error
	// TaskQueues reports the workflow tasks and the activity tasks, and the workers that poll for them.
	TaskQueues(ctx context.Context) ([]provision.TaskQueue, error)
	// Schedules reports the schedules of the product.
	Schedules(ctx context.Context) ([]provision.ScheduleState, error)
	// LastReconciliation reports the newest run of the reconciler that ended. The result is nil when none has.
	LastReconciliation(ctx context.Context) (*provision.Reconciliation, error)
}

// Examiner makes the checks.
type Examiner struct {
	Temporal Temporal
	// Ping returns an error when the database does not answer.
	Ping func(ctx context.Context) error
	// SchemaFits reports whether the schema of the database is that of this program.
	SchemaFits func(ctx context.Context) (bool, error)
	// Concerns reads what needs someone among the pools, webhooks and API keys of a provider.
	Concerns func(ctx context.Context, provider string) (provision.Concerns, error)
	Now      func() time.Time // nil: time.Now
	Limit    time.Duration    // of each check; 0: DefaultLimit
}

// DefaultLimit bounds each check.
const DefaultLimit = 2 * time.Second

// Examine makes all checks for a provider at once. It returns after the time limit of the checks at the latest.
func (e Examiner) Examine(ctx context.Context, provider string) Report {
	report := Report{At: e.now().UTC(), Status: OK}
	ctx, cancel := context.WithTimeout(ctx, e.limit())
	defer cancel()
	checks := []func() []Check{
		func() []Check { return []Check{e.database(ctx)} },
		func() []Check { return []Check{e.schema(ctx)} },
		func() []Check { return []Check{e.temporal(ctx)} },
		func() []Check {
			queues, err := answerOf(ctx, e.Temporal.TaskQueues)
			report.Workers = queues
			return []Check{workers(queues, err)}
		},
		func() []Check {
			schedules, err := answerOf(ctx, e.Temporal.Schedules)
			report.Schedules = schedules
			return []Check{runs(schedules, err, e.now())}
		},
		func() []Check {
			last, err := answerOf(ctx, e.Temporal.LastReconciliation)
			return []Check{reconciled(last, err, e.now())}
		},
		func() []Check {
			concerns, err := answerOf(ctx, func(ctx context.Context) (provision.Concerns, error) { return e.Concerns(ctx, provider) })
			return []Check{pools(concerns, err), webhooks(concerns, err), apiKeys(concerns, err)}
		},
	}
	results := make([][]Check, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() { results[i] = check() })
	}
	all.Wait()
	report.Checks = slices.Concat(results...)
	for _, check := range report.Checks {
		if check.Status.worse(report.Status) {
			report.Status = check.Status
		}
	}
	return report
}

func (e Examiner) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

func (e Examiner) limit() time.Duration {
	if e.Limit > 0 {
		return e.Limit
	}
	return DefaultLimit
}

var errNoAnswer = errors.New("no answer in time")

// answerOf returns the answer of a call, or an error when the context ends first, even if the call goes on.
func answerOf[T any](ctx context.Context, call func(context.Context) (T, error)) (answer T, err error) {
	type result struct {
		answer T
		err    error
	}
	done := make(chan result, 1)
	go func() {
		answer, err := call(ctx)
		done <- result{answer, err}
	}()
	select {
	case r := <-done:
		return r.answer, r.err
	case <-ctx.Done():
		return answer, errNoAnswer
	}
}

// errorOf is answerOf for a call that returns nothing else.
func errorOf(ctx context.Context, call func(context.Context) error) error {
	_, err := answerOf(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	return err
}
