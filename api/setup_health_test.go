package api

import (
	"context"
	"time"

	"quartermaster/internal/health"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// memoryTemporal is a Temporal that is well, with one worker and one schedule, unless it is down.
type memoryTemporal struct{ down error }

func (m *memoryTemporal) Ready(context.Context) error { return m.down }

func (m *memoryTemporal) TaskQueues(context.Context) ([]provision.TaskQueue, error) {
	if m.down != nil {
		return nil, m.down
	}
	return []provision.TaskQueue{{Type: "workflow", Pollers: 1, SeenAt: time.Now()}, {Type: "activity", Pollers: 1, Backlog: 2}}, nil
}

func (m *memoryTemporal) Schedules(context.Context) ([]provision.ScheduleState, error) {
	if m.down != nil {
		return nil, m.down
	}
	ran, next := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	return []provision.ScheduleState{{ID: "reconcile", Exists: true, Every: time.Minute, LastRun: &ran, NextRun: &next,
		LastResult: provision.RunCompleted}}, nil
}

func (m *memoryTemporal) LastReconciliation(context.Context) (*provision.Reconciliation, error) {
	return &provision.Reconciliation{At: time.Now()}, m.down
}

// examiner examines this Temporal and a database whose schema fits.
func (m *memoryTemporal) examiner(db *postgres.DB) health.Examiner {
	return health.Examiner{Temporal: m, Ping: db.Ping, Concerns: db.Providers.Concerns,
		SchemaFits: func(context.Context) (bool, error) { return true, nil }}
}
