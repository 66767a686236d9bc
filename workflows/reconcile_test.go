package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/workflows"
)

func setupReconcile(t *testing.T, reconciled func() (reconcile.Report, error)) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	env := newEnvironment()
	env.RegisterWorkflowWithOptions(workflows.Reconcile, workflow.RegisterOptions{Name: workflows.ReconcileName})
	var a *activities.Activities
	env.OnActivity(a.Reconcile, mock.Anything).Return(func(context.Context) (reconcile.Report, error) { return reconciled() })
	return env
}

func TestReconcileShowsWhatItFoundAndRepaired(t *testing.T) {
	t.Parallel()
	stuck := reconcile.New(reconcile.KindOrderWithoutWorkflow, provision.OrderKey{Provider: "acme", ID: "o-1"}, "", time.Now().UTC(),
		"the order is waiting_for_account, but its workflow has closed as Terminated")
	stuck.Repaired = "its workflow was started again"
	raised := reconcile.New(reconcile.KindPasswordKept, provision.OrderKey{Provider: "acme", ID: "o-2"}, "000000000002", time.Now().UTC(),
		"the order is failed, but a password is kept")
	report := reconcile.Report{Repaired: 1, Raised: 1, Findings: []reconcile.Finding{stuck, raised}, More: 3}
	env := setupReconcile(t, func() (reconcile.Report, error) { return report, nil })
	env.ExecuteWorkflow(workflows.ReconcileName)
	require.NoError(t, env.GetWorkflowError())
	var got reconcile.Report
	require.NoError(t, env.GetWorkflowResult(&got))
	require.Equal(t, report, got)

	shown := workflows.ReconcileDetails(report)
	require.Contains(t, shown, "**1 findings need an operator**, 1 were repaired.")
	require.Contains(t, shown, "order acme/o-1: the order is waiting_for_account")
	require.Contains(t, shown, "repaired: its workflow was started again")
	require.Contains(t, shown, "password_kept [broken] order acme/o-2 account 000000000002")
	require.Contains(t, shown, "and 3 more")
	require.Equal(t, "Nothing is stuck and nothing contradicts itself.", workflows.ReconcileDetails(reconcile.Report{}))
}

func TestReconcileIsRetriedAndGivesUpAtLast(t *testing.T) {
	t.Parallel()
	tries := 0
	env := setupReconcile(t, func() (reconcile.Report, error) {
		if tries++; tries < 3 {
			return reconcile.Report{}, errors.New("the database is down")
		}
		return reconcile.Report{}, nil
	})
	env.ExecuteWorkflow(workflows.ReconcileName)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, tries)

	env = setupReconcile(t, func() (reconcile.Report, error) { return reconcile.Report{}, errors.New("the database is down") })
	started := env.Now()
	env.ExecuteWorkflow(workflows.ReconcileName)
	require.Error(t, env.GetWorkflowError(), "the Web UI shows it red")
	require.LessOrEqual(t, env.Now().Sub(started), 20*time.Minute)
}
