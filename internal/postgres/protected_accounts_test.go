package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/provision"
)

func TestAProtectedAccountEntersNoPool(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	payer := account(1, provision.ModelSPAM)
	protected, err := store.ProtectedAccounts.Protect(ctx, "key abc", "acme", payer.ID, "payer")
	require.NoError(t, err)
	require.Equal(t, "key abc", protected.CreatedBy)
	for _, status := range []provision.AccountStatus{provision.AccountReady, provision.AccountInvalid} {
		payer.Status = status
		_, _, err = store.Accounts.Create(ctx, payer, "test")
		require.ErrorIs(t, err, provision.ErrProtected)
		require.ErrorContains(t, err, "a payer account or one of the provider's own accounts")
	}
	is, err := store.ProtectedAccounts.Contains(ctx, "acme", payer.ID)
	require.NoError(t, err)
	require.True(t, is)
	is, err = store.ProtectedAccounts.Contains(ctx, "other", payer.ID)
	require.NoError(t, err)
	require.False(t, is, "of another provider")

	changed, err := store.ProtectedAccounts.Protect(ctx, "key def", "acme", payer.ID, "the payer")
	require.NoError(t, err)
	require.Equal(t, "the payer", changed.Note)
	require.Equal(t, "key abc", changed.CreatedBy)
	require.ErrorIs(t, store.ProtectedAccounts.Release(ctx, "key abc", "other", payer.ID, ""), provision.ErrNotFound)
	require.NoError(t, store.ProtectedAccounts.Release(ctx, "key abc", "acme", payer.ID, ""))
	require.ErrorIs(t, store.ProtectedAccounts.Release(ctx, "key abc", "acme", payer.ID, ""), provision.ErrNotFound)
	payer.Status = provision.AccountReady
	_, _, err = store.Accounts.Create(ctx, payer, "test")
	require.NoError(t, err)
	var history []string
	require.NoError(t, db.Select(&history, `SELECT what || ' by ' || actor FROM protected_account_history ORDER BY seq`))
	require.Equal(t, []string{"protected by key abc", "changed by key def", "unprotected by key abc"}, history)
}

func TestProtectingAnAccountThatIsInStockTakesItOut(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	waits := account(3, provision.ModelSPAM)
	waits.Status = ""
	_, _, err := store.Accounts.Create(ctx, waits, "test")
	require.NoError(t, err)
	held := claim(t, store, open(t, store, "o", "")).Account
	_, err = store.ProtectedAccounts.Protect(ctx, "key abc", "acme", held.ID, "")
	var refused *provision.StateError
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Reason, "order o holds account 000000000001: cancel the order")
	is, err := store.ProtectedAccounts.Contains(ctx, "acme", held.ID)
	require.NoError(t, err)
	require.False(t, is)
	for _, id := range []string{"000000000002", "000000000003"} {
		_, err = store.ProtectedAccounts.Protect(ctx, "key abc", "acme", id, "")
		require.NoError(t, err)
		out, err := store.Accounts.Get(ctx, "acme", id)
		require.NoError(t, err)
		require.Equal(t, provision.AccountInvalid, out.Status)
		require.Contains(t, out.Reason, "protected")
		require.False(t, out.ReadyWhenVerified)
		require.Nil(t, out.VerifyAt)
	}
	require.Nil(t, claim(t, store, open(t, store, "p", "")).Account)
	page, err := store.ProtectedAccounts.List(ctx, "acme", "000000000002", 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
}

// However adding and protecting one account race, it is never in stock and protected.
func TestAddingAndProtectingAnAccountRace(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	var race errgroup.Group
	race.SetLimit(12)
	for i := range 40 {
		a := account(100+i, provision.ModelSPAM)
		race.Go(func() error { _, _, _ = store.Accounts.Create(ctx, a, "test"); return nil })
		race.Go(func() error { _, err := store.ProtectedAccounts.Protect(ctx, "test", "acme", a.ID, ""); return err })
	}
	require.NoError(t, race.Wait())
	var both int
	require.NoError(t, db.Get(&both,
		`SELECT count(*) FROM accounts JOIN protected_accounts ON account_id = accounts.id WHERE status = 'ready'`))
	require.Zero(t, both)
	require.NoError(t, db.Get(&both, `SELECT count(*) FROM protected_accounts`))
	require.Equal(t, 40, both)
}
