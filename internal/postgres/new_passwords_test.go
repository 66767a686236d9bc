package postgres_test

import (
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

var tenant = provision.Tenant{Provider: "acme"}

// completedOrder is an order whose account is allocated, and whose first password is "first".
func completedOrder(t *testing.T, store *postgres.DB, id string) provision.OrderKey {
	t.Helper()
	key := open(t, store, id, "")
	claimed := claim(t, store, key)
	_, err := store.Passwords.Keep(t.Context(), key, claimed.Account.ID, []byte("first"))
	require.NoError(t, err)
	require.NoError(t, store.Orders.Allocate(t.Context(), key, claimed.Account.ID,
		provision.Result{AccountID: claimed.Account.ID, IAMUserName: "customer"}))
	return key
}

func wanted(id string) provision.PasswordRequest {
	return provision.PasswordRequest{By: provision.Intervention{Actor: "key 1", Reason: "lost", ID: id}}
}

// sealedBy reads what is kept for the requests that keep something.
func sealedBy(t *testing.T, db *sqlx.DB) map[string]string {
	t.Helper()
	var rows []struct{ Request, Sealed string }
	require.NoError(t, db.Select(&rows, `SELECT request, convert_from(sealed, 'UTF8') AS sealed FROM order_passwords
		WHERE sealed IS NOT NULL`))
	kept := map[string]string{}
	for _, r := range rows {
		kept[r.Request] = r.Sealed
	}
	return kept
}

func TestANewPasswordIsRevealedOnlyAfterItWasIssued(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := completedOrder(t, store, "o")
	view := func() *provision.PasswordView {
		o, err := store.Orders.Get(ctx, tenant, key.ID)
		require.NoError(t, err)
		return o.Password
	}
	first := view().Link.ID
	reveal := func(id string) (sealed string, err error) {
		err = store.Passwords.Reveal(ctx, id, "192.0.2.1", func(r provision.RevealedPassword) error {
			sealed = string(r.Sealed)
			return nil
		})
		return sealed, err
	}

	in, err := store.Passwords.Request(ctx, key, wanted("r1"))
	require.NoError(t, err)
	require.Equal(t, account1, in)
	require.Equal(t, first, view().Link.ID)

	for _, sealed := range []string{"second", "a retry's"} {
		kept, err := store.Passwords.KeepNew(ctx, key, account1, wanted("r1").By, []byte(sealed), false)
		require.NoError(t, err)
		require.Equal(t, "second", string(kept), "a retry gets the kept one")
	}
	require.Equal(t, map[string]string{"r1": "second"}, sealedBy(t, db), "the first one is gone in the same transaction")
	_, err = reveal(first)
	require.ErrorIs(t, err, provision.ErrGone)
	var pending string
	require.NoError(t, db.Get(&pending, `SELECT id FROM order_passwords WHERE request = 'r1'`))
	_, err = reveal(pending)
	require.ErrorIs(t, err, provision.ErrGone, "AWS has not confirmed it")
	kept, err := store.Passwords.KeepNew(ctx, key, account1, wanted("r1").By, []byte("third"), true)
	require.NoError(t, err)
	require.Equal(t, "third", string(kept))

	for range 2 {
		require.NoError(t, store.Passwords.EndRequest(ctx, key, "r1", nil))
	}
	require.Equal(t, pending, view().Link.ID)
	sealed, err := reveal(pending)
	require.NoError(t, err)
	require.Equal(t, "third", sealed)
	_, err = reveal(pending)
	require.ErrorIs(t, err, provision.ErrGone)

	var events, data []string
	require.NoError(t, db.Select(&events, `SELECT type FROM events WHERE type LIKE 'order.password%'`))
	require.Equal(t, []string{provision.EventPasswordIssued}, events, "a repeat is no second event")
	require.NoError(t, db.Select(&data, `SELECT data::text FROM events`))
	for _, d := range data {
		require.NotContains(t, d, pending)
	}
}

func TestARequestThatHasEndedKeepsNothing(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	key := completedOrder(t, store, "o")
	keep := func(request string) error {
		_, err := store.Passwords.KeepNew(ctx, key, account1, wanted(request).By, []byte("new"), false)
		return err
	}
	refusedAs(t, keep("never asked"), provision.CodeOrderNotInProgress)
	require.Equal(t, map[string]string{"": "first"}, sealedBy(t, db), "a request that is unknown ends no link")

	_, err := store.Passwords.Request(ctx, key, wanted("r1"))
	require.NoError(t, err)
	require.NoError(t, keep("r1"))
	why := provision.Failure{Code: provision.CodeSignInInUse, Reason: "in use"}
	require.NoError(t, store.Passwords.EndRequest(ctx, key, "r1", &why))
	require.NoError(t, store.Passwords.EndRequest(ctx, key, "r1", nil), "an outcome is final")
	require.Empty(t, sealedBy(t, db))
	refusedAs(t, keep("r1"), provision.CodeOrderNotInProgress)
	o, err := store.Orders.Get(ctx, tenant, key.ID)
	require.NoError(t, err)
	require.Equal(t, why, o.Password.Refusal.Failure)

	// The run of r2 was terminated, so r3 takes its place.
	_, err = store.Passwords.Request(ctx, key, wanted("r2"))
	require.NoError(t, err)
	require.NoError(t, keep("r2"))
	_, err = store.Passwords.Request(ctx, key, wanted("r3"))
	require.NoError(t, err)
	require.Empty(t, sealedBy(t, db))
	refusedAs(t, keep("r2"), provision.CodeOrderNotInProgress)
	require.NoError(t, keep("r3"))

	waiting := open(t, store, "p", "")
	claim(t, store, waiting)
	_, err = store.Passwords.Request(ctx, waiting, wanted("r4"))
	refusedAs(t, err, provision.CodeOrderNotInProgress)
}

// A list of orders reads nothing about their passwords.
func TestAListOfOrdersHasNoPasswords(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	completedOrder(t, store, "o")
	listed, err := store.Orders.List(ctx, tenant, provision.OrderFilter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.NotNil(t, listed[0].Result)
	require.Nil(t, listed[0].Password)
}
