package temporal

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
)

// These tests send the heartbeats of the product to a real server, because no interface shows what the SDK does with the responses.

// attempt is one attempt at an activity that works until it is stopped.
type attempt struct {
	began, ended chan struct{}
	cause        error // why it was stopped
}

func (a *attempt) Work(ctx context.Context) error {
	close(a.began)
	<-ctx.Done()
	a.cause = context.Cause(ctx)
	close(a.ended)
	return ctx.Err()
}

func working(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, HeartbeatTimeout: 3 * time.Second,
		WaitForCancellation: true, RetryPolicy: &sdktemporal.RetryPolicy{MaximumAttempts: 1},
	})
	return workflow.ExecuteActivity(ctx, "Work").Get(ctx, nil)
}

// held keeps an attempt from beginning, like a paused process.
type held struct {
	interceptor.WorkerInterceptorBase
	arrived, released chan struct{}
	ended             chan error
}

func (h *held) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &heldActivity{interceptor.ActivityInboundInterceptorBase{Next: next}, h}
}

type heldActivity struct {
	interceptor.ActivityInboundInterceptorBase
	*held
}

func (h *heldActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	close(h.arrived)
	<-h.released
	out, err := h.Next.ExecuteActivity(ctx, in)
	h.ended <- err
	return out, err
}

// lines collects what is logged at the level ERROR.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// startWorking runs the workflow on a worker that has the product's heartbeats. The worker learns of a cancel only through
// heartbeats: the server's commands to workers (dev/temporal-server/dynamicconfig.go) are switched off.
func startWorking(t *testing.T, more ...interceptor.WorkerInterceptor) (client.Client, client.WorkflowRun, *attempt, *lines) {
	t.Helper()
	o, err := Options{IP: "127.0.0.1"}.drawPorts(t.Context())
	require.NoError(t, err)
	var errors lines
	s, err := testsuite.StartDevServer(t.Context(), testsuite.DevServerOptions{
		ExistingPath: program(t),
		ClientOptions: &client.Options{HostPort: o.reach(o.Port),
			Logger: sdklog.NewStructuredLogger(slog.New(slog.NewTextHandler(&errors, &slog.HandlerOptions{Level: slog.LevelError})))},
		LogLevel: "error",
		ExtraArgs: []string{
			"--dynamic-config-value", "system.enableCancelActivityWorkerCommand=false",
			"--dynamic-config-value", "frontend.WorkerCommandsEnabled=false",
		},
		Stdout: io.Discard,
		Stderr: io.Discard,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	c := s.Client()
	a := &attempt{began: make(chan struct{}), ended: make(chan struct{})}
	w := worker.New(c, "work", worker.Options{Interceptors: append(more, &activities.Heartbeats{Client: c})})
	w.RegisterWorkflow(working)
	w.RegisterActivityWithOptions(a.Work, activity.RegisterOptions{Name: "Work"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "work"}, working)
	require.NoError(t, err)
	return c, run, a, &errors
}

func TestCancelReachesAnAttemptThroughHeartbeats(t *testing.T) {
	t.Parallel()
	c, run, a, errors := startWorking(t)
	<-a.began
	require.NoError(t, c.CancelWorkflow(t.Context(), run.GetID(), ""))
	<-a.ended
	require.True(t, sdktemporal.IsCanceledError(a.cause), "%v", a.cause)
	var cancelled *sdktemporal.CanceledError
	require.ErrorAs(t, run.Get(t.Context(), nil), &cancelled, "the workflow sees a cancel, not a failure")
	require.Empty(t, errors.String(), "a cancel is no error")
}

func TestAttemptOfAClosedWorkflowIsStopped(t *testing.T) {
	t.Parallel()
	c, run, a, errors := startWorking(t)
	<-a.began
	require.NoError(t, c.TerminateWorkflow(t.Context(), run.GetID(), "", "test"))
	<-a.ended
	require.False(t, sdktemporal.IsCanceledError(a.cause), "%v", a.cause)
	require.Empty(t, errors.String())
}

func TestAttemptThatWasAbandonedBeforeItBeganDoesNothing(t *testing.T) {
	t.Parallel()
	h := &held{arrived: make(chan struct{}), released: make(chan struct{}), ended: make(chan error, 1)}
	c, run, a, errors := startWorking(t, h)
	<-h.arrived
	require.NoError(t, c.TerminateWorkflow(t.Context(), run.GetID(), "", "test"))
	close(h.released)
	require.Error(t, <-h.ended)
	select {
	case <-a.began:
		t.Fatal("the activity began")
	default:
	}
	require.Empty(t, errors.String())
}
