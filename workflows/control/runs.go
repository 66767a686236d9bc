package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/workflows"
)

// Runs reads the runs of orders' workflows, and starts or resets them again. It is what reconcile.Reconciler needs of Temporal.
// Restart and Story need a client that seals: Story reads an order from a history, and Restart writes one into a memo.
type Runs struct {
	*Temporal
	timeout time.Duration // of each call to Temporal, whatever the connection does
}

// Runs returns the runs of the orders of the namespace.
func (t *Temporal) Runs() Runs { return Runs{t, callTimeout} }

// callTimeout is twice what the SDK gives one attempt.
const callTimeout = 20 * time.Second

// closedStatuses are the ways in which a workflow closes for good. A run that was continued as new has not closed for good.
var closedStatuses = []enumspb.WorkflowExecutionStatus{
	enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
	enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
}

// ordersIn is the query for the workflows of orders that have one of the statuses.
func ordersIn(statuses ...enumspb.WorkflowExecutionStatus) string {
	names := make([]string, len(statuses))
	for i, status := range statuses {
		names[i] = "'" + status.String() + "'"
	}
	return fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus IN (%s)", workflows.ProvisionOrderName, strings.Join(names, ", "))
}

// Open lists the newest open run of each order, of those that started after the given time.
func (r Runs) Open(ctx context.Context, after time.Time) (map[provision.OrderKey]reconcile.Run, error) {
	return r.newest(ctx, ordersIn(enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)+since("StartTime", after))
}

// Closed lists the newest closed run of each order, of those that closed after the given time.
func (r Runs) Closed(ctx context.Context, after time.Time) (map[provision.OrderKey]reconcile.Run, error) {
	return r.newest(ctx, ordersIn(closedStatuses...)+since("CloseTime", after))
}

// since is the condition that a time is later than the given one; empty for the zero time.
func since(attribute string, after time.Time) string {
	if after.IsZero() {
		return ""
	}
	return fmt.Sprintf(" AND %s > '%s'", attribute, after.UTC().Format(time.RFC3339))
}

// Completed reads the newest completed run of an order's workflow. The Run has no id when none completed.
func (r Runs) Completed(ctx context.Context, key provision.OrderKey) (reconcile.Run, error) {
	newest, err := r.newest(ctx,
		ordersIn(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)+" AND WorkflowId = '"+workflows.OrderWorkflowID(key)+"'")
	return newest[key], err
}

// newest lists the newest run of each order among those that the query finds.
func (r Runs) newest(ctx context.Context, query string) (map[provision.OrderKey]reconcile.Run, error) {
	newest := map[provision.OrderKey]reconcile.Run{}
	request := &workflowservice.ListWorkflowExecutionsRequest{Namespace: r.namespace, PageSize: 1000, Query: query}
	for {
		page, err := within(ctx, r.timeout, func(ctx context.Context) (*workflowservice.ListWorkflowExecutionsResponse, error) {
			return r.client.ListWorkflow(ctx, request)
		})
		if err != nil {
			return nil, fmt.Errorf("listing the workflows of orders: %w", err)
		}
		for _, execution := range page.Executions {
			key, ofOrder := workflows.OrderKeyOf(execution.Execution.WorkflowId)
			if run := runOf(execution); ofOrder && !run.Started.Before(newest[key].Started) {
				newest[key] = run
			}
		}
		if len(page.NextPageToken) == 0 {
			return newest, nil
		}
		request.NextPageToken = page.NextPageToken
	}
}

// within makes a call with a timeout.
func within[T any](ctx context.Context, timeout time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return call(ctx)
}

// Run reads the newest run of an order's workflow. The Run has no id when there is none.
func (r Runs) Run(ctx context.Context, key provision.OrderKey) (run reconcile.Run, err error) {
	described, err := within(ctx, r.timeout, func(ctx context.Context) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
		return r.client.DescribeWorkflowExecution(ctx, workflows.OrderWorkflowID(key), "")
	})
	if isNotFound(err) {
		return reconcile.Run{}, nil
	}
	if err != nil {
		return reconcile.Run{}, fmt.Errorf("describing the workflow of order %s: %w", key, err)
	}
	run = runOf(described.WorkflowExecutionInfo)
	for _, pending := range described.PendingActivities {
		run.Opening = run.Opening || pending.ActivityType.GetName() == workflows.OpenOrderName
	}
	if described.WorkflowExecutionInfo.Status == enumspb.WORKFLOW_EXECUTION_STATUS_FAILED {
		run.Code, err = r.failureCode(ctx, key, run)
	}
	return run, err
}

func runOf(info *workflowpb.WorkflowExecutionInfo) reconcile.Run {
	attribute := func(key temporal.SearchAttributeKeyKeyword) (value string) {
		// An absent attribute leaves the value empty.
		_ = converter.GetDefaultDataConverter().FromPayload(info.GetSearchAttributes().GetIndexedFields()[key.GetName()], &value)
		return value
	}
	run := reconcile.Run{
		ID:      info.Execution.RunId,
		Open:    info.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || info.Status == enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED,
		Status:  info.Status.String(),
		Started: info.StartTime.AsTime(),
		State:   provision.OrderState(attribute(workflows.StateKey)),
		Reason:  provision.Code(attribute(workflows.ReasonKey)),
		Account: attribute(workflows.AccountIDKey),
	}
	if info.CloseTime != nil {
		run.ClosedAt = info.CloseTime.AsTime()
	}
	return run
}

// failureCode reads why a run failed. The code of a failure is its type in Temporal, which is not sealed.
func (r Runs) failureCode(ctx context.Context, key provision.OrderKey, run reconcile.Run) (code provision.Code, err error) {
	err = r.eachEvent(ctx, key, run, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT, func(event *historypb.HistoryEvent) error {
		for failure := event.GetWorkflowExecutionFailedEventAttributes().GetFailure(); failure != nil &&
			code == ""; failure = failure.GetCause() {
			code = provision.Code(failure.GetApplicationFailureInfo().GetType())
		}
		return nil
	})
	return code, err
}

// eachEvent calls read with every event of a run's history that the filter lets through.
func (r Runs) eachEvent(ctx context.Context, key provision.OrderKey, run reconcile.Run, filter enumspb.HistoryEventFilterType,
	read func(*historypb.HistoryEvent) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	history := r.client.GetWorkflowHistory(ctx, workflows.OrderWorkflowID(key), run.ID, false, filter)
	for history.HasNext() {
		event, err := history.Next()
		if err == nil {
			err = read(event)
		}
		if err != nil {
			return fmt.Errorf("reading the history of the workflow of order %s: %w", key, err)
		}
	}
	return nil
}

// Restart starts the workflow of an order again, from the beginning. It returns false when a run is open: Temporal refuses the
// start then.
func (r Runs) Restart(ctx context.Context, order provision.Order) (bool, error) {
	_, err := within(ctx, r.timeout, func(ctx context.Context) (client.WorkflowRun, error) {
		return r.client.ExecuteWorkflow(ctx, RestartOptions(order, r.publicURL), workflows.ProvisionOrderName, order)
	})
	if is[*serviceerror.WorkflowExecutionAlreadyStarted](err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("starting the workflow of order %s again: %w", order.OrderKey, err)
	}
	return true, nil
}

// Continue resets a closed run to its last completed workflow task: the new run keeps what was decided before that task and
// decides again what was decided in it. The id of the closed run identifies the reset, so a repeat is not a second reset.
func (r Runs) Continue(ctx context.Context, key provision.OrderKey, run reconcile.Run, reason string) (bool, error) {
	last, err := r.lastTask(ctx, key, run)
	if err != nil || last == 0 {
		return false, err
	}
	// A reset ends the newest run of the workflow, so make sure that no one has reset it since.
	if now, err := r.Run(ctx, key); err != nil || now.ID != run.ID || now.Open {
		return false, err
	}
	reset := &workflowservice.ResetWorkflowExecutionRequest{
		Namespace:                 r.namespace,
		WorkflowExecution:         &commonpb.WorkflowExecution{WorkflowId: workflows.OrderWorkflowID(key), RunId: run.ID},
		Reason:                    reason,
		WorkflowTaskFinishEventId: last,
		RequestId:                 reconcile.Actor + "-" + run.ID,
	}
	if _, err := within(ctx, r.timeout, func(ctx context.Context) (*workflowservice.ResetWorkflowExecutionResponse, error) {
		return r.client.ResetWorkflowExecution(ctx, reset)
	}); err != nil {
		return false, fmt.Errorf("resetting the workflow of order %s: %w", key, err)
	}
	return true, nil
}

// lastTask returns the id of the event of the last completed workflow task; 0 when there is none, or the history is gone.
func (r Runs) lastTask(ctx context.Context, key provision.OrderKey, run reconcile.Run) (last int64, err error) {
	err = r.eachEvent(ctx, key, run, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT, func(event *historypb.HistoryEvent) error {
		if event.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			last = event.EventId
		}
		return nil
	})
	if isNotFound(err) {
		return 0, nil
	}
	return last, err
}
