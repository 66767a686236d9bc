package control

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
	"quartermaster/workflows/control/controltest"
)

const namespace = "shop"

func newTemporal(t *testing.T, address string) *Temporal {
	t.Helper()
	options := client.Options{HostPort: address, Namespace: namespace}
	c, err := client.NewLazyClient(options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return New(c, options)
}

// setup returns a frontend that lacks nothing, and its only namespace.
func setup(t *testing.T) (*controltest.Frontend, *Temporal) {
	t.Helper()
	f, address := controltest.Serve(t)
	f.Namespace = namespace
	return f, newTemporal(t, address)
}

func waiting(n int64, age time.Duration) *taskqueuepb.TaskQueueStats {
	return &taskqueuepb.TaskQueueStats{ApproximateBacklogCount: n, ApproximateBacklogAge: durationpb.New(age)}
}

func TestANamespaceIsCheckedByTheAttributesThatItsQueriesTake(t *testing.T) {
	t.Parallel()
	f, temporal := setup(t)
	f.OperatorRefusal = serviceerror.NewPermissionDenied("operators only", "")
	require.NoError(t, temporal.Check(t.Context()), "who finds everything in order needs no operator's rights")

	f.Change(func() { f.Namespace = "another" })
	require.EqualError(t, temporal.Check(t.Context()),
		"Temporal has no namespace \"shop\": create it with `temporal operator namespace create --namespace shop --retention 720h`, "+
			"or correct TEMPORAL_NAMESPACE")
}

func TestMissingSearchAttributesAreCreated(t *testing.T) {
	t.Parallel()
	f, temporal := setup(t)
	delete(f.Attributes, "State")
	delete(f.Attributes, "Model")
	f.Attributes["Another"] = enumspb.INDEXED_VALUE_TYPE_INT

	f.Change(func() { f.OperatorRefusal = serviceerror.NewPermissionDenied("operators only", "") })
	require.EqualError(t, temporal.Check(t.Context()),
		"namespace \"shop\" lacks search attributes that this process could not create: run "+
			"`temporal operator search-attribute create --namespace shop --name Model --type Keyword && "+
			"temporal operator search-attribute create --namespace shop --name State --type Keyword`: operators only")

	f.Change(func() { f.OperatorRefusal, f.Hidden = nil, true })
	require.ErrorContains(t, temporal.Check(t.Context()), "Temporal does not show the search attributes of namespace \"shop\" yet")
	require.Len(t, f.Attributes, len(workflows.SearchAttributes())+1)
	f.Change(func() { f.Hidden = false })
	require.NoError(t, temporal.Check(t.Context()))

	f.Change(func() { f.Attributes["State"] = enumspb.INDEXED_VALUE_TYPE_INT })
	require.ErrorContains(t, temporal.Check(t.Context()),
		`search attribute "State" of namespace "shop" is of type Int and must be of type Keyword`)
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

	f := controltest.New()
	f.Namespace = "another"
	clear(f.Attributes)
	f.Serve(t, address)
	reasonIs(`Temporal has no namespace "shop"`)
	require.Error(t, temporal.Ready(t.Context()))
	f.Change(func() { f.Namespace = namespace })
	require.NoError(t, <-usable)
	require.NoError(t, temporal.Usable())
	require.NoError(t, temporal.Ready(t.Context()))
	require.Equal(t, 1, steps)
	lines := log.lines()
	require.Len(t, lines, 2, "a reason is logged once a minute: %v", lines)
	require.Contains(t, lines[0], "connection refused")
	require.Contains(t, lines[1], "namespace create --namespace shop")

	f.Change(func() { f.Namespace = "another" })
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
	f.Queues[enumspb.TASK_QUEUE_TYPE_WORKFLOW] = controltest.Queue(time.Second, 59*time.Second)
	f.Queues[enumspb.TASK_QUEUE_TYPE_ACTIVITY] = controltest.Queue(time.Second, 3*time.Minute)
	f.Queues[enumspb.TASK_QUEUE_TYPE_ACTIVITY].Stats = waiting(7, 90*time.Second)
	queues, err := temporal.TaskQueues(t.Context())
	require.NoError(t, err)
	for i := range queues {
		require.WithinDuration(t, time.Now().Add(-time.Second), queues[i].SeenAt, time.Second)
		queues[i].SeenAt = time.Time{}
	}
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
	for _, id := range []string{"order/acme/o-1", "order/acme/o-2", "order/acme/o-3"} {
		run := f.AddRun(id, "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
		run.StartTime = timestamppb.New(began)
		run.SearchAttributes = controltest.Attributes(t, map[string]string{"State": "accepted"})
	}
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
	for _, query := range f.VisibilityQueries {
		before, found := strings.CutPrefix(query,
			"WorkflowType = 'ProvisionOrder' AND ExecutionStatus = 'Running' AND State = 'accepted' AND StartTime < '")
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
	f.Queues[enumspb.TASK_QUEUE_TYPE_WORKFLOW].Stats = waiting(12, 3*time.Minute)
	require.Empty(t, look(), "workers run and have much to do")
	f.Change(func() {
		f.Queues[enumspb.TASK_QUEUE_TYPE_WORKFLOW].Pollers = controltest.Queue(2 * time.Minute).Pollers
		f.Queues[enumspb.TASK_QUEUE_TYPE_ACTIVITY].Pollers = nil
	})
	line := look()
	require.Contains(t, line, "level=ERROR")
	require.Contains(t, line,
		"no worker polls task queue \\\"quartermaster\\\": orders are accepted and wait; start `quartermaster worker`")
	require.Contains(t, line, "backlog=12 oldest=3m0s")
	require.NotContains(t, line, "\n", "one line for both types")
	f.Change(func() { f.Queues[enumspb.TASK_QUEUE_TYPE_WORKFLOW].Stats = waiting(0, 0) })
	require.Empty(t, look(), "nothing waits: no one is harmed")
	f.Change(func() { f.Fail = serviceerror.NewPermissionDenied("no", "") })
	require.Contains(t, look(), "level=WARN")
}
