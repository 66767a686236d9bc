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

var importKey = provision.ImportKey{Provider: "acme", ID: "6f0a9a0e-5f0c-4a43-9a53-0d5b0b7d3c11"}

// importing is an import of three batches, as a script.
type importing struct {
	state    provision.ImportState // empty: the file is not kept
	dryRun   bool
	batches  int
	givenUp  []string
	verified int
}

func setupImport(t *testing.T) (*testsuite.TestWorkflowEnvironment, *importing) {
	t.Helper()
	env := newEnvironment()
	s := &importing{state: provision.ImportRunning}
	var a *activities.Activities
	env.RegisterWorkflowWithOptions(workflows.VerifyAccounts, workflow.RegisterOptions{Name: workflows.VerifyAccountsName})
	env.OnActivity(a.ImportRows, mock.Anything, importKey).Return(func(context.Context, provision.ImportKey) (activities.ImportProgress,
		error) {
		if s.state != provision.ImportRunning {
			return activities.ImportProgress{State: s.state}, nil
		}
		s.batches++
		p := activities.ImportProgress{State: s.state, DryRun: s.dryRun, RowsTotal: 3, RowsDone: s.batches, Added: s.batches}
		if s.batches == 3 {
			p.State = provision.ImportCompleted
		}
		return p, nil
	})
	env.OnActivity(a.FailImport, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.GivenUp) error {
		s.givenUp = append(s.givenUp, in.Reason)
		return nil
	})
	env.OnWorkflow(workflows.VerifyAccountsName, mock.Anything).Return(func(workflow.Context) error { s.verified++; return nil })
	return env, s
}

func TestAnImportGoesOnUntilEveryRowIsDoneAndThenVerifies(t *testing.T) {
	t.Parallel()
	env, s := setupImport(t)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalImportKept, nil) }, time.Second)
	began := env.Now()
	env.ExecuteWorkflow(workflows.ImportAccounts, importKey)
	require.NoError(t, env.GetWorkflowError())
	var got activities.ImportProgress
	require.NoError(t, env.GetWorkflowResult(&got))
	require.Equal(t, activities.ImportProgress{State: provision.ImportCompleted, RowsTotal: 3, RowsDone: 3, Added: 3}, got)
	require.Equal(t, 3, s.batches)
	require.Equal(t, 1, s.verified)
	require.Less(t, env.Now().Sub(began), 30*time.Second, "the signal saves the wait")
}

func TestALostSignalOnlyCostsAWait(t *testing.T) {
	t.Parallel()
	env, s := setupImport(t)
	env.ExecuteWorkflow(workflows.ImportAccounts, importKey)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, s.batches)
}

func TestADryRunHasNothingVerified(t *testing.T) {
	t.Parallel()
	env, s := setupImport(t)
	s.dryRun = true
	env.ExecuteWorkflow(workflows.ImportAccounts, importKey)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, s.batches)
	require.Zero(t, s.verified)
}

func TestAFileThatWasNeverKeptIsNoImport(t *testing.T) {
	t.Parallel()
	env, s := setupImport(t)
	s.state = ""
	env.ExecuteWorkflow(workflows.ImportAccounts, importKey)
	require.NoError(t, env.GetWorkflowError())
	require.Zero(t, s.batches)
	require.Zero(t, s.verified)
}

func TestACancelledImportIsGivenUp(t *testing.T) {
	t.Parallel()
	env, s := setupImport(t)
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Second)
	env.ExecuteWorkflow(workflows.ImportAccounts, importKey)
	require.Error(t, env.GetWorkflowError())
	require.Equal(t, []string{"it was cancelled; the accounts added until then stay"}, s.givenUp)
	require.Zero(t, s.verified)
}

func TestTheWebUISaysHowFarAnImportIs(t *testing.T) {
	t.Parallel()
	require.Equal(t, "**completed**: 9 of 9 rows, 5 added, 3 unchanged, 1 faulty.",
		workflows.ImportDetails(activities.ImportProgress{
			State: provision.ImportCompleted, RowsTotal: 9, RowsDone: 9, Added: 5, Unchanged: 3, Faulty: 1,
		}))
	require.Equal(t, "No file was stored: there is nothing to import.", workflows.ImportDetails(activities.ImportProgress{}))
}
