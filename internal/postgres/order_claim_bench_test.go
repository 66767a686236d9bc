package postgres_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// queue puts so many orders that wait for an account of the model into the pool's queue, or for any account.
func queue(tb testing.TB, db *sqlx.DB, prefix string, model provision.Model, count int) {
	tb.Helper()
	tx, err := db.BeginTxx(tb.Context(), nil)
	require.NoError(tb, err)
	defer func() { _ = tx.Rollback() }()
	for _, statement := range []string{
		`SELECT set_config('qm.actor', 'test', true)`,
		fmt.Sprintf(`INSERT INTO orders (provider, id, marketplace, environment, model, request, request_sha256, created_at, settings)
				SELECT 'acme', '%s-' || i, 'north', 'production', NULLIF('%s', ''), '{}', '', now(), '{}'
				FROM generate_series(1, %d) i`, prefix, model, count),
		fmt.Sprintf(`UPDATE orders SET state = 'waiting_for_account', step = 'claim_account',
			queue_position = nextval('orders_queue') WHERE id LIKE '%s-%%'`, prefix),
	} {
		_, err := tx.ExecContext(tb.Context(), statement)
		require.NoError(tb, err)
	}
	require.NoError(tb, tx.Commit())
	_, err = db.ExecContext(tb.Context(), `ANALYZE orders`)
	require.NoError(tb, err)
}

// What a claim costs while 5,000 orders wait and nothing is in stock: the first one of an order, and a repeat.
func BenchmarkClaimWithoutStock(b *testing.B) {
	ctx, db := b.Context(), pgtest.New(b)
	store := postgres.New(db)
	require.NoError(b, store.Providers.Create(ctx, "acme", "Acme"))
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(pool))
	require.NoError(b, err)
	queue(b, db, "any", "", 5000)
	var last atomic.Int32
	b.Run("first", func(b *testing.B) {
		keys := make([]provision.OrderKey, b.N)
		for i := range keys {
			o := order(fmt.Sprintf("new-%d", last.Add(1)), "")
			_, err := store.Orders.Open(ctx, o)
			require.NoError(b, err)
			keys[i] = o.OrderKey
		}
		b.ResetTimer()
		for _, key := range keys {
			_, err := store.Orders.Claim(ctx, key)
			require.NoError(b, err)
		}
	})
	b.Run("repeat", func(b *testing.B) {
		for i := range b.N {
			_, err := store.Orders.Claim(ctx, provision.OrderKey{Provider: "acme", ID: fmt.Sprintf("any-%d", 1+i%5000)})
			require.NoError(b, err)
		}
	})
	b.Run("repeat, 8 at once", func(b *testing.B) {
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, err := store.Orders.Claim(ctx, provision.OrderKey{Provider: "acme", ID: fmt.Sprintf("any-%d", 1+last.Add(1)%5000)})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
