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
	"quartermaster/workflows"
)

func setupWatch(t *testing.T, look func() (provision.StockWatch, error)) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	env := newEnvironment()
	env.RegisterWorkflowWithOptions(workflows.WatchStock, workflow.RegisterOptions{Name: workflows.WatchStockName})
	var a *activities.Activities
	env.OnActivity(a.MatchStock, mock.Anything).Return(activities.Woken{}, nil).Maybe()
	env.OnActivity(a.WatchStock, mock.Anything).Return(func(context.Context) (provision.StockWatch, error) { return look() })
	return env
}

func TestALookAtTheStockShowsWhatWasTold(t *testing.T) {
	t.Parallel()
	watch := provision.StockWatch{Pools: 3, Open: 1, Events: []provision.StockEvent{
		{Pool: provision.Pool{Provider: "acme", Marketplace: "store", Environment: provision.Test}, Type: provision.EventStockEmpty,
			Reason: "no account is Ready"}}}
	env := setupWatch(t, func() (provision.StockWatch, error) { return watch, nil })
	env.ExecuteWorkflow(workflows.WatchStockName)
	require.NoError(t, env.GetWorkflowError())
	var got provision.StockWatch
	require.NoError(t, env.GetWorkflowResult(&got))
	require.Equal(t, watch, got)
	require.Equal(t, "3 pools, 1 open alerts.\n- `stock.empty` of pool `acme/store/test`: no account is Ready",
		workflows.WatchDetails(watch))
}

// An order that got an account and has not begun with it is woken, even if the workflow of another one is gone.
func TestALookAtTheStockWakesOrders(t *testing.T) {
	t.Parallel()
	env := newEnvironment()
	env.RegisterWorkflowWithOptions(workflows.WatchStock, workflow.RegisterOptions{Name: workflows.WatchStockName})
	var a *activities.Activities
	env.OnActivity(a.MatchStock, mock.Anything).Return(activities.Woken{Orders: []provision.OrderKey{
		{Provider: "acme", ID: "gone"}, {Provider: "acme", ID: "late"}}}, nil)
	env.OnActivity(a.WatchStock, mock.Anything).Return(provision.StockWatch{Pools: 1}, nil)
	var woken []string
	env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, "", workflows.SignalStock, mock.Anything).Return(
		func(_, workflowID, _, _ string, _ any) error {
			woken = append(woken, workflowID)
			if workflowID == "order/acme/gone" {
				return errors.New("gone")
			}
			return nil
		})
	env.ExecuteWorkflow(workflows.WatchStockName)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"order/acme/gone", "order/acme/late"}, woken)
}

func TestALookAtTheStockIsTriedAgainAndGivesUpBeforeTheNext(t *testing.T) {
	t.Parallel()
	tries := 0
	env := setupWatch(t, func() (provision.StockWatch, error) {
		if tries++; tries < 3 {
			return provision.StockWatch{}, errors.New("the database is down")
		}
		return provision.StockWatch{}, nil
	})
	env.ExecuteWorkflow(workflows.WatchStockName)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, tries)

	env = setupWatch(t, func() (provision.StockWatch, error) {
		return provision.StockWatch{}, errors.New("the database is down")
	})
	started := env.Now()
	env.ExecuteWorkflow(workflows.WatchStockName)
	require.Error(t, env.GetWorkflowError())
	require.LessOrEqual(t, env.Now().Sub(started), time.Minute)
}
