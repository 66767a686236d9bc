package activities

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// protectFor protects the account for the provider.
func (w *fixture) protectFor(provider string) {
	w.t.Helper()
	if provider != testPool.Provider {
		require.NoError(w.t, w.store.Providers.Create(w.t.Context(), provider, "Another"))
	}
	_, err := w.store.ProtectedAccounts.Protect(w.t.Context(), "test", provider, accountID, "")
	require.NoError(w.t, err)
}

// allProtected protects every account, also those that orders hold.
type allProtected struct{ ProtectedAccounts }

func (allProtected) Contains(context.Context, string, string) (bool, error) { return true, nil }

// failedCheck names the check that finds out what each case below spoils.
var failedCheck = map[string]provision.CheckName{
	"the role is gone":                provision.CheckRole,
	"another external id":             provision.CheckRole,
	"no external id demanded":         provision.CheckExternalID,
	"old contact data":                provision.CheckContact,
	"an order's user":                 provision.CheckClean,
	"an order's user on a later page": provision.CheckClean,
	"a right is missing":              provision.CheckReadable,
	"protected":                       provision.CheckNotProtected,
	"protected by its provider":       provision.CheckNotProtected,
}

// requireChecks requires that the checks passed up to the failed one, which shows the failure, and that none was made after it.
func requireChecks(t *testing.T, got provision.VerificationResult, failed provision.CheckName) {
	t.Helper()
	require.Len(t, got.Checks, 8)
	want := provision.CheckPassed
	for _, check := range got.Checks {
		if check.Name == failed {
			require.Equal(t, provision.CheckFailed, check.Outcome)
			require.Equal(t, got.Failure.Explained(), check.Found)
			want = provision.CheckNotReached
			continue
		}
		require.Equal(t, want, check.Outcome, check.Name)
		require.Equal(t, want == provision.CheckPassed, check.At != nil, check.Name)
	}
	require.Equal(t, failed == "", want == provision.CheckPassed, "the check that should fail was made")
}

func TestACheckThatTheRoleDoesNotPermitIsSkipped(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.become(cancelled)
	w.edit(func(a *awssim.Account) {
		a.Role.Policy = json.RawMessage(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":["account:GetContactInformation","account:GetAlternateContact","iam:List*"],"Resource":"*"}]}`)
	})
	got, err := run(w, w.acts.VerifyAccount, accountID)
	require.NoError(t, err)
	require.Nil(t, got.Failure)
	outcomes := map[provision.CheckName]provision.CheckOutcome{}
	for _, check := range got.Checks {
		outcomes[check.Name] = check.Outcome
	}
	require.Equal(t, provision.CheckSkipped, outcomes[provision.CheckState])
	require.Equal(t, provision.CheckPassed, outcomes[provision.CheckClean])
}

func TestVerificationFindsUnusableAccounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil  func(*fixture)
		code   provision.Code
		reason string
	}{
		"nothing": {func(*fixture) {}, "", ""},
		"the role is gone": {func(w *fixture) { w.edit(func(a *awssim.Account) { a.Role.Name = "another" }) },
			provision.CodeAccountCannotBeEntered, "the role cannot be assumed"},
		"another external id": {func(w *fixture) { w.edit(func(a *awssim.Account) { a.Role.ExternalID = "another-external-id" }) },
			provision.CodeAccountCannotBeEntered, "external id"},
		"no external id demanded": {func(w *fixture) { w.edit(func(a *awssim.Account) { a.Role.ExternalID = "" }) },
			provision.CodeExternalIDNotDemanded, "without the external id"},
		"old contact data": {func(w *fixture) { w.edit(func(a *awssim.Account) { a.Contact.PhoneNumber = "206 555" }) },
			provision.CodeAccountContactInvalid, "PhoneNumber"},
		"an order's user": {func(w *fixture) {
			w.edit(func(a *awssim.Account) { a.Users = map[string]awssim.User{"left": {ID: "AIDALEFT", Path: userPath}} })
		}, provision.CodeAccountNotClean, userPath},
		"an order's user on a later page": {func(w *fixture) {
			w.edit(func(a *awssim.Account) {
				a.Quirks.ShortPages = true
				a.Users = map[string]awssim.User{"admin": {ID: "AIDAADMIN", Path: "/"}, "left": {ID: "AIDALEFT", Path: userPath}}
			})
		}, provision.CodeAccountNotClean, userPath},
		"a user of theirs": {func(w *fixture) {
			w.edit(func(a *awssim.Account) { a.Users = map[string]awssim.User{"admin": {ID: "AIDAADMIN", Path: "/"}} })
		}, "", ""},
		"a right is missing": {func(w *fixture) {
			w.edit(func(a *awssim.Account) {
				a.Role.Policy = json.RawMessage(`{"Version":"2012-10-17","Statement":[
					{"Effect":"Allow","Action":["account:Get*","iam:ListUsers"],"Resource":"*"}]}`)
			})
		}, provision.CodePermissionMissing, "iam:ListAccountAliases"},
		"protected": {func(w *fixture) { w.acts.ProtectedIDs = []string{accountID} }, provision.CodeAccountProtected,
			"protected"},
		"protected by its provider": {func(w *fixture) { w.protectFor("acme") },
			provision.CodeAccountProtected, "protected"},
		"protected by another": {func(w *fixture) { w.protectFor("another") }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			_, err := run(w, w.acts.Inspect, w.work()) // a session from before must not hide that the role is gone
			require.NoError(t, err)
			w.become(cancelled)
			c.spoil(w)
			before := string(w.sim.Snapshot(accountID))
			got, err := run(w, w.acts.VerifyAccount, accountID)
			require.NoError(t, err)
			require.Equal(t, before, string(w.sim.Snapshot(accountID)), "it only reads")
			require.False(t, got.Inconclusive)
			requireChecks(t, got, failedCheck[name])
			if c.code == "" {
				require.Nil(t, got.Failure)
				return
			}
			require.NotNil(t, got.Failure)
			require.Equal(t, c.code, got.Failure.Code)
			require.Contains(t, got.Failure.Reason, c.reason)
		})
	}
}

// An outage of AWS says nothing about the account.
func TestAnOutageIsNoResultOfAVerification(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"sts", "iam", "account"} {
		w := setup(t, waiting)
		w.sim.Inject(awssim.Fault{Service: service, Kind: awssim.Unavailable, Times: 1000})
		_, err := once(w, 1, w.acts.VerifyAccount, accountID)
		require.Error(t, err, service)
		failure, final := failureOf(err)
		require.False(t, final)
		require.Equal(t, provision.KindTransient, failure.Code.Kind())
	}
}

func TestADeletedAccountNeedsNoVerification(t *testing.T) {
	t.Parallel()
	w := setup(t)
	got, err := run(w, w.acts.VerifyAccount, "999999999999")
	require.NoError(t, err)
	require.Nil(t, got.Failure)
	require.Nil(t, got.LookedAt, "the account was not checked, so the result is no pass")
}

func TestAProtectedAccountIsNeverTouched(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.acts.ProtectedIDs = []string{accountID}
	_, err := run(w, w.acts.Inspect, w.work())
	w.requireFailure(err, provision.CodeAccountProtected)
	_, err = run(w, w.acts.CreateUser, w.work())
	w.requireFailure(err, provision.CodeAccountProtected)
	w.requireRestored()

	w.acts.ProtectedIDs = nil
	w.acts.ProtectedAccounts = allProtected{}
	_, err = run(w, w.acts.CreateUser, w.work())
	w.requireFailure(err, provision.CodeAccountProtected)
	w.requireRestored()
}
