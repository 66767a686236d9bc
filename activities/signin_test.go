package activities

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// readyForSignIn creates a user that cannot sign in yet.
func readyForSignIn(t *testing.T, changes ...func(*initialState)) (*fixture, EnableSignIn) {
	t.Helper()
	w := setup(t, changes...)
	user, err := run(w, w.acts.CreateUser, w.work())
	require.NoError(t, err)
	return w, EnableSignIn{Work: w.work(), User: user}
}

func (w *fixture) requirePasswordSet() {
	w.t.Helper()
	profile := w.account().Users["alice"].LoginProfile
	require.NotNil(w.t, profile)
	require.Equal(w.t, awssim.HashPassword(w.password()), profile.PasswordSHA256)
	require.True(w.t, profile.ResetRequired)
}

func TestPasswordFollowsTheAccountsPolicy(t *testing.T) {
	t.Parallel()
	w, in := readyForSignIn(t, func(from *initialState) {
		from.account.PasswordPolicy = &awssim.PasswordPolicy{MinimumPasswordLength: 64, RequireSymbols: true, RequireNumbers: true,
			RequireUppercaseCharacters: true, RequireLowercaseCharacters: true}
	})
	_, err := run(w, w.acts.EnableSignIn, in)
	require.NoError(t, err)
	require.Len(t, w.password(), 64)
	w.requirePasswordSet()
	for _, sealed := range w.sealedPasswords() {
		require.NotContains(t, string(sealed), w.password(), "it is kept sealed")
	}
}

func TestAPasswordIsReplacedWhenThePolicyWasTightened(t *testing.T) {
	t.Parallel()
	w, in := readyForSignIn(t)
	// An attempt kept a password that the current policy refuses.
	w.sim.Inject(awssim.Fault{Operation: "CreateLoginProfile", Nth: 1, Kind: awssim.Reset})
	_, err := once(w, 1, w.acts.EnableSignIn, in)
	w.requireFailure(err, provision.CodeAWSUnavailable)
	first := w.password()
	w.edit(func(a *awssim.Account) { a.PasswordPolicy = &awssim.PasswordPolicy{MinimumPasswordLength: 40} })
	_, err = run(w, w.acts.EnableSignIn, in)
	require.NoError(t, err)
	require.Len(t, w.password(), 40)
	require.NotEqual(t, first, w.password())
	w.requirePasswordSet()
}

func TestAPasswordThatIsRefusedTwiceIsAFailure(t *testing.T) {
	t.Parallel()
	w, in := readyForSignIn(t)
	w.sim.Inject(awssim.Fault{Operation: "CreateLoginProfile", Kind: awssim.Error, Code: "PasswordPolicyViolation", Status: 400})
	_, err := run(w, w.acts.EnableSignIn, in)
	failure := w.requireFailure(err, provision.CodePasswordRefused)
	require.Empty(t, failure.Value)
	calls := 0
	for _, r := range w.sim.Requests() {
		if r.Operation == "CreateLoginProfile" {
			calls++
		}
	}
	require.Equal(t, 2, calls, "the step tries one new password, and not more")
}

func TestASignInThatSomeoneUsesIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(*awssim.User){
		"password changed": func(u *awssim.User) {
			u.LoginProfile = &awssim.LoginProfile{PasswordSHA256: awssim.HashPassword("customers-own")}
		},
		"signed in": func(u *awssim.User) {
			u.LoginProfile = &awssim.LoginProfile{PasswordSHA256: awssim.HashPassword("customers-own"), ResetRequired: true}
			u.PasswordLastUsed = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, in := readyForSignIn(t)
			w.edit(func(a *awssim.Account) {
				u := a.Users["alice"]
				use(&u)
				a.Users["alice"] = u
			})
			_, err := run(w, w.acts.EnableSignIn, in)
			w.requireFailure(err, provision.CodeResourceNotOurs)
			require.Equal(t, awssim.HashPassword("customers-own"), w.account().Users["alice"].LoginProfile.PasswordSHA256)
		})
	}
}

// AWS never returns a password, so the stored one overwrites what a lost attempt has set.
func TestAPasswordWhoseReplyWasLostIsSetAgain(t *testing.T) {
	t.Parallel()
	w, in := readyForSignIn(t)
	w.edit(func(a *awssim.Account) {
		u := a.Users["alice"]
		u.LoginProfile = &awssim.LoginProfile{PasswordSHA256: awssim.HashPassword("lost"), ResetRequired: true}
		a.Users["alice"] = u
	})
	w.sim.Inject(awssim.Fault{Operation: "UpdateLoginProfile", Nth: 1, Kind: awssim.EntityTemporarilyUnmodifiable})
	_, err := once(w, 1, w.acts.EnableSignIn, in)
	require.NoError(t, err)
	w.requirePasswordSet()
}

func TestDisableSignInWhileAWSIsBusy(t *testing.T) {
	t.Parallel()
	w, in := readyForSignIn(t)
	_, err := run(w, w.acts.EnableSignIn, in)
	require.NoError(t, err)
	w.sim.Inject(awssim.Fault{Operation: "DeleteLoginProfile", Times: 3, Kind: awssim.EntityTemporarilyUnmodifiable})
	_, err = once(w, 1, w.acts.DisableSignIn, UserUndo{Work: w.work(), UserID: in.User.ID})
	require.NoError(t, err)
	require.Nil(t, w.account().Users["alice"].LoginProfile)
	require.Empty(t, w.sealedPasswords())
}

func TestGeneratePassword(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	used := map[rune]bool{}
	for range 500 {
		password, err := generatePassword(passwordLength)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(password), 24)
		require.False(t, seen[password])
		seen[password] = true
		for _, class := range passwordClasses {
			require.True(t, strings.ContainsAny(password, class), "%q", class)
		}
		for _, r := range password {
			used[r] = true
		}
	}
	require.Len(t, used, len(strings.Join(passwordClasses, "")), "every character of the alphabet is used, and no other")
	for _, length := range []int{3, 129} {
		_, err := generatePassword(length)
		require.Error(t, err)
	}
}
