package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"quartermaster/internal/postgres/pgtest"
)

// DescribeTaskQueue has a worker for each type of task, unless the workers are stopped.
func (f *frontend) DescribeTaskQueue(context.Context, *workflowservice.DescribeTaskQueueRequest) (*workflowservice.DescribeTaskQueueResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := &workflowservice.DescribeTaskQueueResponse{Stats: &taskqueuepb.TaskQueueStats{}}
	if !f.workersStopped {
		answer.Pollers = []*taskqueuepb.PollerInfo{{LastAccessTime: timestamppb.Now()}}
	}
	return answer, nil
}

// CountWorkflowExecutions counts the orders that have not started: all of them when the workers are stopped.
func (f *frontend) CountWorkflowExecutions(context.Context, *workflowservice.CountWorkflowExecutionsRequest) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.workersStopped {
		return &workflowservice.CountWorkflowExecutionsResponse{}, nil
	}
	return &workflowservice.CountWorkflowExecutionsResponse{Count: int64(len(f.newest))}, nil
}

// Not parallel: Temporal's address comes from the environment, which is the process's.
func TestVerifyReportsDeadWorkersAndTheOrdersThatWaitForThem(t *testing.T) {
	f, address := setupFrontend(t)
	t.Setenv("TEMPORAL_ADDRESS", address)
	f.workersStopped = true
	f.runs("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	var out, logs bytes.Buffer
	require.Error(t, run(t.Context(), []string{"reconcile", "--database-url=" + pgtest.URL(t)}, &out, &logs))
	require.Contains(t, out.String(), "no_workers [stuck]: no worker asks for workflow tasks -- start `quartermaster worker`")
	require.Contains(t, out.String(), "no_workers [stuck]: no worker asks for activity tasks")
	require.Contains(t, out.String(), "order_not_started [stuck] order acme/o-1: the order was accepted, but no worker has begun with it, since 2026-11-22T10:00:00Z")
}
