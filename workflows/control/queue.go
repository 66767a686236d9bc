package control

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

const (
	// pollsWithin is how recently a living worker has begun or ended a poll. A poll lasts a minute, and Temporal remembers the workers of
	// the last five minutes.
	pollsWithin = 90 * time.Second
	// startsWithin is how long an accepted order may wait for a worker. A worker takes it within milliseconds.
	startsWithin = time.Minute
	// watchEvery is how often WatchWorkers looks.
	watchEvery = time.Minute
)

// TaskQueues returns what Temporal reports about the workflow tasks and the activity tasks of the product's task queue.
func (t *Temporal) TaskQueues(ctx context.Context) (queues []provision.TaskQueue, err error) {
	for _, kind := range []struct {
		name string
		of   enumspb.TaskQueueType
	}{{"workflow", enumspb.TASK_QUEUE_TYPE_WORKFLOW}, {"activity", enumspb.TASK_QUEUE_TYPE_ACTIVITY}} {
		described, err := t.client.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
			Namespace: t.namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: workflows.TaskQueue}, TaskQueueType: kind.of, ReportStats: true,
		})
		if err != nil {
			return nil, fmt.Errorf("describing task queue %q: %w", workflows.TaskQueue, err)
		}
		queue := provision.TaskQueue{Type: kind.name, Backlog: described.GetStats().GetApproximateBacklogCount(),
			BacklogAge: described.GetStats().GetApproximateBacklogAge().AsDuration()}
		for _, poller := range described.Pollers { // one for each process
			seen := poller.LastAccessTime.AsTime()
			if time.Since(seen) < pollsWithin {
				queue.Pollers++
			}
			if seen.After(queue.SeenAt) {
				queue.SeenAt = seen
			}
		}
		queues = append(queues, queue)
	}
	return queues, nil
}

// OrdersNotStarted counts the orders that were accepted more than a minute ago and that no worker has begun with, and returns
// when some of them were accepted, at most as many as asked for. The orders need not have a row: the search attribute State is "accepted"
// from the start of the workflow until its first claim.
func (t *Temporal) OrdersNotStarted(ctx context.Context, most int) (total int, accepted map[provision.OrderKey]time.Time, err error) {
	query := fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running' AND %s = '%s' AND StartTime < '%s'",
		workflows.ProvisionOrderName,
		workflows.StateKey.GetName(), provision.Accepted, time.Now().Add(-startsWithin).UTC().Format(time.RFC3339))
	count, err := t.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: t.namespace, Query: query})
	if err != nil {
		return 0, nil, fmt.Errorf("counting the orders that have not started: %w", err)
	}
	if count.Count == 0 || most == 0 {
		return int(count.Count), nil, nil
	}
	page, err := t.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: t.namespace, PageSize: int32(most),
		Query: query})
	if err != nil {
		return 0, nil, fmt.Errorf("listing the orders that have not started: %w", err)
	}
	accepted = map[provision.OrderKey]time.Time{}
	for _, execution := range page.Executions {
		if key, ok := workflows.OrderKeyOf(execution.Execution.WorkflowId); ok {
			accepted[key] = execution.StartTime.AsTime()
		}
	}
	return max(int(count.Count), len(accepted)), accepted, nil
}

// WatchWorkers logs an error every minute while tasks wait and no worker polls for them, until the context ends.
func (t *Temporal) WatchWorkers(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			t.lookForWorkers(ctx, log)
		}
	}
}

func (t *Temporal) lookForWorkers(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	queues, err := t.TaskQueues(ctx)
	if err != nil {
		log.Warn("could not ask Temporal whether a worker runs", "error", err)
		return
	}
	for _, queue := range queues {
		if queue.Pollers == 0 && queue.Backlog > 0 {
			log.Error(fmt.Sprintf("no worker polls task queue %q: orders are accepted and wait; start `quartermaster worker`",
				workflows.TaskQueue), "tasks", queue.Type, "backlog", queue.Backlog, "oldest", queue.BacklogAge)
			return
		}
	}
}
