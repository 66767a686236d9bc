package workflows_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
	"pgregory.net/rapid"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// Thousands of orders, each with its own faults and interruptions, against a model of the database and of AWS. What must
// hold is asked at the end of each, whatever happened. The seed is fixed, so that every run plays the same orders;
// `go test -rapid.seed=0 -rapid.checks=100000` looks at others, and longer.

func init() {
	for name, value := range map[string]string{"rapid.checks": "2000", "rapid.seed": "20261122", "rapid.nofailfile": "true"} {
		if _, set := os.LookupEnv(strings.ToUpper(strings.ReplaceAll(name, ".", "_"))); !set {
			if err := flag.Set(name, value); err != nil {
				panic(err)
			}
		}
	}
}

// plantedBug is a fault that is planted into the model to show that the property finds it.
type plantedBug string

const (
	noBug                 plantedBug = ""
	bugUndoOvertakes      plantedBug = "an undo does not wait for its step (WaitForCancellation is missing)"
	bugRegisteredLate     plantedBug = "an undo is registered after its step"
	bugLostAnswer         plantedBug = "a lost answer is taken for 'did not happen'"
	bugAliasStays         plantedBug = "RestoreAlias does nothing"
	bugForgetsCorrections plantedBug = "the undo does not know the requests before a correction"
	bugOverwritesCustomer plantedBug = "RestoreAlias does not compare"
	bugVerifiesNothing    plantedBug = "CompareWithJournal does not look"
	bugClaimsTwice        plantedBug = "a repeated claim takes another account"
)

type orderModel struct {
	plan     *orderPlan
	bug      plantedBug
	without  map[int]bool // events that do not come this time
	env      *testsuite.TestWorkflowEnvironment
	acts     modelActivities
	settings provision.PoolSettings
	ordered  provision.Order
	wanted   provision.Request // with every correction that was accepted

	order      *orderRow
	accounts   []*accountModel
	aliasTaken map[string]bool
	users      int
	passwords  int
	rejected   int // accounts that were judged unusable
	pauses     int
	refusedBy  string // the account that the order could not enter the last time
	suspended  bool   // the pool's claims
	endedUndo  bool   // an operator has ended an undo

	seen        map[string]int // attempts by activity
	refused     map[provision.Code]bool
	struck      map[string]bool // activities that refused for good
	accepted    map[string]int  // updates
	done        map[string]int  // updates that were answered without an error
	answered    map[string]int
	rejections  []int // events whose update was refused
	cancelHeard bool  // the workflow heard of its cancel in time
	states      []provision.OrderState
	trace       []string
	violations  []string
	err         error // that the workflow ended with
}

func (w *orderModel) violate(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

func (w *orderModel) account(id string) *accountModel {
	return w.accounts[slices.IndexFunc(w.accounts, func(a *accountModel) bool { return a.row.ID == id })]
}

// runOrder runs one order to its end.
func runOrder(plan *orderPlan, bug plantedBug, without map[int]bool) *orderModel {
	w := &orderModel{plan: plan, bug: bug, without: without, aliasTaken: map[string]bool{}, seen: map[string]int{},
		refused: map[provision.Code]bool{},
		struck:  map[string]bool{}, accepted: map[string]int{}, done: map[string]int{}, answered: map[string]int{}}
	w.acts = modelActivities{&activities.Activities{Database: activities.Database{Orders: databaseModel{w: w},
		Leftovers: databaseModel{w: w}}, Sealer: unsealed{}}, w}
	w.settings = provision.PoolSettings{AlternateContactTypes: []string{"BILLING", "SECURITY"}, OnFailure: provision.OnFailureReturn,
		WaitDeadline: 2 * time.Hour, ActionDeadline: 14 * 24 * time.Hour}
	if plan.Park {
		w.settings.OnFailure = provision.OnFailurePark
	}
	w.ordered = provision.Order{OrderKey: provision.OrderKey{Provider: "acme", ID: "o-1"}, AcceptedAt: time.Date(2026, 11, 22, 10, 0, 0, 0,
		time.UTC),
		Request: provision.Request{Marketplace: "north", Environment: provision.Production, OrderMode: provision.OrderModeNewAccount,
			IAMUserName: "customer", ContactName: "Jane Roe", AccountAlias: "blue-sky"}}
	if plan.Alternate {
		w.ordered.Request.AlternateContact = &provision.AlternateContact{
			Name: "Jim Roe", Email: "jim@example.test", Phone: "+1 206 555 0100", Title: "CFO",
		}
	}
	if plan.LinkReport {
		w.ordered.Request.UseExistingCUR = theirReportName
	}
	w.wanted = w.ordered.Request
	w.aliasTaken[w.ordered.Request.AccountAlias] = plan.AliasTaken
	for n := range plan.Accounts {
		w.createAccount(n < plan.Bad)
	}
	w.env = newEnvironment(&modelWorker{w: w})
	w.env.SetStartTime(w.ordered.AcceptedAt)
	w.env.RegisterWorkflowWithOptions(workflows.ProvisionOrder, workflow.RegisterOptions{Name: workflows.ProvisionOrderName})
	// orderModel.verify does its work
	w.env.RegisterWorkflowWithOptions(func(workflow.Context) error { return nil },
		workflow.RegisterOptions{Name: workflows.VerifyAccountsName})
	w.env.ExecuteWorkflow(workflows.ProvisionOrder, w.ordered)
	w.err = w.env.GetWorkflowError()
	w.check()
	return w
}

// check asks what must hold at the end of every order.
func (w *orderModel) check() {
	if !w.env.IsWorkflowCompleted() || w.order == nil || !w.order.state.Ended() {
		w.violate("the workflow ended (%t, %v) but its order did not: %+v", w.env.IsWorkflowCompleted(), w.err, w.order)
		return
	}
	for _, stop := range []string{workflows.UpdateCancel, workflows.UpdateFail} {
		if w.done[stop] > 0 && w.order.state == provision.Completed {
			w.violate("%s was done, but the order completed", stop)
		}
	}
	if w.cancelHeard && w.order.state == provision.Completed {
		w.violate("the workflow was cancelled in time, but the order completed")
	}
	if !maps.Equal(w.accepted, w.answered) {
		w.violate("updates were accepted %v and answered %v", w.accepted, w.answered)
	}
	app, isApp := errors.AsType[*temporal.ApplicationError](w.err)
	switch state := w.order.state; {
	case state == provision.Completed && w.err == nil:
		w.checkResult()
	case state == provision.Cancelled && temporal.IsCanceledError(w.err):
	case state == provision.Failed && isApp && app.Type() == string(w.order.failure.Code):
	default:
		w.violate("the order is %s and the workflow ended with %v", state, w.err)
	}
	if w.order.state != provision.Completed {
		w.checkReason(w.order.failure.Code)
		if w.plan.calm() {
			w.violate("every fault of the order passes without an intervention, but it ended with %s", w.order.failure.Code)
		}
	}
	for _, a := range w.accounts {
		w.checkAccount(a)
	}
}

// checkReason: an order ends for a reason that came from outside, never by itself.
func (w *orderModel) checkReason(code provision.Code) {
	given := w.refused[code]
	switch code {
	case provision.CodeOrderCancelled:
		given = w.done[workflows.UpdateCancel] > 0 || w.cancelHeard
	case provision.CodeFailedByOperator:
		given = w.done[workflows.UpdateFail] > 0
	case provision.CodeAccountsExhausted:
		given = w.rejected == 5
	case provision.CodeActionDeadlinePassed:
		given = w.seen["RequireAction"] > 0
	case provision.CodeWaitDeadlinePassed:
		given = slices.Contains(w.states, provision.WaitingForAccount)
	}
	if !given {
		w.violate("the order ended with %s, which nothing in this run explains", code)
	}
}

func (w *orderModel) checkResult() {
	var result provision.Result
	if err := w.env.GetWorkflowResult(&result); err != nil {
		w.violate("the result cannot be read: %v", err)
	}
	a := w.account(result.AccountID)
	if a.row.Status != provision.AccountAllocated || text(result) != text(*w.order.result) {
		w.violate("the result is not the one of the account that is allocated: %+v", result)
	}
	if result.AccountAlias != w.wanted.AccountAlias || result.IAMUserName != w.wanted.IAMUserName ||
		result.Report.Existing != (w.wanted.UseExistingCUR != "") {
		w.violate("the result is not what was ordered, corrections included: %+v", result)
	}
}

// checkAccount: an account is as ordered, or as it was, or what is left in it is written down.
func (w *orderModel) checkAccount(a *accountModel) {
	id, status, now := a.row.ID, a.row.Status, text(a.now)
	for field, preserved := range map[string]bool{"alias": a.now.Alias == "customers-own",
		"name": a.now.Contact.FullName == "Customer's Own", "billing": a.now.Alternates["BILLING"] == customersBilling} {
		if a.changed[field] && !preserved {
			w.violate("account %s: the customer changed the %s and it was overwritten", id, field)
		}
	}
	switch status {
	case provision.AccountAllocated:
		if want := text(a.asOrdered(w.wanted)); now != want {
			w.violate("account %s is allocated, but it is not as ordered:\n  want %s\n  is   %s", id, want, now)
		}
		if a.kept == "" {
			w.violate("account %s is allocated, but its password is lost", id)
		}
		return
	case provision.AccountProvisioning:
		w.violate("account %s is held by an order that ended", id)
	}
	leftovers := strings.Contains(a.row.Reason, "left")
	if before := text(a.before); now != before && (!leftovers || status == provision.AccountReady) {
		w.violate("account %s is %s (%q), but it is not as it was:\n  was %s\n  is  %s", id, status, a.row.Reason, before, now)
	}
	if a.kept != "" && !leftovers && !w.struck["DisableSignIn"] {
		w.violate("account %s is %s, but the database still keeps its password", id, status)
	}
	undoFailed := slices.ContainsFunc([]string{"DisableSignIn", "RemoveUser", "RestoreContacts", "RestoreAlias", "RemoveReport",
		"CompareWithJournal"}, func(undo string) bool { return w.struck[undo] })
	if leftovers && !undoFailed && len(a.changed) == 0 && !w.endedUndo {
		w.violate("account %s is lost (%s: %v), although every undo could do its work", id, a.row.Reason, w.order.leftovers)
	}
}

// asOrdered is what the account must hold when the order completed.
func (a *accountModel) asOrdered(r provision.Request) awsContents {
	want := a.before.clone()
	want.Alias, want.Contact.FullName = r.AccountAlias, r.ContactName
	if r.AlternateContact != nil {
		want.Alternates["BILLING"], want.Alternates["SECURITY"] = *r.AlternateContact, *r.AlternateContact
	}
	if r.UseExistingCUR == "" {
		want.Reports[modelReportName], want.Buckets[modelBucketName] = modelNonce, modelNonce
	}
	want.Users[r.IAMUserName] = iamUser{ID: a.now.Users[r.IAMUserName].ID, Nonce: modelNonce, Password: a.kept}
	if a.changed["alias"] {
		want.Alias = a.now.Alias
	}
	if a.changed["name"] {
		want.Contact.FullName = a.now.Contact.FullName
	}
	if a.changed["billing"] {
		want.Alternates["BILLING"] = a.now.Alternates["BILLING"]
	}
	return want
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// holds is the property: whatever is drawn, the order ends well. An update that was refused must have had no effect: the
// same run without it is the same run.
func holds(t *rapid.T, plan *orderPlan, bug plantedBug) *orderModel {
	w := runOrder(plan, bug, nil)
	if len(w.violations) == 0 && len(w.rejections) > 0 {
		without := map[int]bool{}
		for _, i := range w.rejections {
			without[i] = true
		}
		if twin := runOrder(plan, bug, without); !slices.Equal(w.trace, twin.trace) {
			w.violate("a refused update had an effect; without it:\n  %s", strings.Join(twin.trace, "\n  "))
		}
	}
	if len(w.violations) > 0 {
		t.Fatalf("%s\n%s\n  %s", strings.Join(w.violations, "\n"), plan, strings.Join(w.trace, "\n  "))
	}
	return w
}

func TestPropertyEveryOrderEndsWell(t *testing.T) {
	t.Parallel()
	start, orders, ends := time.Now(), 0, map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := holds(t, genPlan(5, 3, true).Draw(t, "plan"), noBug)
		orders++
		ends[string(w.order.state)]++
		for _, a := range w.accounts {
			ends["account "+string(a.row.Status)]++
		}
		for name, n := range w.accepted {
			ends["update "+name] += n
		}
	})
	for _, end := range []string{"completed", "failed", "cancelled", "account invalid", "account provisioning_failed", "update correct",
		"update retry", "update swap", "update cancel", "update fail"} {
		require.NotZero(t, ends[end], "the plans never lead to %q: %v", end, ends)
	}
	t.Logf("%d orders, %.0f a second: %v", orders, float64(orders)/time.Since(start).Seconds(), ends)
}

// recorder is a test that may fail without failing this one.
type recorder struct {
	*testing.T
	failed bool
}

func (r *recorder) Failed() bool          { return r.failed }
func (r *recorder) Fail()                 { r.failed = true }
func (r *recorder) FailNow()              { r.failed = true; runtime.Goexit() }
func (*recorder) Log(...any)              {}
func (*recorder) Logf(string, ...any)     {}
func (r *recorder) Error(...any)          { r.Fail() }
func (r *recorder) Errorf(string, ...any) { r.Fail() }
func (r *recorder) Fatal(...any)          { r.FailNow() }
func (r *recorder) Fatalf(string, ...any) { r.FailNow() }

// TestPropertyFindsPlantedBugs: a property that cannot fail proves nothing. Each bug is planted, found, and made as small
// as it can be: to the one fault that brings it out, with what from outside it takes. Rapid leaves things out one by one, so
// two that only together do what another alone would do may stay: one more than the fewest is small, too.
func TestPropertyFindsPlantedBugs(t *testing.T) {
	t.Parallel()
	for bug, found := range map[plantedBug]struct {
		by     string // part of what the property says
		fewest int    // faults and events that bring it out
	}{
		bugUndoOvertakes:      {"still does", 1},
		bugRegisteredLate:     {"", 1}, // any step may come first
		bugLostAnswer:         {"every fault of the order passes", 1},
		bugAliasStays:         {"the alias is not the earlier one", 1},
		bugForgetsCorrections: {"is lost", 3},
		bugOverwritesCustomer: {"overwritten", 2},
		bugVerifiesNothing:    {"not as it was", 2},
		bugClaimsTwice:        {"holds 2 accounts at once", 1},
	} {
		t.Run(string(bug), func(t *testing.T) {
			t.Parallel()
			rec, orders := &recorder{T: t}, 0
			var smallest *orderModel
			over := make(chan struct{})
			go func() {
				defer close(over)
				rapid.Check(rec, func(t *rapid.T) {
					plan := genPlan(2, 2, bug == bugForgetsCorrections).Draw(t, "plan")
					if smallest != nil && smallest.plan.size() <= found.fewest && smallest.plan.String() != plan.String() {
						return // small enough
					}
					orders++
					if w := runOrder(plan, bug, nil); len(w.violations) > 0 {
						smallest = w
						t.Fatalf("%s", w.violations[0])
					}
				})
			}()
			<-over
			require.True(t, rec.failed, "the property does not see that %s", bug)
			t.Logf("%d orders: %s\n%s", orders, smallest.plan, strings.Join(smallest.violations, "\n"))
			require.Contains(t, strings.Join(smallest.violations, "\n"), found.by)
			require.LessOrEqual(t, smallest.plan.size(), found.fewest+1, "it was not made small:\n%s", smallest.plan)
		})
	}
}
