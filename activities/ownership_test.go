package activities

import (
	"fmt"
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

// In these an undo may work, and so may the comparison that follows it.
var onlyForward = []situation{compensating, undoBegun}

// databases make a database in which the order, and the account, are in a situation.
var databases = map[string]func(t *testing.T, order provision.OrderKey, is situation) Database{"in memory": inMemory,
	"in PostgreSQL": inPostgres}

func inMemory(_ *testing.T, order provision.OrderKey, is situation) Database {
	m := newMemoryDatabase(order)
	switch is {
	case cancelled:
		m.holder, m.status, m.state = provision.OrderKey{}, provision.AccountReady, provision.Cancelled
	case completed:
		m.status, m.state = provision.AccountAllocated, provision.Completed
	case failed:
		m.status, m.state = provision.AccountProvisioningFailed, provision.Failed
	case anothers:
		m.holder.ID, m.state = "order-2", provision.Cancelled
	case neverHeld:
		m.holder, m.status, m.state = provision.OrderKey{}, provision.AccountReady, provision.WaitingForAccount
	case rejected:
		m.status, m.state = provision.AccountInvalid, provision.WaitingForAccount
	case compensating:
		m.state = provision.Compensating
	case undoBegun:
		for _, step := range steps {
			m.steps[step] = provision.StepUndoing
		}
	}
	return m.database()
}

// steps are those that have, or could have, an undo.
var steps = []provision.Step{provision.StepInspect, provision.StepUser, provision.StepContacts, provision.StepAlias,
	provision.StepReport, provision.StepSignIn}

// databaseOnly are the activities that work in no account. Writes to AWS would be refused, because they have no lease.
var databaseOnly = []string{
	"OpenOrder", "ClaimAccount", "RejectAccount", "RequireAction", "Resume", "Correct", "NoteAction", "BeginUndo", "CloseOrder",
	"Allocate", "StopOrder", "OrderStatus", "RereadSettings", "KeepUndo", "OpenUndo", "EndRemoval",
	"DueAccounts", "ApplyVerifications", "WatchStock", "ImportRows", "FailImport", "WakeWebhooks", "NextDelivery", "Deliver",
	"PurgeEvents", "Reconcile",
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
	for database, become := range databases {
		for _, is := range []situation{cancelled, completed, failed, anothers, neverHeld, rejected, compensating, undoBegun} {
			t.Run(fmt.Sprintf("%s/%s", database, is), func(t *testing.T) {
				t.Parallel()
				w := setup(t, quick)
				w.acts.Database = become(t, w.w.Order, is)
				for name, call := range w.inAccount(done{user: provision.User{Name: "alice", ID: recordedUser}}) {
					if slices.Contains(onlyForward, is) && (slices.Contains(undos, name) || name == "CompareWithJournal") {
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
}
