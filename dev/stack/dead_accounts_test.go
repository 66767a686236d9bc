package stack_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/awssim"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// account reads an account through the API.
func account(ctx context.Context, t *testing.T, id string) (a openapi.Account) {
	t.Helper()
	_, err := playground.Client.Do(ctx, http.MethodGet, "/v1/accounts/"+id, nil, &a)
	require.NoError(t, err)
	return a
}

// ordersOf lists the orders that ever held an account.
func ordersOf(ctx context.Context, t *testing.T, id string) (ids []string) {
	t.Helper()
	var events struct {
		Items []openapi.AccountHistoryEntry `json:"items"`
	}
	_, err := playground.Client.Do(ctx, http.MethodGet, "/v1/accounts/"+id+"/history", nil, &events)
	require.NoError(t, err)
	require.NotEmpty(t, events.Items)
	for _, e := range events.Items {
		if e.OrderID != nil {
			ids = append(ids, *e.OrderID)
		}
	}
	return ids
}

func verify(ctx context.Context, t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := playground.Client.Do(ctx, http.MethodPost, "/v1/accounts/"+id+"/verify", nil, &openapi.Account{})
		require.NoError(t, err)
	}
}

// untilAccount reads the account until the condition holds.
func untilAccount(ctx context.Context, t *testing.T, id string, holds func(openapi.Account) bool) (a openapi.Account) {
	t.Helper()
	require.Eventually(t, func() bool {
		a = account(ctx, t, id)
		return holds(a)
	}, time.Minute, 20*time.Millisecond, "account %s", id)
	return a
}

func passedAfter(before time.Time) func(openapi.Account) bool {
	return func(a openapi.Account) bool { return a.VerifiedAt != nil && a.VerifiedAt.After(before) }
}

func TestOrderPassesOverTwoDeadAccounts(t *testing.T) {
	ctx := setup(t)
	const pool = "two-dead"
	ids, err := playground.Stock(ctx, pool, provision.ModelECAM, 3)
	require.NoError(t, err)
	require.NoError(t, playground.Sim.Edit(ids[0], func(a *awssim.Account) { a.State = awssim.StateSuspended }))
	require.NoError(t, playground.Sim.Edit(ids[1], func(a *awssim.Account) { a.Role.Name = "another" }))
	order := stack.NewOrder(pool, provision.ModelECAM)
	require.NoError(t, playground.Place(ctx, order))
	ended, err := playground.Ended(ctx, order.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, ended.State)
	require.Equal(t, ids[2], ended.Result.AccountID)
	for _, dead := range ids[:2] {
		a := account(ctx, t, dead)
		require.Equal(t, provision.AccountInvalid, a.Status)
		require.NotNil(t, a.Reason)
		require.Contains(t, *a.Reason, "AWS answered AccessDenied", "the reason names the error of AWS")
		require.Contains(t, *a.Reason, "the role cannot be assumed")
	}
}

// TestAccountWithADeadRoleBecomesInvalidBeforeAnOrderClaimsIt: the schedule of verifications finds it, so the order need not swap.
func TestAccountWithADeadRoleBecomesInvalidBeforeAnOrderClaimsIt(t *testing.T) {
	ctx := setup(t)
	const pool = "dead-role"
	ids, err := playground.Stock(ctx, pool, provision.ModelSPAM, 3)
	require.NoError(t, err)
	require.NoError(t, playground.Sim.Edit(ids[0], func(a *awssim.Account) { a.Role.Name = "deleted" }))

	first := account(ctx, t, ids[1]).VerifiedAt
	verify(ctx, t, ids[0])
	a := untilAccount(ctx, t, ids[0], func(a openapi.Account) bool { return a.Finding != nil })
	require.Equal(t, provision.AccountReady, a.Status, "one strike")
	require.Contains(t, *a.Finding, "AWS answered AccessDenied")
	untilAccount(ctx, t, ids[1], passedAfter(*first)) // the others are looked at too, because it may be AWS
	verify(ctx, t, ids[0])
	a = untilAccount(ctx, t, ids[0], func(a openapi.Account) bool { return a.Status == provision.AccountInvalid })
	require.Contains(t, *a.Reason, "verification failed 2 times")
	require.Contains(t, *a.Reason, "AWS answered AccessDenied")

	order := stack.NewOrder(pool, provision.ModelSPAM)
	require.NoError(t, playground.Place(ctx, order))
	ended, err := playground.Ended(ctx, order.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, ended.State)
	require.Equal(t, ids[1], ended.Result.AccountID)
	require.Empty(t, ordersOf(ctx, t, ids[0]), "no order ever had the dead account")
}

// TestOutageOfAWholePoolInvalidatesNoAccount: every account fails repeatedly, so the accounts are not the cause.
func TestOutageOfAWholePoolInvalidatesNoAccount(t *testing.T) {
	ctx := setup(t)
	const pool = "outage"
	ids, err := playground.Stock(ctx, pool, provision.ModelSPAM, 4)
	require.NoError(t, err)
	opened, err := postgres.Open(ctx, playground.Database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, opened.Close()) })
	db := opened.SQL()
	events := func() (types []string) {
		require.NoError(t, db.SelectContext(ctx, &types,
			`SELECT type FROM events WHERE provider = $1 AND subject = $2 AND type LIKE 'pool.verification%' ORDER BY seq`,
			stack.Provider, pool+"/production"))
		return types
	}
	strikes := func() (n int) {
		require.NoError(t, db.GetContext(ctx, &n, `SELECT min(strikes) FROM accounts WHERE marketplace = $1`, pool))
		return n
	}
	var over []func()
	for _, id := range ids {
		over = append(over, playground.Sim.Inject(awssim.Fault{Service: "sts", AccountID: id, Kind: awssim.AccessDenied}))
	}
	for n := 1; n <= 3; n++ {
		verify(ctx, t, ids...)
		require.Eventually(t, func() bool { return strikes() >= n }, time.Minute, 20*time.Millisecond)
	}
	for _, id := range ids {
		a := account(ctx, t, id)
		require.Equal(t, provision.AccountReady, a.Status, a.Reason)
		require.NotNil(t, a.Finding)
	}
	require.Equal(t, []string{"pool.verification_suspended"}, events(), "one event, once")

	for _, heal := range over {
		heal()
	}
	before := time.Now()
	verify(ctx, t, ids...)
	for _, id := range ids {
		a := untilAccount(ctx, t, id, passedAfter(before))
		require.Equal(t, provision.AccountReady, a.Status)
	}
	require.Equal(t, []string{"pool.verification_suspended", "pool.verification_resumed"}, events())
}

// TestBrokenServiceRoleInvalidatesNoAccount: no account can be accessed. The order waits, says why, and resumes automatically in the
// oldest account.
func TestBrokenServiceRoleInvalidatesNoAccount(t *testing.T) {
	ctx := setup(t)
	const pool = "our-role"
	ids, err := playground.Stock(ctx, pool, provision.ModelSPAM, 4)
	require.NoError(t, err)
	var over []func()
	for _, id := range ids {
		over = append(over, playground.Sim.Inject(awssim.Fault{Service: "sts", AccountID: id, Kind: awssim.AccessDenied}))
	}
	order := stack.NewOrder(pool, provision.ModelSPAM)
	require.NoError(t, playground.Place(ctx, order))
	require.Eventually(t, func() bool {
		var shown openapi.Order
		_, err := playground.Client.Do(ctx, http.MethodGet, "/v1/orders/"+order.ID, nil, &shown)
		require.NoError(t, err)
		return shown.Waiting != nil && strings.Contains(shown.Waiting.Why, "claims of the pool have been suspended since")
	}, time.Minute, 20*time.Millisecond)
	verify(ctx, t, ids[2:]...) // again, while claims are suspended
	for _, id := range ids[2:] {
		a := untilAccount(ctx, t, id, func(a openapi.Account) bool { return a.Finding != nil })
		require.Equal(t, provision.AccountReady, a.Status)
	}
	for _, id := range ids[:2] {
		a := account(ctx, t, id)
		require.Equal(t, provision.AccountInvalid, a.Status)
		require.Contains(t, *a.Reason, "set aside: ")
		require.True(t, a.ReadyWhenVerified)
	}

	for _, heal := range over {
		heal()
	}
	verify(ctx, t, ids[0])
	ended, err := playground.Ended(ctx, order.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, ended.State)
	require.Equal(t, ids[0], ended.Result.AccountID)
	verify(ctx, t, ids[1])
	untilAccount(ctx, t, ids[1], func(a openapi.Account) bool { return a.Status == provision.AccountReady })
	for _, id := range ids[2:] {
		require.Equal(t, provision.AccountReady, account(ctx, t, id).Status)
	}
}
