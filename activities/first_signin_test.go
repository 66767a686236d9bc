package activities

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// The inspection reports what would lock the customer out, before anything is changed.
func TestSettingsThatLockTheCustomerOutAreRefused(t *testing.T) {
	t.Parallel()
	const (
		own      = "arn:aws:iam::" + accountID + ":policy/Own"
		aws      = "arn:aws:iam::aws:policy/"
		password = `{"Effect":"Allow","Action":["iam:ChangePassword","iam:GetAccountPasswordPolicy"],"Resource":"*"}`
		mfa      = `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}`
	)
	policy := func(statements string) func(*initialState) {
		return func(from *initialState) {
			from.account.PolicyDocuments = map[string]string{own: `{"Version":"2012-10-17","Statement":[` + statements + `]}`}
		}
	}
	boundary := func(arn string) func(*initialState) {
		return func(from *initialState) {
			from.w.Settings.PermissionsBoundary = arn
			from.account.PasswordPolicy = &awssim.PasswordPolicy{MinimumPasswordLength: 8, AllowUsersToChangePassword: true}
		}
	}
	policies := func(arns ...string) func(*initialState) {
		return func(from *initialState) { from.w.Settings.UserPolicyARNs = arns }
	}
	passwords := func(p awssim.PasswordPolicy) func(*initialState) {
		return func(from *initialState) {
			p.MinimumPasswordLength = 8
			from.account.PasswordPolicy = &p
		}
	}
	for name, c := range map[string]struct {
		changes []func(*initialState)
		refuses string // in the question
		warns   string
		can     bool // the customer can choose a password, as the simulator judges it
	}{
		"no boundary, and users may change their passwords": {changes: []func(*initialState){
			passwords(awssim.PasswordPolicy{AllowUsersToChangePassword: true})}, can: true},
		"boundary PowerUserAccess": {changes: []func(*initialState){boundary(aws + "PowerUserAccess")},
			refuses: "PowerUserAccess"},
		"boundary ReadOnlyAccess": {changes: []func(*initialState){boundary(aws + "ReadOnlyAccess")},
			refuses: "ReadOnlyAccess"},
		"boundary IAMUserChangePassword": {changes: []func(*initialState){boundary(aws + "IAMUserChangePassword")},
			refuses: "IAMUserChangePassword"},
		"boundary AdministratorAccess":           {changes: []func(*initialState){boundary(aws + "AdministratorAccess")}, can: true},
		"boundary of the account that allows it": {changes: []func(*initialState){boundary(own), policy(password)}, can: true},
		"boundary of the account that does not": {changes: []func(*initialState){boundary(own),
			policy(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)}, refuses: own},
		"boundary of the account that denies it": {changes: []func(*initialState){boundary(own),
			policy(password + `,{"Effect":"Deny","Action":"iam:*","Resource":"*"}`)}, refuses: own},
		"boundary that does not exist": {changes: []func(*initialState){boundary(own)}, refuses: "does not exist"},
		"boundary with a condition": {changes: []func(*initialState){boundary(own), policy(password + "," + mfa)},
			warns: "could not find out whether the permissions boundary " + own},
		"boundary that cannot be read": {changes: []func(*initialState){boundary(own), policy(password)},
			warns: "could not find out whether the permissions boundary " + own, can: true},
		"no policy allows it": {changes: []func(*initialState){policies(aws + "ReadOnlyAccess")},
			refuses: "AllowUsersToChangePassword in the account's password policy"},
		"a policy of the account allows it": {changes: []func(*initialState){policies(own), policy(password)}, can: true},
		"AdministratorAccess allows it":     {changes: []func(*initialState){policies(aws + "AdministratorAccess")}, can: true},
		"a policy that cannot be read": {changes: []func(*initialState){policies(own), policy(password)},
			warns: "or on a policy that cannot be read", can: true},
		"a policy demands a second factor": {changes: []func(*initialState){policies(aws+"AdministratorAccess", own), policy(mfa)},
			warns: "without multi-factor authentication"},
		"a policy denies it": {changes: []func(*initialState){policies(aws+"AdministratorAccess", own),
			policy(`{"Effect":"Deny","Action":"iam:*","Resource":"*"}`)}, refuses: "deny"},
		"passwords expire": {changes: []func(*initialState){
			passwords(awssim.PasswordPolicy{AllowUsersToChangePassword: true, HardExpiry: true, MaxPasswordAge: 30})},
			warns: "after 30 days", can: true},
		"passwords expire and can be replaced": {changes: []func(*initialState){
			passwords(awssim.PasswordPolicy{AllowUsersToChangePassword: true, MaxPasswordAge: 30})}, can: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, slices.Concat([]func(*initialState){func(from *initialState) { from.account.PasswordPolicy = nil }, quick}, c.changes)...)
			if strings.Contains(name, "cannot be read") {
				w.sim.Inject(awssim.Fault{Operation: "GetPolicyVersion", Kind: awssim.AccessDenied})
			}
			found, err := run(w, w.acts.Inspect, w.work())
			if c.refuses != "" {
				failure := w.requireFailure(err, provision.CodePoolSettingsRefused)
				require.Contains(t, failure.Reason, c.refuses)
				w.requireRestored()
				return
			}
			require.NoError(t, err)
			if c.warns == "" {
				require.Empty(t, found.Warnings)
			} else {
				require.Len(t, found.Warnings, 1)
				require.Contains(t, found.Warnings[0], c.warns)
			}
			for _, secret := range w.personal() {
				require.NotContains(t, strings.Join(found.Warnings, " "), secret)
			}
			w.edit(func(a *awssim.Account) { // the user as CreateUser and EnableSignIn create it
				put(&a.Users, "alice", awssim.User{Path: userPath, PermissionsBoundary: w.w.Settings.PermissionsBoundary,
					AttachedPolicies: w.w.policies(),
					LoginProfile:     &awssim.LoginProfile{ResetRequired: true, Created: justNow}})
			})
			require.Equal(t, c.can, w.sim.MayChangePassword(accountID, "alice"), "the simulator decides differently")
		})
	}
}
