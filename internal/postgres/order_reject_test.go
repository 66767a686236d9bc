package postgres_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// ready adds accounts that orders may draw.
func (v verifier) ready(from, to int) {
	v.t.Helper()
	createAccounts(v.t, v.store, provision.ModelSPAM, from, to)
	v.sweep(nil)
}

// holds is the account that the order holds now; 0: none.
func (v verifier) holds(key provision.OrderKey) int {
	v.t.Helper()
	held := claim(v.t, v.store, key).Account
	if held == nil {
		return 0
	}
	i, err := strconv.Atoi(held.ID)
	require.NoError(v.t, err)
	return i
}

// refuse says that the order could not enter the account.
func (v verifier) refuse(key provision.OrderKey, i int) provision.Rejection {
	v.t.Helper()
	rejected, err := v.store.Orders.RejectAccount(v.ctx, key, account(i, "").ID, *dead, true)
	require.NoError(v.t, err)
	return rejected
}

// enter says that the order could enter the account that it holds.
func (v verifier) enter(key provision.OrderKey, i int) {
	v.t.Helper()
	require.NoError(v.t, pgtest.Err(v.store.Steps.Begin(v.ctx, key, account(i, "").ID, provision.StepInspect, 1)))
	require.NoError(v.t, v.store.Steps.End(v.ctx, key, account(i, "").ID, provision.StepInspect,
		provision.AttemptEnd{State: provision.StepDone}))
}

func (v verifier) suspended() (because string) {
	v.t.Helper()
	require.NoError(v.t, v.db.GetContext(v.ctx, &because, `SELECT claims_suspended_because FROM pools WHERE marketplace = 'north'`))
	return because
}

func (v verifier) open(id string) provision.OrderKey {
	v.t.Helper()
	return open(v.t, v.store, id, "")
}

func TestAnAccountThatCannotBeEnteredIsSetAsideAndComesBackByItself(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.ready(1, 1)
	key := v.open("o")
	require.Equal(t, 1, v.holds(key))
	for range 2 { // a repeat changes nothing and answers the same
		rejected := v.refuse(key, 1)
		require.Equal(t, provision.Rejection{Verify: true}, rejected)
	}
	a := v.account(1)
	require.Equal(t, provision.AccountInvalid, a.Status)
	require.Equal(t, "set aside: AccountCannotBeEntered: the role cannot be assumed (AWS answered AccessDenied); "+
		"back to Ready when its verification passes", a.Reason)
	require.True(t, a.ReadyWhenVerified)
	require.Zero(t, v.holds(key), "it waits")
	view, err := v.store.Orders.Get(v.ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, "0 of 1 accounts match: 1 waiting for verification", view.Waiting.Why)
	require.Empty(t, v.suspended(), "one account says nothing about us")

	_, looked := v.sweep(dead, 1)
	require.Equal(t, 1, looked, "it is looked at at once")
	require.WithinDuration(t, time.Now().Add(provision.VerifyFirstRetry), *v.account(1).VerifyAt, 10*time.Second,
		"and later and later while it cannot be entered")
	v.later(provision.VerifyFirstRetry)
	v.sweep(dead, 1)
	require.WithinDuration(t, time.Now().Add(2*provision.VerifyFirstRetry), *v.account(1).VerifyAt, 10*time.Second)

	v.later(2 * provision.VerifyFirstRetry)
	woken, _ := v.sweep(nil)
	require.Equal(t, []provision.OrderKey{key}, woken)
	require.Equal(t, 1, v.holds(key), "a pool with one account gives the same one again")
	events, err := v.store.Accounts.History(v.ctx, "acme", a.ID, 0, 10)
	require.NoError(t, err)
	var reasons []string
	for _, e := range events {
		reasons = append(reasons, string(e.ToStatus)+": "+e.Reason)
	}
	require.Equal(t, []string{
		"ready: ", "provisioning: ", "invalid: " + a.Reason,
		"invalid: AccountCannotBeEntered: the role cannot be assumed (AWS answered AccessDenied)", // of three failures alike
		"ready: verified; set aside by order o", "provisioning: ",
	}, reasons)
}

// The verification of such an account passes, and orders are refused all the same: it must not go round and round.
func TestAnAccountThatOnlyOrdersCannotEnterIsTriedLessAndLessOften(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.ready(1, 1)
	key := v.open("o")
	for n, wait := range []time.Duration{0, time.Minute, 2 * time.Minute, 4 * time.Minute} {
		require.Equal(t, 1, v.holds(key), n)
		require.Empty(t, v.refuse(key, 1).Suspended, "one account says nothing about us, however often it refuses")
		require.WithinDuration(t, time.Now().Add(wait), *v.account(1).VerifyAt, 10*time.Second)
		v.later(wait)
		v.sweep(nil)
	}
	v.refuse(key, 1)
	require.WithinDuration(t, time.Now().Add(8*time.Minute), *v.account(1).VerifyAt, 10*time.Second)
	v.ready(2, 3)
	unlucky := v.open("unlucky")
	require.Equal(t, 2, v.holds(key))
	v.enter(key, 2)
	require.Equal(t, 3, v.holds(unlucky))
	require.NotEmpty(t, v.refuse(unlucky, 3).Suspended, "2 of 3")
	require.WithinDuration(t, time.Now().Add(provision.VerifySuspended), *v.account(1).VerifyAt, 10*time.Second, "not at once, but soon")
	v.later(provision.VerifySuspended)
	v.sweep(nil)
	require.Equal(t, 1, v.holds(unlucky), "the oldest")
	_, err := v.store.Orders.RejectAccount(v.ctx, unlucky, account(1, "").ID,
		provision.Failure{Code: provision.CodeAccountSuspended, Reason: "x"}, false)
	require.NoError(t, err)
	var count int
	require.NoError(t, v.db.GetContext(v.ctx, &count, `SELECT set_aside_count FROM accounts WHERE id = '000000000001'`))
	require.Zero(t, count, "an order has entered it")
	require.False(t, v.account(1).ReadyWhenVerified)
}

func TestTwoRefusalsInARowSuspendTheClaimsUntilAnAccountCanBeEntered(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.ready(1, 3)
	unlucky, next := v.open("unlucky"), v.open("next")
	require.Equal(t, 1, v.holds(unlucky))
	require.Empty(t, v.refuse(unlucky, 1).Suspended)
	require.Equal(t, 2, v.holds(unlucky), "one refusal: the order takes the next account")
	want := "order unlucky could enter neither account 000000000001 nor account 000000000002 (AWS answered AccessDenied)"
	require.Equal(t, provision.Rejection{Verify: true, Suspended: want}, v.refuse(unlucky, 2))
	require.Equal(t, provision.Rejection{Verify: true}, v.refuse(unlucky, 2), "a repeat returns what is due and changes nothing")
	require.Equal(t, want, v.suspended())
	require.Equal(t, []string{"pool.claims_suspended"}, v.events(), "one event is emitted")
	require.Zero(t, v.holds(unlucky))
	require.Zero(t, v.holds(next), "account 3 is Ready, and no order gets it")
	require.Equal(t, provision.AccountReady, v.account(3).Status)

	view, err := v.store.Orders.Get(v.ctx, next.Tenant(), next.ID)
	require.NoError(t, err)
	require.Contains(t, view.Waiting.Why, "claims of the pool have been suspended since ")
	require.Contains(t, view.Waiting.Why, want)
	require.Contains(t, view.Waiting.Why, "check the service's own AWS identity and the roles of the pool's accounts")

	before := v.look(account(3, "").ID) // a look that began before says nothing about now
	v.db.MustExec(`UPDATE pools SET claims_suspended_at = clock_timestamp() + interval '1 millisecond'`)
	_, err = v.store.Verifications.Apply(v.ctx, []provision.VerificationResult{before})
	require.NoError(t, err)
	require.NotEmpty(t, v.suspended())
	v.db.MustExec(`UPDATE pools SET claims_suspended_at = now(); UPDATE accounts SET verify_at = now() WHERE status = 'ready'`)

	woken, looked := v.sweep(dead, 1, 2)
	require.Equal(t, 3, looked, "the Ready one is verified too, and passes")
	require.Equal(t, []provision.OrderKey{unlucky}, woken)
	require.Empty(t, v.suspended())
	require.Equal(t, []string{"pool.claims_suspended", "pool.claims_resumed"}, v.events())
	require.Equal(t, 3, v.holds(unlucky), "the order goes on by itself")
	v.enter(unlucky, 3)
	for i := 1; i <= 2; i++ {
		require.Equal(t, provision.AccountInvalid, v.account(i).Status)
		require.True(t, v.account(i).ReadyWhenVerified)
	}
}

// Our own role is broken: no account is lost by that, however often it is looked at, and all comes back by itself.
func TestABrokenRoleOfOursCostsNoAccount(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.ready(1, 3)
	key := v.open("o")
	for i := 1; i <= 2; i++ {
		require.Equal(t, i, v.holds(key))
		v.refuse(key, i)
	}
	require.NotEmpty(t, v.suspended())
	for range 6 {
		_, looked := v.sweep(dead, 1, 2, 3)
		require.Positive(t, looked)
		for i := 1; i <= 2; i++ {
			require.WithinRange(t, *v.account(i).VerifyAt,
				time.Now(), time.Now().Add(provision.VerifySuspended+time.Second), "account %d", i)
		}
		v.later(provision.VerifyAgainAfter)
	}
	require.Equal(t, provision.AccountReady, v.account(3).Status,
		"it failed more than twice, but nothing is judged while claims are suspended")
	require.NotEmpty(t, v.suspended())
	woken, _ := v.sweep(nil)
	require.Equal(t, []provision.OrderKey{key}, woken)
	require.Equal(t, 1, v.holds(key), "the oldest one again")
	for i := 1; i <= 3; i++ {
		require.NotEqual(t, provision.AccountInvalid, v.account(i).Status, "account %d", i)
	}
}

func TestHalfOfTheTriedAccountsSuspendTheClaims(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.ready(1, 12)
	keys := make([]provision.OrderKey, 7)
	for i := range keys {
		keys[i] = v.open(fmt.Sprint("o-", i+1))
		require.Equal(t, i+1, v.holds(keys[i]))
	}
	for i := range 3 {
		v.enter(keys[i], i+1)
	}
	require.Empty(t, v.refuse(keys[3], 4).Suspended)
	require.Empty(t, v.refuse(keys[4], 5).Suspended, "2 of 5: the other two have not said anything yet")
	require.Equal(t, "3 of the 6 accounts that orders tried within 10 minutes could not be entered, "+
		"account 000000000006 the last (AWS answered AccessDenied)", v.refuse(keys[5], 6).Suspended)
	require.Empty(t, v.refuse(keys[6], 7).Suspended, "they are suspended already")
	require.Equal(t, []string{"pool.claims_suspended"}, v.events())
	v.sweep(dead, 4, 5, 6, 7)
	require.Empty(t, v.suspended(), "a Ready one passed")

	require.Equal(t, 8, v.holds(keys[3]))
	require.Empty(t, v.refuse(keys[3], 8).Suspended, "what was refused before the claims were resumed does not count")
}

func TestRefusalsOfLongAgoDoNotSuspendTheClaims(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.ready(1, 4)
	first, second := v.open("first"), v.open("second")
	require.Equal(t, 1, v.holds(first))
	require.Equal(t, 2, v.holds(second))
	v.refuse(first, 1)
	v.db.MustExec(`UPDATE accounts
		SET claimed_at = claimed_at - interval '11 minutes', set_aside_at = set_aside_at - interval '11 minutes'`)
	require.Equal(t, 3, v.holds(first))
	v.enter(first, 3)
	require.Empty(t, v.refuse(second, 2).Suspended)

	require.Equal(t, 4, v.holds(second))
	_, err := v.store.Orders.RejectAccount(v.ctx, second, account(4, "").ID,
		provision.Failure{Code: provision.CodeAccountContactInvalid, Reason: "x"}, false)
	require.NoError(t, err)
	v.db.MustExec(`UPDATE accounts SET claimed_at = claimed_at - interval '11 minutes'`)
	v.ready(5, 5)
	require.Equal(t, 5, v.holds(second))
	require.Empty(t, v.refuse(second, 5).Suspended, "not in a row: it has entered account 4 in between")
}

// Orders that are refused at the same time suspend the claims once, and the order that decides sees the refusals of the others.
func TestOrdersThatAreRefusedAtOnceSuspendTheClaimsOnce(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	const orders = 8
	v.ready(1, 3*orders)
	keys := make([]provision.OrderKey, orders)
	for i := range keys {
		keys[i] = v.open(fmt.Sprint("o-", i))
		require.Equal(t, i+1, v.holds(keys[i]))
	}
	suspended := make([]string, orders)
	var race errgroup.Group
	for i, key := range keys {
		race.Go(func() error {
			rejected, err := v.store.Orders.RejectAccount(v.ctx, key, account(i+1, "").ID, *dead, true)
			suspended[i] = rejected.Suspended
			return err
		})
	}
	require.NoError(t, race.Wait())
	var told []string
	for _, because := range suspended {
		if because != "" {
			told = append(told, because)
		}
	}
	require.Len(t, told, 1)
	require.Equal(t, []string{"pool.claims_suspended"}, v.events())
	var holding int
	require.NoError(t, v.db.GetContext(v.ctx, &holding, `SELECT count(*) FROM orders WHERE state = 'provisioning'`))
	require.LessOrEqual(t, holding, 1, "the first one that was refused may have got the next account before the second was")
	v.sweep(dead, 1, 2, 3, 4, 5, 6, 7, 8)
	require.NoError(t, v.db.GetContext(v.ctx, &holding, `SELECT count(*) FROM orders WHERE state = 'provisioning'`))
	require.Equal(t, orders, holding, "all go on")
}

func TestAccountsThatAreAddedDuringASuspensionResumeTheClaims(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.ready(1, 2)
	key := v.open("o")
	for i := 1; i <= 2; i++ {
		require.Equal(t, i, v.holds(key))
		v.refuse(key, i)
	}
	v.sweep(dead, 1, 2)
	require.Empty(t, createAccounts(t, v.store, provision.ModelSPAM, 3, 3), "it is Ready, but claims are suspended")
	require.Zero(t, v.holds(key))
	v.add(4, 4)
	woken, _ := v.sweep(nil)
	require.Equal(t, []provision.OrderKey{key}, woken)
	require.Equal(t, 3, v.holds(key), "the oldest that is Ready")
}

// An order that has worked in its account, and then cannot enter it any more, asks; it tries again when the pool's
// claims are resumed.
func TestOrdersThatWaitBecauseTheyCannotEnterTheirAccountAreWokenToo(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.ready(1, 4)
	asks, other, unlucky := v.open("asks"), v.open("other"), v.open("unlucky")
	require.Equal(t, 1, v.holds(asks))
	require.Equal(t, 2, v.holds(other))
	require.NoError(t, v.store.Orders.RequireAction(v.ctx, asks,
		provision.Failure{Code: provision.CodeAccountCannotBeReentered, AWSCode: "AccessDenied", Reason: "x"}))
	require.NoError(t, v.store.Orders.RequireAction(v.ctx, other, provision.Failure{Code: provision.CodeAliasTaken, Reason: "x"}))
	for i := 3; i <= 4; i++ {
		require.Equal(t, i, v.holds(unlucky))
		v.refuse(unlucky, i)
	}
	woken, _ := v.sweep(nil)
	require.Equal(t, []provision.OrderKey{asks, unlucky}, woken)
}

// TestOrdersThatCannotReenterSuspendTheClaims: one such order may have a broken role; two make us suspect ourselves.
func TestOrdersThatCannotReenterSuspendTheClaims(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.ready(1, 3)
	first, second, third := v.open("first"), v.open("second"), v.open("third")
	require.Equal(t, 1, v.holds(first))
	require.Equal(t, 2, v.holds(second))
	refused := provision.Failure{Code: provision.CodeAccountCannotBeReentered, AWSCode: "AccessDenied", Reason: "x"}
	require.NoError(t, v.store.Orders.RequireAction(v.ctx, first, refused))
	require.NoError(t, v.store.Orders.RequireAction(v.ctx, first, refused))
	require.Empty(t, v.suspended(), "a repeat is no second order")
	require.NoError(t, v.store.Orders.RequireAction(v.ctx, second, refused))
	require.Equal(t, "2 orders cannot enter the accounts any more in which they have worked", v.suspended())
	require.Zero(t, v.holds(third))
	woken, _ := v.sweep(nil)
	require.Equal(t, []provision.OrderKey{first, second, third}, woken)
	require.Empty(t, v.suspended())
	require.Equal(t, 3, v.holds(third))
}

func TestAStoppedOrderSetsItsAccountAsideAndTakesNoOther(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.ready(1, 2)
	key := v.open("o")
	require.Equal(t, 1, v.holds(key))
	require.NoError(t, v.store.Orders.BeginUndo(v.ctx, key, provision.Failure{Code: provision.CodeOrderCancelled, Reason: "x"}))
	v.refuse(key, 1)
	require.True(t, v.account(1).ReadyWhenVerified)
	require.Equal(t, provision.AccountReady, v.account(2).Status)
}

func TestSettingsOfAPoolDoNotChangeWhenItsClaimsAreSuspended(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	before, err := v.store.Pools.Get(v.ctx, pool)
	require.NoError(t, err)
	v.ready(1, 2)
	key := v.open("o")
	for i := 1; i <= 2; i++ {
		require.Equal(t, i, v.holds(key))
		v.refuse(key, i)
	}
	now, err := v.store.Pools.Get(v.ctx, pool)
	require.NoError(t, err)
	require.NotNil(t, now.ClaimsSuspendedAt)
	require.Contains(t, now.ClaimsSuspendedBecause, "neither account")
	now.ClaimsSuspendedAt, now.ClaimsSuspendedBecause = nil, ""
	require.Equal(t, before, now, "above all its version, so that an edit at the same time is not refused")
	stock, err := v.store.Stock.Count(v.ctx, "acme")
	require.NoError(t, err)
	kind, reason := stock[0].Condition()
	require.Equal(t, provision.AlertEmpty, kind)
	require.Contains(t, reason, "orders get no account: ")
	require.Contains(t, reason, "neither account")
}
