package control

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// frontend is a Temporal frontend on the loopback that knows one namespace, its search attributes, its task queues and its workflows.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
	operatorservice.UnimplementedOperatorServiceServer
	mu         sync.Mutex
	namespace  string // empty: there is none yet
	attributes map[string]enumspb.IndexedValueType
	hidden     bool  // attributes are not shown in queries yet
	forbidden  error // answer of the operator service
	queues     map[enumspb.TaskQueueType]*workflowservice.DescribeTaskQueueResponse
	down       error
	started    map[string]time.Time // workflows, by id
	queries    []string
}

// change changes the frontend while it serves.
func (f *frontend) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
}

func (f *frontend) known(namespace string) error {
	if f.namespace != namespace {
		return serviceerror.ToStatus(serviceerror.NewNamespaceNotFound(namespace)).Err()
	}
	return nil
}

func (f *frontend) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

func (f *frontend) CountWorkflowExecutions(_ context.Context, r *workflowservice.CountWorkflowExecutionsRequest) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries = append(f.queries, r.Query)
	for name := range workflows.SearchAttributes() {
		kind, there := f.attributes[name]
		if strings.Contains(r.Query, name+" = 'none'") && (f.hidden || !there || kind == enumspb.INDEXED_VALUE_TYPE_INT) && f.known(r.Namespace) == nil {
			return nil, serviceerror.ToStatus(serviceerror.NewInvalidArgument("invalid query: invalid search attribute: " + name)).Err()
		}
	}
	return &workflowservice.CountWorkflowExecutionsResponse{Count: int64(len(f.started))}, f.known(r.Namespace)
}

// ListWorkflowExecutions answers one page.
func (f *frontend) ListWorkflowExecutions(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries = append(f.queries, r.Query)
	answer := &workflowservice.ListWorkflowExecutionsResponse{}
	for id, started := range f.started {
		if len(answer.Executions) < int(r.PageSize) {
			answer.Executions = append(answer.Executions, &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: id}, StartTime: timestamppb.New(started)})
		}
	}
	return answer, nil
}

func (f *frontend) DescribeTaskQueue(_ context.Context, r *workflowservice.DescribeTaskQueueRequest) (*workflowservice.DescribeTaskQueueResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return nil, serviceerror.ToStatus(f.down).Err()
	}
	if r.Namespace != f.namespace || r.TaskQueue.Name != workflows.TaskQueue || !r.ReportStats {
		return nil, serviceerror.ToStatus(serviceerror.NewInvalidArgument("this is not the question")).Err()
	}
	return f.queues[r.TaskQueueType], nil
}

func (f *frontend) ListSearchAttributes(_ context.Context, r *operatorservice.ListSearchAttributesRequest) (*operatorservice.ListSearchAttributesResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: maps.Clone(f.attributes)}, f.known(r.Namespace)
}

func (f *frontend) AddSearchAttributes(_ context.Context, r *operatorservice.AddSearchAttributesRequest) (*operatorservice.AddSearchAttributesResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.forbidden != nil {
		return nil, serviceerror.ToStatus(f.forbidden).Err()
	}
	maps.Copy(f.attributes, r.SearchAttributes)
	return &operatorservice.AddSearchAttributesResponse{}, nil
}

// serve serves the frontend on the address until the test ends.
func serve(t *testing.T, f *frontend, address string) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, f)
	operatorservice.RegisterOperatorServiceServer(server, f)
	healthy := health.NewServer()
	healthy.SetServingStatus("temporal.api.workflowservice.v1.WorkflowService", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, healthy)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

const namespace = "shop"

func newTemporal(t *testing.T, address string) *Temporal {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{HostPort: address, Namespace: namespace})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return New(c, namespace)
}

// setup has a frontend that lacks nothing.
func setup(t *testing.T) (*frontend, *Temporal) {
	t.Helper()
	f := &frontend{namespace: namespace, attributes: map[string]enumspb.IndexedValueType{}, started: map[string]time.Time{}}
	for name := range workflows.SearchAttributes() {
		f.attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	f.queues = map[enumspb.TaskQueueType]*workflowservice.DescribeTaskQueueResponse{
		enumspb.TASK_QUEUE_TYPE_WORKFLOW: {Pollers: polled(time.Second, 59*time.Second), Stats: &taskqueuepb.TaskQueueStats{}},
		enumspb.TASK_QUEUE_TYPE_ACTIVITY: {Pollers: polled(time.Second, 3*time.Minute), Stats: &taskqueuepb.TaskQueueStats{}},
	}
	return f, newTemporal(t, serve(t, f, "127.0.0.1:0"))
}

// polled are workers that polled so long ago.
func polled(ago ...time.Duration) (pollers []*taskqueuepb.PollerInfo) {
	for _, ago := range ago {
		pollers = append(pollers, &taskqueuepb.PollerInfo{LastAccessTime: timestamppb.New(time.Now().Add(-ago))})
	}
	return pollers
}

func waiting(n int64, age time.Duration) *taskqueuepb.TaskQueueStats {
	return &taskqueuepb.TaskQueueStats{ApproximateBacklogCount: n, ApproximateBacklogAge: durationpb.New(age)}
}

func TestANamespaceIsCheckedByTheAttributesThatItsQueriesTake(t *testing.T) {
	t.Parallel()
	f, temporal := setup(t)
	f.forbidden = serviceerror.NewPermissionDenied("operators only", "")
	require.NoError(t, temporal.Check(t.Context()), "who finds everything in order needs no operator's rights")

	f.change(func() { f.namespace = "" })
	require.EqualError(t, temporal.Check(t.Context()), "Temporal has no namespace \"shop\": create it with `temporal operator namespace create --namespace shop --retention 720h`, "+
		"or correct TEMPORAL_NAMESPACE")
}

func TestMissingSearchAttributesAreCreated(t *testing.T) {
	t.Parallel()
	f, temporal := setup(t)
	delete(f.attributes, "Step")
	delete(f.attributes, "Model")
	f.attributes["Another"] = enumspb.INDEXED_VALUE_TYPE_INT

	f.change(func() { f.forbidden = serviceerror.NewPermissionDenied("operators only", "") })
	require.EqualError(t, temporal.Check(t.Context()), "namespace \"shop\" lacks search attributes that this process could not create: run "+
		"`temporal operator search-attribute create --namespace shop --name Model --type Keyword && "+
		"temporal operator search-attribute create --namespace shop --name Step --type Keyword`: operators only")

	f.change(func() { f.forbidden, f.hidden = nil, true })
	require.ErrorContains(t, temporal.Check(t.Context()), "Temporal does not show the search attributes of namespace \"shop\" yet")
	require.Len(t, f.attributes, len(workflows.SearchAttributes())+1)
	f.change(func() { f.hidden = false })
	require.NoError(t, temporal.Check(t.Context()))

	f.change(func() { f.attributes["Step"] = enumspb.INDEXED_VALUE_TYPE_INT })
	require.ErrorContains(t, temporal.Check(t.Context()), `search attribute "Step" of namespace "shop" is of type Int and must be of type Keyword`)
}

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.text.String()), "\n")
}

// Temporal is away when the process starts, then it lacks the namespace, then it has everything, then it goes away again.
func TestAProcessThatStartsBeforeTemporalWaitsForIt(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	temporal := newTemporal(t, address)
	log, steps := &logged{}, 0
	usable := make(chan error, 1)
	go func() {
		usable <- temporal.AwaitUsable(t.Context(), slog.New(slog.NewTextHandler(log, nil)), func(context.Context) error {
			steps++
			return nil
		})
	}()
	reasonIs := func(text string) {
		t.Helper()
		require.Eventually(t, func() bool {
			err := temporal.Usable()
			return err != nil && strings.Contains(err.Error(), text)
		}, 10*time.Second, 5*time.Millisecond)
	}
	reasonIs("could not be asked")
	require.NotContains(t, temporal.Usable().Error(), "127.0.0.1", "the reason is shown to callers")
	require.Error(t, temporal.Ready(t.Context()))

	f := &frontend{attributes: map[string]enumspb.IndexedValueType{}}
	serve(t, f, address)
	reasonIs(`Temporal has no namespace "shop"`)
	require.Error(t, temporal.Ready(t.Context()))
	f.change(func() { f.namespace = namespace })
	require.NoError(t, <-usable)
	require.NoError(t, temporal.Usable())
	require.NoError(t, temporal.Ready(t.Context()))
	require.Equal(t, 1, steps)
	lines := log.lines()
	require.Len(t, lines, 2, "a reason is logged once a minute: %v", lines)
	require.Contains(t, lines[0], "connection refused")
	require.Contains(t, lines[1], "namespace create --namespace shop")

	f.change(func() { f.namespace = "" })
	require.NoError(t, temporal.Usable(), "it was usable once")
}

func TestAwaitingTemporalEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	temporal := newTemporal(t, "127.0.0.1:1")
	require.ErrorIs(t, temporal.AwaitUsable(ctx, slog.New(slog.DiscardHandler)), context.Canceled)
	require.Error(t, temporal.Usable())
}

func TestTaskQueuesCountTheWorkersThatStillPoll(t *testing.T) {
	t.Parallel()
	f, temporal := setup(t)
	f.queues[enumspb.TASK_QUEUE_TYPE_ACTIVITY].Stats = waiting(7, 90*time.Second)
	queues, err := temporal.TaskQueues(t.Context())
	require.NoError(t, err)
	require.Equal(t, []provision.TaskQueue{
		{Type: "workflow", Pollers: 2},
		{Type: "activity", Pollers: 1, Backlog: 7, BacklogAge: 90 * time.Second},
	}, queues, "Temporal remembers a worker for minutes after its death")
}

func TestOrdersThatNoWorkerBeganWith(t *testing.T) {
	t.Parallel()
	f, temporal := setup(t)
	total, _, err := temporal.OrdersNotStarted(t.Context(), 2)
	require.NoError(t, err)
	require.Zero(t, total)
	began := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	f.change(func() {
		f.started = map[string]time.Time{"order/acme/o-1": began, "order/acme/o-2": began, "order/acme/o-3": began}
	})
	total, accepted, err := temporal.OrdersNotStarted(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 3, total)
	require.Empty(t, accepted)
	total, accepted, err = temporal.OrdersNotStarted(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, 3, total)
	require.Len(t, accepted, 2)
	for key, at := range accepted {
		require.Equal(t, "acme", key.Provider)
		require.Equal(t, began, at)
	}
	for _, query := range f.queries {
		before, found := strings.CutPrefix(query, "WorkflowType = 'ProvisionOrder' AND ExecutionStatus = 'Running' AND Step = 'accepted' AND StartTime < '")
		require.True(t, found, query)
		at, err := time.Parse(time.RFC3339, strings.TrimSuffix(before, "'"))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(-time.Minute), at, 10*time.Second)
	}
}

func TestDeadWorkersAreLoggedWhileTasksWait(t *testing.T) {
	t.Parallel()
	f, temporal := setup(t)
	look := func() string {
		log := &logged{}
		temporal.lookForWorkers(t.Context(), slog.New(slog.NewTextHandler(log, nil)))
		return strings.Join(log.lines(), "\n")
	}
	f.queues[enumspb.TASK_QUEUE_TYPE_WORKFLOW].Stats = waiting(12, 3*time.Minute)
	require.Empty(t, look(), "workers run and have much to do")
	f.change(func() {
		f.queues[enumspb.TASK_QUEUE_TYPE_WORKFLOW].Pollers, f.queues[enumspb.TASK_QUEUE_TYPE_ACTIVITY].Pollers = polled(2*time.Minute), nil
	})
	line := look()
	require.Contains(t, line, "level=ERROR")
	require.Contains(t, line, "no worker polls task queue \\\"quartermaster\\\": orders are accepted and wait; start `quartermaster worker`")
	require.Contains(t, line, "backlog=12 oldest=3m0s")
	require.NotContains(t, line, "\n", "one line for both types")
	f.change(func() { f.queues[enumspb.TASK_QUEUE_TYPE_WORKFLOW].Stats = waiting(0, 0) })
	require.Empty(t, look(), "nothing waits: no one is harmed")
	f.change(func() { f.down = serviceerror.NewPermissionDenied("no", "") })
	require.Contains(t, look(), "level=WARN")
}
