package activities

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/deploy/iam"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile/inaws"
)

// The role's policy that we ship is exact: the runs below are everything that is done in an account. Each action and each
// resource of the policy is needed by one of them, which ends in another way without it, and no run asks for more.

// boundaryARN is the boundary of the pool whose policy is shipped here.
const boundaryARN = "arn:aws:iam::" + accountID + ":policy/Boundary"

// rolePolicy is the shipped policy, in a form from which parts can be removed.
type rolePolicy struct {
	Version   string
	Statement []roleStatement
}

type roleStatement struct {
	Sid, Effect string
	Action      []string
	Resource    []string
	Condition   map[string]map[string][]string `json:",omitempty"`
}

func shippedPolicy(t *testing.T) (p rolePolicy) {
	t.Helper()
	text := iam.RolePolicy(iam.Role{AccountID: accountID, UserPolicyARNs: []string{readOnly}, PermissionsBoundary: boundaryARN})
	require.NoError(t, json.Unmarshal([]byte(text), &p))
	return p
}

// String returns the policy as JSON.
func (p rolePolicy) String() string {
	text, _ := json.Marshal(p) // strings and lists always encode
	return string(text)
}

// without returns the policy without one action or resource of a statement. It drops a statement that is then empty.
func (p rolePolicy) without(at int, action, resource string) rolePolicy {
	p.Statement = slices.Clone(p.Statement)
	st := &p.Statement[at]
	drop := func(list []string, one string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == one })
	}
	st.Action, st.Resource = drop(st.Action, action), drop(st.Resource, resource)
	if len(st.Action) == 0 || len(st.Resource) == 0 {
		p.Statement = slices.Delete(p.Statement, at, at+1)
	}
	return p
}

// policyRun is something that is done in an account. It returns how it ended, without what differs between two runs.
type policyRun struct {
	scene []func(*initialState)
	do    func(w *fixture) []string
}

// ending returns the part of an error that is the same in two equal runs.
func ending(what string, err error) string {
	if err == nil {
		return what + ": done"
	}
	failure, _ := failureOf(err)
	return what + ": " + string(failure.Code)
}

// wholeFlow sets everything up, changes it as someone else would, and undoes it.
func wholeFlow(change func(*fixture)) func(w *fixture) []string {
	return func(w *fixture) []string {
		w.undoFor = -time.Second // what is refused is left
		d, err := w.do()
		ended := []string{ending("do", err), fmt.Sprint("report: ", d.report.Name, " ", d.report.Bucket),
			fmt.Sprint("warnings: ", d.inspected.Warnings)}
		if err == nil {
			change(w)
		}
		notes, verified, err := w.tryUndo(d)
		ended = append(ended, ending("undo", err), fmt.Sprint("restored: ", w.start == string(w.sim.Snapshot(accountID))))
		return slices.Concat(ended, notes, verified.Leftovers)
	}
}

func unchanged(*fixture) {}

// inspecting only looks whether the order can be carried out.
func inspecting(w *fixture) []string {
	found, err := run(w, w.acts.Inspect, w.work())
	return []string{ending("inspect", err), fmt.Sprint("warnings: ", found.Warnings)}
}

// verifying looks whether the account can be given to an order.
func verifying(w *fixture) []string {
	verified, err := run(w, w.acts.VerifyAccount, accountID)
	code := provision.Code("")
	if verified.Failure != nil {
		code = verified.Failure.Code
	}
	return []string{ending("verify", err), "found: " + string(code)}
}

// reconciling compares what an order wrote with what it reads.
func reconciling(w *fixture) []string {
	_, doErr := w.do()
	reconciler := inaws.Cloud{Sessions: w.acts.Cloud}
	has, hasProblem, hasErr := reconciler.HasUser(w.t.Context(), w.w.Account, "alice", w.w.Order, w.w.Nonce)
	now, customers, readProblem, readErr := reconciler.Written(w.t.Context(), w.w.Account, "alice")
	return []string{ending("do", doErr), ending("user", hasErr), ending("read", readErr),
		fmt.Sprint(has, hasProblem, now, customers, readProblem)}
}

// newPassword completes the order and sets a new password, as what is asked for says.
func newPassword(change func(*fixture), in func(asked, *fixture) SetPassword) func(w *fixture) []string {
	return func(w *fixture) []string {
		if _, err := w.do(); err != nil { // without what an order needs there is no customer
			return []string{ending("do", err)}
		}
		w.allocate()
		change(w)
		a := w.ask("1")
		_, err := run(w, w.acts.SetPassword, in(a, w))
		w.end(a, err)
		return []string{ending("set", err)}
	}
}

// everythingOnIt is what the customer and the account's own tools may leave: things on the user, and versions in the bucket.
func everythingOnIt(w *fixture) {
	w.hangEverythingOnTheUser()
	w.edit(func(a *awssim.Account) {
		b := a.Buckets[w.w.bucketName()]
		b.Versioning = awssim.VersioningEnabled
		a.Buckets[w.w.bucketName()] = b
	})
}

// policyRuns is everything that is done in an account, in as few runs as need every permission.
func policyRuns() map[string]policyRun {
	with := func(changes ...func(*initialState)) []func(*initialState) { return changes }
	return map[string]policyRun{
		"data export":   {nil, wholeFlow(everythingOnIt)},
		"legacy report": {with(legacyReport, func(from *initialState) { from.account.Alias = "" }), wholeFlow(unchanged)},
		"linked legacy report": {with(linking(func(a *awssim.Account) {
			a.Reports = map[string]awssim.Report{"Usage": simReport("SUCCESS")}
		})), wholeFlow(unchanged)},
		"linked data export": {with(linking(func(a *awssim.Account) {
			a.Exports = map[string]awssim.Export{"Usage": simExport("HEALTHY")}
		})), wholeFlow(unchanged)},
		"a password that is set twice": {nil, func(w *fixture) []string {
			w.sim.Inject(awssim.Fault{Operation: "CreateLoginProfile", Nth: 1, When: awssim.After, Kind: awssim.Reset})
			return wholeFlow(unchanged)(w)
		}},
		"a bucket that is created twice": {nil, func(w *fixture) []string {
			w.sim.Inject(awssim.Fault{Operation: "CreateBucket", Nth: 1, When: awssim.After, Kind: awssim.Reset})
			return wholeFlow(unchanged)(w)
		}},
		"a new password": {nil, newPassword(unchanged, asked.in)},
		"a new password for a sign-in that was removed": {nil, newPassword(func(w *fixture) { w.editUser(removeSignIn) },
			func(a asked, w *fixture) SetPassword { return a.insisting().in(w) })},
		"a user name in another letter case": {with(func(from *initialState) {
			from.account.Quirks.ExactCase = true
			from.account.Users = map[string]awssim.User{"ALICE": {}}
		}), inspecting},
		"a policy of AWS that lets the user change the password": {with(func(from *initialState) {
			from.account.PasswordPolicy = nil
			from.w.Settings.UserPolicyARNs = []string{"arn:aws:iam::aws:policy/AdministratorAccess"}
		}), inspecting},
		"an account that has not finished signing up": {with(func(from *initialState) { from.account.State = awssim.StatePendingActivation }),
			inspecting},
		"verification": {nil, verifying},
		"verification of an account that is not clean": {with(func(from *initialState) {
			from.account.Users = map[string]awssim.User{"left": {Path: userPath}}
		}), verifying},
		"reconcile": {nil, reconciling},
	}
}

// inAccountWith does r in an account whose role has the policy. It returns how it ended and what the role needed.
func inAccountWith(t *testing.T, policy rolePolicy, r policyRun) (ended string, needed []awssim.Permission) {
	t.Helper()
	w := setup(t, append([]func(*initialState){func(from *initialState) {
		from.account.Role.Policy = json.RawMessage(policy.String())
		from.w.Settings.PermissionsBoundary = boundaryARN
		from.account.PolicyDocuments = map[string]string{
			boundaryARN: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`}
		from.account.PasswordPolicy = &awssim.PasswordPolicy{MinimumPasswordLength: 8, AllowUsersToChangePassword: true}
		from.timings.VisibleFor = 30 * time.Millisecond
	}}, r.scene...)...)
	ended = strings.Join(r.do(w), "\n")
	require.Empty(t, w.sim.Permissions(otherID), "a session was opened in someone else's account")
	return ended, w.sim.Permissions(accountID)
}

func TestTheShippedRolePolicyGrantsExactlyWhatIsNeeded(t *testing.T) {
	t.Parallel()
	policy, runs := shippedPolicy(t), policyRuns()
	var mu sync.Mutex
	usual := map[string]string{}                   // how each run ends with the whole policy
	neededBy := map[string]map[string]bool{}       // an action → the runs that need it
	t.Run("the whole policy", func(t *testing.T) { // grants all that is asked for
		for name, r := range runs {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ended, needed := inAccountWith(t, policy, r)
				mu.Lock()
				defer mu.Unlock()
				usual[name] = ended
				for _, p := range needed {
					require.Truef(t, p.Allowed, "%s on %s is asked for and not granted", p.Action, p.Resource)
					if neededBy[p.Action] == nil {
						neededBy[p.Action] = map[string]bool{}
					}
					neededBy[p.Action][name] = true
				}
			})
		}
	})
	// missed requires that a run that needs one of the actions ends differently with this policy.
	missed := func(t *testing.T, less rolePolicy, actions ...string) {
		t.Helper()
		asked := map[string]bool{}
		for _, action := range actions {
			maps.Copy(asked, neededBy[action])
		}
		require.NotEmptyf(t, asked, "nothing that is done in an account needs it: take it out of role-policy.json")
		for _, name := range slices.Sorted(maps.Keys(asked)) {
			if ended, _ := inAccountWith(t, less, runs[name]); ended != usual[name] {
				return
			}
		}
		require.Failf(t, "not missed", "%v end as ever without it: take it out of role-policy.json", slices.Sorted(maps.Keys(asked)))
	}
	for at, st := range policy.Statement {
		if st.Effect != "Allow" {
			continue
		}
		for _, action := range st.Action {
			t.Run("without "+action, func(t *testing.T) {
				t.Parallel()
				missed(t, policy.without(at, action, ""), action)
			})
		}
		for _, resource := range st.Resource {
			t.Run("without "+st.Sid+" on "+resource, func(t *testing.T) {
				t.Parallel()
				missed(t, policy.without(at, "", resource), st.Action...)
			})
		}
	}
}
