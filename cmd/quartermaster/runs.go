package main

import (
	"context"
	"errors"
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
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"quartermaster/api"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
)

// orderRuns is reconcile.Workflows on a Temporal client. Restart and Story need a client that seals: an order is read from a
// history, and written into a memo.
type orderRuns struct {
	client    client.Client
	namespace string
	timeout   time.Duration // of each question to Temporal, whatever the connection does
	payloads  converter.DataConverter
	failures  converter.FailureConverter
}

// newOrderRuns makes orderRuns on a client that was dialed with the ring; without a ring it reads only what is not sealed.
func newOrderRuns(c client.Client, ring *secrets.Ring) (orderRuns, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return orderRuns{}, fmt.Errorf("the TEMPORAL_* variables: %w", err)
	}
	runs := orderRuns{client: c, namespace: options.Namespace, timeout: callTimeout, payloads: converter.GetDefaultDataConverter(), failures: temporal.GetDefaultFailureConverter()}
	if runs.namespace == "" {
		runs.namespace = client.DefaultNamespace
	}
	if ring != nil {
		runs.payloads, runs.failures = secrets.Converters(ring)
	}
	return runs, nil
}

// callTimeout is twice what the SDK then gives one attempt.
const callTimeout = 20 * time.Second

// The ways in which a workflow closes for good; a run that was continued as new has not.
var closedStatuses = []enumspb.WorkflowExecutionStatus{
	enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
	enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
}

// ofOrders is the query for workflows of orders in one of those statuses.
func ofOrders(statuses ...enumspb.WorkflowExecutionStatus) string {
	names := make([]string, len(statuses))
	for i, status := range statuses {
		names[i] = "'" + status.String() + "'"
	}
	return fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus IN (%s)", workflows.ProvisionOrderName, strings.Join(names, ", "))
}

// Open lists the open workflows of orders and when they started.
func (r orderRuns) Open(ctx context.Context) (map[provision.OrderKey]time.Time, error) {
	started := map[provision.OrderKey]time.Time{}
	newest, err := r.newest(ctx, ofOrders(enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING))
	for key, run := range newest {
		started[key] = run.Started
	}
	return started, err
}

// Closed lists how the newest run of each order closed that closed after that time.
func (r orderRuns) Closed(ctx context.Context, after time.Time) (map[provision.OrderKey]string, error) {
	query := ofOrders(closedStatuses...)
	if !after.IsZero() {
		query += " AND CloseTime > '" + after.UTC().Format(time.RFC3339) + "'"
	}
	status := map[provision.OrderKey]string{}
	newest, err := r.newest(ctx, query)
	for key, run := range newest {
		status[key] = run.Status
	}
	return status, err
}

// Completed reads the newest run of an order's workflow that completed; a Run without an id when none did.
func (r orderRuns) Completed(ctx context.Context, key provision.OrderKey) (reconcile.Run, error) {
	newest, err := r.newest(ctx, ofOrders(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)+" AND WorkflowId = '"+workflows.OrderWorkflowID(key)+"'")
	return newest[key], err
}

// newest lists the newest run of each order among those that the query finds.
func (r orderRuns) newest(ctx context.Context, query string) (map[provision.OrderKey]reconcile.Run, error) {
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

// within makes a call that ends in time.
func within[T any](ctx context.Context, timeout time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return call(ctx)
}

// Run reads the newest run of an order's workflow; a Run without an id when there is none.
func (r orderRuns) Run(ctx context.Context, key provision.OrderKey) (run reconcile.Run, err error) {
	described, err := within(ctx, r.timeout, func(ctx context.Context) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
		return r.client.DescribeWorkflowExecution(ctx, workflows.OrderWorkflowID(key), "")
	})
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return reconcile.Run{}, nil
	}
	if err != nil {
		return reconcile.Run{}, fmt.Errorf("describing the workflow of order %s: %w", key, err)
	}
	run = runOf(described.WorkflowExecutionInfo)
	for _, pending := range described.PendingActivities {
		run.Opening = run.Opening || pending.ActivityType.GetName() == openOrder
	}
	if described.WorkflowExecutionInfo.Status == enumspb.WORKFLOW_EXECUTION_STATUS_FAILED {
		run.Code, err = r.failureCode(ctx, key, run)
	}
	return run, err
}

// openOrder is the activity that writes an order's row.
const openOrder = "OpenOrder"

func runOf(info *workflowpb.WorkflowExecutionInfo) reconcile.Run {
	attribute := func(key temporal.SearchAttributeKeyKeyword) (value string) {
		_ = converter.GetDefaultDataConverter().FromPayload(info.GetSearchAttributes().GetIndexedFields()[key.GetName()], &value) // absent: empty
		return value
	}
	run := reconcile.Run{
		ID:      info.Execution.RunId,
		Open:    info.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || info.Status == enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED,
		Status:  info.Status.String(),
		Started: info.StartTime.AsTime(),
		State:   provision.OrderState(attribute(workflows.StepKey)),
		Reason:  provision.Code(attribute(workflows.ReasonKey)),
		Account: attribute(workflows.AccountIDKey),
	}
	if info.CloseTime != nil {
		run.ClosedAt = info.CloseTime.AsTime()
	}
	return run
}

// failureCode reads why a run failed. The code of a failure is its type in Temporal, which is not sealed.
func (r orderRuns) failureCode(ctx context.Context, key provision.OrderKey, run reconcile.Run) (code provision.Code, err error) {
	err = r.eachEvent(ctx, key, run, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT, func(event *historypb.HistoryEvent) error {
		for failure := event.GetWorkflowExecutionFailedEventAttributes().GetFailure(); failure != nil && code == ""; failure = failure.GetCause() {
			code = provision.Code(failure.GetApplicationFailureInfo().GetType())
		}
		return nil
	})
	return code, err
}

// eachEvent reads a run's history.
func (r orderRuns) eachEvent(ctx context.Context, key provision.OrderKey, run reconcile.Run, filter enumspb.HistoryEventFilterType, read func(*historypb.HistoryEvent) error) error {
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

// Story reads what the history of a run tells about its order: how it was placed, its corrections, and how it ended.
func (r orderRuns) Story(ctx context.Context, key provision.OrderKey, run reconcile.Run) (story reconcile.Story, err error) {
	open := func(payloads *commonpb.Payloads, into any) error {
		if err := r.payloads.FromPayloads(payloads, into); err != nil {
			return fmt.Errorf("%w: %w", reconcile.ErrSealed, err)
		}
		return nil
	}
	err = r.eachEvent(ctx, key, run, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT, func(event *historypb.HistoryEvent) error {
		switch event.EventType {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
			err := open(event.GetWorkflowExecutionStartedEventAttributes().GetInput(), &story.Order)
			story.Request = story.Order.Request
			return err
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
			update := event.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetInput()
			if update.GetName() != workflows.UpdateCorrect {
				return nil
			}
			var correction workflows.Correction
			err := open(update.GetArgs(), &correction)
			story.Request = correction.Fields.Apply(story.Request)
			return err
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
			story.Result = &provision.Result{}
			return open(event.GetWorkflowExecutionCompletedEventAttributes().GetResult(), story.Result)
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
			var failure provision.Failure
			failed := r.failures.FailureToError(event.GetWorkflowExecutionFailedEventAttributes().GetFailure())
			if told, ok := errors.AsType[*temporal.ApplicationError](failed); ok && told.HasDetails() && told.Details(&failure) == nil && failure.Code != "" {
				story.Failure = &failure
			}
		}
		return nil
	})
	return story, err
}

// Restart starts the workflow of an order again. Temporal itself refuses it while a run is open.
func (r orderRuns) Restart(ctx context.Context, order provision.Order) (bool, error) {
	_, err := within(ctx, r.timeout, func(ctx context.Context) (client.WorkflowRun, error) {
		return r.client.ExecuteWorkflow(ctx, api.RestartOptions(order), workflows.ProvisionOrderName, order)
	})
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
func (r orderRuns) Continue(ctx context.Context, key provision.OrderKey, run reconcile.Run, reason string) (bool, error) {
	last, err := r.lastTask(ctx, key, run)
	if err != nil || last == 0 {
		return false, err
	}
	// A reset ends the newest run, whichever that is, so look once more: somebody may have reset it meanwhile.
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

// lastTask is the event of the last completed workflow task; 0 when there is none, or no history any more.
func (r orderRuns) lastTask(ctx context.Context, key provision.OrderKey, run reconcile.Run) (last int64, err error) {
	err = r.eachEvent(ctx, key, run, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT, func(event *historypb.HistoryEvent) error {
		if event.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			last = event.EventId
		}
		return nil
	})
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return 0, nil
	}
	return last, err
}
