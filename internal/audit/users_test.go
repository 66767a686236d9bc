package audit_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/audit"
	"quartermaster/internal/provision"
)

// cloudFake knows which users there are, as account/name/order.
type cloudFake struct {
	mu      sync.Mutex
	users   map[string]bool
	problem map[string]string // by account
	down    error
	asked   []string
}

func (c *cloudFake) HasUser(_ context.Context, account provision.Account, name string, order provision.OrderKey, nonce string) (bool, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if nonce == "" || account.RoleARN == "" || account.ExternalID == "" {
		return false, "", errors.New("the account cannot be entered with this")
	}
	user := account.ID + "/" + name + "/" + order.ID
	c.asked = append(c.asked, user)
	return c.users[user], c.problem[account.ID], c.down
}

func TestAccountsAreComparedWithAWS(t *testing.T) {
	t.Parallel()
	w := setup(t)
	// An order that was corrected before it failed: account 5 is Ready again.
	w.place("renamed", "")
	corrected := order("renamed", "").Request
	corrected.IAMUserName = "customer-2"
	require.NoError(t, w.store.Correct(t.Context(), key("renamed"), corrected, provision.Action{Actor: "shop"}))
	_, err := w.store.CloseOrder(t.Context(), provision.Closing{Order: key("renamed"), State: provision.Failed,
		Failure: provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}, AccountID: account(5)})
	require.NoError(t, err)

	find := func(cloud *cloudFake) []string {
		t.Helper()
		found, err := audit.FindUsers(t.Context(), w.store, cloud)
		require.NoError(t, err)
		return shorten(t, found)
	}
	done := account(1) + "/customer/done"
	right := &cloudFake{users: map[string]bool{done: true}}
	require.Empty(t, find(right))
	require.ElementsMatch(t, []string{done, account(5) + "/customer/renamed", account(5) + "/customer-2/renamed"}, right.asked,
		"account 1 was another order's before, but is Allocated now")

	require.Equal(t, []string{"iam_user_missing done"}, find(&cloudFake{}))
	require.Equal(t, []string{"iam_user_left renamed"}, find(&cloudFake{users: map[string]bool{done: true, account(5) + "/customer/renamed": true}}))
	require.Equal(t, []string{"account_cannot_be_checked done"}, find(&cloudFake{problem: map[string]string{account(1): "the account cannot be entered (AccessDenied)"}}))

	down := &cloudFake{down: errors.New("no route")}
	_, err = audit.FindUsers(t.Context(), w.store, down)
	require.ErrorIs(t, err, down.down)
}

// Several orders of one account on the border of a page: none is left out.
func TestExpectedUsersArePagedByAccountAndOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, id := range []string{"a", "b", "c"} {
		w.place(id, "") // each takes account 5
		_, err := w.store.CloseOrder(t.Context(), provision.Closing{Order: key(id), State: provision.Failed,
			Failure: provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}, AccountID: account(5)})
		require.NoError(t, err)
	}
	var got []string
	var after audit.ExpectedUser
	for {
		page, err := w.store.ExpectedUsers(t.Context(), after.Account.ID, after.Order.ID, 1)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		after = page[0]
		got = append(got, after.Account.ID+"/"+after.Order.ID)
	}
	require.Equal(t, []string{account(1) + "/done", account(5) + "/a", account(5) + "/b", account(5) + "/c"}, got)
}
