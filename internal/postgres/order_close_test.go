package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/provision"
)

func TestReleaseGivesTheAccountToTheNextInTheQueue(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	first, second := open(t, store, "first", ""), open(t, store, "second", "")
	claim(t, store, first)
	claim(t, store, second)
	closing := provision.OrderClosing{Order: first, State: provision.Failed, AccountID: "000000000001",
		Failure: provision.Failure{Code: provision.CodeAliasTaken, Field: "aws_account_alias", Value: "alias-first", Reason: "taken"}}
	woken, err := store.Orders.Close(ctx, closing)
	require.NoError(t, err)
	require.Equal(t, []provision.OrderKey{second}, woken)
	woken, err = store.Orders.Close(ctx, closing)
	require.NoError(t, err, "a repeat changes nothing")
	require.Empty(t, woken)

	events, err := store.Accounts.History(ctx, "acme", "000000000001", 0, 10)
	require.NoError(t, err)
	for i := range events {
		require.Positive(t, events[i].Seq)
		require.WithinDuration(t, time.Now(), events[i].At, time.Minute)
		events[i].Seq, events[i].At = 0, time.Time{}
	}
	require.Equal(t, []provision.AccountHistoryEntry{
		{Actor: "test", ToStatus: "ready"},
		{Actor: "order acme/first", FromStatus: "ready", ToStatus: "provisioning", OrderID: "first"},
		{
			Actor: "order acme/first", FromStatus: "provisioning", ToStatus: "ready",
			Reason: "returned clean by order first", OrderID: "first",
		},
		{Actor: "order acme/first", FromStatus: "ready", ToStatus: "provisioning", OrderID: "second"},
	}, events)
}

func TestLeftoversAndParkingKeepTheAccountOutOfThePool(t *testing.T) {
	t.Parallel()
	for name, closing := range map[string]provision.OrderClosing{
		"leftovers": {Leftovers: []string{"the IAM user is still there"}},
		"park":      {OnFailure: provision.OnFailurePark},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, store, _ := setup(t)
			createAccounts(t, store, provision.ModelSPAM, 1, 1)
			closing.Order, closing.State = open(t, store, "o", ""), provision.Failed
			closing.Failure = provision.Failure{Code: provision.CodeQuotaReached, Reason: "five reports"}
			claim(t, store, closing.Order)
			_, err := store.Orders.Close(ctx, closing)
			require.NoError(t, err)
			a, err := store.Accounts.Get(ctx, "acme", "000000000001")
			require.NoError(t, err)
			require.Equal(t, provision.AccountProvisioningFailed, a.Status)
			require.NotEmpty(t, a.Reason)
			view, err := store.Orders.Get(ctx, closing.Order.Tenant(), closing.Order.ID)
			require.NoError(t, err)
			require.Equal(t, provision.Failed, view.State)
			require.Equal(t, a.ID, view.AccountID)
			require.Len(t, view.Leftovers, len(closing.Leftovers))
		})
	}
}

func TestAnUnusableAccountIsInvalidAndTheOrderKeepsItsPlace(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	first, second := open(t, store, "first", ""), open(t, store, "second", "")
	claim(t, store, first)
	claim(t, store, second)
	_, err := store.Orders.RejectAccount(ctx, first, "000000000001",
		provision.Failure{Code: provision.CodeAccountCannotBeEntered, AWSCode: "AccessDenied", Reason: "the role cannot be assumed"}, false)
	require.NoError(t, err)
	_, err = store.Orders.RejectAccount(ctx, first, "000000000001",
		provision.Failure{Code: provision.CodeAccountCannotBeEntered, Reason: "AccessDenied"}, false)
	require.NoError(t, err, "a repeat changes nothing")
	require.Equal(t, 1, place(t, store, first), "the order is ahead of the one that came later")
	require.Equal(t, []provision.OrderKey{first}, createAccounts(t, store, provision.ModelSPAM, 2, 2))
	a, err := store.Accounts.Get(ctx, "acme", "000000000001")
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, a.Status)
	require.Contains(t, a.Reason, "AWS answered AccessDenied")
}

func TestAllocateIsOneTransactionAndRepeatable(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelECAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	sealed, err := store.Passwords.Keep(ctx, key, "000000000001", []byte("first"))
	require.NoError(t, err)
	require.Equal(t, "first", string(sealed))
	sealed, err = store.Passwords.Keep(ctx, key, "000000000001", []byte("second"))
	require.NoError(t, err)
	require.Equal(t, "first", string(sealed), "a repeat gets the kept one")

	result := provision.Result{AccountID: "000000000001", IAMUserName: "customer", SignInURL: "https://a.signin.aws.amazon.com/console/"}
	require.NoError(t, store.Orders.Allocate(ctx, key, "000000000001", result))
	require.NoError(t, store.Orders.Allocate(ctx, key, "000000000001", result))
	view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, view.State)
	require.Equal(t, &result, view.Result)
	require.WithinDuration(t, time.Now().Add(provision.PasswordLifetime), view.Password.Link.ExpiresAt, time.Minute)

	_, err = store.Orders.Close(ctx,
		provision.OrderClosing{Order: key, State: provision.Cancelled,
			Failure: provision.Failure{Code: provision.CodeOrderCancelled, Reason: "x"}})
	require.NoError(t, err)
	view, err = store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, view.State, "there is no way back past Allocate")

	// What cannot be opened is not used up.
	broken := errors.New("no such key")
	fails := func(provision.RevealedPassword) error { return broken }
	require.ErrorIs(t, store.Passwords.Reveal(ctx, view.Password.Link.ID, "x", fails), broken)

	// Many readers at once: one gets the password.
	var mu sync.Mutex
	revealed, gone := 0, 0
	var race errgroup.Group
	for range 8 {
		race.Go(func() error {
			var secret provision.RevealedPassword
			err := store.Passwords.Reveal(ctx, view.Password.Link.ID, "192.0.2.1", func(r provision.RevealedPassword) error {
				secret = r
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				gone++
				return nil
			}
			revealed++
			if string(secret.Sealed) != "first" || secret.UserName != "customer" {
				return fmt.Errorf("revealed %q for %q", secret.Sealed, secret.UserName)
			}
			return nil
		})
	}
	require.NoError(t, race.Wait())
	require.Equal(t, 1, revealed)
	require.Equal(t, 7, gone)
	never := func(provision.RevealedPassword) error { return errors.New("opened") }
	require.ErrorIs(t, store.Passwords.Reveal(ctx, view.Password.Link.ID, "x", never), provision.ErrGone)
	require.ErrorIs(t, store.Passwords.Reveal(ctx, "00000000-0000-0000-0000-000000000000", "x", never), provision.ErrNotFound)
}

func TestAllocateNeedsTheAccountAndAnOrderInProgress(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	key, other := open(t, store, "o", ""), open(t, store, "p", "")
	result := provision.Result{AccountID: account1}
	refusedAs(t, store.Orders.Allocate(ctx, key, account1, result), provision.CodeOrderNotInProgress)
	claim(t, store, key)
	claim(t, store, other)
	refusedAs(t, store.Orders.Allocate(ctx, other, account1, result), provision.CodeOrderNotInProgress)
	require.NoError(t, store.Orders.RequireAction(ctx, key, why))
	refusedAs(t, store.Orders.Allocate(ctx, key, account1, result), provision.CodeOrderNotInProgress)
	require.NoError(t, store.Orders.Resume(ctx, key))
	require.NoError(t, store.Orders.Allocate(ctx, key, account1, result))
	require.NoError(t, store.Orders.Allocate(ctx, key, account1, result), "a repeat changes nothing")
	refusedAs(t, store.Orders.Allocate(ctx, key, account2, result), provision.CodeOrderNotInProgress)
	require.NoError(t, store.Orders.BeginUndo(ctx, other, why))
	refusedAs(t, store.Orders.Allocate(ctx, other, account2, result), provision.CodeOrderNotInProgress)
}
