package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// An address names one root user at AWS, regardless of the case of its letters and of the provider that has the account.
func TestARootEmailBelongsToOneAccount(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	foreign := account(1, provision.ModelSPAM)
	foreign.Provider = "other"
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(foreign.Pool))
	require.NoError(t, err)
	_, _, err = store.Accounts.Create(ctx, foreign, "test")
	require.NoError(t, err)
	createAccounts(t, store, provision.ModelSPAM, 2, 3)

	for _, taken := range []string{account(1, "").RootEmail, strings.ToUpper(account(2, "").RootEmail)} {
		a := account(4, provision.ModelSPAM)
		a.RootEmail = taken
		_, _, err := store.Accounts.Create(ctx, a, "test")
		require.ErrorIs(t, err, provision.ErrRootEmailTaken)
		require.EqualError(t, err, provision.RootEmailTaken, "whose it is stays unsaid")
		_, _, err = store.Accounts.Update(ctx, "test", "acme", account(3, "").ID, 0, provision.AccountUpdate{RootEmail: &taken})
		require.ErrorIs(t, err, provision.ErrRootEmailTaken)
	}
	upper := strings.ToUpper(account(3, "").RootEmail)
	now, _, err := store.Accounts.Update(ctx, "test", "acme", account(3, "").ID, 0, provision.AccountUpdate{RootEmail: &upper})
	require.NoError(t, err, "its own, in other letters")
	require.Equal(t, upper, now.RootEmail)
	require.NoError(t, store.Accounts.Delete(ctx, "test", "acme", account(2, "").ID, 0, ""))
	freed := account(2, "").RootEmail
	_, _, err = store.Accounts.Update(ctx, "test", "acme", account(3, "").ID, 0, provision.AccountUpdate{RootEmail: &freed})
	require.NoError(t, err, "the address of an account that was deleted is free")
}

func TestAnImportFindsARootEmailThatIsAnotherAccounts(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	foreign := account(1, provision.ModelSPAM)
	foreign.Provider = "other"
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(foreign.Pool))
	require.NoError(t, err)
	_, _, err = store.Accounts.Create(ctx, foreign, "test")
	require.NoError(t, err)
	createAccounts(t, store, provision.ModelSPAM, 2, 2)
	// with is the row of an account with the address of another one.
	with := func(i, address int, change func(string) string) string {
		return strings.Replace(csvRow(i), account(i, "").RootEmail, change(account(address, "").RootEmail), 1)
	}
	same := func(s string) string { return s }
	rows := with(3, 1, same) + // line 2: another provider's
		with(4, 2, strings.ToUpper) + // line 3: in stock, in other letters
		csvRow(2) + // line 4: as it is in stock
		csvRow(5) + with(6, 5, strings.ToUpper) + // lines 5 and 6
		csvRows(1001, 1600) + // more than a batch
		with(7, 5, same) + // line 607: the address of a row of an earlier batch
		csvRow(5) // line 608: the same account again
	want := []string{
		"2:root_email:6: " + provision.RootEmailTaken,
		"3:root_email:6: " + provision.RootEmailTaken,
		"6:root_email:6: this root e-mail is in line 5 of this file already: " +
			"AWS uses an address for the root user of one account only, regardless of case; correct one of the two rows",
		"607:root_email:6: this root e-mail is in line 5 of this file already: " +
			"AWS uses an address for the root user of one account only, regardless of case; correct one of the two rows",
		"608:account_id:1: account 000000000005 is in line 5 of this file already: keep one of the two rows",
	}
	for _, dryRun := range []bool{true, false} {
		i, messages := finish(t, store, createImport(t, store, rows, dryRun))
		require.Equal(t, want, messages, "dry run %t", dryRun)
		require.Equal(t, []int{601, 1, 5}, []int{i.Added, i.Unchanged, i.Faulty})
	}
	var accounts int
	require.NoError(t, db.Get(&accounts, `SELECT count(*) FROM accounts WHERE provider = 'acme'`))
	require.Equal(t, 602, accounts)
	_, messages := importRows(t, store, rows)
	require.Len(t, messages, len(want), "the same file again: %s", fmt.Sprint(messages))
}
