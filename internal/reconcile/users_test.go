package reconcile_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

// cloudFake knows which users there are, as account/name/order.
type cloudFake struct {
	mu      sync.Mutex
	users   map[string]bool
	problem map[string]string // by account
	down    error
	asked   []string
	shows   []reconcile.Written // what one look after the other shows; the last one again and again
	entered bool                // the customer has signed in
}

func (c *cloudFake) Written(context.Context, provision.Account, string) (now reconcile.Written, customers bool, problem string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.shows) == 0 {
		return reconcile.Written{Alias: "alias-done", ContactName: "Jane Roe"}, c.entered, "", nil
	}
	now = c.shows[0]
	c.shows = c.shows[min(1, len(c.shows)-1):]
	return now, c.entered, "", nil
}

func (c *cloudFake) HasUser(
	_ context.Context, account provision.Account, name string, order provision.OrderKey, nonce string,
) (bool, string, error) {
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
	require.NoError(t, w.store.Orders.Correct(t.Context(), key("renamed"), corrected, provision.Intervention{Actor: "shop"}))
	_, err := w.store.Orders.Close(t.Context(), provision.OrderClosing{Order: key("renamed"), State: provision.Failed,
		Failure: provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}, AccountID: account(5)})
	require.NoError(t, err)

	find := func(cloud *cloudFake) []string {
		t.Helper()
		found, err := reconcile.FindUsers(t.Context(), w.store.Reconciliation, cloud)
		require.NoError(t, err)
		return shorten(t, found)
	}
	done := account(1) + "/customer/done"
	right := &cloudFake{users: map[string]bool{done: true}}
	require.Empty(t, find(right))
	require.ElementsMatch(t, []string{done, account(5) + "/customer/renamed", account(5) + "/customer-2/renamed"}, right.asked,
		"account 1 was another order's before, but is Allocated now")

	require.Equal(t, []string{"iam_user_missing done"}, find(&cloudFake{}))
	left := &cloudFake{users: map[string]bool{done: true, account(5) + "/customer/renamed": true}}
	require.Equal(t, []string{"iam_user_left renamed"}, find(left))
	denied := &cloudFake{problem: map[string]string{account(1): "the account cannot be entered (AccessDenied)"}}
	require.Equal(t, []string{"account_cannot_be_checked done"}, find(denied))

	down := &cloudFake{down: errors.New("no route")}
	_, err = reconcile.FindUsers(t.Context(), w.store.Reconciliation, down)
	require.ErrorIs(t, err, down.down)
}

// What an order wrote is compared until the customer has signed in. The findings say what differs and nothing of its content.
func TestWhatAnOrderWroteIsComparedWithAWS(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.violate(`UPDATE orders SET result = result || '{"account_alias": "alias-done"}',
		request = request || '{"aws_alternate_contact": {"name": "Bob", "email": "bob@customer.example", "phone": "+1 2", "title": "CFO"}}',
		settings = '{"alternate_contact_types": ["BILLING", "SECURITY"]}' WHERE id = 'done'`)
	bob := provision.AlternateContact{Name: "Bob", Email: "bob@customer.example", Phone: "+1 2", Title: "CFO"}
	right := func() reconcile.Written {
		return reconcile.Written{
			Alias:       "alias-done",
			ContactName: "Jane Roe",
			Alternates: map[string]provision.AlternateContact{
				"BILLING":    bob,
				"SECURITY":   bob,
				"OPERATIONS": {Name: "Pool"},
			},
		}
	}
	wrong := func(change func(*reconcile.Written)) reconcile.Written {
		now := right()
		change(&now)
		return now
	}
	users := map[string]bool{account(1) + "/customer/done": true}
	otherAlias := wrong(func(now *reconcile.Written) { now.Alias = "eve-corp" })
	for name, c := range map[string]struct {
		shows   []reconcile.Written
		entered bool
		found   []string
		what    string
	}{
		"as written": {[]reconcile.Written{right()}, false, nil, ""},
		"another alias": {
			[]reconcile.Written{otherAlias},
			false, []string{"alias_differs done"}, "the alias of the account is not that of its order",
		},
		"no alias": {
			[]reconcile.Written{wrong(func(now *reconcile.Written) { now.Alias = "" })},
			false, []string{"alias_differs done"}, "the alias",
		},
		"another name": {
			[]reconcile.Written{wrong(func(now *reconcile.Written) { now.ContactName = "Eve" })},
			false, []string{"contact_differs done"}, "the name in the primary contact",
		},
		"another title": {[]reconcile.Written{wrong(func(now *reconcile.Written) {
			now.Alternates["SECURITY"] = provision.AlternateContact{Name: "Bob", Email: bob.Email, Phone: bob.Phone, Title: "CTO"}
		})}, false, []string{"contact_differs done"}, "the SECURITY contact"},
		"no contact": {
			[]reconcile.Written{wrong(func(now *reconcile.Written) { delete(now.Alternates, "BILLING") })},
			false, []string{"contact_differs done"}, "the BILLING contact",
		},
		"not shown yet":              {[]reconcile.Written{otherAlias, right()}, false, nil, ""},
		"the customer has signed in": {[]reconcile.Written{otherAlias}, true, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := &cloudFake{users: users, shows: c.shows, entered: c.entered}
			found, err := reconcile.FindUsers(t.Context(), w.store.Reconciliation, cloud)
			require.NoError(t, err)
			require.Equal(t, c.found, shorten(t, found))
			for _, f := range found {
				require.Equal(t, reconcile.Broken, f.Severity)
				require.Contains(t, f.What, c.what)
				for _, secret := range []string{"eve-corp", "alias-done", "Eve", "Jane", "Bob", "CTO", "CFO"} {
					require.NotContains(t, f.String(), secret)
				}
			}
		})
	}
}

// Several orders of one account on the border of a page: none is left out.
func TestExpectedUsersArePagedByAccountAndOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, id := range []string{"a", "b", "c"} {
		w.place(id, "") // each takes account 5
		_, err := w.store.Orders.Close(t.Context(), provision.OrderClosing{Order: key(id), State: provision.Failed,
			Failure: provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}, AccountID: account(5)})
		require.NoError(t, err)
	}
	var got []string
	var after reconcile.ExpectedUser
	for {
		page, err := w.store.Reconciliation.ExpectedUsers(t.Context(), after.Account.ID, after.Order.ID, 1)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		after = page[0]
		got = append(got, after.Account.ID+"/"+after.Order.ID)
	}
	require.Equal(t, []string{account(1) + "/done", account(5) + "/a", account(5) + "/b", account(5) + "/c"}, got)
}
