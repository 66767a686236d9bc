package stack_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"quartermaster/dev/stack"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
)

// The workflows of this file read one payload each, of every kind that the product has, and return what they read.

func readInput(_ workflow.Context, note string) (string, error) { return note, nil }

func readResult(ctx workflow.Context) (said string, err error) {
	err = workflow.ExecuteActivity(elsewhere(ctx), "say", "hello").Get(ctx, &said)
	return said, err
}

func readFailure(ctx workflow.Context) (string, error) {
	return detailsOf(workflow.ExecuteActivity(elsewhere(ctx), "refuse").Get(ctx, nil))
}

func readLocalResult(ctx workflow.Context) (said string, err error) {
	err = workflow.ExecuteLocalActivity(locally(ctx), say, "hello").Get(ctx, &said)
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	return said, err
}

func readLocalFailure(ctx workflow.Context) (string, error) {
	said, err := detailsOf(workflow.ExecuteLocalActivity(locally(ctx), refuse).Get(ctx, nil))
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	return said, err
}

func readSignal(ctx workflow.Context) (said string, err error) {
	workflow.GetSignalChannel(ctx, "said").Receive(ctx, &said)
	return said, nil
}

func readUpdate(ctx workflow.Context) (said string, err error) {
	if err := workflow.SetUpdateHandler(ctx, "say", func(_ workflow.Context, text string) error {
		said = text
		return nil
	}); err != nil {
		return "", err
	}
	return said, workflow.Await(ctx, func() bool { return said != "" && workflow.AllHandlersFinished(ctx) })
}

// elsewhere runs activities in a separate worker.
func elsewhere(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           workflow.GetInfo(ctx).TaskQueueName + "-activities",
		StartToCloseTimeout: 10 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 1},
	})
}

func locally(ctx workflow.Context) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 10 * time.Second})
}

func say(_ context.Context, text string) (string, error) { return text, nil }

func refuse(context.Context) error {
	return temporal.NewNonRetryableApplicationError("refused", "Refused", nil, "hello")
}

func detailsOf(err error) (said string, _ error) {
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok {
		return "", err
	}
	if err := app.Details(&said); err != nil {
		return "", err
	}
	return said, nil
}

// rotating is a task queue on which workers with different keys take turns.
type rotating struct {
	queue      string
	old, fresh *secrets.Ring // the first key only; a second one that seals, and the first
}

func setupRotating(t *testing.T) (context.Context, *rotating) {
	t.Helper()
	k1, k2 := secrets.GenerateKey("k1"), secrets.GenerateKey("k2")
	r := &rotating{queue: t.Name()}
	var err error
	r.old, err = secrets.ParseRing(k1)
	require.NoError(t, err)
	r.fresh, err = secrets.ParseRing(k2 + "," + k1)
	require.NoError(t, err)
	return setup(t), r
}

func dialWith(t *testing.T, data converter.DataConverter, failures converter.FailureConverter) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: playground.Temporal, DataConverter: data, FailureConverter: failures,
		Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// work runs a worker of workflows or of activities, configured as in the product, until stop is called.
func (r *rotating) work(t *testing.T, ring *secrets.Ring, activities bool) (stop func()) {
	t.Helper()
	data, failures := secrets.Strict(ring)
	queue := r.queue
	if activities {
		queue += "-activities"
	}
	options := worker.Options{DisableWorkflowWorker: activities, LocalActivityWorkerOnly: !activities}
	w := worker.New(dialWith(t, data, failures), queue, options)
	if activities {
		w.RegisterActivityWithOptions(say, activity.RegisterOptions{Name: "say"})
		w.RegisterActivityWithOptions(refuse, activity.RegisterOptions{Name: "refuse"})
	} else {
		for _, story := range []any{readInput, readResult, readFailure, readLocalResult, readLocalFailure, readSignal, readUpdate} {
			w.RegisterWorkflow(story)
		}
	}
	require.NoError(t, w.Start())
	return w.Stop
}

// start starts a workflow whose input the key ring seals.
func (r *rotating) start(
	ctx context.Context, t *testing.T, ring *secrets.Ring, story any, input ...any,
) client.WorkflowRun {
	t.Helper()
	data, failures := secrets.Converters(ring)
	c := dialWith(t, data, failures)
	options := client.StartWorkflowOptions{ID: r.queue, TaskQueue: r.queue, WorkflowTaskTimeout: time.Second}
	run, err := c.ExecuteWorkflow(ctx, options, story, input...)
	require.NoError(t, err)
	return run
}

// requireEvent waits for an event of that type.
func requireEvent(ctx context.Context, t *testing.T, c client.Client, id string, wanted enumspb.EventType) {
	t.Helper()
	for history := c.GetWorkflowHistory(ctx, id, "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); history.HasNext(); {
		event, err := history.Next()
		require.NoError(t, err)
		if event.GetEventType() == wanted {
			return
		}
	}
	require.FailNow(t, "the workflow ended before", wanted.String())
}

// TestUnreadablePayloadsWaitForAWorkerWithTheKey: a worker without the key fails the task, not the workflow, for every kind of
// payload; a worker that has the key then reads it.
func TestUnreadablePayloadsWaitForAWorkerWithTheKey(t *testing.T) {
	for _, c := range []struct {
		name     string
		story    any
		recorded enumspb.EventType // what a worker with the key has recorded before the one without it comes
		send     func(context.Context, *testing.T, client.Client, string)
	}{
		{name: "an activity's result", story: readResult},
		{name: "an activity's failure", story: readFailure},
		{name: "a local activity's result", story: readLocalResult, recorded: enumspb.EVENT_TYPE_MARKER_RECORDED,
			send: func(ctx context.Context, t *testing.T, c client.Client, id string) {
				require.NoError(t, c.SignalWorkflow(ctx, id, "", "go", nil))
			}},
		{name: "a local activity's failure", story: readLocalFailure, recorded: enumspb.EVENT_TYPE_MARKER_RECORDED,
			send: func(ctx context.Context, t *testing.T, c client.Client, id string) {
				require.NoError(t, c.SignalWorkflow(ctx, id, "", "go", nil))
			}},
		{name: "a signal", story: readSignal, send: func(ctx context.Context, t *testing.T, c client.Client, id string) {
			require.NoError(t, c.SignalWorkflow(ctx, id, "", "said", "hello"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, r := setupRotating(t)
			run := r.start(ctx, t, r.old, c.story)
			if c.recorded != 0 {
				stop := r.work(t, r.fresh, false)
				requireEvent(ctx, t, playground.Workflow, r.queue, c.recorded)
				stop()
			}
			data, failures := secrets.Converters(r.fresh)
			fresh := dialWith(t, data, failures)
			t.Cleanup(r.work(t, r.fresh, true))
			stop := r.work(t, r.old, false)
			if c.send != nil {
				c.send(ctx, t, fresh, r.queue)
			}
			r.requireBlocked(ctx, t)
			stop()
			t.Cleanup(r.work(t, r.fresh, false))
			var said string
			require.NoError(t, fresh.GetWorkflow(ctx, r.queue, run.GetRunID()).Get(ctx, &said))
			require.Equal(t, "hello", said)
		})
	}
	t.Run("the input of a workflow", func(t *testing.T) {
		t.Parallel()
		ctx, r := setupRotating(t)
		run := r.start(ctx, t, r.fresh, readInput, "hello")
		stop := r.work(t, r.old, false)
		r.requireBlocked(ctx, t)
		stop()
		t.Cleanup(r.work(t, r.fresh, false))
		var said string
		require.NoError(t, run.Get(ctx, &said))
		require.Equal(t, "hello", said)
	})
	t.Run("the input of an activity", func(t *testing.T) {
		t.Parallel()
		ctx, r := setupRotating(t)
		run := r.start(ctx, t, r.fresh, readResult)
		t.Cleanup(r.work(t, r.fresh, false))
		stop := r.work(t, r.old, true)
		require.Eventually(t, func() bool {
			described, err := playground.Workflow.DescribeWorkflowExecution(ctx, r.queue, "")
			require.NoError(t, err)
			return len(described.GetPendingActivities()) == 1 && described.GetPendingActivities()[0].GetAttempt() > 3
		}, 20*time.Second, 20*time.Millisecond, "the attempts fail and are repeated")
		stop()
		t.Cleanup(r.work(t, r.fresh, true))
		var said string
		require.NoError(t, run.Get(ctx, &said))
		require.Equal(t, "hello", said)
	})
	t.Run("the argument of an update", func(t *testing.T) {
		t.Parallel()
		ctx, r := setupRotating(t)
		run := r.start(ctx, t, r.old, readUpdate)
		stop := r.work(t, r.old, false)
		data, failures := secrets.Converters(r.fresh)
		fresh := dialWith(t, data, failures)
		update := func(ctx context.Context, arg any) error {
			handle, err := fresh.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
				WorkflowID: r.queue, UpdateName: "say", Args: []any{arg}, WaitForStage: client.WorkflowUpdateStageCompleted,
			})
			if err == nil {
				err = handle.Get(ctx, nil)
			}
			return err
		}
		refused := func(arg any, why string) {
			t.Helper()
			asking, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			err := update(asking, arg)
			_, notReady := errors.AsType[*serviceerror.WorkflowNotReady](err)
			_, noAnswer := errors.AsType[*client.WorkflowUpdateServiceTimeoutOrCanceledError](err)
			require.True(t, notReady || noAnswer, "%s: the API answers 503, and a repeat is answered; got %T: %v", why, err, err)
			require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, r.status(ctx, t), why)
		}
		refused("hello", "no key")
		stop()
		t.Cleanup(r.work(t, r.fresh, false))
		refused(map[string]int{"an argument": 1}, "another shape")
		require.Eventually(t, func() bool { return update(ctx, "hello") == nil }, 20*time.Second, 50*time.Millisecond,
			"neither is in the way of the next one")
		var said string
		require.NoError(t, fresh.GetWorkflow(ctx, r.queue, run.GetRunID()).Get(ctx, &said))
		require.Equal(t, "hello", said)
	})
}

// TestSealedScheduleDoesNotPreventTheStart seals the summary of a schedule, as earlier versions did, with a key that
// no worker has. A worker starts anyway and writes the summary in clear; a paused schedule stays paused.
func TestSealedScheduleDoesNotPreventTheStart(t *testing.T) {
	ctx := setup(t)
	ring, err := secrets.ParseRing(secrets.GenerateKey("gone"))
	require.NoError(t, err)
	data, failures := secrets.Converters(ring)
	earlier := dialWith(t, data, failures)
	require.NoError(t, workflows.EnsureSchedules(ctx, earlier.ScheduleClient()))
	require.NoError(t, earlier.ScheduleClient().GetHandle(ctx, workflows.WatchStockID).Pause(ctx, client.SchedulePauseOptions{}))
	_, err = playground.Workflow.ScheduleClient().GetHandle(ctx, workflows.WatchStockID).Describe(ctx)
	require.ErrorIs(t, err, secrets.ErrUnknownKey)

	require.NoError(t, playground.RestartWith(ctx, stack.PartWorker, 0))
	plain := dialWith(t, nil, nil).ScheduleClient().GetHandle(ctx, workflows.WatchStockID)
	require.Eventually(t, func() bool {
		described, err := plain.Describe(ctx)
		if err != nil {
			return false
		}
		action, ok := described.Schedule.Action.(*client.ScheduleWorkflowAction)
		return ok && action.StaticSummary == "Checks the stock of all pools and raises or closes alerts" && described.Schedule.State.Paused
	}, 20*time.Second, 100*time.Millisecond)
	require.NoError(t, plain.Unpause(ctx, client.ScheduleUnpauseOptions{}))
}

// requireBlocked waits until a task of the workflow has failed, and checks that the workflow has not.
func (r *rotating) requireBlocked(ctx context.Context, t *testing.T) {
	t.Helper()
	requireEvent(ctx, t, playground.Workflow, r.queue, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED)
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, r.status(ctx, t))
}

func (r *rotating) status(ctx context.Context, t *testing.T) enumspb.WorkflowExecutionStatus {
	t.Helper()
	described, err := playground.Workflow.DescribeWorkflowExecution(ctx, r.queue, "")
	require.NoError(t, err)
	return described.GetWorkflowExecutionInfo().GetStatus()
}
