package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

const own = "the customer's own"

// takeOver makes the sign-in the customer's own.
func takeOver(u *awssim.User) {
	u.LoginProfile = &awssim.LoginProfile{PasswordSHA256: awssim.HashPassword(own), Created: u.LoginProfile.Created}
}

func removeSignIn(u *awssim.User) { u.LoginProfile = nil }

// requireSet requires that AWS has the password of the order's link, which must be changed, and that the link shows it once.
func (w *fixture) requireSet() {
	w.t.Helper()
	link := w.passwordOf().Link
	password, err := w.revealed(link)
	require.NoError(w.t, err)
	profile := w.account().Users["alice"].LoginProfile
	require.NotNil(w.t, profile)
	require.Equal(w.t, awssim.HashPassword(password), profile.PasswordSHA256)
	require.True(w.t, profile.ResetRequired)
	_, err = w.revealed(link)
	require.ErrorIs(w.t, err, provision.ErrGone)
}

// history lists the codes of what was asked of the order after its hand-over.
func (w *fixture) history() (codes []string) {
	w.t.Helper()
	entries, err := w.store.Orders.History(w.t.Context(), provision.Tenant{Provider: w.w.Order.Provider}, w.w.Order.ID, 0, 100)
	require.NoError(w.t, err)
	for _, e := range entries {
		if e.FromState == provision.Completed {
			codes = append(codes, e.Code)
		}
	}
	return codes
}

func TestANewPasswordReplacesTheLink(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.handOver()
	first := w.passwordOf().Link
	a := w.ask("1")
	require.NotNil(t, w.passwordOf().SettingSince)
	require.Equal(t, first, w.passwordOf().Link, "a request that may still be refused leaves the link alone")
	_, err := run(w, w.acts.SetPassword, a.in(w))
	require.NoError(t, err)
	require.Nil(t, w.passwordOf().Link, "AWS has the password, but this is not recorded yet")
	w.end(a, nil)
	_, err = w.revealed(first)
	require.ErrorIs(t, err, provision.ErrGone)
	w.requireSet()
	require.Nil(t, w.passwordOf().SettingSince)
	require.Equal(t, []string{"password", "password_link_ended", "password_issued"}, w.history())

	b := w.ask("2")
	_, err = run(w, w.acts.SetPassword, b.in(w))
	require.NoError(t, err)
	w.end(b, nil)
	w.requireSet()
	w.requireOthersUntouched()
	require.Equal(t, 2, w.effects("UpdateLoginProfile"))
}

// A sign-in that the customer has made their own, or has removed, is left alone unless an operator insists.
func TestASignInOfTheCustomersIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*awssim.User)
		code   provision.Code
	}{
		"in use":  {takeOver, provision.CodeSignInInUse},
		"removed": {removeSignIn, provision.CodeSignInRemoved},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, quick)
			w.handOver()
			first := w.passwordOf().Link
			w.editUser(c.change)
			w.start = string(w.sim.Snapshot(accountID))
			a := w.ask("1")
			_, err := run(w, w.acts.SetPassword, a.in(w))
			failure := w.requireFailure(err, c.code)
			require.Contains(t, failure.Reason, "even_if_used", "it names the way out")
			w.requireRestored()
			w.end(a, err)
			require.Equal(t, c.code, w.passwordOf().Refusal.Failure.Code)
			require.Equal(t, first, w.passwordOf().Link)
			require.Equal(t, []string{"password", string(c.code)}, w.history())

			b := w.ask("2").insisting()
			_, err = run(w, w.acts.SetPassword, b.in(w))
			require.NoError(t, err)
			w.end(b, nil)
			w.requireSet()
			require.Nil(t, w.passwordOf().Refusal)
		})
	}
}

func TestAUserThatIsGoneOrAnotherGetsNoPassword(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*awssim.Account)
		code   provision.Code
	}{
		"gone": {func(a *awssim.Account) { delete(a.Users, "alice") }, provision.CodeSignInRemoved},
		"another user of that name": {func(a *awssim.Account) {
			u := a.Users["alice"]
			u.Tags = map[string]string{"owner": "someone"}
			a.Users["alice"] = u
		}, provision.CodeResourceNotOurs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, quick)
			w.handOver()
			w.edit(c.change)
			w.start = string(w.sim.Snapshot(accountID))
			_, err := run(w, w.acts.SetPassword, w.ask("1").insisting().in(w))
			w.requireFailure(err, c.code)
			w.requireRestored()
		})
	}
}

// Wherever an attempt ends, the next one sends the same password, and no link leads to a password that AWS does not have.
func TestAnAttemptThatIsLostSetsTheSamePassword(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]awssim.Fault{
		"the request was lost": {Operation: "UpdateLoginProfile", Times: 3, Kind: awssim.Reset},
		"the reply was lost":   {Operation: "UpdateLoginProfile", Times: 3, When: awssim.After, Kind: awssim.Reset},
		"AWS failed after the change": {Operation: "UpdateLoginProfile", Times: 3, When: awssim.After,
			Kind: awssim.Error, Code: "ServiceFailure", Status: 500},
		"AWS throttled":                 {Operation: "UpdateLoginProfile", Times: 3, Kind: awssim.Throttle},
		"it could not be seen":          {Operation: "GetLoginProfile", Nth: 4, Times: 3, Kind: awssim.Reset},
		"AWS was busy with the profile": {Operation: "UpdateLoginProfile", Times: 2, Kind: awssim.EntityTemporarilyUnmodifiable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.handOver()
			first := w.passwordOf().Link
			a := w.ask("1")
			w.sim.Inject(fault)
			kept := ""
			w.onRequest(func(operation, _ string) {
				if operation != "UpdateLoginProfile" {
					return
				}
				if now := w.password(); kept == "" {
					kept = now
				} else {
					require.Equal(t, kept, now)
				}
				require.Nil(t, w.passwordOf().Link)
			})
			_, err := run(w, w.acts.SetPassword, a.in(w))
			require.NoError(t, err)
			require.NotEmpty(t, kept)
			w.end(a, nil)
			_, err = w.revealed(first)
			require.ErrorIs(t, err, provision.ErrGone)
			w.requireSet()
		})
	}
}

// The process is killed before it stores the password, and after AWS has it.
func TestAProcessThatDiesLeavesNoLinkToAPasswordThatDoesNotWork(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"GetLoginProfile", "UpdateLoginProfile"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.handOver()
			a := w.ask("1")
			killed := false
			w.onRequest(func(now, _ string) {
				if now == operation && !killed {
					killed = true
					w.kill()
				}
			})
			_, err := run(w, w.acts.SetPassword, a.in(w))
			require.NoError(t, err)
			require.True(t, killed)
			w.end(a, nil)
			w.requireSet()
		})
	}
}

// The customer signs in with the earlier password while AWS refuses the new one: the stored password is forgotten.
func TestAPasswordThatNeverTookEffectIsForgotten(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.handOver()
	a := w.ask("1")
	w.sim.Inject(awssim.Fault{Operation: "UpdateLoginProfile", Times: 3, Kind: awssim.Reset})
	_, err := once(w, 1, w.acts.SetPassword, a.in(w))
	w.requireFailure(err, provision.CodeAWSUnavailable)
	require.Len(t, w.sealedPasswords(), 1)
	w.editUser(takeOver)
	_, err = once(w, 2, w.acts.SetPassword, a.in(w))
	w.requireFailure(err, provision.CodeSignInInUse)
	w.end(a, err)
	require.Empty(t, w.sealedPasswords())
	require.Nil(t, w.passwordOf().Link)
	require.Equal(t, awssim.HashPassword(own), w.account().Users["alice"].LoginProfile.PasswordSHA256)
}

func TestANewPasswordFollowsThePolicy(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.handOver()
	a := w.ask("1")
	w.sim.Inject(awssim.Fault{Operation: "UpdateLoginProfile", Times: 3, Kind: awssim.Reset})
	_, err := once(w, 1, w.acts.SetPassword, a.in(w))
	w.requireFailure(err, provision.CodeAWSUnavailable)
	w.edit(func(a *awssim.Account) {
		a.PasswordPolicy = &awssim.PasswordPolicy{MinimumPasswordLength: 40, AllowUsersToChangePassword: true}
	})
	_, err = run(w, w.acts.SetPassword, a.in(w))
	require.NoError(t, err)
	require.Len(t, w.password(), 40)
	w.end(a, nil)
	w.requireSet()
}

// The role lost a permission after the hand-over: the request is refused, with what to do.
func TestANewPasswordThatAWSDenies(t *testing.T) {
	t.Parallel()
	w := setup(t, quick)
	w.handOver()
	a := w.ask("1")
	w.sim.Inject(awssim.Fault{Operation: "UpdateLoginProfile", Kind: awssim.AccessDenied})
	_, err := run(w, w.acts.SetPassword, a.in(w))
	failure := w.requireFailure(err, provision.CodePermissionMissing)
	require.Contains(t, failure.Reason, "iam:UpdateLoginProfile")
	require.Contains(t, failure.Reason, "request the new password again")
	w.end(a, err)
	require.Empty(t, w.sealedPasswords(), "AWS has never had it")

	w.edit(func(a *awssim.Account) { a.Role.ExternalID = "another-external-id" })
	w.startWorker() // with no session from before
	b := w.ask("2")
	_, err = run(w, w.acts.SetPassword, b.in(w))
	w.requireFailure(err, provision.CodeAccountCannotBeEntered)
}

// An account that is no longer the order's is not even entered.
func TestNoPasswordIsSetInAnAccountThatIsNotAllocatedToTheOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.handOver()
	a := w.ask("1")
	_, err := w.store.SQL().Exec(`BEGIN; SET LOCAL session_replication_role = replica;
		UPDATE accounts SET status = 'invalid', reason = 'x'; COMMIT`)
	require.NoError(t, err)
	before := len(w.sim.Requests())
	_, err = run(w, w.acts.SetPassword, a.in(w))
	w.requireFailure(err, provision.CodeOrderNotInProgress)
	_, err = run(w, w.acts.BeginPassword, AskedPassword{Order: w.w.Order, Request: w.wanted("2")})
	w.requireFailure(err, provision.CodeOrderNotInProgress)
	require.Len(t, w.sim.Requests(), before)
}

// A run that was reset, after its request has ended, changes nothing.
func TestARequestThatHasEndedSetsNoPassword(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.handOver()
	a := w.ask("1")
	_, err := run(w, w.acts.SetPassword, a.in(w))
	require.NoError(t, err)
	w.end(a, nil)
	w.start = string(w.sim.Snapshot(accountID))
	link := w.passwordOf().Link
	again := w.ask("1")
	_, err = run(w, w.acts.SetPassword, again.in(w))
	w.requireFailure(err, provision.CodeOrderNotInProgress)
	w.end(again, err)
	w.requireRestored()
	require.Equal(t, link, w.passwordOf().Link)
	require.Equal(t, []string{"password", "password_link_ended", "password_issued"}, w.history())
	w.requireSet()
}
