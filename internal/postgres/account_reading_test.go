package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// found lists the accounts that match, by the last digits of their ids.
func accountsFound(t *testing.T, store *postgres.DB, f provision.AccountFilter) (ids []string) {
	t.Helper()
	f.Limit = 100
	accounts, err := store.Accounts.List(t.Context(), "acme", f)
	require.NoError(t, err)
	for _, a := range accounts {
		ids = append(ids, a.ID[9:])
	}
	return ids
}

func TestASearchFindsAccountsByIDWordsAndOrder(t *testing.T) {
	t.Parallel()
	_, store, _ := setup(t)
	for i, named := range []struct{ name, email string }{
		{"Pool 42-b", "aws+1@nordic.example"}, {"Pool 7", "aws+42@provider.example"}, {"Écran Δelta", "x_y@provider.example"},
	} {
		a := account(i+1, provision.ModelSPAM)
		a.Name, a.RootEmail = named.name, named.email
		_, _, err := store.Accounts.Create(t.Context(), a, "test")
		require.NoError(t, err)
	}
	foreign := account(4, provision.ModelSPAM)
	foreign.Provider = "other"
	_, err := store.Pools.Create(t.Context(), "test", provision.DefaultPool(foreign.Pool))
	require.NoError(t, err)
	_, _, err = store.Accounts.Create(t.Context(), foreign, "test")
	require.NoError(t, err)
	key := open(t, store, "MP-9", "")
	require.Equal(t, account1, claim(t, store, key).Account.ID)

	for text, want := range map[string][]string{
		"pool":                    {"001", "002"},
		"POOL 42":                 {"001", "002"}, // the second one by its e-mail address
		"42-b":                    {"001"},
		"42@provider":             {"002"},
		"aws+42@provider.example": {"002"},
		"example":                 {"001", "002", "003"},
		"écr δel":                 {"003"},
		"x_y":                     {"003"},
		"ool":                     nil, // no word begins with it
		"000000000002":            {"002"},
		"00000000000":             {"001", "002", "003"},
		"MP-9":                    {"001"},
		"MP-":                     nil,
		"4":                       {"001", "002"}, // words, and no id
		"+++":                     nil,
		"' | !x:*":                {"003"}, // one word, and no operators
	} {
		require.Equal(t, want, accountsFound(t, store, provision.AccountFilter{Search: text}), text)
	}
	require.Equal(t, []string{"002"}, accountsFound(t, store,
		provision.AccountFilter{Search: "pool", Statuses: []provision.AccountStatus{provision.AccountReady}}))
	require.Empty(t, accountsFound(t, store, provision.AccountFilter{Search: "pool", Marketplace: "south"}))

	first, err := store.Accounts.List(t.Context(), "acme", provision.AccountFilter{Search: "example", Limit: 2})
	require.NoError(t, err)
	require.Len(t, first, 2)
	next := &provision.AccountCursor{AddedAt: first[1].AddedAt, ID: first[1].ID}
	require.Equal(t, []string{"003"}, accountsFound(t, store, provision.AccountFilter{Search: "example", After: next}))
}

func TestAccountsAreFilteredAndCountedByVerification(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 3)
	v.sweep(dead, 2)
	_, _, err := v.store.Accounts.Invalidate(v.ctx, "test", "acme", account(3, "").ID, 0, "closed")
	require.NoError(t, err)
	yes, no := true, false

	require.Equal(t, []string{"002"}, accountsFound(t, v.store, provision.AccountFilter{Awaiting: &yes}))
	require.Equal(t, []string{"001", "003"}, accountsFound(t, v.store, provision.AccountFilter{Awaiting: &no}))
	require.Equal(t, []string{"002"}, accountsFound(t, v.store, provision.AccountFilter{HasFinding: &yes, Marketplace: "north"}))
	require.Equal(t, []string{"001", "003"}, accountsFound(t, v.store, provision.AccountFilter{HasFinding: &no, Marketplace: "north"}))
	require.Empty(t, accountsFound(t, v.store, provision.AccountFilter{HasFinding: &yes, Awaiting: &no}))

	want := provision.AccountCounts{Ready: 1, Invalid: 2, Awaiting: 1, HasFinding: 1}
	for name, of := range map[string]provision.AccountFilter{
		"all": {}, "pool": {Marketplace: "north", Environment: provision.Production}, "model": {Model: provision.ModelSPAM},
	} {
		counts, err := v.store.Accounts.Counts(v.ctx, "acme", of)
		require.NoError(t, err)
		require.Equal(t, want, counts, name)
		require.Equal(t, 3, counts.All())
	}
	for name, of := range map[string]provision.AccountFilter{"pool": {Environment: provision.Test}, "model": {Model: provision.ModelECAM}} {
		counts, err := v.store.Accounts.Counts(v.ctx, "acme", of)
		require.NoError(t, err)
		require.Zero(t, counts, name)
	}
	others, err := v.store.Accounts.Counts(v.ctx, "other", provision.AccountFilter{})
	require.NoError(t, err)
	require.Zero(t, others)
}

func TestThePlaceInLineIsThatOfTheClaims(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	createAccounts(t, store, provision.ModelECAM, 3, 3)
	createAccounts(t, store, provision.ModelSPAM, 4, 4)
	places := func() (places []int) {
		for i := 1; i <= 4; i++ {
			place, err := store.Accounts.Place(ctx, "acme", account(i, "").ID)
			require.NoError(t, err)
			places = append(places, place)
		}
		return places
	}
	require.Equal(t, []int{1, 2, 1, 3}, places())
	claim(t, store, open(t, store, "o", provision.ModelSPAM))
	require.Equal(t, []int{0, 1, 1, 2}, places(), "an account that an order holds has no place")
	foreign, err := store.Accounts.Place(ctx, "other", account(2, "").ID)
	require.NoError(t, err)
	require.Zero(t, foreign)
}

func TestTheChecksOfTheLastVerificationAreKept(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 1)
	id := account(1, "").ID
	checks := func() provision.AccountChecks {
		found, err := v.store.Accounts.Checks(v.ctx, "acme", id)
		require.NoError(t, err)
		return found
	}
	apply := func(failure *provision.Failure, inconclusive bool, made ...provision.AccountCheck) provision.VerificationResult {
		result := v.look(id)
		result.Failure, result.Inconclusive, result.Checks = failure, inconclusive, made
		require.NoError(t, pgtest.Err(v.store.Verifications.Apply(v.ctx, []provision.VerificationResult{result})))
		v.later(provision.VerifyLongestRetry)
		return result
	}
	require.Equal(t, provision.AccountChecks{}, checks(), "it was not verified yet")

	at := time.Now().UTC().Truncate(time.Millisecond)
	entered := provision.AccountCheck{Name: provision.CheckRole, Outcome: provision.CheckFailed, Found: "refused", At: &at}
	clean := provision.AccountCheck{Name: provision.CheckClean, Outcome: provision.CheckNotReached}
	failed := apply(dead, false, entered, clean)
	now := checks()
	require.WithinDuration(t, *failed.LookedAt, *now.CheckedAt, 0)
	require.False(t, now.Passed)
	require.Equal(t, []provision.AccountCheck{entered, clean}, now.Checks)

	apply(dead, true, clean)
	require.Equal(t, now, checks(), "an inconclusive verification says nothing about the account")

	clean.Outcome = provision.CheckPassed
	apply(nil, false, clean)
	require.True(t, checks().Passed)
	require.Equal(t, []provision.AccountCheck{clean}, checks().Checks)

	_, err := v.store.Accounts.Checks(v.ctx, "other", id)
	require.ErrorIs(t, err, provision.ErrNotFound)
	require.NoError(t, v.store.Accounts.Delete(v.ctx, "test", "acme", id, 0, ""))
	_, err = v.store.Accounts.Checks(v.ctx, "acme", id)
	require.ErrorIs(t, err, provision.ErrNotFound)
}

func TestTheChangesOfAnAccountShowEachOrder(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	step := func(key provision.OrderKey, step provision.Step) {
		require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, step, 1)))
		require.NoError(t, store.Steps.End(ctx, key, account1, step, provision.AttemptEnd{State: provision.StepDone}))
	}
	undo := func(key provision.OrderKey, step provision.Step) {
		_, _, err := store.Steps.BeginUndo(ctx, key, account1, step, time.Minute)
		require.NoError(t, err)
		require.NoError(t, store.Steps.End(ctx, key, account1, step, provision.AttemptEnd{State: provision.StepUndone}))
	}
	inspect := func(key provision.OrderKey, seen provision.AccountSeen) {
		require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepInspect, 1)))
		require.NoError(t, store.Steps.End(ctx, key, account1, provision.StepInspect, provision.AttemptEnd{State: provision.StepDone,
			Seen: &seen}))
	}
	changes, err := store.Accounts.Changes(ctx, "acme", account1, nil, 10)
	require.NoError(t, err)
	require.Empty(t, changes)

	undone := open(t, store, "undone", "")
	claim(t, store, undone)
	inspect(undone, provision.AccountSeen{Alias: "old-alias", Contacts: []string{"BILLING"}})
	inspect(undone, provision.AccountSeen{Alias: "alias-undone"}) // a repeat sees what the order has set
	step(undone, provision.StepAlias)
	step(undone, provision.StepContacts)
	require.NoError(t, store.Orders.BeginUndo(ctx, undone, cancelled))
	undo(undone, provision.StepAlias)
	undo(undone, provision.StepReport) // it never began
	require.NoError(t, pgtest.Err(store.Orders.Close(ctx, provision.OrderClosing{Order: undone, AccountID: account1,
		State: provision.Cancelled, Failure: cancelled})))

	done := open(t, store, "done", "")
	claim(t, store, done)
	for _, s := range []provision.Step{provision.StepUser, provision.StepReport, provision.StepSignIn} {
		step(done, s)
	}
	require.NoError(t, store.Orders.Allocate(ctx, done, account1, provision.Result{AccountID: account1,
		Report: provision.Report{Name: "mp-cur-1", Bucket: "mp-cur-b"}}))

	changes, err = store.Accounts.Changes(ctx, "acme", account1, nil, 10)
	require.NoError(t, err)
	type line struct {
		order, what, state, before, after string
		back                              bool
	}
	lines := make([]line, len(changes))
	for i, c := range changes {
		lines[i] = line{c.OrderID, string(c.Step), string(c.State), c.Before, c.After, c.PutBackAt != nil}
	}
	require.Equal(t, []line{
		{"done", "sign_in", "done", "", "a password that must be changed (not shown)", false},
		{"done", "cost_report", "done", "", "mp-cur-1 in bucket mp-cur-b", false},
		{"done", "iam_user", "done", "", "customer", false},
		{"undone", "contacts", "done", "PRIMARY (not shown)", "PRIMARY (not shown)", false},
		{"undone", "account_alias", "undone", "old-alias", "alias-undone", true},
	}, lines)

	after := changes[1].AccountChangeCursor
	rest, err := store.Accounts.Changes(ctx, "acme", account1, &after, 2)
	require.NoError(t, err)
	require.Equal(t, changes[2:4], rest)
	_, err = store.Accounts.Changes(ctx, "other", account1, nil, 10)
	require.ErrorIs(t, err, provision.ErrNotFound)
}

func TestHistoriesShowTheReasonsOfDeletionsAndRevocations(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	require.NoError(t, store.Accounts.Delete(ctx, "jane", "acme", account1, 0, "closed in AWS"))
	require.NoError(t, store.Accounts.Delete(ctx, "jane", "acme", account(2, "").ID, 0, ""))
	require.NoError(t, pgtest.Err(store.ProtectedAccounts.Protect(ctx, "jane", "acme", "999988887777", "payer")))
	require.NoError(t, store.ProtectedAccounts.Release(ctx, "jane", "acme", "999988887777", "sold"))
	require.NoError(t, pgtest.Err(store.APIKeys.Create(ctx, "jane", apiKey("k", provision.RoleViewer))))
	require.NoError(t, pgtest.Err(store.APIKeys.Revoke(ctx, "jane", "acme", "k", "the shop is gone", false)))
	const hook = "7f9c0f0e-4a51-4f6e-9d0b-2f8c8a2f6b10"
	key := provision.WebhookKey{Provider: "acme", ID: hook}
	require.NoError(t, pgtest.Err(store.Webhooks.Create(ctx, "jane", provision.Webhook{ID: hook, Provider: "acme",
		URL: "https://hooks.example.com/"}, []byte("sealed"))))
	disabled, url := false, "https://hooks.example.com/2"
	require.NoError(t, pgtest.Err(store.Webhooks.Update(ctx, "jane", key, 0, provision.WebhookUpdate{URL: &url, Enabled: &disabled,
		Reason: "too slow"})))
	require.NoError(t, store.Webhooks.Delete(ctx, "jane", key, 0, "replaced"))

	entries, err := store.History.List(ctx, provision.Tenant{Provider: "acme"}, provision.HistoryFilter{Actor: "jane", Limit: 50,
		Kinds: []provision.HistoryKind{provision.HistoryOfAccounts, provision.HistoryOfAccess}})
	require.NoError(t, err)
	why := map[string]string{}
	for _, e := range entries {
		why[e.Code+" "+e.AccountID+e.KeyID+e.WebhookID] = e.Reason
	}
	require.Equal(t, map[string]string{
		"delete 000000000001":      "deleted: closed in AWS",
		"delete 000000000002":      "deleted",
		"protected 999988887777":   "payer",
		"unprotected 999988887777": "sold",
		"created k":                "role viewer",
		"revoked k":                "the shop is gone",
		"webhook_created " + hook:  "",
		"webhook_changed " + hook:  "url, disabled: too slow",
		"webhook_deleted " + hook:  "replaced",
	}, why)
}
