package stack_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// The stock of a pool runs out, which raises an event; new accounts arrive, and the customer gets the pool's instructions.
func TestEmptyPoolRaisesAnAlertAndItsInstructionsReachTheCustomer(t *testing.T) {
	ctx := setup(t)
	order := stack.NewOrder("watched", provision.ModelECAM)
	threshold := 3
	var pool openapi.Pool
	status, err := playground.Client.Do(ctx, http.MethodPost, "/v1/pools", map[string]any{
		"marketplace": order.Marketplace, "environment": order.Environment, "stock_threshold": threshold,
		"instructions": []any{map[string]any{"model": "ECAM", "text": "Account {account_id} ({alias}): ask {root_email}."}},
	}, &pool)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, status)
	require.NoError(t, playground.Place(ctx, order))
	_, err = playground.Until(ctx, order.ID, func(o openapi.Order) bool { return o.State == provision.WaitingForAccount })
	require.NoError(t, err)

	run, err := playground.Workflow.ExecuteWorkflow(ctx,
		client.StartWorkflowOptions{ID: "look-now", TaskQueue: workflows.TaskQueue}, workflows.WatchStockName)
	require.NoError(t, err)
	require.NoError(t, run.Get(ctx, nil))
	var alerts openapi.StockAlertPage
	_, err = playground.Client.Do(ctx, http.MethodGet, "/v1/stock-alerts?state=open&marketplace="+order.Marketplace, nil, &alerts)
	require.NoError(t, err)
	require.Len(t, alerts.Items, 1)
	require.Equal(t, provision.AlertEmpty, alerts.Items[0].Kind)
	require.Equal(t, "1 order waits; no account is Ready", alerts.Items[0].Reason)

	ids, err := playground.Stock(ctx, order.Marketplace, provision.ModelECAM, 1)
	require.NoError(t, err)
	ended, err := playground.Ended(ctx, order.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, ended.State)
	account, err := playground.Store.Accounts.Get(ctx, stack.Provider, ids[0])
	require.NoError(t, err)
	require.Equal(t, "Account "+ids[0]+" ("+order.AWSAccountAlias+"): ask "+account.RootEmail+".", *ended.Result.RootAccess)
	var stock openapi.Stock
	_, err = playground.Client.Do(ctx, http.MethodGet, "/v1/stock?marketplace="+order.Marketplace, nil, &stock)
	require.NoError(t, err)
	require.Len(t, stock.Items, 1)
	require.Equal(t, 1, stock.Items[0].Allocated)

	schedules, err := playground.Workflow.ScheduleClient().List(ctx, client.ScheduleListOptions{})
	require.NoError(t, err)
	var made []string
	for schedules.HasNext() {
		schedule, err := schedules.Next()
		require.NoError(t, err)
		made = append(made, schedule.ID)
	}
	require.True(t, slices.Contains(made, workflows.WatchStockID), "%v", made)
}
