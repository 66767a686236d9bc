package activities

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

func TestAUserOfSomeoneElseIsNeverTouched(t *testing.T) {
	t.Parallel()
	for name, foreign := range map[string]awssim.User{
		"no tags":           {},
		"our path, no tags": {Path: userPath, AttachedPolicies: []string{readOnly}},
		"another order's": {Path: userPath, Tags: map[string]string{tagOrder: "acme/order-2", tagNonce: "another",
			tagManagedBy: managedBy}},
		"our order, old nonce": {Path: userPath, Tags: map[string]string{tagOrder: "acme/order-1", tagNonce: "another",
			tagManagedBy: managedBy}},
		"our nonce, other case": {Path: userPath, Tags: map[string]string{tagOrder: "acme/order-1", tagNonce: nonce + "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(from *initialState) { from.account.Users = map[string]awssim.User{"ALICE": foreign} })
			_, err := run(w, w.acts.Inspect, w.work())
			failure := w.requireFailure(err, provision.CodeUserNameTaken)
			require.Equal(t, "iam_user_name", failure.Field)
			require.Equal(t, "alice", failure.Value)

			_, err = run(w, w.acts.CreateUser, w.work())
			w.requireFailure(err, provision.CodeUserNameTaken)
			undone, err := run(w, w.acts.DisableSignIn, UserUndo{Work: w.work()})
			require.NoError(t, err)
			require.Empty(t, undone.Notes)
			undone, err = run(w, w.acts.RemoveUser, UserUndo{Work: w.work()})
			require.NoError(t, err)
			require.Empty(t, undone.Notes, "the user was never ours, so there is no note")
			w.requireRestored()
			require.Empty(t, w.sim.Effects())
		})
	}
}

// Where AWS finds users by their exact name only, the name is taken as well, and the customer must choose another one. AWS may
// list the users in pages, some of them empty.
func TestAUserNameThatDiffersOnlyInCaseIsTaken(t *testing.T) {
	t.Parallel()
	exact := func(from *initialState) { from.account.Quirks = awssim.Quirks{ExactCase: true, ShortPages: true} }
	taken := func(a *awssim.Account) {
		a.Users = map[string]awssim.User{"aaron": {}, "Alice": {}, "alicia": {}}
	}
	t.Run("before the order", func(t *testing.T) {
		t.Parallel()
		w := setup(t, exact, func(from *initialState) { taken(&from.account) })
		_, err := run(w, w.acts.Inspect, w.work())
		failure := w.requireFailure(err, provision.CodeUserNameTaken)
		require.Equal(t, "iam_user_name", failure.Field)
		require.Equal(t, "alice", failure.Value)
		w.w.Request.IAMUserName = "bob"
		_, err = run(w, w.acts.Inspect, w.work())
		require.NoError(t, err)
	})
	t.Run("since the inspection", func(t *testing.T) {
		t.Parallel()
		w := setup(t, exact, quick)
		w.edit(taken)
		w.start = string(w.sim.Snapshot(accountID))
		_, err := run(w, w.acts.CreateUser, w.work())
		failure := w.requireFailure(err, provision.CodeUserNameTaken)
		require.Equal(t, "iam_user_name", failure.Field)
		_, err = run(w, w.acts.RemoveUser, UserUndo{Work: w.work()})
		require.NoError(t, err)
		w.requireRestored()
	})
	t.Run("our own user is not in another case", func(t *testing.T) {
		t.Parallel()
		w := setup(t, exact)
		w.sim.Inject(awssim.Fault{Operation: "CreateUser", Nth: 1, When: awssim.After, Kind: awssim.Reset})
		d := w.mustDo()
		w.requireUndone(d, awssim.Fault{})
	})
	t.Run("AWS is not asked for more than it takes", func(t *testing.T) {
		t.Parallel()
		w := setup(t, func(from *initialState) { taken(&from.account) })
		_, err := run(w, w.acts.Inspect, w.work())
		w.requireFailure(err, provision.CodeUserNameTaken)
		require.NotContains(t, w.operations(), "GetUser", "the list answers the question")
	})
}

func TestAUserThatSomeoneReplacedIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	user, err := run(w, w.acts.CreateUser, w.work())
	require.NoError(t, err)
	w.edit(func(a *awssim.Account) {
		u := a.Users["alice"]
		u.ID = "AIDASOMEBODYELSE00000"
		a.Users["alice"] = u
	})
	_, err = run(w, w.acts.EnableSignIn, EnableSignIn{Work: w.work(), User: user})
	w.requireFailure(err, provision.CodeResourceNotOurs)
	undone, err := run(w, w.acts.RemoveUser, UserUndo{Work: w.work(), UserID: user.ID})
	require.NoError(t, err)
	require.Len(t, undone.Notes, 1)
	require.Contains(t, w.account().Users, "alice")
	require.Nil(t, w.account().Users["alice"].LoginProfile)
}

// replaceUserAt deletes the order's user and gives its name and its tags to another one, as tools do that copy, right before
// the next call of the operation is answered.
func (w *fixture) replaceUserAt(operation string) {
	var once sync.Once
	w.onRequest(func(called, _ string) {
		if called == operation {
			once.Do(func() {
				w.edit(func(a *awssim.Account) {
					a.Users["alice"] = awssim.User{ID: "AIDASOMEBODYELSE00000", Path: userPath, Tags: a.Users["alice"].Tags}
				})
			})
		}
	})
}

// AWS deletes by name. So the undo reads the user again before it deletes it, even when the order does not know the id of its user
// because the reply was lost.
func TestAUserThatSomeoneReplacesDuringTheUndoIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"id known": true, "id lost": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			d := w.mustDo()
			in := UserUndo{Work: w.work()}
			if known {
				in.UserID = d.user.ID
			}
			w.replaceUserAt("DetachUserPolicy")
			undone, err := run(w, w.acts.RemoveUser, in)
			require.NoError(t, err)
			require.Len(t, undone.Notes, 1)
			require.Equal(t, "AIDASOMEBODYELSE00000", w.account().Users["alice"].ID)
			require.Zero(t, w.effects("DeleteUser"))
		})
	}
	t.Run("between two rounds", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		d := w.mustDo()
		w.sim.Inject(awssim.Fault{Operation: "DeleteUser", Nth: 1, Kind: awssim.Error, Code: "DeleteConflict", Status: 409})
		w.replaceUserAt("DeleteUser")
		asked := len(w.sim.Requests())
		undone, err := run(w, w.acts.RemoveUser, UserUndo{Work: w.work(), UserID: d.user.ID})
		require.NoError(t, err)
		require.Len(t, undone.Notes, 1)
		require.Equal(t, "AIDASOMEBODYELSE00000", w.account().Users["alice"].ID)
		operations := w.operations()[asked:]
		require.Equal(t, []string{"DeleteUser", "GetUser"}, operations[len(operations)-2:], "nothing is taken from the other user")
	})
}

// hangEverythingOnTheUser attaches to the user everything that a customer can attach.
func (w *fixture) hangEverythingOnTheUser() {
	w.t.Helper()
	w.edit(func(a *awssim.Account) {
		u := a.Users["alice"]
		u.AccessKeys = []string{"AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"}
		u.MFADevices = []string{"arn:aws:iam::" + accountID + ":mfa/alice", "GAHT12345678"}
		u.SigningCertificates = []string{"TA7SMP42TDN5Z26OBPJE7EXAMPLE"}
		u.SSHPublicKeys = []string{"APKAEIBAERJR2EXAMPLE"}
		u.ServiceCredentials = []string{"ACCAEXAMPLE123EXAMPLE"}
		u.Groups = []string{"admins", "reconcilers"}
		u.InlinePolicies = map[string]string{"more": `{"Version":"2012-10-17","Statement":[]}`}
		a.Users["alice"] = u
	})
}

// TestRemoveUserDeletesEverythingAttached attaches to the user everything that AWS wants deleted before the user.
func TestRemoveUserDeletesEverythingAttached(t *testing.T) {
	t.Parallel()
	t.Run("clean", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		d := w.mustDo()
		w.hangEverythingOnTheUser()
		require.NotEmpty(t, w.account().VirtualMFADevices)
		notes, verified := w.undo(d)
		require.Empty(t, notes)
		require.Empty(t, verified.Leftovers)
		w.requireRestored()
	})
	for _, operation := range []string{"DeleteAccessKey", "DeactivateMFADevice", "DeleteVirtualMFADevice", "DeleteSigningCertificate",
		"DeleteSSHPublicKey",
		"DeleteServiceSpecificCredential", "RemoveUserFromGroup", "DeleteUserPolicy"} {
		t.Run("lost reply of "+operation, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			d := w.mustDo()
			w.hangEverythingOnTheUser()
			w.spoil(ways[0], lostReply, awssim.Fault{Service: "iam", Operation: operation, Nth: 1})
			w.requireUndone(d, awssim.Fault{Operation: operation})
			w.requireSpoilt(ways[0], lostReply, awssim.Fault{Operation: operation})
		})
	}
	t.Run("one that appears while it is deleted", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		d := w.mustDo()
		// The list does not show the key yet, so AWS refuses the deletion of the user once.
		w.sim.Inject(awssim.Fault{Operation: "ListAccessKeys", Nth: 1, Kind: awssim.StaleRead})
		w.edit(func(a *awssim.Account) {
			u := a.Users["alice"]
			u.AccessKeys = []string{"AKIAIOSFODNN7EXAMPLE"}
			a.Users["alice"] = u
		})
		w.sim.Inject(awssim.Fault{Operation: "DeleteUser", Nth: 1, Kind: awssim.Error, Code: "DeleteConflict", Status: 409})
		_, err := once(w, 1, w.acts.RemoveUser, UserUndo{Work: w.work(), UserID: d.user.ID})
		require.NoError(t, err)
		require.Empty(t, w.account().Users)
	})
	t.Run("a policy that the role may not detach", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		d := w.mustDo()
		w.edit(func(a *awssim.Account) {
			u := a.Users["alice"]
			u.AttachedPolicies = append(u.AttachedPolicies, "arn:aws:iam::aws:policy/AdministratorAccess")
			a.Users["alice"] = u
		})
		_, err := run(w, w.acts.RemoveUser, UserUndo{Work: w.work(), UserID: d.user.ID})
		failure := w.requireFailure(err, provision.CodePermissionMissing)
		require.Contains(t, failure.Reason, "iam:DetachUserPolicy")
		verified, err := run(w, w.acts.CompareWithJournal, CompareWithJournal{Work: w.work(), Journal: d.inspected.Journal})
		require.NoError(t, err)
		require.Contains(t, verified.Leftovers, "the IAM user of the order still exists")
	})
}

func TestTheUserHasTheBoundaryAndPoliciesOfThePool(t *testing.T) {
	t.Parallel()
	t.Run("boundary", func(t *testing.T) {
		t.Parallel()
		const administrator = "arn:aws:iam::aws:policy/AdministratorAccess"
		w := setup(t, func(from *initialState) { from.w.Settings.PermissionsBoundary = administrator })
		w.mustDo()
		require.Equal(t, administrator, w.account().Users["alice"].PermissionsBoundary)
	})
	for name, change := range map[string]func(*initialState){
		"unknown boundary": func(from *initialState) {
			from.w.Settings.PermissionsBoundary = "arn:aws:iam::" + accountID + ":policy/does-not-exist"
		},
		"unknown policy": func(from *initialState) {
			// The role may attach it, so that the answer is about the policy.
			from.w.Settings.UserPolicyARNs = []string{"arn:aws:iam::" + accountID + ":policy/does-not-exist"}
			from.account.Role.Policy = []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, change)
			d, err := w.do()
			failure := w.requireFailure(err, provision.CodePoolSettingsRefused)
			require.Contains(t, failure.Reason, "does-not-exist")
			if failure.Step == provision.StepInspect {
				require.Empty(t, w.sim.Effects(), "the inspection finds it before anything is changed")
				_, err = run(w, w.acts.CreateUser, w.work())
				failure = w.requireFailure(err, provision.CodePoolSettingsRefused)
				require.Contains(t, failure.Reason, "does-not-exist")
				w.requireRestored()
				return
			}
			w.requireUndone(d, awssim.Fault{})
		})
	}
	t.Run("a policy that the role may not attach", func(t *testing.T) {
		t.Parallel()
		w := setup(t, func(from *initialState) {
			from.w.Settings.UserPolicyARNs = []string{"arn:aws:iam::aws:policy/AdministratorAccess"}
		})
		_, err := w.do()
		failure := w.requireFailure(err, provision.CodePermissionMissing)
		require.Contains(t, failure.Reason, "iam:AttachUserPolicy")
	})
}

// AWS gives the same answer for a policy and for a user that does not exist.
func TestAPolicyIsNotBlamedForAUserThatIsMissing(t *testing.T) {
	t.Parallel()
	w := setup(t, quick)
	w.sim.Inject(awssim.Fault{Operation: "AttachUserPolicy", Kind: awssim.Error, Code: "NoSuchEntity", Status: 404})
	w.onRequest(func(operation, _ string) {
		if operation == "CreateUser" {
			w.edit(func(a *awssim.Account) { delete(a.Users, "alice") })
		}
	})
	_, err := once(w, 1, w.acts.CreateUser, w.work())
	failure := w.requireFailure(err, provision.CodeNotYetVisible)
	require.Equal(t, "NoSuchEntity", failure.AWSCode)
}

// An earlier attempt attached a policy of settings that an operator has changed since. The first list does not show it yet.
func TestAPolicyOfEarlierSettingsIsDetachedAsSoonAsAWSShowsIt(t *testing.T) {
	t.Parallel()
	w := setup(t, func(from *initialState) { from.w.Settings.UserPolicyARNs = nil })
	_, err := once(w, 1, w.acts.CreateUser, w.work())
	require.NoError(t, err)
	w.edit(func(a *awssim.Account) {
		user := a.Users["alice"]
		user.AttachedPolicies = append(user.AttachedPolicies, readOnly)
		a.Users["alice"] = user
	})
	lists := 0
	w.proxy.alter(alterations{"ListAttachedUserPolicies": rewrite(func(body string) string {
		if lists++; lists == 1 {
			return strings.Replace(body, readOnly, changePassword, 1)
		}
		return body
	})})
	_, err = once(w, 2, w.acts.CreateUser, w.work())
	require.NoError(t, err)
	require.Equal(t, []string{changePassword}, w.account().Users["alice"].AttachedPolicies)
	require.Equal(t, 4, lists, "not shown, shown and detached, and twice without it")
}
