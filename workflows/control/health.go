package control

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/workflows"
)

// Schedules reports what Temporal knows about the schedules of the product.
func (t *Temporal) Schedules(ctx context.Context) (states []provision.ScheduleState, err error) {
	for _, id := range workflows.ScheduleIDs() {
		state := provision.ScheduleState{ID: id}
		described, err := t.client.ScheduleClient().GetHandle(ctx, id).Describe(ctx)
		if isNotFound(err) {
			states = append(states, state)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("describing schedule %s: %w", id, err)
		}
		if state, err = t.scheduleState(ctx, state, described); err != nil {
			return nil, err
		}
		states = append(states, state)
	}
	return states, nil
}

func (t *Temporal) scheduleState(
	ctx context.Context, state provision.ScheduleState, described *client.ScheduleDescription,
) (provision.ScheduleState, error) {
	state.Exists = true
	if of := described.Schedule.State; of != nil {
		state.Paused = of.Paused
	}
	if spec := described.Schedule.Spec; spec != nil && len(spec.Intervals) > 0 {
		state.Every = spec.Intervals[0].Every
	}
	if created := described.Info.CreatedAt; !created.IsZero() {
		state.CreatedAt = &created
	}
	if next := described.Info.NextActionTimes; len(next) > 0 {
		state.NextRun = &next[0]
	}
	if recent := described.Info.RecentActions; len(recent) > 0 {
		last := recent[len(recent)-1]
		state.LastRun = &last.ActualTime
		result, err := t.runResult(ctx, last)
		if err != nil {
			return state, err
		}
		state.LastResult = result
	}
	return state, nil
}

// runResult returns how the run of a schedule ended, provision.RunRunning if it has not, and nothing if Temporal has forgotten it.
func (t *Temporal) runResult(ctx context.Context, action client.ScheduleActionResult) (string, error) {
	run := action.StartWorkflowResult
	if run == nil {
		return "", nil
	}
	described, err := t.client.DescribeWorkflowExecution(ctx, run.WorkflowID, run.FirstExecutionRunID)
	if isNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("describing workflow %s: %w", run.WorkflowID, err)
	}
	return results[described.GetWorkflowExecutionInfo().GetStatus()], nil
}

// results are the words for how the run of a schedule ended.
var results = map[enumspb.WorkflowExecutionStatus]string{
	enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:          provision.RunRunning,
	enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED:           "paused",
	enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:        provision.RunCompleted,
	enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:           "failed",
	enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:         "cancelled",
	enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:       "terminated",
	enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW: provision.RunRunning,
	enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:        "timed_out",
}

// LastReconciliation reads the result of the newest run of the schedule "reconcile" that completed. It returns nil when Temporal knows
// none.
func (t *Temporal) LastReconciliation(ctx context.Context) (*provision.Reconciliation, error) {
	described, err := t.client.ScheduleClient().GetHandle(ctx, workflows.ReconcileID).Describe(ctx)
	if isNotFound(err) {
		return nil, nil //nolint:nilnil // there is no schedule, so nothing has run
	}
	if err != nil {
		return nil, fmt.Errorf("describing schedule %s: %w", workflows.ReconcileID, err)
	}
	recent := described.Info.RecentActions
	for i := len(recent) - 1; i >= 0; i-- {
		result, err := t.runResult(ctx, recent[i])
		if err != nil {
			return nil, err
		}
		if result != provision.RunCompleted {
			continue
		}
		run := recent[i].StartWorkflowResult
		var report reconcile.Report
		if err := t.client.GetWorkflow(ctx, run.WorkflowID, run.FirstExecutionRunID).Get(ctx, &report); err != nil {
			return nil, fmt.Errorf("reading the result of workflow %s: %w", run.WorkflowID, err)
		}
		return &provision.Reconciliation{At: report.At, Repaired: report.Repaired, Raised: report.Raised}, nil
	}
	return nil, nil //nolint:nilnil // no run has completed yet
}
