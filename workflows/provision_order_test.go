package workflows_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// activityScript is what the activities do, as a script: which calls came, in which order, and what each answers.
type activityScript struct {
	mu       sync.Mutex
	calls    []string
	request  provision.Request // of the order, as it was corrected
	fail     map[string]error  // by activity
	stock    int               // accounts that ClaimAccount can give
	claimed  int
	closing  *provision.OrderClosing
	rejected []activities.RejectedAccount
	result   *provision.Result
	left     []string // what CompareWithJournal finds
	after    map[string]func()
	woken    []provision.OrderKey // orders that get the account when this one is closed
	aliases  []string             // that SetAlias was asked for
	asked    []provision.Failure  // what RequireAction said
	actions  []activities.ActionTaken
	restores []activities.RestoreContacts
	opened   provision.OrderStatus  // what OpenOrder finds
	status   provision.OrderStatus  // what OrderStatus reads
	settings provision.PoolSettings // of the pool, when they are read again
	reports  []activities.SetUpReport
	kept     *activities.KeptUndo
	verify   bool        // a rejected account is due for verification
	until    []time.Time // how long each undo was given
	touched  bool        // an earlier run has worked in the account
}

func (w *activityScript) did(name string) error {
	w.mu.Lock()
	w.calls = append(w.calls, name)
	err, hook := w.fail[name], w.after[name]
	w.mu.Unlock()
	if hook != nil {
		hook()
	}
	return err
}

// update sends an update to the workflow; answered, when it is given, hears how it went.
func update(env *testsuite.TestWorkflowEnvironment, name string, in any, answered func(error)) {
	if answered == nil {
		answered = func(error) {}
	}
	env.UpdateWorkflow(name, rand.Text(), &testsuite.TestUpdateCallback{OnReject: answered, OnAccept: func() {},
		OnComplete: func(_ any, err error) { answered(err) }}, in)
}

var operator = provision.Intervention{Actor: "operator", Reason: "asked by phone"}

// refused is an activity's error that no retry mends.
func refused(code provision.Code) error {
	f := provision.Failure{Code: code, Field: fieldOf[code], Reason: "refused for the test"}
	return temporal.NewNonRetryableApplicationError(f.Error(), string(code), nil, f)
}

var fieldOf = map[provision.Code]string{provision.CodeAliasTaken: "aws_account_alias", provision.CodeUserNameTaken: "iam_user_name",
	provision.CodeContactRefused: "aws_alternate_contact.phone"}

var theOrder = provision.Order{
	OrderKey:   provision.OrderKey{Provider: "acme", ID: "o-1"},
	AcceptedAt: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
	Request: provision.Request{Marketplace: "north", Environment: provision.Production, OrderMode: provision.OrderModeNewAccount,
		IAMUserName: "customer", ContactName: "Jane Roe", AccountAlias: "blue-sky"},
}

var settings = provision.PoolSettings{WaitDeadline: 24 * time.Hour, ActionDeadline: 14 * 24 * time.Hour, ProvideRootUser: true}

func setup(t *testing.T) (*testsuite.TestWorkflowEnvironment, *activityScript) {
	t.Helper()
	env := newEnvironment()
	env.SetStartTime(theOrder.AcceptedAt)
	env.RegisterWorkflowWithOptions(workflows.ProvisionOrder, workflow.RegisterOptions{Name: workflows.ProvisionOrderName})
	var a *activities.Activities
	w := &activityScript{stock: 1, request: theOrder.Request, settings: settings, fail: map[string]error{}, after: map[string]func(){}}

	env.OnActivity(a.OpenOrder, mock.Anything, mock.Anything).Return(func(context.Context, provision.Order) (activities.Opened, error) {
		return activities.Opened{OrderStatus: w.opened, Settings: settings}, w.did("OpenOrder")
	})
	env.OnActivity(a.ClaimAccount, mock.Anything, mock.Anything).Return(func(context.Context, provision.OrderKey) (provision.Claim, error) {
		if err := w.did("ClaimAccount"); err != nil {
			return provision.Claim{}, err
		}
		if w.claimed >= w.stock {
			return provision.Claim{}, nil
		}
		w.claimed++
		return provision.Claim{Touched: w.touched, Account: &provision.Account{ID: fmt.Sprintf("%012d", w.claimed),
			Model: provision.ModelECAM, RootAccess: true, RootEmail: "root@acme.test"}}, nil
	})
	env.OnActivity(a.Inspect, mock.Anything, mock.Anything).Return(func(_ context.Context,
		in activities.Work) (activities.Inspection, error) {
		err := w.did("Inspect")
		if err == nil {
			err = w.fail["Inspect "+in.AccountID]
		}
		return activities.Inspection{Journal: provision.Journal{Alias: "before"}}, err
	})
	env.OnActivity(a.CreateUser, mock.Anything, mock.Anything).Return(func(context.Context, activities.Work) (provision.User, error) {
		return provision.User{Name: "customer", ID: "AIDA1"}, w.did("CreateUser")
	})
	env.OnActivity(a.SetContacts, mock.Anything, mock.Anything).Return(func(context.Context,
		activities.SetContacts) (provision.WrittenContacts, error) {
		return provision.WrittenContacts{FullName: "JANE ROE"}, w.did("SetContacts")
	})
	env.OnActivity(a.SetAlias, mock.Anything, mock.Anything).Return(func(context.Context, activities.Work) (struct{}, error) {
		w.mu.Lock()
		w.aliases = append(w.aliases, w.request.AccountAlias)
		w.mu.Unlock()
		return struct{}{}, w.did("SetAlias")
	})
	env.OnActivity(a.SetUpReport, mock.Anything, mock.Anything).Return(func(_ context.Context,
		in activities.SetUpReport) (provision.Report, error) {
		w.mu.Lock()
		w.reports = append(w.reports, in)
		w.mu.Unlock()
		return provision.Report{Name: "mp-cur", Kind: provision.DataExport}, w.did("SetUpReport")
	})
	env.OnActivity(a.EnableSignIn, mock.Anything, mock.Anything).Return(func(context.Context, activities.EnableSignIn) (struct{}, error) {
		return struct{}{}, w.did("EnableSignIn")
	})
	env.OnActivity(a.Allocate, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.Allocation) (activities.Allocated,
		error) {
		if err := w.did("Allocate"); err != nil {
			return activities.Allocated{}, err
		}
		w.result = &in.Result
		return activities.Allocated{}, nil
	})
	env.OnActivity(a.DisableSignIn, mock.Anything, mock.Anything).Return(func(context.Context, activities.UserUndo) (activities.Undone,
		error) {
		return activities.Undone{}, w.did("DisableSignIn")
	})
	env.OnActivity(a.RemoveUser, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.UserUndo) (activities.Undone, error) {
			return activities.Undone{}, w.did("RemoveUser")
		})
	env.OnActivity(a.RestoreContacts, mock.Anything, mock.Anything).Return(func(_ context.Context,
		in activities.RestoreContacts) (activities.Undone, error) {
		require.Equal(t, "before", in.Journal.Alias, "an undo gets the journal")
		w.restores = append(w.restores, in)
		return activities.Undone{Notes: []string{"the customer changed the billing contact"}}, w.did("RestoreContacts")
	})
	env.OnActivity(a.RestoreAlias, mock.Anything, mock.Anything).Return(func(_ context.Context,
		in activities.RestoreAlias) (activities.Undone, error) {
		w.until = append(w.until, in.Until)
		return activities.Undone{}, w.did("RestoreAlias")
	})
	env.OnActivity(a.RemoveReport, mock.Anything, mock.Anything).Return(func(context.Context, activities.RemoveReport) (activities.Undone,
		error) {
		return activities.Undone{}, w.did("RemoveReport")
	})
	env.OnActivity(a.CompareWithJournal, mock.Anything, mock.Anything).Return(func(context.Context,
		activities.CompareWithJournal) (activities.Comparison, error) {
		return activities.Comparison{Leftovers: w.left}, w.did("CompareWithJournal")
	})
	env.OnActivity(a.BeginUndo, mock.Anything, mock.Anything).Return(func(context.Context, activities.OrderFailed) error {
		return w.did("BeginUndo")
	})
	env.OnActivity(a.RequireAction, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.OrderFailed) error {
		w.asked = append(w.asked, in.Failure)
		return w.did("RequireAction")
	})
	env.OnActivity(a.Resume, mock.Anything, mock.Anything).Return(func(context.Context, provision.OrderKey) error {
		return w.did("Resume")
	})
	env.OnActivity(a.Correct, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.Corrected) error {
		w.mu.Lock()
		w.request = in.Request
		w.mu.Unlock()
		return w.did("Correct")
	})
	env.OnActivity(a.NoteAction, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.ActionTaken) error {
		w.actions = append(w.actions, in)
		return w.did("NoteAction")
	})
	env.OnActivity(a.RereadSettings, mock.Anything, mock.Anything).Return(func(context.Context,
		provision.OrderKey) (provision.PoolSettings, error) {
		return w.settings, w.did("RereadSettings")
	})
	env.OnActivity(a.KeepUndo, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.KeptUndo) error {
		w.kept = &in
		return w.did("KeepUndo")
	})
	env.OnActivity(a.StopOrder, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.StoppedOrder) error {
		if w.result != nil {
			return refused(provision.CodeTooLate)
		}
		w.actions = append(w.actions, activities.ActionTaken{Order: in.Order, Action: in.Action, By: in.By})
		return w.did("StopOrder")
	})
	env.OnActivity(a.OrderStatus, mock.Anything, mock.Anything).Return(func(context.Context, provision.OrderKey) (provision.OrderStatus,
		error) {
		return w.status, w.did("OrderStatus")
	})
	env.OnActivity(a.RejectAccount, mock.Anything, mock.Anything).Return(func(_ context.Context,
		in activities.RejectedAccount) (activities.Rejected, error) {
		w.rejected = append(w.rejected, in)
		return activities.Rejected{Verify: w.verify}, w.did("RejectAccount")
	})
	env.OnActivity(a.CloseOrder, mock.Anything, mock.Anything).Return(func(_ context.Context, in provision.OrderClosing) (activities.Woken,
		error) {
		w.closing = &in
		return activities.Woken{Orders: w.woken}, w.did("CloseOrder")
	})
	return env, w
}

// The story without the four steps that run side by side, whose order is not promised.
var (
	sideBySide = []string{"CreateUser", "SetContacts", "SetAlias", "SetUpReport"}
	undoFour   = []string{"RemoveUser", "RestoreContacts", "RestoreAlias", "RemoveReport"}
)

func (w *activityScript) story() (story []string) {
	leftOut := append(slices.Clone(sideBySide), "NoteAction", "StopOrder", "RereadSettings", "KeepUndo")
	for _, call := range w.calls {
		if !slices.Contains(leftOut, call) {
			story = append(story, call)
		}
	}
	return story
}

func TestCompletes(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"OpenOrder", "ClaimAccount", "Inspect", "EnableSignIn", "Allocate"}, w.story())
	require.Subset(t, w.calls, sideBySide)

	var result provision.Result
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, w.result.AccountID, result.AccountID)
	require.Equal(t, "https://blue-sky.signin.aws.amazon.com/console/", result.SignInURL)
	require.Equal(t, "https://000000000001.signin.aws.amazon.com/console/", result.SignInURLByID)
	require.Equal(t, result.CompletedAt.Add(24*time.Hour), result.UsageAvailableFrom, "a new report holds usage a day later")
	require.False(t, result.OlderUsageAvailable)
	require.Contains(t, result.RootInstructions, "enter root@acme.test", "the customer of an ECAM account takes over the root user")
	require.NotEmpty(t, result.ManualSteps)
}

func TestEveryFailingStepIsUndoneExactly(t *testing.T) {
	t.Parallel()
	undoParallel := append([]string{"BeginUndo"}, append(slices.Clone(undoFour), "CompareWithJournal", "CloseOrder")...)
	undoSignIn := slices.Insert(slices.Clone(undoParallel), 1, "DisableSignIn")
	for step, undos := range map[string][]string{
		"Inspect":      {"CloseOrder"}, // nothing was changed
		"CreateUser":   undoParallel,
		"SetContacts":  undoParallel,
		"SetAlias":     undoParallel,
		"SetUpReport":  undoParallel,
		"EnableSignIn": undoSignIn,
		"Allocate":     undoSignIn,
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			env, w := setup(t)
			w.fail[step] = refused(provision.CodeAccountsExhausted)
			if step != "Allocate" { // its failure ends the order without a question
				w.fail[step] = refused(provision.CodeQuotaReached)
				w.after["RequireAction"] = func() { update(env, workflows.UpdateFail, operator, nil) }
			}
			env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)

			var app *temporal.ApplicationError
			require.ErrorAs(t, env.GetWorkflowError(), &app)
			story := w.story()
			from := slices.IndexFunc(story, func(call string) bool { return call == undos[0] })
			require.NotEqual(t, -1, from, story)
			require.Equal(t, undos, story[from:], "newest first, after the step, and nothing else")
			require.Equal(t, provision.Failed, w.closing.State)
			require.Equal(t, string(w.closing.Failure.Code), app.Type(), "the workflow ends with the reason that the order shows")
			require.Equal(t, "000000000001", w.closing.AccountID)
			require.Empty(t, w.closing.Leftovers)
			if step != "Inspect" {
				require.Equal(t, []string{"the customer changed the billing contact"}, w.closing.Notes)
			}
		})
	}
}

func TestAnOrderThatCannotBeOpenedTouchesNothing(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["OpenOrder"] = refused(provision.CodeOrderIDReused)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Error(t, env.GetWorkflowError())
	require.Equal(t, []string{"OpenOrder"}, w.calls)
}

func TestATransientErrorIsRetriedAndNothingIsUndone(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	tries := 0
	w.fail["SetAlias"] = temporal.NewApplicationError("throttled", string(provision.CodeThrottled))
	w.after["SetAlias"] = func() {
		if tries++; tries == 4 {
			delete(w.fail, "SetAlias")
		}
	}
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.NotContains(t, w.calls, "RestoreAlias")
	require.Equal(t, 5, tries)
}

func TestUndosGoOnWhenOneFailsAndTheLeftoversAreNamed(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["EnableSignIn"] = refused(provision.CodeAccountsExhausted)
	w.fail["RestoreAlias"] = refused(provision.CodeAliasTaken)
	w.left = []string{"the account alias is not the earlier one"}
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Error(t, env.GetWorkflowError())
	require.Contains(t, w.calls, "RemoveReport", "the undos after the failed one ran")
	require.Equal(t, []string{w.left[0], "account alias: refused for the test"}, w.closing.Leftovers, "what is left, and why")
	require.Equal(t, provision.CodeAccountsExhausted, w.closing.Failure.Code, "the reason is the step's, not the undo's")
}

func TestAnAccountThatCannotBeVerifiedIsNotClean(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["EnableSignIn"] = refused(provision.CodeAccountsExhausted)
	w.fail["RemoveUser"] = refused(provision.CodePermissionMissing)
	w.fail["CompareWithJournal"] = refused(provision.CodePermissionMissing)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Len(t, w.closing.Leftovers, 2)
	require.Contains(t, w.closing.Leftovers[0], "IAM user")
	require.Contains(t, w.closing.Leftovers[1], "could not be compared")
}

func TestCancelAtEveryStepUndoesEverything(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"Inspect", "CreateUser", "SetContacts", "SetAlias", "SetUpReport", "EnableSignIn"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			env, w := setup(t)
			w.after[step] = env.CancelWorkflow
			env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
			require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
			require.Equal(t, provision.Cancelled, w.closing.State)
			require.Nil(t, w.result)
			if step == "EnableSignIn" {
				require.Contains(t, w.calls, "DisableSignIn")
			}
			if step != "Inspect" {
				// The SDK's test environment lets a cancelled step run on, so its call may come late.
				want := append(slices.Clone(undoFour), "CompareWithJournal", "CloseOrder")
				notUndo := func(call string) bool { return !slices.Contains(want, call) }
				require.Equal(t, want, slices.DeleteFunc(slices.Clone(w.calls), notUndo))
			}
		})
	}
}

func TestCancelAtAllocateIsTooLate(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.after["Allocate"] = env.CancelWorkflow
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.NotNil(t, w.result)
	require.Nil(t, w.closing)
}

func TestWaitsForStockAndIsWokenAtOnce(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 0
	var restocked time.Time
	env.RegisterDelayedCallback(func() {
		w.stock, restocked = 1, env.Now()
		env.SignalWorkflow(workflows.SignalStock, nil)
	}, 17*time.Hour+7*time.Second)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.WithinDuration(t, restocked, w.result.CompletedAt, time.Second)
}

// WatchStock wakes the orders whose signal was lost, so an order that waits does nothing.
func TestAWaitingOrderDoesNothing(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 0
	var before []string
	env.RegisterDelayedCallback(func() {
		before = slices.Clone(w.calls)
		w.stock = 1
		env.SignalWorkflow(workflows.SignalStock, nil)
	}, 23*time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"OpenOrder", "ClaimAccount"}, before)
}

func TestTheWaitEndsAtThePoolsDeadline(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 0
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	var app *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &app)
	require.Equal(t, string(provision.CodeWaitDeadlinePassed), app.Type())
	require.Equal(t, theOrder.AcceptedAt.Add(24*time.Hour), env.Now().UTC())
	require.Equal(t, provision.Failed, w.closing.State)
}

func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 0
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()))
	require.Equal(t, provision.Cancelled, w.closing.State)
	require.Empty(t, w.closing.AccountID)
}

func TestAnUnusableAccountIsSwapped(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 3
	w.fail["Inspect 000000000001"] = refused(provision.CodeAccountCannotBeEntered)
	w.fail["Inspect 000000000002"] = refused(provision.CodeAccountSuspended)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "000000000003", w.result.AccountID)
	require.Len(t, w.rejected, 2)
	require.Equal(t, provision.CodeAccountCannotBeEntered, w.rejected[0].Failure.Code)
}

func TestAnAccountThatDiesMidwayIsUndoneThenSwapped(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 2
	w.fail["EnableSignIn"] = refused(provision.CodeAccountSuspended)
	w.after["RejectAccount"] = func() { delete(w.fail, "EnableSignIn") }
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "000000000002", w.result.AccountID)
	require.NotContains(t, w.calls, "BeginUndo", "the order itself goes on")
	story := strings.Join(w.story(), " ")
	require.Contains(t, story, strings.Join(undoFour, " ")+" CompareWithJournal RejectAccount ClaimAccount")
}

func TestFiveUnusableAccountsAreEnough(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 9
	w.fail["Inspect"] = refused(provision.CodeAccountSuspended)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	var app *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &app)
	require.Equal(t, string(provision.CodeAccountsExhausted), app.Type())
	require.Len(t, w.rejected, 5)
	require.False(t, w.rejected[0].SetAside)
	require.Equal(t, provision.Failed, w.closing.State)
}

// TestAccountsThatCannotBeEnteredAreSetAside: it may be our own role that is broken, so however many refuse, they do not fail the order.
func TestAccountsThatCannotBeEnteredAreSetAside(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock, w.verify = 8, true
	verifications := 0
	env.RegisterWorkflowWithOptions(func(workflow.Context) error { verifications++; return nil },
		workflow.RegisterOptions{Name: workflows.VerifyAccountsName})
	w.fail["Inspect"] = refused(provision.CodeAccountCannotBeEntered)
	w.after["RejectAccount"] = func() {
		if len(w.rejected) == 7 {
			delete(w.fail, "Inspect")
		}
	}
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "000000000008", w.result.AccountID)
	require.Len(t, w.rejected, 7)
	for _, rejected := range w.rejected {
		require.True(t, rejected.SetAside)
	}
	require.NotZero(t, verifications, "the accounts are verified at once")
}

// TestAnAccountInWhichTheOrderHasWorkedIsNotSetAside: it may not be clean.
func TestAnAccountInWhichTheOrderHasWorkedIsNotSetAside(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock, w.touched = 2, true
	w.fail["Inspect 000000000001"] = refused(provision.CodeAccountCannotBeEntered)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, w.rejected, 1)
	require.False(t, w.rejected[0].SetAside)
	require.Contains(t, w.rejected[0].Failure.Reason, "; left: ")
}

// TestAnOrderThatCannotReenterItsAccountGoesOnWhenItIsWoken: the accounts of its pool can be entered again.
func TestAnOrderThatCannotReenterItsAccountGoesOnWhenItIsWoken(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["SetAlias"] = refused(provision.CodeAccountCannotBeReentered)
	env.RegisterDelayedCallback(func() {
		delete(w.fail, "SetAlias")
		env.SignalWorkflow(workflows.SignalStock, nil)
	}, time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "000000000001", w.result.AccountID)
	require.Empty(t, w.actions, "no one had to act")
}

// TestAnOrderTriesOnceByItselfToReenterItsAccount: when that does not help, it is the account, and an operator must look.
func TestAnOrderTriesOnceByItselfToReenterItsAccount(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["SetAlias"] = refused(provision.CodeAccountCannotBeReentered)
	for n := range 5 {
		env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalStock, nil) }, time.Duration(n+1)*time.Hour)
	}
	env.RegisterDelayedCallback(func() {
		delete(w.fail, "SetAlias")
		update(env, workflows.UpdateRetry, operator, func(err error) { require.NoError(t, err) })
	}, 10*time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, w.asked, 2)
	require.NotNil(t, w.result)
}

func TestOrdersThatGotAnAccountAreWoken(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	var told []string
	env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, "", workflows.SignalStock, mock.Anything).Return(
		func(_, workflowID, _, _ string, _ any) error {
			told = append(told, workflowID)
			if workflowID == "order/acme/o-3" {
				return errors.New("gone")
			}
			return nil
		})
	w.woken = []provision.OrderKey{{Provider: "acme", ID: "o-2"}, {Provider: "acme", ID: "o-3"}}
	w.fail["CreateUser"] = refused(provision.CodeAccountsExhausted)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Equal(t, []string{"order/acme/o-2", "order/acme/o-3"}, told)
	var app *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &app)
	require.Equal(t, string(provision.CodeAccountsExhausted), app.Type(), "an order that cannot be woken does not change how this one ends")
}
