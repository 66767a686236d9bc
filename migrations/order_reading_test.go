package migrations_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"quartermaster/migrations"
)

// A migration without a transaction can stop halfway. It is then repeated, on a database with orders.
func TestOrderReadingAppliesAgainToADatabaseWithOrders(t *testing.T) {
	t.Parallel()
	db, names := setup(t)
	before := fstest.MapFS{}
	for _, name := range names[:8] {
		text, err := migrations.Files.ReadFile(name)
		require.NoError(t, err)
		before[name] = &fstest.MapFile{Data: text}
	}
	_, err := migrations.UpFS(t.Context(), db.DB, before)
	require.NoError(t, err)
	db.MustExec(`
		SET session_replication_role = replica;
		INSERT INTO orders (provider, id, marketplace, environment, created_at, request, request_sha256, settings)
		VALUES ('acme', 'MP-1', 'nordic', 'production', now(), '{"aws_account_alias": "berg"}', '', '{}');
		INSERT INTO order_steps (provider, order_id, account_id, step, state, attempt) VALUES ('acme', 'MP-1', '1', 'contacts', 'done', 1);
		RESET session_replication_role;
		ALTER TABLE orders ADD COLUMN manual_steps_done jsonb;
		CREATE INDEX orders_by_id_prefix ON orders (id)`)

	_, err = migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	var rows []string
	require.NoError(t, db.Select(&rows, `SELECT o.id FROM orders o JOIN order_steps s ON s.order_id = o.id
		WHERE o.manual_steps_done IS NULL AND s.failed_attempts IS NULL`))
	require.Equal(t, []string{"MP-1"}, rows)
	var index string
	require.NoError(t, db.Get(&index, `SELECT indexdef FROM pg_indexes WHERE indexname = 'orders_by_id_prefix'`))
	require.Contains(t, index, "lower", "what an earlier try has left is replaced")
	var unusable int
	require.NoError(t, db.Get(&unusable, `SELECT count(*) FROM pg_index WHERE NOT indisvalid`))
	require.Zero(t, unusable)
}
