package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

var batchKey = provision.BatchKey{Provider: "acme", ID: "0b2f7c1e-93c4-4a57-8f0e-6d1b0c4e2a95"}

// batching is a batch of three pages, as a script.
type batching struct {
	state   provision.BatchState // empty: the batch is not kept
	pages   int
	stopped []string
}

func setupBatch(t *testing.T) (*testsuite.TestWorkflowEnvironment, *batching) {
	t.Helper()
	env := newEnvironment()
	s := &batching{state: provision.BatchRunning}
	var a *activities.Activities
	env.RegisterWorkflowWithOptions(workflows.RunBatch, workflow.RegisterOptions{Name: workflows.RunBatchName})
	env.OnActivity(a.RunBatchRows, mock.Anything, batchKey).Return(func(context.Context, provision.BatchKey) (activities.BatchProgress,
		error) {
		if s.state != provision.BatchRunning {
			return activities.BatchProgress{State: s.state}, nil
		}
		s.pages++
		p := activities.BatchProgress{State: s.state, Verb: provision.BatchRetry, BatchCount: provision.BatchCount{Total: 90, Done: 30 * s.pages}}
		if s.pages == 3 {
			p.State = provision.BatchCompleted
		}
		return p, nil
	})
	env.OnActivity(a.StopBatch, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.StoppedBatch) error {
		s.stopped = append(s.stopped, in.Reason)
		return nil
	})
	return env, s
}

func TestABatchGoesOnUntilEveryRowHasAnOutcome(t *testing.T) {
	t.Parallel()
	env, s := setupBatch(t)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalBatchKept, nil) }, time.Second)
	began := env.Now()
	env.ExecuteWorkflow(workflows.RunBatchName, workflows.BatchRun{Batch: batchKey})
	require.NoError(t, env.GetWorkflowError())
	var got activities.BatchProgress
	require.NoError(t, env.GetWorkflowResult(&got))
	require.Equal(t, activities.BatchProgress{State: provision.BatchCompleted, Verb: provision.BatchRetry,
		BatchCount: provision.BatchCount{Total: 90, Done: 90}}, got)
	require.Equal(t, 3, s.pages)
	require.Less(t, env.Now().Sub(began), 30*time.Second, "the signal saves the wait")
}

func TestABatchWhoseSignalIsLostOnlyWaits(t *testing.T) {
	t.Parallel()
	env, s := setupBatch(t)
	env.ExecuteWorkflow(workflows.RunBatchName, workflows.BatchRun{Batch: batchKey})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, s.pages)
}

func TestALongBatchContinuesAsNewAndThenWaitsForNoSignal(t *testing.T) {
	t.Parallel()
	env, s := setupBatch(t)
	env.SetContinueAsNewSuggested(true)
	env.ExecuteWorkflow(workflows.RunBatchName, workflows.BatchRun{Batch: batchKey})
	require.True(t, workflow.IsContinueAsNewError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
	require.Equal(t, 1, s.pages)

	next, s := setupBatch(t)
	began := next.Now()
	next.ExecuteWorkflow(workflows.RunBatchName, workflows.BatchRun{Batch: batchKey, Kept: true})
	require.NoError(t, next.GetWorkflowError())
	require.Equal(t, 3, s.pages)
	require.Less(t, next.Now().Sub(began), 30*time.Second)
}

func TestABatchThatWasNeverKeptEnds(t *testing.T) {
	t.Parallel()
	env, s := setupBatch(t)
	s.state = ""
	env.ExecuteWorkflow(workflows.RunBatchName, workflows.BatchRun{Batch: batchKey})
	require.NoError(t, env.GetWorkflowError())
	require.Zero(t, s.pages)
	require.Empty(t, s.stopped)
}

func TestACancelledBatchIsStopped(t *testing.T) {
	t.Parallel()
	env, s := setupBatch(t)
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Second)
	env.ExecuteWorkflow(workflows.RunBatchName, workflows.BatchRun{Batch: batchKey})
	require.Error(t, env.GetWorkflowError())
	require.Equal(t, []string{"its workflow was cancelled"}, s.stopped)
}

func TestTheWebUISaysHowFarABatchIs(t *testing.T) {
	t.Parallel()
	require.Equal(t, "**running**: retry, 8 of 9 rows, 5 done, 2 refused, 1 failed.",
		workflows.BatchDetails(activities.BatchProgress{
			State: provision.BatchRunning, Verb: provision.BatchRetry,
			BatchCount: provision.BatchCount{Total: 9, Done: 5, Refused: 2, Failed: 1},
		}))
	require.Equal(t, "No batch was stored: there is nothing to do.", workflows.BatchDetails(activities.BatchProgress{}))
}
