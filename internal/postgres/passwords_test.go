package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestNoPasswordIsKeptOfAnAccountThatWasNotHandedOver(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	kept := func() (n int) {
		require.NoError(t, db.GetContext(ctx, &n, `SELECT count(*) FROM order_passwords WHERE sealed IS NOT NULL`))
		return n
	}
	failure := provision.Failure{Code: provision.CodeAccountCannotBeEntered, Reason: "x"}
	refused := func(key provision.OrderKey, account string) {
		_, err := store.Passwords.Keep(ctx, key, account, []byte("late"))
		var failure *provision.Failure
		require.ErrorAs(t, err, &failure)
		require.Equal(t, provision.CodeOrderNotInProgress, failure.Code)
		require.Zero(t, kept())
	}

	key := open(t, store, "o", "")
	claim(t, store, key)
	_, err := store.Passwords.Keep(ctx, key, "000000000001", []byte("sealed"))
	require.NoError(t, err)
	_, err = store.Orders.RejectAccount(ctx, key, "000000000001", failure, false)
	require.NoError(t, err)
	refused(key, "000000000001") // an attempt that woke up late

	require.Equal(t, "000000000002", claim(t, store, key).Account.ID)
	_, err = store.Passwords.Keep(ctx, key, "000000000002", []byte("sealed"))
	require.NoError(t, err)
	require.Equal(t, 1, kept())
	_, err = store.Orders.Close(ctx, provision.OrderClosing{
		Order: key, State: provision.Failed, Failure: failure, AccountID: "000000000002",
	})
	require.NoError(t, err)
	refused(key, "000000000002")
}

func TestALateAttemptTouchesNoPasswordOfACustomer(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	_, err := store.Passwords.Keep(ctx, key, account1, []byte("first"))
	require.NoError(t, err)
	require.NoError(t, store.Passwords.Replace(ctx, key, account1, []byte("second")))
	require.NoError(t, store.Orders.Allocate(ctx, key, account1, provision.Result{AccountID: account1}))

	refusedAs(t, store.Passwords.Replace(ctx, key, account1, []byte("late")), provision.CodeOrderNotInProgress)
	require.NoError(t, store.Passwords.Withdraw(ctx, key, account1))
	var sealed []byte
	require.NoError(t, db.GetContext(ctx, &sealed, `SELECT sealed FROM order_passwords`))
	require.Equal(t, "second", string(sealed))
}
