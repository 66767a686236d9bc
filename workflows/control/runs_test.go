package control

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
	"quartermaster/workflows/control/controltest"
)

var orderOne = provision.OrderKey{Provider: "acme", ID: "o-1"}

// setupRuns returns a frontend and the runs of its orders, with a client that seals nothing.
func setupRuns(t *testing.T) (*controltest.Frontend, Runs) {
	t.Helper()
	f, address := controltest.Serve(t)
	options := client.Options{HostPort: address, Namespace: namespace}
	c, err := client.Dial(options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return f, New(c, options).Runs()
}

// events are events that tell nothing but their types.
func events(types ...enumspb.EventType) (history []*historypb.HistoryEvent) {
	for _, kind := range types {
		history = append(history, &historypb.HistoryEvent{EventType: kind})
	}
	return history
}

func TestOpenOrdersAreListedPageByPage(t *testing.T) {
	t.Parallel()
	f, runs := setupRuns(t)
	f.PageSize = 1
	for _, id := range []string{"order/acme/o-1", "order/acme/o-2", "order/other/o-1", "something else"} {
		f.AddRun(id, "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	}
	f.AddRun("order/acme/o-3", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
	open, err := runs.Open(t.Context(), time.Time{})
	require.NoError(t, err)
	require.ElementsMatch(t, []provision.OrderKey{orderOne, {Provider: "acme", ID: "o-2"}, {Provider: "other", ID: "o-1"}},
		slices.Collect(maps.Keys(open)))
	require.Equal(t, controltest.StartedAt, open[orderOne].Started)
	require.Len(t, f.VisibilityQueries, 4)
	const running = "WorkflowType = 'ProvisionOrder' AND ExecutionStatus IN ('Running')"
	require.Equal(t, running, f.VisibilityQueries[0])

	f.AddRun("order/acme/o-4", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	closed, err := runs.Closed(t.Context(), controltest.StartedAt)
	require.NoError(t, err)
	require.Len(t, closed, 2)
	require.Equal(t, "Completed", closed[provision.OrderKey{Provider: "acme", ID: "o-3"}].Status)
	require.Equal(t, "Terminated", closed[provision.OrderKey{Provider: "acme", ID: "o-4"}].Status)
	const all = "WorkflowType = 'ProvisionOrder' AND ExecutionStatus IN ('Completed', 'Failed', 'Canceled', 'Terminated', 'TimedOut')"
	require.Equal(t, all+" AND CloseTime > '2026-11-22T10:00:00Z'", f.VisibilityQueries[4])
	_, err = runs.Closed(t.Context(), time.Time{})
	require.NoError(t, err)
	require.Equal(t, all, f.VisibilityQueries[6])
	_, err = runs.Open(t.Context(), controltest.StartedAt)
	require.NoError(t, err)
	require.Equal(t, running+" AND StartTime > '2026-11-22T10:00:00Z'", f.VisibilityQueries[8])

	completed, err := runs.Completed(t.Context(), provision.OrderKey{Provider: "acme", ID: "o-3"})
	require.NoError(t, err)
	require.Equal(t, "run-1", completed.ID)
	completed, err = runs.Completed(t.Context(), provision.OrderKey{Provider: "acme", ID: "o-4"})
	require.NoError(t, err)
	require.Zero(t, completed)
}

func TestTheNewestRunOfAnOrder(t *testing.T) {
	t.Parallel()
	f, runs := setupRuns(t)
	run, err := runs.Run(t.Context(), orderOne)
	require.NoError(t, err)
	require.Zero(t, run, "Temporal knows none")
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	run, err = runs.Run(t.Context(), orderOne)
	require.NoError(t, err)
	require.Equal(t, reconcile.Run{ID: "run-1", Open: true, Status: "Running", Started: controltest.StartedAt}, run)
	f.Pending = []string{"Inspect", "OpenOrder"}
	run, err = runs.Run(t.Context(), orderOne)
	require.NoError(t, err)
	require.True(t, run.Opening, "it writes its row by itself")
	f.Pending = nil
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	f.Newest["order/acme/o-1"].SearchAttributes = controltest.Attributes(t, map[string]string{"AccountID": "000000000007",
		"State": "action_required", "Reason": "AliasTaken"})
	run, err = runs.Run(t.Context(), orderOne)
	require.NoError(t, err)
	require.Equal(t, reconcile.Run{ID: "run-1", Status: "Terminated", Started: controltest.StartedAt,
		ClosedAt: controltest.StartedAt.Add(time.Hour),
		State:    provision.ActionRequired, Reason: provision.CodeAliasTaken, Account: "000000000007"}, run)
}

// Why a run failed is read without the seal keys, however deep the failure is wrapped.
func TestWhyARunFailedIsReadWithoutTheKeys(t *testing.T) {
	t.Parallel()
	f, runs := setupRuns(t)
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_FAILED)
	own := &failurepb.Failure{FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
		ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "OrderIDReused"},
	}}
	inActivity := &failurepb.Failure{Cause: own, FailureInfo: &failurepb.Failure_ActivityFailureInfo{
		ActivityFailureInfo: &failurepb.ActivityFailureInfo{},
	}}
	late := &failurepb.Failure{FailureInfo: &failurepb.Failure_TimeoutFailureInfo{TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{}}}
	for _, c := range []struct {
		failure *failurepb.Failure
		code    provision.Code
	}{{own, provision.CodeOrderIDReused}, {inActivity, provision.CodeOrderIDReused}, {late, ""}} {
		f.Histories["run-1"] = append(events(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED), failedEvent(c.failure))
		run, err := runs.Run(t.Context(), orderOne)
		require.NoError(t, err)
		require.Equal(t, c.code, run.Code)
	}
}

func failedEvent(failure *failurepb.Failure) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{
		EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
		Attributes: &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{
			WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{Failure: failure},
		},
	}
}

func TestAHistoryTellsHowItsOrderWasPlacedCorrectedAndEnded(t *testing.T) {
	t.Parallel()
	f, runs := setupRuns(t)
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
	key := make([]byte, secrets.KeySize)
	ring, err := secrets.NewRing(secrets.Key{ID: "k1", Secret: key})
	require.NoError(t, err)
	runs.payloads, runs.failures = secrets.Converters(ring)
	seal := func(value any) *commonpb.Payloads {
		t.Helper()
		payloads, err := runs.payloads.ToPayloads(value)
		require.NoError(t, err)
		return payloads
	}
	placed := provision.Order{OrderKey: orderOne, AcceptedAt: controltest.StartedAt, Nonce: "n",
		Request: provision.Request{Marketplace: "north", ContactName: "Jane Roe", AccountAlias: "taken"}}
	better := "better"
	update := func(name string, input any) *historypb.HistoryEvent {
		accepted := &historypb.WorkflowExecutionUpdateAcceptedEventAttributes{
			AcceptedRequest: &updatepb.Request{Input: &updatepb.Input{Name: name, Args: seal(input)}},
		}
		return &historypb.HistoryEvent{
			EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
			Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateAcceptedEventAttributes{
				WorkflowExecutionUpdateAcceptedEventAttributes: accepted,
			},
		}
	}
	begun := []*historypb.HistoryEvent{
		{
			EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
			Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
				WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{Input: seal(placed)},
			},
		},
		update(workflows.UpdateRetry, provision.Intervention{Actor: "shop"}),
		update(workflows.UpdateCorrect, workflows.Correction{Fields: provision.Correction{AccountAlias: &better}}),
	}
	corrected := placed.Request
	corrected.AccountAlias = better
	requests := []provision.Request{placed.Request, corrected}
	result := provision.Result{AccountID: "000000000007", AccountAlias: better}
	completed := &historypb.WorkflowExecutionCompletedEventAttributes{Result: seal(result)}
	f.Histories["run-1"] = append(begun, &historypb.HistoryEvent{
		EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
		Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: completed,
		},
	})
	story, err := runs.Story(t.Context(), orderOne, reconcile.Run{ID: "run-1"})
	require.NoError(t, err)
	require.Equal(t, reconcile.Story{Order: placed, Requests: requests, Result: &result}, story)

	why := provision.Failure{Code: provision.CodeFailedByOperator, Reason: "an operator ended the order"}
	failed := temporal.NewApplicationErrorWithOptions(why.Error(), string(why.Code), temporal.ApplicationErrorOptions{NonRetryable: true,
		Details: []any{why}})
	f.Histories["run-1"] = append(begun[:3:3], failedEvent(runs.failures.ErrorToFailure(failed)))
	story, err = runs.Story(t.Context(), orderOne, reconcile.Run{ID: "run-1"})
	require.NoError(t, err)
	require.Equal(t, reconcile.Story{Order: placed, Requests: requests, Failure: &why}, story)

	key[0]++
	other, err := secrets.NewRing(secrets.Key{ID: "k2", Secret: key})
	require.NoError(t, err)
	runs.payloads, runs.failures = secrets.Converters(other)
	_, err = runs.Story(t.Context(), orderOne, reconcile.Run{ID: "run-1"})
	require.ErrorIs(t, err, reconcile.ErrSealed)
}

// A Temporal that is frozen after the connection was made holds nothing up.
func TestATemporalThatIsFrozenIsAnError(t *testing.T) {
	t.Parallel()
	f, runs := setupRuns(t)
	runs.timeout, f.Silent = 2*time.Second, make(chan struct{})
	defer close(f.Silent)
	run := reconcile.Run{ID: "run-1"}
	for name, ask := range map[string]func() error{
		"open":      func() error { _, err := runs.Open(t.Context(), time.Time{}); return err },
		"closed":    func() error { _, err := runs.Closed(t.Context(), controltest.StartedAt); return err },
		"completed": func() error { _, err := runs.Completed(t.Context(), orderOne); return err },
		"run":       func() error { _, err := runs.Run(t.Context(), orderOne); return err },
		"story":     func() error { _, err := runs.Story(t.Context(), orderOne, run); return err },
		"restart":   func() error { _, err := runs.Restart(t.Context(), provision.Order{OrderKey: orderOne}); return err },
		"continue":  func() error { _, err := runs.Continue(t.Context(), orderOne, run, ""); return err },
	} {
		began := time.Now()
		require.Error(t, ask(), name)
		require.Less(t, time.Since(began), 5*time.Second, name)
	}
}

func TestAnOrderIsStartedAgainButNeverTwice(t *testing.T) {
	t.Parallel()
	f, runs := setupRuns(t)
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	order := provision.Order{OrderKey: orderOne, AcceptedAt: controltest.StartedAt, Request: provision.Request{Marketplace: "north"}}
	again, err := runs.Restart(t.Context(), order)
	require.NoError(t, err)
	require.True(t, again)
	start := f.Starts[0]
	require.Equal(t, "order/acme/o-1", start.WorkflowId)
	require.Equal(t, workflows.ProvisionOrderName, start.WorkflowType.Name)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY, start.WorkflowIdReusePolicy)
	require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, start.WorkflowIdConflictPolicy, "Temporal itself refuses a second open run")
	var input provision.Order
	require.NoError(t, json.Unmarshal(start.Input.Payloads[0].Data, &input))
	require.Equal(t, order, input)

	f.AddRun("order/acme/o-1", "run-2", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	again, err = runs.Restart(t.Context(), order)
	require.NoError(t, err)
	require.False(t, again)
}

func TestATerminatedRunGoesOnAtItsLastTask(t *testing.T) {
	t.Parallel()
	f, runs := setupRuns(t)
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	f.Histories["run-1"] = events(
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
		enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED, enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
		enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
	)
	run, err := runs.Run(t.Context(), orderOne)
	require.NoError(t, err)
	continued, err := runs.Continue(t.Context(), orderOne, run, "reconciler: terminated")
	require.NoError(t, err)
	require.True(t, continued)
	reset := f.Resets[0]
	require.Equal(t, "shop", reset.Namespace)
	require.Equal(t, "order/acme/o-1", reset.WorkflowExecution.WorkflowId)
	require.Equal(t, "run-1", reset.WorkflowExecution.RunId)
	require.EqualValues(t, 10, reset.WorkflowTaskFinishEventId)
	require.Equal(t, "reconciler: terminated", reset.Reason)
	require.Equal(t, "reconciler-run-1", reset.RequestId, "a repeat is the same reset")

	// A reset ends the newest run, so it must not run when another run took over.
	f.OnHistory = func() { f.AddRun("order/acme/o-1", "run-2", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING) }
	continued, err = runs.Continue(t.Context(), orderOne, run, "reconciler: terminated")
	require.NoError(t, err)
	require.False(t, continued)
	f.OnHistory = nil
	f.Histories["run-3"] = events(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED)
	for _, without := range []string{"run-3", "run-4"} {
		f.AddRun("order/acme/o-1", without, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
		continued, err = runs.Continue(t.Context(), orderOne, reconcile.Run{ID: without}, "reconciler: terminated")
		require.NoError(t, err)
		require.False(t, continued, "no task, or no history")
	}
	require.Len(t, f.Resets, 1)
}
