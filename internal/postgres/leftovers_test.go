package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// TestLeftoversAreRemovedLater follows an account from the undo that left something to Ready.
func TestLeftoversAreRemovedLater(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	id := claim(t, store, key).Account.ID
	failure := provision.Failure{Code: provision.CodeFailedByOperator, Reason: "x"}
	removal := provision.LeftoverRemoval{Provider: key.Provider, AccountID: id, By: provision.Intervention{Actor: "key desk"}}

	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, id, provision.StepUser, 1)))
	require.NoError(t, store.Orders.BeginUndo(ctx, key, failure))
	require.NoError(t, store.Leftovers.KeepUndo(ctx, provision.OrderKey{Provider: key.Provider, ID: "another"}, id, []byte("k1\x00no")),
		"it does not hold the account")
	_, err := store.Leftovers.BeginRemoval(ctx, "key desk", key.Provider, id, "mended")
	requireState(t, err, "only an account that is Invalid or Provisioning failed")
	require.NoError(t, store.Leftovers.KeepUndo(ctx, key, id, []byte("k1\x00first")))
	require.NoError(t, store.Leftovers.KeepUndo(ctx, key, id, []byte("k1\x00sealed")))
	_, err = store.Orders.Close(ctx,
		provision.OrderClosing{Order: key, State: provision.Failed, Failure: failure, AccountID: id, Leftovers: []string{"the IAM user"}})
	require.NoError(t, err)

	_, _, err = store.Leftovers.KeptUndo(ctx, key.Provider, id)
	require.ErrorIs(t, err, provision.ErrNotFound, "no operator has asked for it")
	_, _, err = store.Steps.BeginUndo(ctx, key, id, provision.StepUser, lease)
	refusedAs(t, err, provision.CodeOrderNotInProgress)
	keys, err := store.SealKeys.List(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, keys[0].KeptUndos)

	account, err := store.Leftovers.BeginRemoval(ctx, "key desk", key.Provider, id, "mended")
	require.NoError(t, err)
	require.NotNil(t, account.RemovingSince)
	again, err := store.Leftovers.BeginRemoval(ctx, "key desk", key.Provider, id, "mended")
	require.NoError(t, err)
	require.Equal(t, account.RemovingSince, again.RemovingSince)
	of, sealed, err := store.Leftovers.KeptUndo(ctx, key.Provider, id)
	require.NoError(t, err)
	require.Equal(t, key, of)
	require.Equal(t, "k1\x00sealed", string(sealed))
	_, _, err = store.Leftovers.KeptUndo(ctx, "other-provider", id)
	require.ErrorIs(t, err, provision.ErrNotFound)

	// The account counts as held by the order, for undos and looks.
	_, _, err = store.Steps.BeginUndo(ctx, key, id, provision.StepUser, lease)
	require.NoError(t, err)
	require.NoError(t, store.Steps.End(ctx, key, id, provision.StepUser, provision.AttemptEnd{State: provision.StepUndone}))
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, id, provision.StepCompare, 1)))
	refusedAs(t, pgtest.Err(store.Steps.Begin(ctx, key, id, provision.StepAlias, 1)), provision.CodeOrderNotInProgress)
	_, _, err = store.Accounts.Return(ctx, "key desk", key.Provider, id, 0, "it is clean")
	requireState(t, err, "are being removed")
	tx, err := db.BeginTxx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, `SELECT set_config('qm.actor', 'x', true)`)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, `UPDATE accounts SET status = 'invalid', reason = 'x'`)
	require.NoError(t, tx.Rollback())
	require.ErrorContains(t, err, "is being removed", "the schema says so too")

	// Something is left still.
	require.NoError(t, store.Leftovers.EndRemoval(ctx,
		provision.LeftoversRemoved{Removal: removal, Order: key, Leftovers: []string{"the bucket"}}))
	view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"the bucket"}, view.Leftovers)
	account, err = store.Accounts.Get(ctx, key.Provider, id)
	require.NoError(t, err)
	require.Equal(t, provision.AccountProvisioningFailed, account.Status)
	require.Contains(t, account.Reason, "the bucket")
	require.Nil(t, account.RemovingSince)
	_, _, err = store.Steps.BeginUndo(ctx, key, id, provision.StepUser, lease)
	refusedAs(t, err, provision.CodeOrderNotInProgress)

	// Nothing is left any more: a verification makes it Ready.
	_, err = store.Leftovers.BeginRemoval(ctx, "key desk", key.Provider, id, "again")
	require.NoError(t, err)
	clean := provision.LeftoversRemoved{Removal: removal, Order: key, Notes: []string{"the alias was left"}}
	require.NoError(t, store.Leftovers.EndRemoval(ctx, clean))
	require.NoError(t, store.Leftovers.EndRemoval(ctx, clean), "a repeat changes nothing")
	view, err = store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Empty(t, view.Leftovers)
	require.Equal(t, []string{"the alias was left"}, view.Notes)
	_, err = store.Leftovers.BeginRemoval(ctx, "key desk", key.Provider, id, "again")
	requireState(t, err, "no undo is known")
	due, err := store.Verifications.Due(ctx, 10)
	require.NoError(t, err)
	require.Equal(t, []string{id}, due)
	account, now, err := store.Verifications.Account(ctx, id)
	require.NoError(t, err)
	_, err = store.Verifications.Apply(ctx, []provision.VerificationResult{{AccountID: id, LookedAt: &now, Version: account.Version}})
	require.NoError(t, err)
	account, err = store.Accounts.Get(ctx, key.Provider, id)
	require.NoError(t, err)
	require.Equal(t, provision.AccountReady, account.Status)
}

// TestAParkedAccountStaysParked: its leftovers are removed, and it is not used again.
func TestAParkedAccountStaysParked(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	id := claim(t, store, key).Account.ID
	require.NoError(t, store.Leftovers.KeepUndo(ctx, key, id, []byte("k1\x00sealed")))
	_, err := store.Orders.RejectAccount(ctx, key, id, provision.Failure{Code: provision.CodeAccountSuspended, Reason: "x"}, false)
	require.NoError(t, err)
	_, err = store.Leftovers.BeginRemoval(ctx, "key desk", key.Provider, id, "mended")
	require.NoError(t, err)
	require.NoError(t, store.Leftovers.EndRemoval(ctx, provision.LeftoversRemoved{Order: key, OnFailure: provision.OnFailurePark,
		Removal: provision.LeftoverRemoval{Provider: key.Provider, AccountID: id, By: provision.Intervention{Actor: "key desk"}}}))
	account, err := store.Accounts.Get(ctx, key.Provider, id)
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, account.Status)
	require.False(t, account.ReadyWhenVerified)
}

func requireState(t *testing.T, err error, says string) {
	t.Helper()
	var state *provision.StateError
	require.ErrorAs(t, err, &state)
	require.Contains(t, state.Reason, says)
}
