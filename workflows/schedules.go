package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// schedules are all schedules of the product. The jitter keeps the runs of several namespaces apart.
var schedules = []struct {
	id            string
	workflow      string
	workflowID    string
	every, jitter time.Duration
	summary       string // shown in the Web UI
}{
	{ReconcileID, ReconcileName, ReconcileID, 5 * time.Minute, 30 * time.Second, "Finds what is stuck and repairs what is safe to repair"},
	{VerifyAccountsID, VerifyAccountsName, VerifyAccountsID + "-scheduled", time.Minute, 10 * time.Second,
		"Verifies the accounts that are due"},
	{WatchStockID, WatchStockName, WatchStockID, time.Minute, 10 * time.Second,
		"Checks the stock of all pools and raises or closes alerts"},
	{SweepWebhooksID, SweepWebhooksName, SweepWebhooksID, time.Minute, 10 * time.Second,
		"Wakes webhooks that have something to send, and deletes old events"},
}

// ScheduleIDs returns the ids of all schedules.
func ScheduleIDs() (ids []string) {
	for _, s := range schedules {
		ids = append(ids, s.id)
	}
	return ids
}

// catchUpWithin is how late a scheduled run may start. A later one is left out: the next run does the same work.
const catchUpWithin = time.Minute

// EnsureSchedules creates the schedules of the product, or updates those of an earlier version. A schedule that an operator paused
// stays paused. Every worker calls EnsureSchedules when it starts; repeating it changes nothing.
func EnsureSchedules(ctx context.Context, in client.ScheduleClient) error {
	for _, s := range schedules {
		err := ensureSchedule(ctx, in, client.ScheduleOptions{
			ID:            s.id,
			Spec:          client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: s.every}}, Jitter: s.jitter},
			Overlap:       enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
			CatchupWindow: catchUpWithin,
			Action: &client.ScheduleWorkflowAction{
				ID:            s.workflowID,
				Workflow:      s.workflow,
				TaskQueue:     TaskQueue,
				StaticSummary: s.summary,
			},
		})
		if err != nil {
			return fmt.Errorf("schedule %s: %w", s.id, err)
		}
	}
	return nil
}

func ensureSchedule(ctx context.Context, in client.ScheduleClient, wanted client.ScheduleOptions) error {
	_, err := in.Create(ctx, wanted)
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return err
	}
	return in.GetHandle(ctx, wanted.ID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(is client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := is.Description.Schedule
			schedule.Spec, schedule.Action = &wanted.Spec, wanted.Action
			schedule.Policy = &client.SchedulePolicies{Overlap: wanted.Overlap, CatchupWindow: wanted.CatchupWindow}
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		}})
}
