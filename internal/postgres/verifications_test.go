package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// verifier adds accounts and judges them as the sweep does.
type verifier struct {
	t     *testing.T
	ctx   context.Context
	store *postgres.DB
	db    *sqlx.DB
}

func setupVerifier(t *testing.T) verifier {
	t.Helper()
	ctx, store, db := setup(t)
	return verifier{t, ctx, store, db}
}

// add adds accounts as the API does: not Ready.
func (v verifier) add(from, to int) {
	v.t.Helper()
	for i := from; i <= to; i++ {
		a := account(i, provision.ModelSPAM)
		a.Status = ""
		added, woken, err := v.store.Accounts.Create(v.ctx, a, "key k")
		require.NoError(v.t, err)
		require.Empty(v.t, woken)
		require.Equal(v.t, provision.AccountInvalid, added.Status)
		require.Equal(v.t, provision.AwaitsVerification, added.Reason)
	}
}

func (v verifier) account(i int) provision.Account {
	v.t.Helper()
	a, err := v.store.Accounts.Get(v.ctx, "acme", account(i, "").ID)
	require.NoError(v.t, err)
	return a
}

var dead = &provision.Failure{Code: provision.CodeAccountCannotBeEntered, AWSCode: "AccessDenied", Reason: "the role cannot be assumed"}

// sweep verifies what is due: those in dead do not pass.
func (v verifier) sweep(fail *provision.Failure, failing ...int) (woken []provision.OrderKey, looked int) {
	v.t.Helper()
	ids := map[string]bool{}
	for _, i := range failing {
		ids[account(i, "").ID] = true
	}
	for {
		due, err := v.store.Verifications.Due(v.ctx, 3)
		require.NoError(v.t, err)
		if len(due) == 0 {
			return woken, looked
		}
		looked += len(due)
		var results []provision.VerificationResult
		for _, id := range due {
			r := v.look(id)
			if ids[id] {
				r.Failure = fail
			}
			results = append(results, r)
		}
		for range 2 { // two sweeps at once: the second one's results do not count
			more, err := v.store.Verifications.Apply(v.ctx, results)
			require.NoError(v.t, err)
			woken = append(woken, more...)
		}
	}
}

// look is what the activity does before it asks AWS.
func (v verifier) look(id string) provision.VerificationResult {
	v.t.Helper()
	a, now, err := v.store.Verifications.Account(v.ctx, id)
	require.NoError(v.t, err)
	return provision.VerificationResult{AccountID: id, LookedAt: &now, Version: a.Version}
}

// later lets time pass, as far as verification is concerned.
func (v verifier) later(d time.Duration) {
	v.t.Helper()
	_, err := v.db.ExecContext(v.ctx,
		`UPDATE accounts
		SET verify_at = verify_at - $1 * interval '1 second', checked_at = checked_at - $1 * interval '1 second'`, d.Seconds())
	require.NoError(v.t, err)
}

func (v verifier) events() (types []string) {
	v.t.Helper()
	require.NoError(v.t, v.db.SelectContext(v.ctx, &types, `SELECT type FROM events WHERE type LIKE 'pool.%' ORDER BY seq`))
	return types
}

func TestAnAccountIsReadyOnlyWhenItIsVerified(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	key := open(t, v.store, "waits", "")
	require.Nil(t, claim(t, v.store, key).Account)
	v.add(1, 1)
	require.Nil(t, claim(t, v.store, key).Account, "what is not verified is not drawn")

	woken, _ := v.sweep(dead, 1)
	require.Empty(t, woken)
	a := v.account(1)
	require.Equal(t, provision.AccountInvalid, a.Status)
	require.Equal(t, "AccountCannotBeEntered: the role cannot be assumed (AWS answered AccessDenied)", a.Finding)
	require.WithinDuration(t, time.Now().Add(provision.VerifyFirstRetry), *a.VerifyAt, 10*time.Second, "its role may be on its way")

	v.later(provision.VerifyFirstRetry + time.Second)
	woken, _ = v.sweep(nil)
	require.Equal(t, []provision.OrderKey{key}, woken)
	a = v.account(1)
	require.Equal(t, provision.AccountProvisioning, a.Status)
	require.Nil(t, a.VerifyAt, "an account that an order works in is not verified")
	events, err := v.store.Accounts.History(v.ctx, "acme", a.ID, 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 4)
	require.Equal(t, "not-verified", events[1].Code)
	require.Equal(t, "verified; added by key k", events[2].Reason)
	require.Equal(t, provision.VerificationActor, events[2].Actor)
}

func TestThreeAccountsReleaseTheThreeOldestOrders(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	var keys []provision.OrderKey
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		keys = append(keys, open(t, v.store, id, ""))
		require.Nil(t, claim(t, v.store, keys[len(keys)-1]).Account)
	}
	v.add(1, 3)
	woken, _ := v.sweep(nil)
	require.Equal(t, keys[:3], woken)
	for i, key := range keys[:3] {
		require.Equal(t, account(i+1, "").ID, claim(t, v.store, key).Account.ID, "the order that waits longest gets the oldest account")
	}
	require.Equal(t, 1, place(t, v.store, keys[3]))
}

func TestTwoStrikesAndAReadyAccountIsInvalid(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 5)
	v.sweep(nil)
	require.Equal(t, provision.AccountReady, v.account(2).Status)
	v.later(2 * provision.VerifyEvery)
	_, looked := v.sweep(dead, 2)
	require.Equal(t, 5, looked, "one sweep looks at no account twice")
	require.Equal(t, provision.AccountReady, v.account(2).Status, "one strike")
	v.later(provision.VerifyAgainAfter + time.Second)
	v.sweep(dead, 2)
	a := v.account(2)
	require.Equal(t, provision.AccountInvalid, a.Status)
	require.Equal(t, "verification failed 2 times: AccountCannotBeEntered: "+
		"the role cannot be assumed (AWS answered AccessDenied)", a.Reason)
	require.Nil(t, a.VerifyAt)
	require.Empty(t, v.events())
	v.later(2 * provision.VerifyEvery)
	v.sweep(nil)
	require.Equal(t, provision.AccountInvalid, v.account(2).Status, "it does not come back by itself")
}

func TestAPassBetweenTwoStrikesClearsThem(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 5)
	v.sweep(nil)
	for range 3 {
		v.later(2 * provision.VerifyEvery)
		v.sweep(dead, 2)
		v.later(provision.VerifyAgainAfter + time.Second)
		v.sweep(nil)
	}
	require.Equal(t, provision.AccountReady, v.account(2).Status)
}

func TestAnOutageOverTheWholePoolInvalidatesNothing(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 6)
	v.sweep(nil)
	all := []int{1, 2, 3, 4, 5, 6}
	// Only one is due when it begins: the others are looked at because of its strike.
	_, err := v.db.ExecContext(v.ctx,
		`UPDATE accounts SET checked_at = now() - interval '1 hour', verify_at = CASE id WHEN '000000000003' THEN now() ELSE verify_at END`)
	require.NoError(t, err)
	_, looked := v.sweep(dead, all...)
	require.Equal(t, 6, looked)
	for range 5 {
		v.later(provision.VerifyAgainAfter + time.Second)
		v.sweep(dead, all...)
	}
	for _, i := range all {
		require.Equal(t, provision.AccountReady, v.account(i).Status)
	}
	require.Equal(t, []string{"pool.verification_suspended"}, v.events(), "said once")

	// The outage is over for all but one, which was dead all the time.
	v.later(provision.VerifyAgainAfter + time.Second)
	v.sweep(dead, 4)
	require.Equal(t, []string{"pool.verification_suspended", "pool.verification_resumed"}, v.events())
	v.later(provision.VerifyAgainAfter + time.Second)
	v.sweep(dead, 4)
	for _, i := range all {
		require.Equal(t, i == 4, v.account(i).Status == provision.AccountInvalid, i)
	}
}

func TestALookThatBeganBeforeItWasAskedForDoesNotCount(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 1)
	id := account(1, "").ID
	_, looked, err := v.store.Verifications.Account(v.ctx, id)
	require.NoError(t, err)
	_, _, err = v.store.Accounts.Verify(v.ctx, "key op", "acme", id, 0) // the role exists now: look
	require.NoError(t, err)
	_, err = v.store.Verifications.Apply(v.ctx, []provision.VerificationResult{{AccountID: id, Failure: dead, LookedAt: &looked}})
	require.NoError(t, err)
	due, err := v.store.Verifications.Due(v.ctx, 10)
	require.NoError(t, err)
	require.Equal(t, []string{id}, due)
	require.Empty(t, v.account(1).Finding)
}

func TestInconclusiveIsNoStrike(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 1)
	v.sweep(nil)
	for range 5 {
		v.later(2 * provision.VerifyEvery)
		_, err := v.store.Verifications.Apply(v.ctx, []provision.VerificationResult{{AccountID: account(1, "").ID, Inconclusive: true,
			Failure: &provision.Failure{Code: provision.CodeAWSUnavailable, Reason: "AWS did not answer"}}})
		require.NoError(t, err)
	}
	a := v.account(1)
	require.Equal(t, provision.AccountReady, a.Status)
	require.Contains(t, a.Finding, "AWS did not answer")
}

func TestOperatorsVerbsOnAnAccount(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 1)
	v.sweep(nil)
	id := account(1, "").ID
	ctx, store := v.ctx, v.store
	var forbidden *provision.StateError

	_, _, err := store.Accounts.Return(ctx, "key op", "acme", id, 0, "why")
	require.ErrorAs(t, err, &forbidden)
	require.Contains(t, forbidden.Reason, "is Ready: only an account that is Invalid or Provisioning failed can be returned to Ready")

	a, _, err := store.Accounts.Invalidate(ctx, "key op", "acme", id, 0, "an abuse report")
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, a.Status)
	require.Equal(t, "an abuse report", a.Reason)
	_, _, err = store.Accounts.Invalidate(ctx, "key op", "acme", id, 0, "again")
	require.ErrorAs(t, err, &forbidden)
	conn, err := v.db.Connx(ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = conn.ExecContext(ctx, `SELECT set_config('qm.actor', 'x', false)`)
	require.NoError(t, err)
	_, err = conn.ExecContext(ctx, `UPDATE accounts SET status = 'ready', reason = '' WHERE id = $1`, id)
	require.ErrorContains(t, err, "only by a verification that passes", "the database does not take anybody's word")

	stale := a.Version
	a, _, err = store.Accounts.Return(ctx, "key op", "acme", id, stale, "the report is closed")
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, a.Status, "not before it is verified")
	_, _, err = store.Accounts.Return(ctx, "key op", "acme", id, stale, "twice")
	require.ErrorIs(t, err, provision.ErrStale)
	v.sweep(dead, 1)
	require.Equal(t, provision.AccountInvalid, v.account(1).Status)
	v.later(provision.VerifyFirstRetry + time.Second)
	v.sweep(nil)
	require.Equal(t, provision.AccountReady, v.account(1).Status)

	role, name := "arn:aws:iam::"+id+":role/other", "renamed"
	a, _, err = store.Accounts.Update(ctx, "key op", "acme", id, v.account(1).Version, provision.AccountUpdate{Name: &name})
	require.NoError(t, err)
	require.Equal(t, provision.AccountReady, a.Status)
	a, _, err = store.Accounts.Update(ctx, "key op", "acme", id, a.Version, provision.AccountUpdate{RoleARN: &role})
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, a.Status, "another role is another way in: it is verified first")
	v.sweep(nil)
	a = v.account(1)
	require.Equal(t, provision.AccountReady, a.Status)
	require.Equal(t, name, a.Name)

	key := open(t, store, "o", "")
	require.NotNil(t, claim(t, store, key).Account)
	for verb, do := range map[string]func() error{
		"edited": func() error {
			_, _, err := store.Accounts.Update(ctx, "k", "acme", id, 0, provision.AccountUpdate{Name: &role})
			return err
		},
		"deleted":           func() error { return store.Accounts.Delete(ctx, "k", "acme", id, 0, "") },
		"made Invalid":      func() error { _, _, err := store.Accounts.Invalidate(ctx, "k", "acme", id, 0, "x"); return err },
		"returned to Ready": func() error { _, _, err := store.Accounts.Return(ctx, "k", "acme", id, 0, "x"); return err },
		"verified":          func() error { _, _, err := store.Accounts.Verify(ctx, "k", "acme", id, 0); return err },
	} {
		err := do()
		require.ErrorAs(t, err, &forbidden, verb)
		require.Contains(t, forbidden.Reason, "is Provisioning in progress: only an account that is")
		require.Contains(t, forbidden.Reason, verb)
	}
	_, err = store.Orders.Close(ctx,
		provision.OrderClosing{Order: key, State: provision.Failed, Failure: *dead, AccountID: id, Leftovers: []string{"a user"}})
	require.NoError(t, err)
	_, _, err = store.Accounts.Return(ctx, "key op", "acme", id, 0, "cleaned by hand")
	require.NoError(t, err)
	v.sweep(nil)
	a = v.account(1)
	require.Equal(t, provision.AccountReady, a.Status)
	require.Empty(t, a.OrderID)

	require.ErrorIs(t, store.Accounts.Delete(ctx, "key op", "other", id, 0, ""), provision.ErrNotFound)
	require.ErrorIs(t, store.Accounts.Delete(ctx, "key op", "acme", id, 1, ""), provision.ErrStale)
	require.NoError(t, store.Accounts.Delete(ctx, "key op", "acme", id, a.Version, ""))
	_, err = store.Accounts.Get(ctx, "acme", id)
	require.ErrorIs(t, err, provision.ErrNotFound)
	events, err := store.Accounts.History(ctx, "acme", id, 0, 100)
	require.NoError(t, err)
	require.Equal(t, provision.AccountDeleted, events[len(events)-1].ToStatus)
	page, err := store.Accounts.History(ctx, "acme", id, events[2].Seq, 2)
	require.NoError(t, err)
	require.Equal(t, events[3:5], page)
	_, err = store.Accounts.History(ctx, "other", id, 0, 100)
	require.ErrorIs(t, err, provision.ErrNotFound)
}
