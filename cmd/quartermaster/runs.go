package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"quartermaster/api"
	"quartermaster/internal/audit"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// orderRuns is audit.Workflows on a Temporal client. Restart needs a client that seals: it writes the order into the memo.
type orderRuns struct {
	client    client.Client
	namespace string
}

// ofOrders is the query for workflows of orders in that status.
func ofOrders(status enumspb.WorkflowExecutionStatus) string {
	return fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = '%s'", workflows.ProvisionOrderName, status)
}

// Open lists the open workflows of orders and when they started.
func (r orderRuns) Open(ctx context.Context) (map[provision.OrderKey]time.Time, error) {
	return r.list(ctx, ofOrders(enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING))
}

// Terminated lists the orders of which a run was terminated after that time.
func (r orderRuns) Terminated(ctx context.Context, after time.Time) ([]provision.OrderKey, error) {
	query := ofOrders(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	if !after.IsZero() {
		query += " AND CloseTime > '" + after.UTC().Format(time.RFC3339) + "'"
	}
	found, err := r.list(ctx, query)
	return slices.Collect(maps.Keys(found)), err
}

func (r orderRuns) list(ctx context.Context, query string) (map[provision.OrderKey]time.Time, error) {
	started := map[provision.OrderKey]time.Time{}
	request := &workflowservice.ListWorkflowExecutionsRequest{Namespace: r.namespace, PageSize: 1000, Query: query}
	for {
		page, err := r.client.ListWorkflow(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("listing the workflows of orders: %w", err)
		}
		for _, execution := range page.Executions {
			if key, ok := workflows.OrderKeyOf(execution.Execution.WorkflowId); ok {
				started[key] = execution.StartTime.AsTime()
			}
		}
		if len(page.NextPageToken) == 0 {
			return started, nil
		}
		request.NextPageToken = page.NextPageToken
	}
}

// Run reads the newest run of an order's workflow; a Run without an id when there is none.
func (r orderRuns) Run(ctx context.Context, key provision.OrderKey) (audit.Run, error) {
	described, err := r.client.DescribeWorkflowExecution(ctx, workflows.OrderWorkflowID(key), "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return audit.Run{}, nil
	}
	if err != nil {
		return audit.Run{}, fmt.Errorf("describing the workflow of order %s: %w", key, err)
	}
	info := described.WorkflowExecutionInfo
	run := audit.Run{
		ID:      info.Execution.RunId,
		Open:    info.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || info.Status == enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED,
		Status:  info.Status.String(),
		Started: info.StartTime.AsTime(),
	}
	if info.CloseTime != nil {
		run.ClosedAt = info.CloseTime.AsTime()
	}
	return run, nil
}

// Restart starts the workflow of an order again. Temporal itself refuses it while a run is open.
func (r orderRuns) Restart(ctx context.Context, order provision.Order) (bool, error) {
	_, err := r.client.ExecuteWorkflow(ctx, api.RestartOptions(order), workflows.ProvisionOrderName, order)
	if _, taken := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); taken {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("starting the workflow of order %s again: %w", order.OrderKey, err)
	}
	return true, nil
}

// WakeOrders signals the orders.
func (r orderRuns) WakeOrders(ctx context.Context, keys []provision.OrderKey) error {
	return api.NewWorkflows(r.client).WakeOrders(ctx, keys)
}

// Continue resets the closed run to its last completed workflow task: what was decided before is kept, what was decided in it
// is decided again. The reset is known by the run that it resets, so that a repeat is not a second one.
func (r orderRuns) Continue(ctx context.Context, key provision.OrderKey, run audit.Run, reason string) (bool, error) {
	id := workflows.OrderWorkflowID(key)
	last, err := r.lastTask(ctx, id, run.ID)
	if err != nil || last == 0 {
		return false, err
	}
	// A reset ends the newest run, whichever that is, so look once more: somebody may have reset it meanwhile.
	if now, err := r.Run(ctx, key); err != nil || now.ID != run.ID || now.Open {
		return false, err
	}
	if _, err := r.client.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace:                 r.namespace,
		WorkflowExecution:         &commonpb.WorkflowExecution{WorkflowId: id, RunId: run.ID},
		Reason:                    reason,
		WorkflowTaskFinishEventId: last,
		RequestId:                 audit.Actor + "-" + run.ID,
	}); err != nil {
		return false, fmt.Errorf("resetting the workflow of order %s: %w", key, err)
	}
	return true, nil
}

// lastTask is the event of the last completed workflow task; 0 when there is none, or no history any more.
func (r orderRuns) lastTask(ctx context.Context, workflowID, runID string) (last int64, err error) {
	history := r.client.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("reading the history of workflow %s: %w", workflowID, err)
		}
		if event.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			last = event.EventId
		}
	}
	return last, nil
}
