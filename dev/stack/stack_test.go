package stack_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/dev/temporal"
	"quartermaster/internal/provision"
)

// All tests of the package share one stack, because starting it takes seconds.
var (
	playground      *stack.Playground
	temporalProgram string
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		ctx, cancel := context.WithTimeout(context.Background(), 25*time.Minute) // a cold build of the Temporal server included
		defer cancel()
		var err error
		if temporalProgram, err = temporal.Program(ctx, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, "the Temporal server:", err)
			return 1
		}
		s, err := stack.Start(ctx, stack.Options{Progress: os.Stderr, Delay: 20 * time.Millisecond,
			Env: []string{"QM_WEBHOOK_RETRIES=" + strings.TrimSuffix(strings.Repeat("300ms,", 500), ",")}})
		if err != nil {
			fmt.Fprintln(os.Stderr, "starting the stack:", err)
			return 1
		}
		if playground, err = stack.NewPlayground(ctx, s); err != nil {
			fmt.Fprintln(os.Stderr, "preparing the stack:", err)
			return 1
		}
		code := m.Run()
		if err := s.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the stack:", err)
			return 1
		}
		return code
	}())
}

func setup(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestScenariosEndAsTheirNamesSay(t *testing.T) {
	for _, scenario := range stack.Scenarios {
		t.Run(scenario.Name, func(t *testing.T) {
			order := played(t, scenario)
			if scenario.Ends == provision.Completed {
				requireAsOrdered(t, order)
				return
			}
			require.NotNil(t, order.Failure)
			require.NotEmpty(t, order.Failure.Reason)
			if scenario.Name == stack.LeftSomething {
				require.NotEmpty(t, order.Leftovers)
				require.NotNil(t, order.AccountID)
				requireStatus(t, *order.AccountID, provision.AccountProvisioningFailed)
				return
			}
			require.Empty(t, order.Leftovers)
		})
	}
}

// TestLeftoversAreRemovedOnRequest: AWS refuses to delete a user, an operator ends the undo, and later has the user removed.
func TestLeftoversAreRemovedOnRequest(t *testing.T) {
	ctx := setup(t)
	i := slices.IndexFunc(stack.Scenarios, func(s stack.Scenario) bool { return s.Name == stack.LeftSomething })
	order := played(t, stack.Scenarios[i])
	require.Len(t, order.Leftovers, 2, "everything else is taken back: %v", order.Leftovers)
	require.Contains(t, strings.Join(order.Leftovers, "; "), "iam:DeleteUser", "it says why")
	require.Contains(t, strings.Join(order.Leftovers, "; "), "AWS answered AccessDenied, request id ")
	require.NoError(t, playground.RemoveLeftovers(ctx, *order.AccountID))
	a := untilAccount(ctx, t, *order.AccountID, func(a openapi.Account) bool { return a.Status == provision.AccountReady })
	require.Nil(t, a.RemovingSince)
	account, ok := playground.Sim.Account(a.ID)
	require.True(t, ok)
	require.Empty(t, account.Users)
	now, err := playground.Client.Order(ctx, order.ID)
	require.NoError(t, err)
	require.Empty(t, now.Leftovers)
	_, err = playground.Client.Do(ctx, http.MethodPost, "/v1/accounts/"+a.ID+"/remove-leftovers",
		map[string]string{"reason": "once more"}, &openapi.Account{})
	require.ErrorContains(t, err, "409")
}

// scenarioOrders caches the orders of scenarios: several tests use them, and running a scenario takes seconds.
var scenarioOrders = map[string]openapi.Order{}

// played returns the order of a scenario, and runs the scenario the first time.
func played(t *testing.T, scenario stack.Scenario) openapi.Order {
	t.Helper()
	order, before := scenarioOrders[scenario.Name]
	if !before {
		var err error
		order, err = scenario.Run(setup(t), playground)
		require.NoError(t, err)
		scenarioOrders[scenario.Name] = order
	}
	require.Equal(t, scenario.Ends, order.State, "%+v", order.Failure)
	return order
}

// requireAsOrdered compares the simulated account with the order, field by field.
func requireAsOrdered(t *testing.T, order openapi.Order) {
	t.Helper()
	requireAsOrderedOn(t, playground, order)
}

func requireAsOrderedOn(t *testing.T, p *stack.Playground, order openapi.Order) {
	t.Helper()
	account, ok := p.Sim.Account(order.Result.AccountID)
	require.True(t, ok)
	require.Equal(t, order.AWSAccountAlias, account.Alias)
	require.Equal(t, order.AWSContactName, account.Contact.FullName)
	require.Equal(t, "1 Harbor Road", account.Contact.AddressLine1, "the rest of the contact is kept")
	require.Equal(t, "+49 40 1234567", account.Contact.PhoneNumber)
	for _, kind := range []string{"BILLING", "OPERATIONS", "SECURITY"} {
		contact := account.AlternateContacts[kind]
		got := provision.AlternateContact{Name: contact.Name, Email: contact.EmailAddress, Phone: contact.PhoneNumber, Title: contact.Title}
		require.Equal(t, *order.AWSAlternateContact, got, kind)
	}
	require.Len(t, account.Users, 1)
	user := account.Users[order.IAMUserName]
	require.Equal(t, "/marketplace/", user.Path)
	require.Equal(t, stack.Provider+"/"+order.ID, user.Tags["mp:order-id"])
	require.NotNil(t, user.LoginProfile)
	require.True(t, user.LoginProfile.ResetRequired)
	require.Len(t, user.AttachedPolicies, 2)

	report := order.Result.Report
	switch {
	case report.Existing:
		require.Equal(t, stack.ExistingReport, report.Name)
		require.Empty(t, account.Exports)
		require.Len(t, account.Buckets, 1, "a linked report writes nothing")
	case report.Kind == provision.DataExport:
		require.Contains(t, account.Exports, report.Name)
		require.Contains(t, account.Buckets, report.Bucket)
	default:
		require.Contains(t, account.Reports, report.Name)
		require.Contains(t, account.Buckets, report.Bucket)
	}
	require.Equal(t, order.Result.Model == string(provision.ModelECAM), order.Result.RootAccess != nil)
	require.True(t, order.Result.Simulated)
	requireStatusOn(t, p, order.Result.AccountID, provision.AccountAllocated)
}

func requireStatus(t *testing.T, accountID string, status provision.AccountStatus) {
	t.Helper()
	requireStatusOn(t, playground, accountID, status)
}

func requireStatusOn(t *testing.T, p *stack.Playground, accountID string, status provision.AccountStatus) {
	t.Helper()
	account, err := p.Store.Accounts.Get(t.Context(), stack.Provider, accountID)
	require.NoError(t, err)
	require.Equal(t, status, account.Status, account.Reason)
}

func TestPasswordIsRevealedOnceAndSignsIn(t *testing.T) {
	ctx := setup(t)
	_, err := playground.Stock(ctx, "password", provision.ModelECAM, 1)
	require.NoError(t, err)
	order := stack.NewOrder("password", provision.ModelECAM)
	require.NoError(t, playground.Place(ctx, order))
	ended, err := playground.Ended(ctx, order.ID)
	require.NoError(t, err)
	_, token, found := strings.Cut(*ended.Result.Password.URL, "#")
	require.True(t, found)

	var revealed openapi.RevealedPassword
	_, err = playground.Client.Do(ctx, http.MethodPost, "/v1/password-reveals", openapi.PasswordReveal{Token: token}, &revealed)
	require.NoError(t, err)
	account, _ := playground.Sim.Account(ended.Result.AccountID)
	require.True(t, account.PasswordIs(order.IAMUserName, revealed.Password), "the revealed password is the one that AWS was told")

	status, err := playground.Client.Do(ctx, http.MethodPost, "/v1/password-reveals", openapi.PasswordReveal{Token: token}, &revealed)
	require.Error(t, err)
	require.Equal(t, http.StatusGone, status)
	after, err := playground.Client.Order(ctx, order.ID)
	require.NoError(t, err)
	require.Nil(t, after.Result.Password.URL)
	require.NotNil(t, after.Result.Password.RevealedAt)
}

func TestFiftyIdenticalPostsStartOneWorkflow(t *testing.T) {
	ctx := setup(t)
	_, err := playground.Stock(ctx, "fifty", provision.ModelSPAM, 2)
	require.NoError(t, err)
	order := stack.NewOrder("fifty", provision.ModelSPAM)
	statuses := make([]int, 50)
	var posts errgroup.Group
	for i := range statuses {
		posts.Go(func() (err error) {
			statuses[i], _, err = playground.Client.PlaceOrder(ctx, order)
			return err
		})
	}
	require.NoError(t, posts.Wait())
	sort.Ints(statuses)
	require.Equal(t, http.StatusAccepted, statuses[49])
	require.Equal(t, http.StatusOK, statuses[48], "one is new, forty-nine are the same again")
	ended, err := playground.Ended(ctx, order.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, ended.State)
	ready, err := playground.Store.Accounts.List(ctx, stack.Provider, provision.AccountFilter{
		Statuses:    []provision.AccountStatus{provision.AccountReady},
		Marketplace: order.Marketplace, Limit: 10,
	})
	require.NoError(t, err)
	require.Len(t, ready, 1, "one of the two accounts is still there")

	order.AWSContactName = "Someone Else"
	status, _, err := playground.Client.PlaceOrder(ctx, order)
	require.Error(t, err)
	require.Equal(t, http.StatusConflict, status)
}

func TestTwoHundredOrdersForAHundredAccounts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	const marketplace = "rush"
	oldest, err := playground.Stock(ctx, marketplace, provision.ModelSPAM, 100)
	require.NoError(t, err)

	var posts errgroup.Group
	posts.SetLimit(20)
	for i := range 200 {
		posts.Go(func() error {
			order := stack.NewOrder(fmt.Sprintf("rush-%03d", i), provision.ModelSPAM)
			order.Marketplace = marketplace
			return playground.Place(ctx, order)
		})
	}
	require.NoError(t, posts.Wait())

	// An order that is about to be given an account waits as well, so it is looked at who waits when all the accounts are gone.
	id := func(i int) string { return fmt.Sprintf("rush-%03d", i) }
	gone := func(o openapi.Order) bool {
		return o.State.Ended() || o.State == provision.WaitingForAccount && o.Waiting != nil &&
			strings.HasPrefix(o.Waiting.Why, "0 of 100 accounts match: ") &&
			!strings.Contains(o.Waiting.Why, "about to be given out")
	}
	for i := range 200 {
		_, err := playground.Until(ctx, id(i), gone)
		require.NoError(t, err)
	}
	holder := map[string]string{}
	waiting := map[int]string{}
	for i := range 200 {
		order, err := playground.Until(ctx, id(i), gone)
		require.NoError(t, err)
		if order.State == provision.WaitingForAccount {
			waiting[order.Waiting.Place] = order.ID
			continue
		}
		require.Equal(t, provision.Completed, order.State, "%+v", order.Failure)
		require.NotContains(t, holder, order.Result.AccountID)
		holder[order.Result.AccountID] = order.ID
	}
	for _, id := range oldest {
		if _, held := holder[id]; !held {
			var history struct{ Items []openapi.AccountHistoryEntry }
			_, err := playground.Client.Do(ctx, http.MethodGet, "/v1/accounts/"+id+"/history", nil, &history)
			require.NoError(t, err)
			require.Fail(t, "no order has the account", "%+v\n%+v", account(ctx, t, id), history.Items)
		}
	}
	require.Len(t, holder, 100)
	require.Len(t, waiting, 100, "a hundred orders wait, each at a place of its own")

	// The next account goes to the one that waits first.
	first := waiting[1]
	_, err = playground.Stock(ctx, marketplace, provision.ModelSPAM, 1)
	require.NoError(t, err)
	order, err := playground.Ended(ctx, first)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, order.State)
}
