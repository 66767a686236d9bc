package postgres_test

import (
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// oneConnection is a database of the program's that uses a single connection, with the given parameters of its URL.
func oneConnection(t *testing.T, parameters string) (*postgres.DB, *sqlx.DB) {
	t.Helper()
	store, err := postgres.Open(t.Context(), pgtest.URL(t)+parameters)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	db := store.SQL()
	db.SetMaxOpenConns(1)
	return store, db
}

func preparedStatements(t *testing.T, db *sqlx.DB) (count int) {
	t.Helper()
	require.NoError(t, db.GetContext(t.Context(), &count, `SELECT count(*) FROM pg_prepared_statements`))
	return count
}

const addSQL = `SELECT $1::int + 1`

func add(t *testing.T, db *sqlx.DB) (sum int) {
	t.Helper()
	require.NoError(t, db.GetContext(t.Context(), &sum, addSQL, 1))
	return sum
}

func TestAConnectionPreparesAStatementOnce(t *testing.T) {
	t.Parallel()
	_, db := oneConnection(t, "")
	for range 3 {
		require.Equal(t, 2, add(t, db))
	}
	tx := db.MustBegin()
	tx.MustExec(addSQL, 1)
	require.NoError(t, tx.Commit())
	var calls []int
	require.NoError(t, db.SelectContext(t.Context(), &calls, `SELECT generic_plans + custom_plans FROM pg_prepared_statements`))
	require.Equal(t, []int{4}, calls)
}

func TestAConnectionKeepsALimitedNumberOfStatements(t *testing.T) {
	t.Parallel()
	_, db := oneConnection(t, "")
	for i := range 300 {
		var got int
		require.NoError(t, db.GetContext(t.Context(), &got, fmt.Sprintf(`SELECT $1::int + %d`, i), 1))
		require.Equal(t, 1+i, got)
	}
	require.Equal(t, 250, preparedStatements(t, db))
}

func TestAStatementThatTheServerForgotOrThatReturnsOtherColumnsIsPreparedAgain(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"forgotten":     `DEALLOCATE ALL`,
		"other columns": `ALTER TABLE kept ALTER COLUMN n TYPE bigint`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, db := oneConnection(t, "")
			db.MustExec(`CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)`)
			read := func(q sqlx.QueryerContext) (n int, err error) {
				err = sqlx.GetContext(t.Context(), q, &n, `SELECT n FROM kept WHERE n > $1`, 1)
				return n, err
			}
			_, err := read(db)
			require.NoError(t, err)
			tx := db.MustBegin()
			tx.MustExec(change)
			_, err = read(tx)
			require.ErrorIs(t, postgres.Classify(t.Context(), err), provision.ErrUnavailable, "in a transaction, the caller repeats it")
			require.NoError(t, tx.Rollback())

			_, err = read(db)
			require.NoError(t, err)
			db.MustExec(change)
			n, err := read(db)
			require.NoError(t, err, "otherwise it runs on another connection")
			require.Equal(t, 7, n)
		})
	}
}

// A pooler that gives each transaction another connection of the server cannot keep statements.
func TestWithBinaryParametersNothingIsPreparedAndOrdersWork(t *testing.T) {
	t.Parallel()
	store, db := oneConnection(t, "&binary_parameters=yes")
	ctx := t.Context()
	require.NoError(t, store.Providers.Create(ctx, "acme", "Acme"))
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(pool))
	require.NoError(t, err)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "one", provision.ModelSPAM)
	require.Equal(t, account1, claim(t, store, key).Account.ID)
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)))
	require.NoError(t, store.Orders.RequireAction(ctx, key, why))
	corrected := order("one", provision.ModelSPAM).Request
	corrected.AccountAlias = "another-alias"
	require.NoError(t, store.Orders.Correct(ctx, key, corrected, provision.Intervention{ID: "1", Actor: "jane", Reason: "typo"}))
	require.NoError(t, store.Orders.Resume(ctx, key))
	kept, err := store.Passwords.Keep(ctx, key, account1, []byte("sealed\x00"))
	require.NoError(t, err)
	require.Equal(t, []byte("sealed\x00"), kept)
	require.NoError(t, store.Orders.Allocate(ctx, key, account1, provision.Result{AccountID: account1}))
	view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, view.State)
	require.Equal(t, "another-alias", view.Request.AccountAlias)
	require.Zero(t, preparedStatements(t, db))
}
