package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestOrdersAreTallied(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	south := provision.Pool{Provider: "acme", Marketplace: "south", Environment: provision.Production}
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(south))
	require.NoError(t, err)
	createAccounts(t, store, provision.ModelSPAM, 1, 4)
	asking(t, store, "alias", why)
	asking(t, store, "denied", provision.Failure{Code: provision.CodePermissionMissing, Reason: "denied"})
	done := open(t, store, "done", "")
	require.NoError(t, store.Orders.Allocate(ctx, done, claim(t, store, done).Account.ID, provision.Result{}))
	stopped := open(t, store, "stopped", "")
	require.NoError(t, store.Orders.Stop(ctx, stopped, "cancel", cancelled, provision.Intervention{ID: "1", Actor: "jane"}))
	inSouth := order("in-south", "")
	inSouth.Request.Marketplace = south.Marketplace
	_, err = store.Orders.Open(ctx, inSouth)
	require.NoError(t, err)

	start := time.Now().Add(-time.Minute)
	all, err := store.Orders.Tally(ctx, provision.Tenant{Provider: "acme"}, &start)
	require.NoError(t, err)
	require.Equal(t, provision.OrderCounts{
		States: map[provision.OrderState]provision.Tally{
			provision.Accepted: {Count: 1}, provision.WaitingForAccount: {}, provision.Provisioning: {}, provision.ActionRequired: {Count: 2},
			provision.Completed: {Count: 1}, provision.Compensating: {}, provision.Failed: {}, provision.Cancelled: {Count: 1},
		},
		Asks:  map[provision.Addressee]provision.Tally{provision.AsksCustomer: {Count: 1}, provision.AsksOperator: {Count: 1}},
		Ended: &provision.Tally{Count: 2},
	}, all)
	later := time.Now().Add(time.Minute)
	none, err := store.Orders.Tally(ctx, provision.Tenant{Provider: "acme", Marketplaces: []string{"south"}}, &later)
	require.NoError(t, err)
	require.Equal(t, provision.Tally{Count: 1}, none.States[provision.Accepted])
	require.Zero(t, none.States[provision.ActionRequired])
	require.Zero(t, none.States[provision.Completed])
	require.Zero(t, *none.Ended)
	other, err := store.Orders.Tally(ctx, provision.Tenant{Provider: "other"}, nil)
	require.NoError(t, err)
	require.Nil(t, other.Ended)
	require.Zero(t, other.States[provision.Accepted])

	insertMany(t, db, "many-", 1500)
	start = start.Add(-30 * 24 * time.Hour)
	capped, err := store.Orders.Tally(ctx, provision.Tenant{Provider: "acme"}, &start)
	require.NoError(t, err)
	require.Equal(t, &provision.Tally{Count: 1000, More: true}, capped.Ended, "no more rows are read than that")
}
