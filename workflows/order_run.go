package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// orderRun is the state of one run of ProvisionOrder.
type orderRun struct {
	phase    phase
	ordered  provision.Order // the workflow's input: the order as it was placed
	order    provision.Order // the order as it is now, corrections included
	settings provision.PoolSettings
	account  *held                 // the account that the order holds; nil: none
	kept     *provision.Assignment // what the undo of RemoveLeftovers works from; nil: what the database has

	questions  []*question         // what must be answered before the work goes on
	correcting workflow.Mutex      // is held while a correction is recorded
	showing    workflow.Mutex      // is held while the order's state is brought in line with the questions
	reentered  bool                // the order has once tried automatically to enter its account again
	stopped    *stopError          // why someone stopped the work; nil: no one did
	stopWork   workflow.CancelFunc // cancels the wait for an account or the work in it; nil: before the first wait
	undoing    *undoing            // the undo that runs; nil: none
}

func newOrderRun(ctx workflow.Context, order provision.Order) *orderRun {
	return &orderRun{ordered: order, order: order, correcting: workflow.NewMutex(ctx), showing: workflow.NewMutex(ctx)}
}

// phase is how far a run is. The update handlers decide by the phase what they accept.
type phase int

const (
	opening    phase = iota // the order's row is being written
	claiming                // the order waits for an account
	working                 // the account is being set up, or a question waits for its answer
	returning               // the account is unusable: it is undone and given back, and the order goes on with the next one
	completing              // the account is being allocated: too late for everything
	closing                 // the order ends without success: its account is undone and released
)

// nextPhases are the phases that may follow each phase. Every phase may follow itself.
var nextPhases = [...][]phase{
	opening:    {claiming, closing},
	claiming:   {working, closing},
	working:    {claiming, returning, completing, closing},
	returning:  {claiming, closing},
	completing: {claiming, returning, closing}, // the database may refuse the allocation
	closing:    {claiming},                     // the order's row may turn out to name another account, or none
}

// enter begins a phase. A phase that must not follow is a bug: the panic blocks the workflow task until a fixed version is deployed.
func (r *orderRun) enter(next phase) {
	if next != r.phase && !slices.Contains(nextPhases[r.phase], next) {
		panic(fmt.Sprintf("phase %d of an order cannot follow phase %d", next, r.phase))
	}
	r.phase = next
}

// held is the account that an order holds, and what this run knows about it.
type held struct {
	provision.Account
	touched   bool // an earlier run of the order's workflow has begun to change the account
	inspected activities.Inspection
	begun     []step // what this run has begun to change, in order
	// What the steps are known to have created; zero while a step runs, and when its answer was lost.
	user     provision.User
	contacts *provision.WrittenContacts
	report   provision.Report
}

func (r *orderRun) accountID() string {
	if r.account == nil {
		return ""
	}
	return r.account.ID
}

// work is the input that all steps and undos have in common.
func (r *orderRun) work() activities.Work {
	work := activities.Work{Order: r.order.OrderKey, AccountID: r.account.ID, Kept: r.kept}
	if r.undoing != nil {
		work.Until = r.undoing.until
	}
	return work
}

// stopError is why someone stopped the work on an account: by an update of this run, or as the order's row says.
type stopError struct{ failure provision.Failure }

// Error returns the failure's text.
func (s *stopError) Error() string { return s.failure.Error() }

// stop cancels the work. Only the first reason counts.
func (r *orderRun) stop(why provision.Failure) {
	if r.stopped == nil {
		r.stopped = &stopError{why}
	}
	if r.stopWork != nil {
		r.stopWork()
	}
}

// causeOf returns why the work really ended with the error. If someone stopped the work, that is the reason, unless the account has
// turned out to be unusable: then it is rejected first, and the order ends after that. Either way a swap is done with. If the database
// refused the work, the order's row has the reason.
func (r *orderRun) causeOf(ctx workflow.Context, err error) error {
	if stopped := r.stopped; stopped != nil {
		if stopped.failure.Code == provision.CodeAccountSwappedByOperator {
			r.stopped = nil
		}
		if !isAccountFault(err) {
			err = stopped
		}
	}
	if failureOf(err).Code == provision.CodeOrderNotInProgress {
		return r.overtaken(ctx)
	}
	return err
}
