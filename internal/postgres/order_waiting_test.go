package postgres_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// The worker that added an account died before it matched the stock, and the signal to another order was lost.
func TestOrdersWhoseSignalWasLostAreFound(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	first, second := open(t, store, "first", ""), open(t, store, "second", "")
	for _, key := range []provision.OrderKey{first, second} {
		require.Nil(t, claim(t, store, key).Account)
	}
	woken, err := store.Orders.MatchStock(ctx)
	require.NoError(t, err)
	require.Empty(t, woken, "there is no stock")

	db.MustExec(`UPDATE pools SET claims_suspended_at = now(), claims_suspended_because = 'so that the new account is not matched'`)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	woken, err = store.Orders.MatchStock(ctx)
	require.NoError(t, err)
	require.Empty(t, woken, "the claims of the pool are suspended")
	db.MustExec(`UPDATE pools SET claims_suspended_at = NULL, claims_suspended_because = ''`)
	woken, err = store.Orders.MatchStock(ctx)
	require.NoError(t, err)
	require.Equal(t, []provision.OrderKey{first}, woken)

	woken, err = store.Orders.MatchStock(ctx)
	require.NoError(t, err)
	require.Empty(t, woken, "the signal may be on its way")
	later := func() {
		_, err := db.ExecContext(ctx, `UPDATE orders SET state_since = state_since - interval '1 minute' WHERE state = 'provisioning'`)
		require.NoError(t, err)
	}
	later()
	woken, err = store.Orders.MatchStock(ctx)
	require.NoError(t, err)
	require.Equal(t, []provision.OrderKey{first}, woken, "the signal was lost")

	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, first, account1, provision.StepInspect, 1)))
	woken, err = store.Orders.MatchStock(ctx)
	require.NoError(t, err)
	require.Empty(t, woken, "the order has begun")
}

// planOf returns the plan of a query, and the tables that it reads from beginning to end.
func planOf(t *testing.T, text []byte) (plan map[string]any, scanned []string) {
	t.Helper()
	var plans []map[string]any
	require.NoError(t, json.Unmarshal(text, &plans))
	plan, ok := plans[0]["Plan"].(map[string]any)
	require.True(t, ok)
	var walk func(node map[string]any)
	walk = func(node map[string]any) {
		if node["Node Type"] == "Seq Scan" {
			scanned = append(scanned, fmt.Sprint(node["Relation Name"]))
		}
		children, _ := node["Plans"].([]any)
		for _, child := range children {
			below, _ := child.(map[string]any)
			walk(below)
		}
	}
	walk(plan)
	return plan, scanned
}

// Waiting orders cost nothing: what wakes them reads the heads of the queues, and the orders that are in progress.
func TestTheLookForLostSignalsCostsTheSameHoweverManyOrdersWait(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 200)
	require.NotNil(t, claim(t, store, open(t, store, "o", "")).Account)
	db.MustExec(`SET session_replication_role = replica;
		INSERT INTO accounts (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, status, reason, order_id)
		SELECT to_char(i, 'FM000000000000'), 'acme', 'north', 'production', 'SPAM', '', i || '@acme.test',
			'arn:aws:iam::' || to_char(i, 'FM000000000000') || ':role/r', 'external-id-of-' || i, 'allocated', '', 'sold-' || i
		FROM generate_series(1001, 101000) i;
		INSERT INTO orders (provider, id, marketplace, environment, model, request, request_sha256, created_at, settings, state,
			queue_position)
		SELECT 'acme', 'ecam-' || i, 'north', 'production', 'ECAM', '{}', '', now(), '{}', 'waiting_for_account', nextval('orders_queue')
		FROM generate_series(1, 100000) i;
		RESET session_replication_role;
		ANALYZE`)
	for name, query := range map[string]struct {
		sql  string
		args []any
	}{
		"stock that no one has matched": {sql: postgres.UnmatchedSQL},
		"orders that have not begun":    {sql: postgres.NotBegunSQL, args: []any{15, 1000}},
	} {
		var text []byte
		require.NoError(t, db.GetContext(ctx, &text, `EXPLAIN (ANALYZE, FORMAT JSON) `+query.sql, query.args...))
		plan, scanned := planOf(t, text)
		require.NotContains(t, scanned, "orders", name)
		require.NotContains(t, scanned, "accounts", name)
		require.Less(t, touched(plan), 60.0, name)
	}
}
