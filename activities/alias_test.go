package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

func TestAnAliasOfAnotherAccountIsRefused(t *testing.T) {
	t.Parallel()
	for _, attempt := range []int32{1, 2} {
		w := setup(t, func(from *initialState) { from.w.Request.AccountAlias = "taken-alias" })
		_, err := once(w, attempt, w.acts.SetAlias, w.work())
		failure := w.requireFailure(err, provision.CodeAliasTaken)
		require.Equal(t, "aws_account_alias", failure.Field)
		require.Equal(t, "taken-alias", failure.Value)
		require.Equal(t, "EntityAlreadyExists", failure.AWSCode)
		undone, err := run(w, w.acts.RestoreAlias, RestoreAlias{w.work(), "old-alias"})
		require.NoError(t, err)
		require.Empty(t, undone.Notes)
		w.requireRestored()
		other, _ := w.sim.Account(otherID)
		require.Equal(t, "taken-alias", other.Alias)
	}
}

func TestRestoreAlias(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, now string
		want        string
		notes       int
		leftover    string
	}{
		"ours over an earlier one":        {before: "old-alias", now: "alice-corp", want: "old-alias"},
		"ours over none":                  {before: "", now: "alice-corp", want: ""},
		"never set":                       {before: "old-alias", now: "old-alias", want: "old-alias"},
		"never set, none before":          {before: "", now: "", want: ""},
		"it was the account's own before": {before: "alice-corp", now: "alice-corp", want: "alice-corp"},
		"half undone":                     {before: "old-alias", now: "", want: "old-alias"},
		"someone else changed it": {before: "old-alias", now: "customers-own", want: "customers-own", notes: 1,
			leftover: "the account has an alias that is neither the earlier one nor the ordered one"},
		"someone else gave it one": {before: "", now: "customers-own", want: "customers-own", notes: 1,
			leftover: "the account has an alias that is neither the earlier one nor the ordered one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(from *initialState) { from.account.Alias = c.before })
			journal := provision.Journal{Alias: c.before, Contact: provision.Contact{
				FullName: "Pool Owner", AddressLine1: "1 Main St", AddressLine2: "Floor 2", City: "Seattle", StateOrRegion: "WA",
				PostalCode: "98101", CountryCode: "US", PhoneNumber: "+1 206 555 0100", CompanyName: "Distributor Inc"},
				AlternateContacts: map[string]provision.AlternateContact{"BILLING": {Name: "Old Billing", Title: "Clerk",
					Email: "old-billing@example.com", Phone: "+1 206 555 0101"}}}
			w.edit(func(a *awssim.Account) { a.Alias = c.now })
			for range 2 {
				undone, err := run(w, w.acts.RestoreAlias, RestoreAlias{w.work(), journal.Alias})
				require.NoError(t, err)
				require.Len(t, undone.Notes, c.notes)
				require.Equal(t, c.want, w.account().Alias)
			}
			verified, err := run(w, w.acts.CompareWithJournal, CompareWithJournal{Work: w.work(), Journal: journal})
			require.NoError(t, err)
			if c.leftover == "" {
				require.Empty(t, verified.Leftovers)
			} else {
				require.Equal(t, []string{c.leftover}, verified.Leftovers)
			}
		})
	}
}

func TestAnEarlierAliasThatWasTakenIsALeftover(t *testing.T) {
	t.Parallel()
	w := setup(t)
	d := w.mustDo()
	w.updateOther(func(a *awssim.Account) { a.Alias = "old-alias" })
	_, err := run(w, w.acts.RestoreAlias, RestoreAlias{w.work(), d.inspected.Journal.Alias})
	failure := w.requireFailure(err, provision.CodeResourceNotOurs)
	require.Contains(t, failure.Reason, "earlier alias")
	require.Equal(t, 1, w.effects("DeleteAccountAlias"))
	require.Empty(t, w.account().Alias)
	verified, err := run(w, w.acts.CompareWithJournal, CompareWithJournal{Work: w.work(), Journal: d.inspected.Journal})
	require.NoError(t, err)
	require.Contains(t, verified.Leftovers, "the account has no alias, but had one before the order")
}
