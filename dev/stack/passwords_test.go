package stack_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// soldTo is an order that has completed.
func soldTo(ctx context.Context, t *testing.T, id string) openapi.Order {
	t.Helper()
	_, err := playground.Stock(ctx, id, provision.ModelECAM, 1)
	require.NoError(t, err)
	require.NoError(t, playground.Place(ctx, stack.NewOrder(id, provision.ModelECAM)))
	ended, err := playground.Ended(ctx, id)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, ended.State)
	return ended
}

// linkTo is the token of the link to the order's password.
func linkTo(t *testing.T, order openapi.Order) string {
	t.Helper()
	require.NotNil(t, order.Result.Password)
	require.NotNil(t, order.Result.Password.URL)
	_, token, found := strings.Cut(*order.Result.Password.URL, "#")
	require.True(t, found)
	return token
}

// reveal opens a link, as the customer's browser does.
func reveal(ctx context.Context, token string) (status int, password string) {
	var revealed openapi.RevealedPassword
	status, _ = playground.Client.Do(ctx, http.MethodPost, "/v1/password-reveals", openapi.PasswordReveal{Token: token}, &revealed)
	return status, revealed.Password
}

// requireSignsIn requires that the link shows the password that AWS has, once.
func requireSignsIn(ctx context.Context, t *testing.T, order openapi.Order) {
	t.Helper()
	token := linkTo(t, order)
	status, password := reveal(ctx, token)
	require.Equal(t, http.StatusOK, status)
	account, _ := playground.Sim.Account(order.Result.AccountID)
	require.True(t, account.PasswordIs(order.IAMUserName, password))
	require.True(t, account.Users[order.IAMUserName].LoginProfile.ResetRequired)
	status, _ = reveal(ctx, token)
	require.Equal(t, http.StatusGone, status)
}

func TestACustomerWhoLostTheLinkGetsANewPassword(t *testing.T) {
	ctx := setup(t)
	order := soldTo(ctx, t, "lost-link")
	status, first := reveal(ctx, linkTo(t, order))
	require.Equal(t, http.StatusOK, status)

	status, issued, err := playground.IssuePassword(ctx, order.ID, false)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	require.NotEqual(t, linkTo(t, order), linkTo(t, issued))
	status, _ = reveal(ctx, linkTo(t, order))
	require.Equal(t, http.StatusGone, status)
	account, _ := playground.Sim.Account(order.Result.AccountID)
	require.False(t, account.PasswordIs(order.IAMUserName, first), "a stolen password does not work any more")
	requireSignsIn(ctx, t, issued)

	var events openapi.EventPage
	_, err = playground.Client.Do(ctx, http.MethodGet, "/v1/events?type=order.password_issued&order_id="+order.ID, nil, &events)
	require.NoError(t, err)
	require.Len(t, events.Items, 1)

	require.NoError(t, playground.TakeOver(order))
	status, _, err = playground.IssuePassword(ctx, order.ID, false)
	require.ErrorContains(t, err, "SignInInUse")
	require.Equal(t, http.StatusConflict, status)
	_, issued, err = playground.IssuePassword(ctx, order.ID, true)
	require.NoError(t, err)
	requireSignsIn(ctx, t, issued)
}

// Requests at the same time get one and the same password, and each is recorded.
func TestRequestsForAPasswordAtTheSameTimeMakeOne(t *testing.T) {
	ctx := setup(t)
	order := soldTo(ctx, t, "many-lost-links")
	withdraw := playground.Sim.Inject(awssim.Fault{Operation: "UpdateLoginProfile", AccountID: order.Result.AccountID, Nth: 1, Times: 2,
		Kind: awssim.Throttle})
	defer withdraw()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { _, _, _ = playground.IssuePassword(ctx, order.ID, false) })
	}
	all.Wait()
	now, err := playground.Until(ctx, order.ID, func(o openapi.Order) bool { return o.Result.Password.URL != nil })
	require.NoError(t, err)
	requireSignsIn(ctx, t, now)
	require.Eventually(t, func() bool {
		codes := map[string]int{}
		entries, err := playground.Store.Orders.History(ctx, provision.Tenant{Provider: stack.Provider}, order.ID, 0, 100)
		for _, e := range entries {
			codes[e.Code]++
		}
		return err == nil && codes["password"] == 5 && codes["password_issued"] == 1 && codes["password_link_ended"] == 1
	}, time.Minute, 50*time.Millisecond)
}

// AWS does not answer, the API says that the password is being set, and the worker dies. In the end there is a link, and it works.
func TestANewPasswordOutlivesTheWorker(t *testing.T) {
	ctx := setup(t)
	order := soldTo(ctx, t, "crashed-password")
	heal := playground.Sim.Inject(awssim.Fault{Operation: "UpdateLoginProfile", AccountID: order.Result.AccountID, When: awssim.After,
		Kind: awssim.Timeout})
	status, setting, err := playground.IssuePassword(ctx, order.ID, false)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, status)
	require.NotNil(t, setting.Result.Password.SettingSince)
	require.Nil(t, setting.Result.Password.URL)
	status, _ = reveal(ctx, linkTo(t, order))
	require.Equal(t, http.StatusGone, status)
	require.NoError(t, playground.Crash(ctx, stack.PartWorker))
	heal()
	now, err := playground.Until(ctx, order.ID, func(o openapi.Order) bool { return o.Result.Password.URL != nil })
	require.NoError(t, err)
	requireSignsIn(ctx, t, now)
}
