package api

import (
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// setupPools is an API over a database with the providers and their pools, and that database.
func setupPools(t *testing.T) (*world, *sqlx.DB) {
	t.Helper()
	w, db := setup(t), pgtest.New(t)
	w.use(t, stockedStore(t, db))
	return w, db
}

// stockedStore fills a database with the providers and their pools, one account that is not Ready in each pool of acme, and so
// an open alert in nordic/production and one in nordic/test that has closed.
func stockedStore(t *testing.T, db *sqlx.DB) *postgres.DB {
	t.Helper()
	ctx, store := t.Context(), postgres.New(db)
	for _, pool := range pools {
		require.NoError(t, store.Providers.Create(ctx, pool.Provider, pool.Provider))
		_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(pool))
		require.NoError(t, err)
	}
	for i, id := range []string{"333344445550", "333344445551"} {
		_, _, err := store.Accounts.Create(ctx, provision.Account{ID: id, Pool: pools[i], Model: provision.ModelSPAM, Name: "n", RootEmail: "a+" + id + "@b.example",
			RoleARN: "arn:aws:iam::" + id + ":role/Q", ExternalID: provision.NewExternalID()}, "test")
		require.NoError(t, err)
	}
	watch, err := store.Stock.Watch(ctx)
	require.NoError(t, err)
	require.Equal(t, 2, watch.Open)
	db.MustExecContext(ctx, `UPDATE stock_alerts SET closed_at = now() WHERE environment = 'test'`)
	return store
}

// alertIDs are those of acme, the open one first.
func alertIDs(t *testing.T, store *postgres.DB) (ids []string) {
	t.Helper()
	for _, open := range []bool{true, false} {
		alerts, err := store.Stock.Alerts(t.Context(), "acme", provision.AlertFilter{Open: &open, Limit: 1})
		require.NoError(t, err)
		require.Len(t, alerts, 1)
		ids = append(ids, alerts[0].ID)
	}
	return ids
}
