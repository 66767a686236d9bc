package postgres_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

func TestCountsFollowEveryChangeWhileTheyAreFolded(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	south := provision.Pool{Provider: "acme", Marketplace: "south", Environment: provision.Production}
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(south))
	require.NoError(t, err)
	var race errgroup.Group
	race.SetLimit(8)
	for i := range 60 {
		race.Go(func() error {
			a := account(i+1, provision.ModelSPAM)
			if _, _, err := store.Accounts.Create(ctx, a, "test"); err != nil {
				return err
			}
			switch i % 4 {
			case 0:
				_, _, err := store.Accounts.Invalidate(ctx, "test", "acme", a.ID, 0, "test")
				return err
			case 1:
				_, err := store.Stock.Watch(ctx)
				return err
			}
			o := order(fmt.Sprintf("o-%d", i), "")
			if _, err := store.Orders.Open(ctx, o); err != nil {
				return err
			}
			claim, err := store.Orders.Claim(ctx, o.OrderKey)
			if err != nil || claim.Account == nil {
				return err
			}
			if i%4 == 2 {
				return store.Orders.Allocate(ctx, o.OrderKey, claim.Account.ID, provision.Result{AccountID: claim.Account.ID})
			}
			_, err = store.Orders.Close(ctx, provision.OrderClosing{Order: o.OrderKey, State: provision.Failed,
				Failure: provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}, AccountID: claim.Account.ID})
			return err
		})
	}
	require.NoError(t, race.Wait())
	require.NoError(t, store.Accounts.Delete(ctx, "test", "acme", "000000000001", 0, ""))
	bounds := reconcile.Bounds{Accepted: time.Hour, Provisioning: time.Hour, Compensating: time.Hour, Deadlines: time.Hour, Grace: time.Hour}
	require.Empty(t, contradictions(t, store, bounds))

	before, err := store.Stock.Count(ctx, "acme")
	require.NoError(t, err)
	orders, err := store.Orders.Count(ctx)
	require.NoError(t, err)
	for range 2 {
		_, err = store.Stock.Watch(ctx)
		require.NoError(t, err)
		var most int
		require.NoError(t, db.Get(&most, `SELECT max(n) FROM (SELECT count(*) AS n FROM pool_counts
			GROUP BY provider, marketplace, environment, kind, model, status, coming) c`))
		require.Equal(t, 1, most, "one row is left of each count")
	}
	after, err := store.Stock.Count(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, before[0].StockCount, after[0].StockCount)
	ordersAfter, err := store.Orders.Count(ctx)
	require.NoError(t, err)
	require.ElementsMatch(t, orders, ordersAfter)
	require.Empty(t, contradictions(t, store, bounds))
}

func TestAForecastStaysTheSameWhenItsAllocationsAreFolded(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 5)
	// Twelve a day in the last 40 days, each at its time of the day, as the triggers count them.
	db.MustExec(`INSERT INTO pool_counts (provider, marketplace, environment, kind, model, status, n, allocated_at, first_allocated_at)
		SELECT 'acme', 'north', 'production', 'account', 'SPAM', 'allocated', 1, at, at
		FROM generate_series(now() - interval '40 days', now() - interval '1 second', interval '2 hours') at`)
	before, err := store.Stock.Count(ctx, "acme")
	require.NoError(t, err)
	_, err = store.Stock.Watch(ctx)
	require.NoError(t, err)
	after, err := store.Stock.Count(ctx, "acme")
	require.NoError(t, err)
	require.InDelta(t, 12, *before[0].Forecast.PerDay, 0.2)
	require.InEpsilon(t, *before[0].Forecast.PerDay, *after[0].Forecast.PerDay, 0.01)
	var rows int
	require.NoError(t, db.Get(&rows, `SELECT count(*) FROM pool_counts WHERE status = 'allocated'`))
	require.LessOrEqual(t, rows, 32, "a row for each day of the window, and one for all days before")
}

// What every process reads every few seconds costs the same however many accounts and orders there are.
func TestCountsCostTheSameHoweverManyAccountsThereAre(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	around(t, db, `INSERT INTO accounts (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, added_seq)
		OVERRIDING SYSTEM VALUE
		SELECT to_char(i, 'FM000000000000'), 'acme', 'north', 'production', CASE i % 2 WHEN 0 THEN 'ECAM' ELSE 'SPAM' END, '',
			i || '@acme.test', 'arn:aws:iam::' || to_char(i, 'FM000000000000') || ':role/r', 'external-id-of-' || i, i
		FROM generate_series(1, 100000) i`)
	queue(t, db, "any", "", 5000)
	db.MustExec(`SELECT set_config('qm.actor', 'test', false);
		UPDATE orders SET state = 'cancelled' WHERE id LIKE 'any-%' AND id <> 'any-7'`)
	db.MustExec(`VACUUM ANALYZE`)
	window := provision.ForecastWindow.Seconds()
	for name, c := range map[string]struct {
		query string
		args  []any
		most  float64 // rows read by all nodes of the plan together
	}{
		"the stock":             {postgres.StockFactsSQL, []any{"", "", "", window, window}, 11_000},
		"the stock of a pool":   {postgres.StockFactsSQL, []any{"acme", "north", "production", window, window}, 11_000},
		"why an order waits":    {postgres.StockSQL, []any{"acme"}, 6000},
		"the orders by state":   {postgres.OrderCountsSQL, nil, 6000},
		"the fold":              {postgres.FoldCountsSQL, []any{window}, 80_000},
		"the orders in process": {postgres.OrdersInProgressSQL, nil, 10},
	} {
		var text []byte
		tx := db.MustBeginTx(ctx, nil)
		require.NoError(t, tx.QueryRowContext(ctx, `EXPLAIN (ANALYZE, FORMAT JSON) `+c.query, c.args...).Scan(&text), name)
		require.NoError(t, tx.Rollback())
		var plans []struct{ Plan map[string]any }
		require.NoError(t, json.Unmarshal(text, &plans))
		require.LessOrEqual(t, touched(plans[0].Plan), c.most, "%s: %s", name, text)
	}
	stock, err := store.Stock.Count(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, 100_000, stock[0].Ready)
	require.Equal(t, 50_000, stock[0].Models[0].Ready)
	require.Equal(t, 1, stock[0].OrdersWaiting)
	orders, err := store.Orders.Count(ctx)
	require.NoError(t, err)
	require.Len(t, orders, 2)
	require.Equal(t, 4999, orders[1].Count)
	require.Nil(t, orders[1].Oldest)
	require.NotNil(t, orders[0].Oldest)
}
