package activities

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/internal/reconcile/inaws"
)

type reconcilerFake struct {
	report reconcile.Report
	err    error
}

func (a reconcilerFake) FindAndRepair(context.Context) (reconcile.Report, error) {
	return a.report, a.err
}

// runReconcile runs the activity and returns its result and its log.
func runReconcile(t *testing.T, reconciler Reconciler) (report reconcile.Report, findings, others []map[string]any, err error) {
	t.Helper()
	var lines logged
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(lines.handler())))
	env := suite.NewTestActivityEnvironment()
	acts := &Activities{Reconciler: reconciler}
	env.RegisterActivity(acts)
	value, err := env.ExecuteActivity(acts.Reconcile)
	if err == nil {
		require.NoError(t, value.Get(&report))
	}
	for _, line := range lines.from(t, slog.LevelWarn) {
		if line["kind"] != nil {
			findings = append(findings, line)
		} else {
			others = append(others, line)
		}
	}
	return report, findings, others, err
}

func TestFindingsThatAreNotRepairedAreLoggedAsErrors(t *testing.T) {
	t.Parallel()
	repaired := reconcile.New(reconcile.KindStockNotGiven, provision.OrderKey{Provider: "acme", ID: "o-1"}, "", time.Now(),
		"the order waits, but its pool has a Ready account that fits")
	repaired.Repaired = "the order was woken"
	raised := reconcile.New(reconcile.KindAccountHistory, provision.OrderKey{}, accountID, time.Now(),
		"the account is ready, but its last history row says invalid")
	want := reconcile.Report{Repaired: 1, Raised: 1, Findings: []reconcile.Finding{repaired, raised}}

	report, logged, others, err := runReconcile(t, reconcilerFake{report: want})
	require.NoError(t, err)
	require.Empty(t, others)
	require.Len(t, report.Findings, 2)
	require.Len(t, logged, 2)
	require.Equal(t, "WARN", logged[0]["level"])
	require.Equal(t, "the order was woken", logged[0]["repaired"])
	require.Equal(t, "acme/o-1", logged[0]["order"])
	require.Equal(t, "ERROR", logged[1]["level"])
	require.Equal(t, "account_history_differs", logged[1]["kind"])
	require.Equal(t, accountID, logged[1]["account"])
	require.Empty(t, logged[1]["order"])

	_, logged, others, err = runReconcile(t, reconcilerFake{report: want, err: errors.New("no route")})
	require.Error(t, err, "the next run checks it again")
	require.Len(t, logged, 2, "the result still contains the known findings")
	require.NotEmpty(t, others)
	require.Equal(t, "ERROR", others[0]["level"])
	require.Equal(t, "no route", others[0]["error"], "the log has the details of an unexpected error")
}

// expectation is what the reconciler expects of the fixture's order.
type expectation struct{ reconcile.ExpectedUser }

func (e expectation) ExpectedUsers(_ context.Context, afterAccount, _ string, _ int) ([]reconcile.ExpectedUser, error) {
	if afterAccount != "" {
		return nil, nil
	}
	return []reconcile.ExpectedUser{e.ExpectedUser}, nil
}

// The reconciler and the activities must agree on the user: the activities write its tags, and the reconciler reads them.
func TestTheReconcilerKnowsTheUserOfAnOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	find := func(present bool, names ...string) (kinds []reconcile.Kind) {
		t.Helper()
		found, err := reconcile.FindUsers(t.Context(), expectation{reconcile.ExpectedUser{Account: w.w.Account, Order: w.w.Order,
			Nonce: w.w.Nonce, Names: names, Present: present}},
			inaws.Cloud{Sessions: w.acts.Cloud})
		require.NoError(t, err)
		for _, f := range found {
			require.Equal(t, accountID, f.Account)
			kinds = append(kinds, f.Kind)
		}
		return kinds
	}
	require.Equal(t, []reconcile.Kind{reconcile.KindUserMissing}, find(true, "alice"))
	require.Empty(t, find(false, "alice"))
	d := w.mustDo()
	require.Empty(t, find(true, "alice"))
	require.Empty(t, find(true, "earlier-name", "alice"), "one of the names")
	require.Equal(t, []reconcile.Kind{reconcile.KindUserLeft}, find(false, "earlier-name", "alice"))

	w.edit(func(a *awssim.Account) { a.Users["alice"].Tags[tagNonce] = "another order's" })
	require.Equal(t, []reconcile.Kind{reconcile.KindUserMissing}, find(true, "alice"), "another order's user of that name")
	require.Empty(t, find(false, "alice"))
	w.edit(func(a *awssim.Account) { a.Users["alice"].Tags[tagNonce] = nonce })
	w.undo(d)
	require.Empty(t, find(false, "alice"))
	require.Equal(t, len(w.sim.Effects()), func() int { find(false, "alice"); return len(w.sim.Effects()) }(), "it only reads")
}

// Until the customer has signed in, the account is as the order left it; from then on it is the customer's to change.
func TestTheReconcilerComparesAnAccountUntilTheCustomerSignsIn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.mustDo()
	request := w.w.Request
	wrote := reconcile.Written{Alias: request.AccountAlias, ContactName: request.ContactName,
		Alternates: map[string]provision.AlternateContact{}}
	for _, kind := range w.w.Settings.AlternateContactTypes {
		wrote.Alternates[kind] = *request.AlternateContact
	}
	find := func() (kinds []reconcile.Kind) {
		t.Helper()
		found, err := reconcile.FindUsers(t.Context(), expectation{reconcile.ExpectedUser{Account: w.w.Account, Order: w.w.Order,
			Nonce: w.w.Nonce, Names: []string{"alice"}, Present: true, Wrote: wrote}},
			inaws.Cloud{Sessions: w.acts.Cloud})
		require.NoError(t, err)
		for _, f := range found {
			kinds = append(kinds, f.Kind)
		}
		return kinds
	}
	require.Empty(t, find())
	w.edit(func(a *awssim.Account) {
		a.Alias, a.Contact.FullName = "", "Someone Else"
		delete(a.AlternateContacts, "SECURITY")
	})
	effects := len(w.sim.Effects())
	differs := []reconcile.Kind{reconcile.KindAliasDiffers, reconcile.KindContactDiffers, reconcile.KindContactDiffers}
	require.Equal(t, differs, find())
	require.Len(t, w.sim.Effects(), effects, "it only reads")

	used := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, signIn := range map[string]struct{ yes, no func(*awssim.User) }{
		"used the password": {func(u *awssim.User) { u.PasswordLastUsed = used }, func(u *awssim.User) { u.PasswordLastUsed = time.Time{} }},
		"changed the password": {func(u *awssim.User) { u.LoginProfile.ResetRequired = false },
			func(u *awssim.User) { u.LoginProfile.ResetRequired = true }},
		"deleted the password": {func(u *awssim.User) { u.LoginProfile = nil },
			func(u *awssim.User) { u.LoginProfile = &awssim.LoginProfile{ResetRequired: true} }},
	} {
		change := func(of func(*awssim.User)) {
			w.edit(func(a *awssim.Account) {
				user := a.Users["alice"]
				of(&user)
				a.Users["alice"] = user
			})
		}
		change(signIn.yes)
		require.Empty(t, find(), name)
		change(signIn.no)
		require.Equal(t, differs, find(), name)
	}
}

func TestAnAccountThatCannotBeReadIsOneFinding(t *testing.T) {
	t.Parallel()
	w := setup(t, func(from *initialState) { from.w.Account.ExternalID = "guessed" })
	found, err := reconcile.FindUsers(t.Context(), expectation{reconcile.ExpectedUser{Account: w.w.Account, Order: w.w.Order,
		Nonce: w.w.Nonce, Names: []string{"a", "b"}, Present: true}},
		inaws.Cloud{Sessions: w.acts.Cloud})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, reconcile.KindAccountUnreadable, found[0].Kind)
	require.Equal(t, "the account cannot be entered (AccessDenied)", found[0].What)
}
