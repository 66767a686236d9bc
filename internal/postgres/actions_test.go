package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestActionRequiredKeepsTheClaimAndResumes(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	addAccounts(t, store, provision.ModelSPAM, 1, 2)
	key := open(t, store, "o", "")
	claim(t, store, key)
	why := provision.Failure{Code: provision.CodeAliasTaken, Step: provision.StepAlias, Field: "aws_account_alias", Value: "alias-o", Reason: "taken"}
	require.NoError(t, store.RequireAction(ctx, key, why))
	require.NoError(t, store.RequireAction(ctx, key, why), "a repeat changes nothing")
	view, err := store.Order(ctx, key)
	require.NoError(t, err)
	require.Equal(t, provision.ActionRequired, view.State)
	require.Equal(t, &why, view.Failure)
	require.Equal(t, "000000000001", claim(t, store, key).Account.ID, "the claim is kept")

	by := provision.Action{Actor: "key store", Reason: "the customer called"}
	corrected := order("o", "").Request
	corrected.AccountAlias = "another-alias"
	require.NoError(t, store.Correct(ctx, key, corrected, by))
	require.NoError(t, store.NoteAction(ctx, key, "retry", by))
	require.NoError(t, store.Resume(ctx, key))
	view, err = store.Order(ctx, key)
	require.NoError(t, err)
	require.Equal(t, provision.Provisioning, view.State)
	require.Nil(t, view.Failure)
	require.Equal(t, corrected, view.Request)
	require.Equal(t, order("o", "").Request.Hash(), view.RequestHash, "a repeated POST is compared with what was placed")

	opened, err := store.OpenOrder(ctx, order("o", ""))
	require.NoError(t, err, "a workflow that starts anew has the first request in its hands")
	require.Equal(t, corrected, opened.Request, "and goes on with the corrected one")

	var actions []struct{ Actor, Code, Reason string }
	require.NoError(t, db.SelectContext(ctx, &actions, `SELECT actor, code, reason FROM order_events WHERE order_id = 'o' AND code IN ('correct', 'retry') ORDER BY seq`))
	require.Len(t, actions, 2)
	require.Equal(t, by.Actor, actions[0].Actor)
	require.Equal(t, by.Reason, actions[1].Reason)
}

func TestAnOrderThatRequiresActionCanBeSwappedOrUndone(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	addAccounts(t, store, provision.ModelSPAM, 1, 2)
	key := open(t, store, "o", "")
	claim(t, store, key)
	why := provision.Failure{Code: provision.CodePermissionMissing, Reason: "denied"}
	require.NoError(t, store.RequireAction(ctx, key, why))
	_, err := store.RejectAccount(ctx, key, "000000000001", provision.Failure{Code: provision.CodeSwappedByOperator, Reason: "an operator swapped the account"})
	require.NoError(t, err)
	require.Equal(t, "000000000002", claim(t, store, key).Account.ID)

	require.NoError(t, store.RequireAction(ctx, key, why))
	require.NoError(t, store.BeginUndo(ctx, key, provision.Failure{Code: provision.CodeFailedByOperator, Reason: "an operator ended the order"}))
	require.NoError(t, store.RequireAction(ctx, key, why), "an attempt that wakes up late does not bring it back")
	view, err := store.Order(ctx, key)
	require.NoError(t, err)
	require.Equal(t, provision.Compensating, view.State)
}
