package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
)

// frontend is a Temporal frontend on the loopback that knows the newest run of each workflow, its history, and how to start and
// reset it.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
	mu        sync.Mutex
	newest    map[string]*workflowpb.WorkflowExecutionInfo
	histories map[string][]*historypb.HistoryEvent // by run
	pending   []string                             // activities that every workflow waits for
	queries   []string
	starts    []*workflowservice.StartWorkflowExecutionRequest
	resets    []*workflowservice.ResetWorkflowExecutionRequest
	signals   []*workflowservice.SignalWithStartWorkflowExecutionRequest
	dead      bool          // no worker polls
	reading   func()        // called before a history is read
	silent    chan struct{} // until it is closed nothing is answered; nil: everything is
}

// answer is what every call passes, but for the one that connects.
func (f *frontend) answer(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if f.silent != nil && !strings.HasSuffix(info.FullMethod, "GetSystemInfo") {
		<-f.silent
	}
	return handle(ctx, request)
}

func (f *frontend) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

func (f *frontend) SignalWithStartWorkflowExecution(_ context.Context, r *workflowservice.SignalWithStartWorkflowExecutionRequest) (*workflowservice.SignalWithStartWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signals = append(f.signals, r)
	return &workflowservice.SignalWithStartWorkflowExecutionResponse{RunId: "run-1", Started: true}, nil
}

// ListWorkflowExecutions answers one a page.
func (f *frontend) ListWorkflowExecutions(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries = append(f.queries, r.Query)
	var ids []string
	for id, info := range f.newest {
		_, named, _ := strings.Cut(r.Query, "WorkflowId = ")
		if strings.Contains(r.Query, "'"+info.Status.String()+"'") && id > string(r.NextPageToken) && (named == "" || named == "'"+id+"'") {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	page := &workflowservice.ListWorkflowExecutionsResponse{}
	if len(ids) > 0 {
		page.Executions = []*workflowpb.WorkflowExecutionInfo{f.newest[ids[0]]}
	}
	if len(ids) > 1 {
		page.NextPageToken = []byte(ids[0])
	}
	return page, nil
}

func (f *frontend) DescribeWorkflowExecution(_ context.Context, r *workflowservice.DescribeWorkflowExecutionRequest) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, ok := f.newest[r.Execution.WorkflowId]
	if !ok {
		return nil, serviceerror.ToStatus(serviceerror.NewNotFound("workflow not found")).Err()
	}
	answer := &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}
	for _, name := range f.pending {
		answer.PendingActivities = append(answer.PendingActivities, &workflowpb.PendingActivityInfo{ActivityType: &commonpb.ActivityType{Name: name}})
	}
	return answer, nil
}

func (f *frontend) StartWorkflowExecution(_ context.Context, r *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.starts = append(f.starts, r)
	if info, ok := f.newest[r.WorkflowId]; ok && info.Status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return nil, serviceerror.ToStatus(serviceerror.NewWorkflowExecutionAlreadyStarted("started", "another request", info.Execution.RunId)).Err()
	}
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "run-2", Started: true}, nil
}

func (f *frontend) GetWorkflowExecutionHistory(_ context.Context, r *workflowservice.GetWorkflowExecutionHistoryRequest) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	if f.reading != nil {
		f.reading()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	history, ok := f.histories[r.Execution.RunId]
	if !ok {
		return nil, serviceerror.ToStatus(serviceerror.NewNotFound("history not found")).Err()
	}
	answer := &workflowservice.GetWorkflowExecutionHistoryResponse{History: &historypb.History{}}
	for i, event := range history {
		event.EventId = int64(i) + 1
		if last := i == len(history)-1; last || r.HistoryEventFilterType == enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT {
			answer.History.Events = append(answer.History.Events, event)
		}
	}
	return answer, nil
}

func (f *frontend) ResetWorkflowExecution(_ context.Context, r *workflowservice.ResetWorkflowExecutionRequest) (*workflowservice.ResetWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resets = append(f.resets, r)
	return &workflowservice.ResetWorkflowExecutionResponse{RunId: "run-2"}, nil
}

// runs makes the newest run of a workflow one of that status.
func (f *frontend) runs(id, runID string, status enumspb.WorkflowExecutionStatus) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info := &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: runID}, Status: status, StartTime: timestamppb.New(started)}
	if status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		info.CloseTime = timestamppb.New(started.Add(time.Hour))
	}
	f.newest[id] = info
}

var started = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

var orderOne = provision.OrderKey{Provider: "acme", ID: "o-1"}

func setupFrontend(t *testing.T) (f *frontend, address string) {
	t.Helper()
	f = &frontend{newest: map[string]*workflowpb.WorkflowExecutionInfo{}, histories: map[string][]*historypb.HistoryEvent{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(grpc.UnaryInterceptor(f.answer))
	workflowservice.RegisterWorkflowServiceServer(server, f)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return f, listener.Addr().String()
}

func setupRuns(t *testing.T) (*frontend, orderRuns) {
	t.Helper()
	f, address := setupFrontend(t)
	c, err := client.Dial(client.Options{HostPort: address})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return f, orderRuns{client: c, namespace: "shop", timeout: callTimeout, payloads: converter.GetDefaultDataConverter(), failures: temporal.GetDefaultFailureConverter()}
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
	for _, id := range []string{"order/acme/o-1", "order/acme/o-2", "order/other/o-1", "something else"} {
		f.runs(id, "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	}
	f.runs("order/acme/o-3", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
	open, err := runs.Open(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[provision.OrderKey]time.Time{orderOne: started, {Provider: "acme", ID: "o-2"}: started, {Provider: "other", ID: "o-1"}: started}, open)
	require.Len(t, f.queries, 4)
	require.Equal(t, "WorkflowType = 'ProvisionOrder' AND ExecutionStatus IN ('Running')", f.queries[0])

	f.runs("order/acme/o-4", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	closed, err := runs.Closed(t.Context(), started)
	require.NoError(t, err)
	require.Equal(t, map[provision.OrderKey]string{{Provider: "acme", ID: "o-3"}: "Completed", {Provider: "acme", ID: "o-4"}: "Terminated"}, closed)
	const all = "WorkflowType = 'ProvisionOrder' AND ExecutionStatus IN ('Completed', 'Failed', 'Canceled', 'Terminated', 'TimedOut')"
	require.Equal(t, all+" AND CloseTime > '2026-11-22T10:00:00Z'", f.queries[4])
	_, err = runs.Closed(t.Context(), time.Time{})
	require.NoError(t, err)
	require.Equal(t, all, f.queries[6])

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
	f.runs("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	run, err = runs.Run(t.Context(), orderOne)
	require.NoError(t, err)
	require.Equal(t, reconcile.Run{ID: "run-1", Open: true, Status: "Running", Started: started}, run)
	f.pending = []string{"Inspect", "OpenOrder"}
	run, err = runs.Run(t.Context(), orderOne)
	require.NoError(t, err)
	require.True(t, run.Opening, "it writes its row by itself")
	f.pending = nil
	f.runs("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	f.newest["order/acme/o-1"].SearchAttributes = attributes(t, map[string]string{"AccountID": "000000000007", "Step": "action_required", "Reason": "AliasTaken"})
	run, err = runs.Run(t.Context(), orderOne)
	require.NoError(t, err)
	require.Equal(t, reconcile.Run{ID: "run-1", Status: "Terminated", Started: started, ClosedAt: started.Add(time.Hour),
		State: provision.ActionRequired, Reason: provision.CodeAliasTaken, Account: "000000000007"}, run)
}

func attributes(t *testing.T, values map[string]string) *commonpb.SearchAttributes {
	t.Helper()
	fields := map[string]*commonpb.Payload{}
	for name, value := range values {
		payload, err := converter.GetDefaultDataConverter().ToPayload(value)
		require.NoError(t, err)
		fields[name] = payload
	}
	return &commonpb.SearchAttributes{IndexedFields: fields}
}

// Why a run failed is read without the seal keys, however deep the failure is wrapped.
func TestWhyARunFailedIsReadWithoutTheKeys(t *testing.T) {
	t.Parallel()
	f, runs := setupRuns(t)
	f.runs("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_FAILED)
	own := &failurepb.Failure{FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "OrderIDReused"}}}
	inActivity := &failurepb.Failure{FailureInfo: &failurepb.Failure_ActivityFailureInfo{ActivityFailureInfo: &failurepb.ActivityFailureInfo{}}, Cause: own}
	late := &failurepb.Failure{FailureInfo: &failurepb.Failure_TimeoutFailureInfo{TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{}}}
	for _, c := range []struct {
		failure *failurepb.Failure
		code    provision.Code
	}{{own, provision.CodeOrderIDReused}, {inActivity, provision.CodeOrderIDReused}, {late, ""}} {
		f.histories["run-1"] = append(events(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED), &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
			Attributes: &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{Failure: c.failure}}})
		run, err := runs.Run(t.Context(), orderOne)
		require.NoError(t, err)
		require.Equal(t, c.code, run.Code)
	}
}

func TestAHistoryTellsHowItsOrderWasPlacedCorrectedAndEnded(t *testing.T) {
	t.Parallel()
	f, runs := setupRuns(t)
	f.runs("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
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
	placed := provision.Order{OrderKey: orderOne, AcceptedAt: started, Nonce: "n", Request: provision.Request{Marketplace: "north", ContactName: "Jane Roe", AccountAlias: "taken"}}
	better := "better"
	update := func(name string, input any) *historypb.HistoryEvent {
		return &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
			Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateAcceptedEventAttributes{WorkflowExecutionUpdateAcceptedEventAttributes: &historypb.WorkflowExecutionUpdateAcceptedEventAttributes{
				AcceptedRequest: &updatepb.Request{Input: &updatepb.Input{Name: name, Args: seal(input)}}}}}
	}
	begun := []*historypb.HistoryEvent{
		{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{Input: seal(placed)}}},
		update(workflows.UpdateRetry, provision.Intervention{Actor: "shop"}),
		update(workflows.UpdateCorrect, workflows.Correction{Fields: provision.Correction{AccountAlias: &better}}),
	}
	corrected := placed.Request
	corrected.AccountAlias = better
	result := provision.Result{AccountID: "000000000007", AccountAlias: better}
	f.histories["run-1"] = append(begun, &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
		Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{Result: seal(result)}}})
	story, err := runs.Story(t.Context(), orderOne, reconcile.Run{ID: "run-1"})
	require.NoError(t, err)
	require.Equal(t, reconcile.Story{Order: placed, Request: corrected, Result: &result}, story)

	why := provision.Failure{Code: provision.CodeFailedByOperator, Reason: "an operator ended the order"}
	failed := temporal.NewApplicationErrorWithOptions(why.Error(), string(why.Code), temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{why}})
	f.histories["run-1"] = append(begun[:3:3], &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
		Attributes: &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{
			Failure: runs.failures.ErrorToFailure(failed)}}})
	story, err = runs.Story(t.Context(), orderOne, reconcile.Run{ID: "run-1"})
	require.NoError(t, err)
	require.Equal(t, reconcile.Story{Order: placed, Request: corrected, Failure: &why}, story)

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
	runs.timeout, f.silent = 2*time.Second, make(chan struct{})
	defer close(f.silent)
	run := reconcile.Run{ID: "run-1"}
	for name, ask := range map[string]func() error{
		"open":      func() error { _, err := runs.Open(t.Context()); return err },
		"closed":    func() error { _, err := runs.Closed(t.Context(), started); return err },
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
	f.runs("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	order := provision.Order{OrderKey: orderOne, AcceptedAt: started, Request: provision.Request{Marketplace: "north"}}
	again, err := runs.Restart(t.Context(), order)
	require.NoError(t, err)
	require.True(t, again)
	start := f.starts[0]
	require.Equal(t, "order/acme/o-1", start.WorkflowId)
	require.Equal(t, workflows.ProvisionOrderName, start.WorkflowType.Name)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY, start.WorkflowIdReusePolicy)
	require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, start.WorkflowIdConflictPolicy, "Temporal itself refuses a second open run")
	var input provision.Order
	require.NoError(t, json.Unmarshal(start.Input.Payloads[0].Data, &input))
	require.Equal(t, order, input)

	f.runs("order/acme/o-1", "run-2", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	again, err = runs.Restart(t.Context(), order)
	require.NoError(t, err)
	require.False(t, again)
}

func TestATerminatedRunGoesOnAtItsLastTask(t *testing.T) {
	t.Parallel()
	f, runs := setupRuns(t)
	f.runs("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	f.histories["run-1"] = events(
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED, enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
		enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
	)
	run, err := runs.Run(t.Context(), orderOne)
	require.NoError(t, err)
	continued, err := runs.Continue(t.Context(), orderOne, run, "audit: terminated")
	require.NoError(t, err)
	require.True(t, continued)
	reset := f.resets[0]
	require.Equal(t, "shop", reset.Namespace)
	require.Equal(t, "order/acme/o-1", reset.WorkflowExecution.WorkflowId)
	require.Equal(t, "run-1", reset.WorkflowExecution.RunId)
	require.EqualValues(t, 10, reset.WorkflowTaskFinishEventId)
	require.Equal(t, "audit: terminated", reset.Reason)
	require.Equal(t, "audit-run-1", reset.RequestId, "a repeat is the same reset")

	// A reset ends the newest run: whoever else took over must not be ended.
	f.reading = func() { f.runs("order/acme/o-1", "run-2", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING) }
	continued, err = runs.Continue(t.Context(), orderOne, run, "audit: terminated")
	require.NoError(t, err)
	require.False(t, continued)
	f.reading = nil
	f.histories["run-3"] = events(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED)
	for _, without := range []string{"run-3", "run-4"} {
		f.runs("order/acme/o-1", without, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
		continued, err = runs.Continue(t.Context(), orderOne, reconcile.Run{ID: without}, "audit: terminated")
		require.NoError(t, err)
		require.False(t, continued, "no task, or no history")
	}
	require.Len(t, f.resets, 1)
}

// Not parallel: Temporal's address comes from the environment, which is the process's.
func TestVerifyTellsByItsExitWhetherAllIsWell(t *testing.T) {
	f, address := setupFrontend(t)
	t.Setenv("TEMPORAL_ADDRESS", address)
	url := pgtest.URL(t)
	store, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	db := store.SQL()
	pool := provision.Pool{Provider: "acme", Marketplace: "north", Environment: provision.Production}
	require.NoError(t, store.Providers.Create(t.Context(), "acme", "Acme"))
	_, err = store.Pools.Create(t.Context(), "test", provision.DefaultPool(pool))
	require.NoError(t, err)
	_, err = store.Orders.Open(t.Context(), provision.Order{OrderKey: orderOne, AcceptedAt: started,
		Request: provision.Request{Marketplace: "north", Environment: provision.Production, ContactName: "Jane Roe", IAMUserName: "jane"}})
	require.NoError(t, err)
	f.runs("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)

	verify := func(args ...string) (string, error) {
		t.Helper()
		var out, logs bytes.Buffer
		err := run(t.Context(), append([]string{"verify", "--database-url=" + url}, args...), &out, &logs)
		require.NotContains(t, out.String()+logs.String(), "Jane")
		return out.String(), err
	}
	out, err := verify()
	require.NoError(t, err)
	require.Equal(t, "nothing is stuck and nothing contradicts itself\n", out)

	f.runs("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	out, err = verify()
	require.EqualError(t, err, "1 findings")
	require.Contains(t, out, "order_without_workflow [stuck] order acme/o-1: the order is accepted, but its workflow has closed as Terminated, since 2026-11-22T11:00:00Z")
	require.Empty(t, f.starts, "verify changes nothing")
	require.Equal(t, 1, strings.Count(out, "\n"))

	out, err = verify("--json")
	require.EqualError(t, err, "1 findings")
	var finding reconcile.Finding
	require.NoError(t, json.Unmarshal([]byte(out), &finding))
	require.Equal(t, reconcile.KindOrderWithoutWorkflow, finding.Kind)
	require.Equal(t, orderOne, finding.Order)
	require.True(t, finding.Repairable)

	// Without Temporal, and with one that never answers, what the database says is told all the same.
	_, err = db.ExecContext(t.Context(), `BEGIN; SET LOCAL session_replication_role = replica; UPDATE orders SET state_since = now() - interval '1 day'; COMMIT`)
	require.NoError(t, err)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	for _, address := range []string{"127.0.0.1:1", silent.Addr().String()} {
		t.Setenv("TEMPORAL_ADDRESS", address)
		out, err = verify()
		require.ErrorContains(t, err, "connecting to Temporal")
		require.ErrorContains(t, err, "1 findings")
		require.Contains(t, out, "order_overdue")
	}
}
