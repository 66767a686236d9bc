package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// ends are the ways in which an order can have ended, and how a run of it must end then.
var ends = map[string]struct {
	status provision.OrderStatus
	check  func(t *testing.T, env *testsuite.TestWorkflowEnvironment)
}{
	"completed": {
		provision.OrderStatus{State: provision.Completed, AccountID: "000000000009", Result: &provision.Result{AccountID: "000000000009"}},
		func(t *testing.T, env *testsuite.TestWorkflowEnvironment) {
			t.Helper()
			require.NoError(t, env.GetWorkflowError(), "a sold order must not show as failed")
			var result provision.Result
			require.NoError(t, env.GetWorkflowResult(&result))
			require.Equal(t, "000000000009", result.AccountID)
		},
	},
	"cancelled": {
		provision.OrderStatus{State: provision.Cancelled, Failure: &provision.Failure{Code: provision.CodeOrderCancelled,
			Reason: "the order was cancelled"}},
		func(t *testing.T, env *testsuite.TestWorkflowEnvironment) {
			t.Helper()
			require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
		},
	},
	"failed": {
		provision.OrderStatus{State: provision.Failed, Failure: &provision.Failure{Code: provision.CodeActionDeadlinePassed,
			Reason: "no one answered"}},
		func(t *testing.T, env *testsuite.TestWorkflowEnvironment) {
			t.Helper()
			require.Equal(t, string(provision.CodeActionDeadlinePassed), codeOf(t, env.GetWorkflowError()))
		},
	},
}

func TestARunOfAnEndedOrderDoesNothingAndEndsAsTheOrderEnded(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, w := setup(t)
			w.opened = end.status
			env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
			require.Equal(t, []string{"OpenOrder"}, w.calls)
			end.check(t, env)
		})
	}
}

// A reset run enters the story in the middle: the database refuses the first thing that it does.
func TestARunThatLearnsThatTheOrderHasEndedUndoesNothing(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		for _, refusedAt := range []string{
			"ClaimAccount", "Inspect", "CreateUser", "SetContacts", "SetAlias", "SetUpReport", "EnableSignIn", "Allocate",
		} {
			t.Run(name+" at "+refusedAt, func(t *testing.T) {
				t.Parallel()
				env, w := setup(t)
				w.fail[refusedAt] = refused(provision.CodeOrderNotInProgress)
				w.status = end.status
				env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
				undoing := append(slices.Clone(undoFour),
					"DisableSignIn", "CompareWithJournal", "BeginUndo", "RejectAccount", "CloseOrder")
				for _, undo := range undoing {
					require.NotContains(t, w.calls, undo)
				}
				end.check(t, env)
			})
		}
	}
}

// A run that was reset into its undo: every undo is refused, and so is the comparison.
func TestAnUndoOfAnEndedOrderClosesNothing(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, w := setup(t)
			w.fail["EnableSignIn"] = refused(provision.CodeAccountsExhausted)
			for _, undo := range append(slices.Clone(undoFour), "DisableSignIn", "CompareWithJournal") {
				w.fail[undo] = refused(provision.CodeOrderNotInProgress)
			}
			w.status = end.status
			env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
			require.NotContains(t, w.calls, "CloseOrder")
			end.check(t, env)
		})
	}
}

func TestARunWhoseOrderHoldsAnotherAccountGoesOnWithThat(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 2
	w.fail["SetAlias"] = refused(provision.CodeOrderNotInProgress)
	w.status = provision.OrderStatus{State: provision.Provisioning, AccountID: "000000000002"}
	w.after["OrderStatus"] = func() { delete(w.fail, "SetAlias") }
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "000000000002", w.result.AccountID)
	require.NotContains(t, w.calls, "RestoreAlias", "the first account is not this order's")
	require.Empty(t, w.rejected)
}

// The order was stopped in an earlier run, which did not finish the undo.
func TestARunOfAnOrderThatIsBeingUndoneFinishesTheUndo(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["SetAlias"] = refused(provision.CodeOrderNotInProgress)
	w.status = provision.OrderStatus{State: provision.Compensating, AccountID: "000000000001",
		Failure: &provision.Failure{Code: provision.CodeFailedByOperator, Reason: "an operator ended the order"}}
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Equal(t, string(provision.CodeFailedByOperator), codeOf(t, env.GetWorkflowError()))
	require.Equal(t, append([]string{"BeginUndo"}, append(slices.Clone(undoFour), "CompareWithJournal", "CloseOrder")...), w.story()[4:])
	require.Equal(t, provision.CodeFailedByOperator, w.closing.Failure.Code)
	require.Empty(t, w.closing.Leftovers)
}

func TestARunWhoseAccountIsBeingGivenBackGivesItBack(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 2
	w.fail["SetAlias"] = refused(provision.CodeOrderNotInProgress)
	w.status = provision.OrderStatus{State: provision.Provisioning, AccountID: "000000000001"}
	w.after["RejectAccount"] = func() { delete(w.fail, "SetAlias") }
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, w.rejected, 1)
	require.Equal(t, provision.CodeAccountSwappedByOperator, w.rejected[0].Failure.Code)
	require.Equal(t, "000000000002", w.result.AccountID)
}

// A run from the beginning does not know what an account was like before an earlier run worked in it.
func TestAnAccountThatAnEarlierRunTouchedCompletesOrIsSetAside(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.touched = true
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())

	for _, failing := range []string{"Inspect", "CreateUser", "EnableSignIn"} {
		env, w = setup(t)
		w.touched = true
		w.fail[failing] = refused(provision.CodeAccountsExhausted)
		env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
		require.Error(t, env.GetWorkflowError())
		require.Subset(t, w.calls, []string{"RemoveUser", "RemoveReport", "CompareWithJournal"}, failing)
		require.NotContains(t, w.calls, "RestoreAlias", "what the journal of this run holds may be the order's own")
		require.NotContains(t, w.calls, "RestoreContacts")
		require.Len(t, w.closing.Leftovers, 1)
		require.Contains(t, w.closing.Leftovers[0], "compare them by hand")
	}
}

// Temporal tells a run that was reset to its beginning the cancel again, before it knows of any account.
func TestAStopThatARunHearsAgainTakesBackWhatAnEarlierRunDid(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.touched = true
	w.status = provision.OrderStatus{State: provision.Compensating, AccountID: "000000000001",
		Failure: &provision.Failure{Code: provision.CodeOrderCancelled, Reason: "the order was cancelled"}}
	w.after["OpenOrder"] = func() { update(env, workflows.UpdateCancel, operator, func(err error) { require.NoError(t, err) }) }
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
	require.Subset(t, w.calls, []string{"RemoveUser", "RemoveReport", "DisableSignIn", "CompareWithJournal"})
	require.NotContains(t, w.calls, "Inspect")
	require.Equal(t, "000000000001", w.closing.AccountID)
	require.Len(t, w.closing.Leftovers, 1, "the account does not go back to Ready")
}

// The worker that was told to stop the order died after it had written the row: the reconciler wakes the run.
func TestARunThatWaitsForAnAnswerReadsAStopFromTheRow(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["SetAlias"] = refused(provision.CodeAliasTaken)
	w.status = provision.OrderStatus{State: provision.ActionRequired, AccountID: "000000000001"}
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalStock, nil) }, time.Hour)
	env.RegisterDelayedCallback(func() {
		require.Contains(t, w.calls, "OrderStatus")
		require.NotContains(t, w.calls, "RestoreAlias", "nothing has changed")
		w.status = provision.OrderStatus{State: provision.Compensating, AccountID: "000000000001",
			Failure: &provision.Failure{Code: provision.CodeOrderCancelled, Reason: "the order was cancelled"}}
		env.SignalWorkflow(workflows.SignalStock, nil)
	}, 2*time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
	require.Equal(t, provision.Cancelled, w.closing.State)
	require.Less(t, env.Now().Sub(theOrder.AcceptedAt), 3*time.Hour)
}

// A fault on our side delays an order and never fails it, no matter which call to the database meets it. The test environment ends an
// activity after ten attempts, so the database is away for minutes here; TestOurOwnTroubleHasNoLimit is about the rest.
func TestADatabaseThatIsAwayDelaysAnOrder(t *testing.T) {
	t.Parallel()
	away := temporal.NewApplicationErrorWithOptions("the database does not answer", string(provision.CodeDatabaseUnavailable),
		temporal.ApplicationErrorOptions{Details: []any{provision.Failure{Code: provision.CodeDatabaseUnavailable,
			Reason: "the database does not answer"}}})
	for _, c := range []struct {
		call  string
		fails func(w *activityScript)
		ends  provision.OrderState
	}{
		{"OpenOrder", nil, provision.Completed},
		{"ClaimAccount", nil, provision.Completed},
		{"Allocate", nil, provision.Completed},
		{"BeginUndo", func(w *activityScript) { w.fail["CreateUser"] = refused(provision.CodeAccountsExhausted) }, provision.Failed},
		{"CloseOrder", func(w *activityScript) { w.fail["CreateUser"] = refused(provision.CodeAccountsExhausted) }, provision.Failed},
		{"RejectAccount", func(w *activityScript) {
			w.stock = 2
			w.fail["Inspect 000000000001"] = refused(provision.CodeAccountSuspended)
		}, provision.Completed},
	} {
		t.Run(c.call, func(t *testing.T) {
			t.Parallel()
			env, w := setup(t)
			if c.fails != nil {
				c.fails(w)
			}
			w.fail[c.call] = away
			tries := 0
			w.after[c.call] = func() { tries++ }
			env.RegisterDelayedCallback(func() { delete(w.fail, c.call) }, 3*time.Minute)
			env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
			require.Greater(t, tries, 7)
			if c.ends == provision.Completed {
				require.NoError(t, env.GetWorkflowError())
				require.NotNil(t, w.result)
				require.NotContains(t, w.calls, "BeginUndo", "nothing is undone because we are ill")
			} else {
				require.Equal(t, string(provision.CodeAccountsExhausted), codeOf(t, env.GetWorkflowError()))
			}
			require.Less(t, env.Now().Sub(theOrder.AcceptedAt), 5*time.Minute, "it goes on within a minute")
		})
	}
}
