package control

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// StartedBefore counts the workflows that were started before that time. A run that a reset made started at the time of the
// reset, although its history is older.
func (t *Temporal) StartedBefore(ctx context.Context, at time.Time) (s provision.StartedWorkflows, err error) {
	before := "StartTime < '" + at.UTC().Format(time.RFC3339Nano) + "'"
	const open = " AND ExecutionStatus = 'Running'"
	orders := " AND WorkflowType = '" + workflows.ProvisionOrderName + "'"
	others := " AND WorkflowType != '" + workflows.ProvisionOrderName + "'"
	if s.OpenOrders, err = t.count(ctx, before+open+orders); err != nil {
		return s, err
	}
	if s.OpenOthers, err = t.count(ctx, before+open+others); err != nil {
		return s, err
	}
	// Temporal lists those first that closed last.
	closed, err := t.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: t.namespace, PageSize: 1, Query: before + " AND ExecutionStatus != 'Running'"})
	if err != nil {
		return s, fmt.Errorf("listing closed workflows: %w", err)
	}
	for _, last := range closed.GetExecutions() {
		at := last.GetCloseTime().AsTime()
		s.LastClosedAt = &at
	}
	return s, nil
}

func (t *Temporal) count(ctx context.Context, query string) (int, error) {
	counted, err := t.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: t.namespace, Query: query})
	if err != nil {
		return 0, fmt.Errorf("counting workflows (%s): %w", query, err)
	}
	return int(counted.GetCount()), nil
}

// Retention is for how long the namespace keeps workflows that have closed.
func (t *Temporal) Retention(ctx context.Context) (time.Duration, error) {
	described, err := t.client.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: t.namespace})
	if err != nil {
		return 0, fmt.Errorf("describing namespace %s: %w", t.namespace, err)
	}
	return described.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration(), nil
}
