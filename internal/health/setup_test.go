package health_test

import (
	"context"
	"time"

	"quartermaster/internal/health"
	"quartermaster/internal/provision"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func ago(d time.Duration) *time.Time { at := now.Add(-d); return &at }

// parts are what an Examiner asks; each part answers what a test puts into it.
type parts struct {
	ready, down, database error
	queues                []provision.TaskQueue
	schedules             []provision.ScheduleState
	last                  *provision.Reconciliation
	fits                  bool
	schemaUnknown         error
	concerns              provision.Concerns
	concernsUnknown       error
	hang                  chan struct{} // Temporal answers nothing until it is closed, whatever the context says; nil: it answers
}

// well is a service that works.
func well() *parts {
	p := &parts{fits: true, last: &provision.Reconciliation{At: now.Add(-2 * time.Minute)}}
	for _, kind := range []string{"workflow", "activity"} {
		p.queues = append(p.queues, provision.TaskQueue{Type: kind, Pollers: 2, SeenAt: now})
	}
	for _, id := range []string{"reconcile", "watch-stock"} {
		p.schedules = append(p.schedules, provision.ScheduleState{ID: id, Exists: true, Every: time.Minute, LastRun: ago(time.Minute),
			LastResult: provision.RunCompleted})
	}
	return p
}

func (p *parts) wait() {
	if p.hang != nil {
		<-p.hang
	}
}

func (p *parts) Ready(context.Context) error {
	p.wait()
	return p.ready
}

func (p *parts) TaskQueues(context.Context) ([]provision.TaskQueue, error) {
	p.wait()
	return p.queues, p.down
}

func (p *parts) Schedules(context.Context) ([]provision.ScheduleState, error) {
	p.wait()
	return p.schedules, p.down
}

func (p *parts) LastReconciliation(context.Context) (*provision.Reconciliation, error) {
	p.wait()
	return p.last, p.down
}

func (p *parts) examiner() health.Examiner {
	return health.Examiner{
		Temporal:   p,
		Ping:       func(context.Context) error { return p.database },
		SchemaFits: func(context.Context) (bool, error) { return p.fits, p.schemaUnknown },
		Concerns:   func(context.Context, string) (provision.Concerns, error) { return p.concerns, p.concernsUnknown },
		Now:        func() time.Time { return now },
	}
}
