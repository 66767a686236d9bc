package apitest

import (
	"context"
	"time"

	"quartermaster/internal/provision"
)

// Temporal is what Temporal says about the workers and the schedules.
type Temporal struct{ Workers int }

// Ready reports that Temporal answers.
func (*Temporal) Ready(context.Context) error { return nil }

// TaskQueues returns the workers.
func (s *Temporal) TaskQueues(context.Context) ([]provision.TaskQueue, error) {
	now := time.Now()
	return []provision.TaskQueue{
		{Type: "workflow", Pollers: s.Workers, SeenAt: now}, {Type: "activity", Pollers: s.Workers, SeenAt: now, Backlog: 3},
	}, nil
}

// Schedules returns the schedules, which all run.
func (*Temporal) Schedules(context.Context) ([]provision.ScheduleState, error) {
	now := time.Now()
	return []provision.ScheduleState{
		{ID: "reconcile", Exists: true, Every: time.Minute, LastRun: &now, LastResult: provision.RunCompleted, CreatedAt: &now},
	}, nil
}

// LastReconciliation returns a reconciliation that found nothing.
func (*Temporal) LastReconciliation(context.Context) (*provision.Reconciliation, error) {
	return &provision.Reconciliation{At: time.Now()}, nil
}
