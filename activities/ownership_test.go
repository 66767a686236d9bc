package activities

import (
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// A situation is one in which an order must not work in an account.
type situation string

const (
	cancelled    situation = "the order is cancelled and the account Ready"
	completed    situation = "the order is completed and the account Allocated"
	failed       situation = "the order failed and the account is not clean"
	anothers     situation = "the order is cancelled and the account another order's"
	neverHeld    situation = "the order waits and the account was never its own"
	rejected     situation = "the order waits and the account was rejected"
	compensating situation = "the order is being undone"
	undoBegun    situation = "the step is being undone"
)

// onlyForward are the situations in which an undo may work, and so may the comparison that follows it.
var onlyForward = []situation{compensating, undoBegun}

// become brings the order and the account into the situation, as the workflow does it.
func (w *fixture) become(is situation) {
	w.t.Helper()
	ctx, order := w.t.Context(), w.w.Order
	cancel := provision.Failure{Code: provision.CodeOrderCancelled, Reason: "it was cancelled"}
	closeOrder := func(state provision.OrderState, leftovers ...string) {
		w.t.Helper()
		_, err := w.store.Orders.Close(ctx, provision.OrderClosing{Order: order, State: state, AccountID: accountID, Failure: cancel,
			Leftovers: leftovers})
		require.NoError(w.t, err)
	}
	switch is {
	case cancelled:
		closeOrder(provision.Cancelled)
	case completed:
		require.NoError(w.t, w.store.Orders.Allocate(ctx, order, accountID, provision.Result{AccountID: accountID}))
	case failed:
		closeOrder(provision.Failed, "the IAM user of the order still exists")
	case anothers:
		closeOrder(provision.Cancelled)
		another := provision.OrderKey{Provider: order.Provider, ID: "order-2"}
		w.openOrder(another)
		require.Equal(w.t, accountID, w.claim(another).ID)
	case rejected:
		_, err := w.store.Orders.RejectAccount(ctx, order, accountID,
			provision.Failure{Code: provision.CodeAccountCannotBeEntered, Reason: "the role cannot be assumed"}, false)
		require.NoError(w.t, err)
	case compensating:
		require.NoError(w.t, w.store.Orders.BeginUndo(ctx, order, cancel))
	case undoBegun:
		for _, step := range steps {
			_, _, err := w.store.Steps.BeginUndo(ctx, order, accountID, step, LeaseTime)
			require.NoError(w.t, err)
		}
	default:
		w.t.Fatalf("no case makes the situation %q", is)
	}
}

// steps are those that have, or could have, an undo.
var steps = []provision.Step{provision.StepInspect, provision.StepUser, provision.StepContacts, provision.StepAlias,
	provision.StepReport, provision.StepSignIn}

// afterHandOver are the activities that work in the account of a completed order.
var afterHandOver = []string{"SetPassword"}

// databaseOnly are the activities that work in no account. Writes to AWS would be refused, because they have no lease.
var databaseOnly = []string{
	"OpenOrder", "ClaimAccount", "RejectAccount", "RequireAction", "Resume", "Correct", "NoteAction", "BeginUndo", "CloseOrder",
	"Allocate", "StopOrder", "OrderStatus", "BeginPassword", "NotePassword", "EndPassword", "RereadSettings",
	"KeepUndo", "OpenUndo", "EndRemoval",
	"DueAccounts", "ApplyVerifications", "WatchStock", "MatchStock", "ImportRows", "FailImport", "WakeWebhooks", "NextDelivery", "Deliver",
	"PurgeEvents", "Reconcile", "RunBatchRows", "StopBatch",
}

// TestNothingIsDoneInAnAccountThatTheOrderDoesNotHold calls every activity that works in an order's account, whatever has started
// it: a run that was reset, a replayed backup, a late attempt.
func TestNothingIsDoneInAnAccountThatTheOrderDoesNotHold(t *testing.T) {
	t.Parallel()
	inAccount := setup(t).inAccount(done{})
	for method := range reflect.TypeFor[*Activities]().Methods() {
		_, listed := inAccount[method.Name]
		// which enters those that no order holds
		require.True(t, listed || slices.Contains(databaseOnly, method.Name) || method.Name == "VerifyAccount",
			"the activity %s is new: list it with those that work in an order's account (inAccount), or with those that work in none", method.Name)
	}
	for _, is := range []situation{cancelled, completed, failed, anothers, neverHeld, rejected, compensating, undoBegun} {
		t.Run(string(is), func(t *testing.T) {
			t.Parallel()
			var w *fixture
			if is == neverHeld {
				w = setup(t, quick, waiting)
			} else {
				w = setup(t, quick)
				w.become(is)
			}
			for name, call := range w.inAccount(done{user: provision.User{Name: "alice", ID: recordedUser}}) {
				if slices.Contains(onlyForward, is) && (slices.Contains(undos, name) || name == "CompareWithJournal") {
					continue
				}
				if is == completed && slices.Contains(afterHandOver, name) {
					continue
				}
				err := call()
				require.Error(t, err, name)
				w.requireFailure(err, provision.CodeOrderNotInProgress)
				require.Empty(t, w.sim.Requests(), "%s: not even the role is assumed", name)
			}
		})
	}
}
