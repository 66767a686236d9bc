package workflows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/internal/reconcile"
)

// ReconcileName is the workflow's name in Temporal.
const ReconcileName = "Reconcile"

// How often the stock is audited. The jitter keeps the audits of several namespaces apart.
const (
	reconcileEvery  = 5 * time.Minute
	reconcileJitter = 30 * time.Second
)

// Reconcile finds what is stuck or contradicts itself and repairs what is safe to repair. Its result is the list, which the
// Web UI shows; what was not repaired is in the log too.
func Reconcile(ctx workflow.Context) (reconcile.Report, error) {
	report, err := ask(ctx, reconciling, "Audit orders, accounts and workflows", acts.Reconcile)
	if err != nil {
		return report, err
	}
	workflow.SetCurrentDetails(ctx, ReconcileDetails(report))
	return report, nil
}

// ReconcileDetails is the report in Markdown, as the Web UI shows it.
func ReconcileDetails(report reconcile.Report) string {
	if report.Raised+report.Repaired == 0 {
		return "Nothing is stuck and nothing contradicts itself."
	}
	lines := []string{fmt.Sprintf("**%d findings need somebody**, %d were repaired.\n", report.Raised, report.Repaired)}
	for _, f := range report.Findings {
		lines = append(lines, "- "+f.String())
	}
	if report.More > 0 {
		lines = append(lines, fmt.Sprintf("- and %d more: run `quartermaster reconcile`", report.More))
	}
	return strings.Join(lines, "\n")
}

// EnsureSchedules makes the schedules of the product, or brings them to this version's form. A schedule that somebody paused
// stays paused. Every worker calls it when it starts: a repeat changes nothing.
func EnsureSchedules(ctx context.Context, schedules client.ScheduleClient) error {
	for _, wanted := range []client.ScheduleOptions{reconcileSchedule(), verifySchedule(), watchSchedule(), webhooksSchedule()} {
		if err := ensureSchedule(ctx, schedules, wanted); err != nil {
			return fmt.Errorf("schedule %s: %w", wanted.ID, err)
		}
	}
	return nil
}

func ensureSchedule(ctx context.Context, schedules client.ScheduleClient, wanted client.ScheduleOptions) error {
	_, err := schedules.Create(ctx, wanted)
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return err
	}
	return schedules.GetHandle(ctx, wanted.ID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(is client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := is.Description.Schedule
			schedule.Spec, schedule.Action = &wanted.Spec, wanted.Action
			schedule.Policy = &client.SchedulePolicies{Overlap: wanted.Overlap, CatchupWindow: wanted.CatchupWindow}
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		}})
}

// reconcileSchedule: an audit that is late is left out, the next one sees the same.
func reconcileSchedule() client.ScheduleOptions {
	return client.ScheduleOptions{
		ID:            reconcile.ScheduleID,
		Spec:          client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: reconcileEvery}}, Jitter: reconcileJitter},
		Overlap:       enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Minute,
		Action: &client.ScheduleWorkflowAction{
			ID:            reconcile.ScheduleID,
			Workflow:      ReconcileName,
			TaskQueue:     TaskQueue,
			StaticSummary: "Finds what is stuck, repairs what is safe",
		},
	}
}
