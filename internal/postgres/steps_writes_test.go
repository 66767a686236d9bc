package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// A step writes its own row twice, and nothing else: once before the attempt and once after it.
func TestAnAttemptWritesOnlyTheRowOfItsStep(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	versions := func() (found []string) {
		require.NoError(t, db.SelectContext(ctx, &found, `
			SELECT 'order ' || ctid FROM orders UNION ALL SELECT 'account ' || ctid FROM accounts
			UNION ALL SELECT 'history ' || count(*) FROM order_history UNION ALL SELECT 'events ' || count(*) FROM events`))
		return found
	}
	before := versions()
	for _, step := range []provision.Step{provision.StepInspect, provision.StepUser, provision.StepAlias} {
		require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, step, 1)))
		require.NoError(t, store.Steps.End(ctx, key, account1, step, provision.AttemptEnd{State: provision.StepDone}))
	}
	require.Equal(t, before, versions())
}

func TestParallelStepsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	tx, err := db.BeginTxx(ctx, nil) // an attempt at another step, which has not committed
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback()) }()
	_, err = tx.ExecContext(ctx, postgres.StepStartedSQL, key.Provider, key.ID, account1, provision.StepReport, 1,
		pq.Array([]provision.OrderState{provision.Provisioning}), provision.AccountProvisioning)
	require.NoError(t, err)

	soon, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, step := range []provision.Step{provision.StepUser, provision.StepAlias, provision.StepContacts} {
		require.NoError(t, pgtest.Err(store.Steps.Begin(soon, key, account1, step, 1)))
		require.NoError(t, store.Steps.End(soon, key, account1, step, provision.AttemptEnd{State: provision.StepDone}))
	}
}

// The row of the attempt is on disk before AWS is called. Its end need not be: see stepEndedSQL.
func TestOnlyTheBeginningOfAnAttemptWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	for _, statement := range []struct {
		text, waits string
		args        []any
	}{
		{postgres.StepStartedSQL, "on", []any{1, pq.Array([]provision.OrderState{provision.Provisioning}), provision.AccountProvisioning}},
		{postgres.StepEndedSQL, "off", []any{provision.StepDone, "", "{}", 0, nil}},
	} {
		tx, err := db.BeginTxx(ctx, nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, `SET LOCAL synchronous_commit = on`)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, statement.text, append([]any{key.Provider, key.ID, account1, provision.StepAlias}, statement.args...)...)
		require.NoError(t, err)
		var waits string
		require.NoError(t, tx.GetContext(ctx, &waits, `SHOW synchronous_commit`))
		require.Equal(t, statement.waits, waits)
		require.NoError(t, tx.Commit())
	}
	row := stepRow(t, db, provision.StepAlias)
	require.Equal(t, provision.StepDone, row.State)
}

// PostgreSQL has crashed before the end of a step was on disk.
func TestAllocateEndsTheStepsWhoseEndWasLost(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)))
	require.NoError(t, store.Orders.Allocate(ctx, key, account1, provision.Result{AccountID: account1}))
	row := stepRow(t, db, provision.StepAlias)
	require.Equal(t, provision.StepDone, row.State)
	require.NotNil(t, row.Ended)
}

// What an attempt works from is what the order's row and the account's row say at that moment.
func TestAnAttemptGetsTheAssignmentOfThatMoment(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	first, err := store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)
	require.NoError(t, err)
	account, err := store.Accounts.Get(ctx, key.Provider, account1)
	require.NoError(t, err)
	require.Equal(t, account, first.Account)
	require.Equal(t, key, first.Order)
	require.Equal(t, order("o", "").Request, first.Request)
	require.NotEmpty(t, first.Nonce)
	require.Equal(t, "us-east-1", first.Settings.ReportRegion)
	require.Empty(t, first.EarlierRequests)
	require.Empty(t, first.EarlierSettings)

	corrected := first.Request
	corrected.AccountAlias = "another-alias"
	require.NoError(t, store.Orders.Correct(ctx, key, corrected, provision.Intervention{Actor: "shop", ID: "1"}))
	_, err = db.ExecContext(ctx, `UPDATE pools SET report_region = 'eu-west-1'`)
	require.NoError(t, err)
	for range 2 { // the second changes nothing
		require.NoError(t, pgtest.Err(store.Orders.RereadSettings(ctx, key)))
	}
	second, err := store.Steps.Begin(ctx, key, account1, provision.StepAlias, 2)
	require.NoError(t, err)
	undone, _, err := store.Steps.BeginUndo(ctx, key, account1, provision.StepAlias, lease)
	require.NoError(t, err)
	kept, err := store.Leftovers.Assignment(ctx, key, account1)
	require.NoError(t, err)
	for _, now := range []provision.Assignment{second, undone, kept} {
		require.Equal(t, corrected, now.Request)
		require.Equal(t, []provision.Request{first.Request}, now.EarlierRequests)
		require.Equal(t, "eu-west-1", now.Settings.ReportRegion)
		require.Equal(t, []provision.PoolSettings{first.Settings}, now.EarlierSettings)
		require.Equal(t, first.Account, now.Account)
	}
	_, err = store.Leftovers.Assignment(ctx, key, "000000000002")
	require.ErrorIs(t, err, provision.ErrNotFound)
}
