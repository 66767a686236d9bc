package controltest

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"quartermaster/workflows"
)

// Frontend is a Temporal frontend with one namespace. Change its fields inside Change while it serves.
type Frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
	operatorservice.UnimplementedOperatorServiceServer
	mu sync.Mutex

	Fail   error         // the answer to every call that reads or changes a workflow; nil: they work
	Silent chan struct{} // no call but GetSystemInfo is answered until it is closed; nil: all are

	Namespace       string                              // any other namespace does not exist; empty: every namespace exists
	Attributes      map[string]enumspb.IndexedValueType // the search attributes of the namespace
	Hidden          bool                                // queries do not know the search attributes yet
	OperatorRefusal error                               // the operator service's answer to a change; nil: it makes the change

	Newest    map[string]*workflowpb.WorkflowExecutionInfo // the newest run of each workflow, by workflow id
	Histories map[string][]*historypb.HistoryEvent         // by run id
	Forgets   bool                                         // no description finds a workflow
	Pending   []string                                     // the activities that every workflow is executing
	PageSize  int                                          // most workflows of one page, if less than asked for; 0: as asked for
	OnHistory func()                                       // called before a history is read; nil: nothing

	Schedules map[string]*workflowservice.DescribeScheduleResponse // by id

	Queues map[enumspb.TaskQueueType]*workflowservice.DescribeTaskQueueResponse // by type

	Outcome  *updatepb.Outcome // of every update
	Accepts  bool              // an update is only accepted; its outcome must be polled for
	NoWorker bool              // no update is answered

	Starts            []*workflowservice.StartWorkflowExecutionRequest
	Resets            []*workflowservice.ResetWorkflowExecutionRequest
	Signals           []*workflowservice.SignalWorkflowExecutionRequest
	SignalsWithStart  []*workflowservice.SignalWithStartWorkflowExecutionRequest
	Updates           []*workflowservice.UpdateWorkflowExecutionRequest
	VisibilityQueries []string
}

// StartedAt is when the runs of AddRun started. Those that are closed closed an hour later.
var StartedAt = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// Serve serves a frontend without workflows until the test ends, and returns its address.
func Serve(t *testing.T) (f *Frontend, address string) {
	t.Helper()
	f = New()
	address = f.Serve(t, "127.0.0.1:0")
	return f, address
}

// New returns a frontend that has all search attributes, no workflows and one worker.
func New() *Frontend {
	f := &Frontend{Attributes: map[string]enumspb.IndexedValueType{}, Newest: map[string]*workflowpb.WorkflowExecutionInfo{},
		Histories: map[string][]*historypb.HistoryEvent{}}
	for name := range workflows.SearchAttributes() {
		f.Attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	f.Queues = map[enumspb.TaskQueueType]*workflowservice.DescribeTaskQueueResponse{
		enumspb.TASK_QUEUE_TYPE_WORKFLOW: Queue(time.Second),
		enumspb.TASK_QUEUE_TYPE_ACTIVITY: Queue(time.Second),
	}
	return f
}

// Serve serves the frontend on an address until the test ends, and returns the address.
func (f *Frontend) Serve(t *testing.T, on string) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", on)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(f.answer))
	workflowservice.RegisterWorkflowServiceServer(server, f)
	operatorservice.RegisterOperatorServiceServer(server, f)
	healthy := health.NewServer()
	healthy.SetServingStatus("temporal.api.workflowservice.v1.WorkflowService", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, healthy)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// Change changes the frontend while it serves.
func (f *Frontend) Change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
}

// AddRun makes a run of that status the newest run of a workflow of an order.
func (f *Frontend) AddRun(workflowID, runID string, status enumspb.WorkflowExecutionStatus) *workflowpb.WorkflowExecutionInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	info := &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: workflowID, RunId: runID}, Status: status,
		Type: &commonpb.WorkflowType{Name: workflows.ProvisionOrderName}, StartTime: timestamppb.New(StartedAt)}
	if status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		info.CloseTime = timestamppb.New(StartedAt.Add(time.Hour))
	}
	f.Newest[workflowID] = info
	return info
}

// Attributes returns search attributes of a workflow.
func Attributes(t *testing.T, values map[string]string) *commonpb.SearchAttributes {
	t.Helper()
	fields := map[string]*commonpb.Payload{}
	for name, value := range values {
		payload, err := converter.GetDefaultDataConverter().ToPayload(value)
		if err != nil {
			t.Fatal(err)
		}
		fields[name] = payload
	}
	return &commonpb.SearchAttributes{IndexedFields: fields}
}

// answer is what every call passes through.
func (f *Frontend) answer(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if f.Silent != nil && !strings.HasSuffix(info.FullMethod, "GetSystemInfo") {
		<-f.Silent
	}
	if named, ok := request.(interface{ GetNamespace() string }); ok {
		f.mu.Lock()
		exists := f.Namespace == "" || f.Namespace == named.GetNamespace()
		f.mu.Unlock()
		if !exists {
			return nil, status(serviceerror.NewNamespaceNotFound(named.GetNamespace()))
		}
	}
	answer, err := handle(ctx, request)
	return answer, status(err)
}

// status returns the error as gRPC sends it.
func status(err error) error {
	if err == nil {
		return nil
	}
	return serviceerror.ToStatus(err).Err()
}

var errNoWorkflow = serviceerror.NewNotFound("workflow not found")

// GetSystemInfo answers every client that connects.
func (f *Frontend) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

// StartWorkflowExecution starts a workflow, or refuses a second one of its id as Temporal does.
func (f *Frontend) StartWorkflowExecution(_ context.Context,
	r *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Fail != nil {
		return nil, f.Fail
	}
	f.Starts = append(f.Starts, r)
	if before, exists := f.Newest[r.WorkflowId]; exists {
		again := before.Status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING &&
			before.Status != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED &&
			r.WorkflowIdReusePolicy == enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
		if !again {
			return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("started", "another request", before.Execution.RunId)
		}
	}
	f.Newest[r.WorkflowId] = &workflowpb.WorkflowExecutionInfo{
		Execution:        &commonpb.WorkflowExecution{WorkflowId: r.WorkflowId, RunId: "started"},
		Type:             r.WorkflowType,
		Status:           enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		StartTime:        timestamppb.Now(),
		Memo:             r.Memo,
		SearchAttributes: r.SearchAttributes,
	}
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "started", Started: true}, nil
}

// DescribeWorkflowExecution describes the newest run of a workflow.
func (f *Frontend) DescribeWorkflowExecution(_ context.Context,
	r *workflowservice.DescribeWorkflowExecutionRequest) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, exists := f.Newest[r.Execution.WorkflowId]
	switch {
	case f.Fail != nil:
		return nil, f.Fail
	case f.Forgets || !exists:
		return nil, errNoWorkflow
	}
	answer := &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}
	for _, name := range f.Pending {
		answer.PendingActivities = append(answer.PendingActivities,
			&workflowpb.PendingActivityInfo{ActivityType: &commonpb.ActivityType{Name: name}})
	}
	return answer, nil
}

// GetWorkflowExecutionHistory returns the history of a run, or its last event.
func (f *Frontend) GetWorkflowExecutionHistory(_ context.Context,
	r *workflowservice.GetWorkflowExecutionHistoryRequest) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	if f.OnHistory != nil {
		f.OnHistory()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	history, exists := f.Histories[r.Execution.RunId]
	if !exists {
		return nil, serviceerror.NewNotFound("history not found")
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

// DescribeSchedule describes a schedule.
func (f *Frontend) DescribeSchedule(_ context.Context,
	r *workflowservice.DescribeScheduleRequest) (*workflowservice.DescribeScheduleResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	described, exists := f.Schedules[r.ScheduleId]
	switch {
	case f.Fail != nil:
		return nil, f.Fail
	case !exists:
		return nil, serviceerror.NewNotFound("schedule not found")
	}
	return described, nil
}

// ResetWorkflowExecution keeps the request.
func (f *Frontend) ResetWorkflowExecution(_ context.Context,
	r *workflowservice.ResetWorkflowExecutionRequest) (*workflowservice.ResetWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Resets = append(f.Resets, r)
	return &workflowservice.ResetWorkflowExecutionResponse{RunId: "reset"}, nil
}

// SignalWorkflowExecution keeps the signal of a workflow that exists.
func (f *Frontend) SignalWorkflowExecution(_ context.Context,
	r *workflowservice.SignalWorkflowExecutionRequest) (*workflowservice.SignalWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, exists := f.Newest[r.WorkflowExecution.WorkflowId]; !exists {
		return nil, errNoWorkflow
	}
	if f.Fail != nil {
		return nil, f.Fail
	}
	f.Signals = append(f.Signals, r)
	return &workflowservice.SignalWorkflowExecutionResponse{}, nil
}

// SignalWithStartWorkflowExecution keeps the request. The run that it starts, or signals, is "started".
func (f *Frontend) SignalWithStartWorkflowExecution(_ context.Context,
	r *workflowservice.SignalWithStartWorkflowExecutionRequest) (*workflowservice.SignalWithStartWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Fail != nil {
		return nil, f.Fail
	}
	f.SignalsWithStart = append(f.SignalsWithStart, r)
	return &workflowservice.SignalWithStartWorkflowExecutionResponse{RunId: "started", Started: true}, nil
}

// UpdateWorkflowExecution returns the outcome of an update, says only that the update was accepted, or does not answer.
func (f *Frontend) UpdateWorkflowExecution(ctx context.Context,
	r *workflowservice.UpdateWorkflowExecutionRequest) (*workflowservice.UpdateWorkflowExecutionResponse, error) {
	if f.NoWorker {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Fail != nil {
		return nil, f.Fail
	}
	if _, exists := f.Newest[r.WorkflowExecution.WorkflowId]; !exists {
		return nil, errNoWorkflow
	}
	f.Updates = append(f.Updates, r)
	answer := &workflowservice.UpdateWorkflowExecutionResponse{
		UpdateRef: &updatepb.UpdateRef{
			WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: r.WorkflowExecution.WorkflowId, RunId: "started"},
			UpdateId:          r.Request.Meta.UpdateId,
		},
		Stage:   enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED,
		Outcome: f.Outcome,
	}
	if f.Accepts {
		answer.Stage, answer.Outcome = enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED, nil
	}
	return answer, nil
}

// PollWorkflowExecutionUpdate returns the outcome of an update that was only accepted.
func (f *Frontend) PollWorkflowExecutionUpdate(_ context.Context,
	r *workflowservice.PollWorkflowExecutionUpdateRequest) (*workflowservice.PollWorkflowExecutionUpdateResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &workflowservice.PollWorkflowExecutionUpdateResponse{
		UpdateRef: r.UpdateRef, Stage: enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED, Outcome: f.Outcome,
	}, nil
}

// sortedIDs are the ids of the workflows that a query finds.
func (f *Frontend) sortedIDs(query string) (ids []string) {
	for id, info := range f.Newest {
		if matches(info, query) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
