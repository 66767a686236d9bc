package reconcile

import (
	"errors"
	"time"

	"quartermaster/internal/provision"
)

// Run is one run of an order's workflow, as far as Temporal shows it without the seal keys.
type Run struct {
	ID       string         // empty: Temporal knows no run of the order
	Open     bool           // it has not closed
	Opening  bool           // it retries to write the order's row until that succeeds
	Status   string         // Running, or how it closed, as Temporal calls it
	Code     provision.Code // why it failed; empty: the failure has no code of ours
	Started  time.Time
	ClosedAt time.Time // zero while it is open
	// The search attributes.
	State   provision.OrderState // the order's state
	Reason  provision.Code       // why it was in that state
	Account string               // the last account that the order got; empty: none
}

// Story is what the history of a run contains about its order.
type Story struct {
	Order    provision.Order          // as it was placed
	Requests []provision.Request      // the request as it was placed, and after each correction
	Settings []provision.PoolSettings // the settings of the pool, each time that the run has read them
	Failure  *provision.Failure       // why the run failed, if the history says so
	Result   *provision.Result        // of a run that completed
}

// ErrSealed reports that a history cannot be opened because this process lacks the key that sealed it.
var ErrSealed = errors.New("the history of the order's workflow cannot be opened with the seal keys of this process")

// Lost is an order as its workflow knows it. Its row is written again from this.
type Lost struct {
	Order    provision.Order          // as it was placed
	Requests []provision.Request      // as in Story; empty: it was never corrected
	Settings []provision.PoolSettings // as in Story; empty: the run had not read them
	provision.OrderStatus
}

// ending says how a run ended and whose decision that was.
type ending int

const (
	running  ending = iota
	sold            // the order completed
	decided         // the order failed or was cancelled
	refused         // the row with the order's id was another order's or had ended, so the run did nothing
	ours            // an error of our own, which must never end an order
	stopped         // Temporal or an operator ended the run from outside
	vanished        // Temporal knows no run
)

func (r Run) ending() ending {
	switch {
	case r.ID == "":
		return vanished
	case r.Open:
		return running
	case r.Status == completed:
		return sold
	case r.Status == "Canceled" || r.State == provision.Failed || r.State == provision.Cancelled:
		return decided
	case r.Status != "Failed":
		return stopped
	case r.Code == provision.CodeOrderIDReused || r.Code == provision.CodeOrderNotInProgress:
		return refused
	case r.Code.Kind() == provision.KindOrder || r.State == provision.Compensating && !r.swaps(): // the order was already ending
		return decided
	}
	return ours
}

// completed is the status of a run whose order completed.
const completed = "Completed"

// how describes how the run closed.
func (r Run) how() string {
	if r.Code != "" {
		return r.Status + " (" + string(r.Code) + ")"
	}
	return r.Status
}

// working reports whether the order held an account when the run last set its search attributes.
func (r Run) working() bool {
	return r.Account != "" && r.State != provision.Accepted && r.State != provision.WaitingForAccount
}

// swaps reports whether the run was undoing one account in order to continue with the next.
func (r Run) swaps() bool { return r.Reason.Kind() == provision.KindAccount }

// inProgress returns the status that the row of an order gets whose work goes on.
func (r Run) inProgress() provision.OrderStatus {
	switch {
	case r.Open && r.State == provision.WaitingForAccount: // a new run would take its own place in the queue
		return provision.OrderStatus{State: provision.WaitingForAccount}
	case !r.working():
		return provision.OrderStatus{State: provision.Accepted}
	}
	status := provision.OrderStatus{State: provision.Provisioning, AccountID: r.Account}
	if r.State == provision.ActionRequired || r.State == provision.Compensating && !r.swaps() {
		status.State = r.State
		status.Failure = &provision.Failure{Code: r.Reason,
			Reason: "the row of the order was lost and written again; the order's workflow in Temporal's Web UI shows what happened"}
	}
	return status
}

// ended returns the status that the row of an order gets whose run ended by the order's own decision.
func (r Run) ended(story Story) provision.OrderStatus {
	if story.Result != nil {
		return provision.OrderStatus{State: provision.Completed, AccountID: story.Result.AccountID, Result: story.Result}
	}
	failure := provision.Failure{Code: r.Reason}
	switch {
	case r.Status == "Canceled":
		failure.Code = provision.CodeOrderCancelled
	case story.Failure != nil && story.Failure.Code.Kind() != provision.KindInternal:
		failure = *story.Failure
	case r.Code.Kind() == provision.KindOrder:
		failure.Code = r.Code
	case r.Reason == "":
		failure.Code = provision.CodeInternal
	}
	if failure.Reason == "" {
		failure.Reason = "the order ended like this before its row was lost and written again"
	}
	status := provision.OrderStatus{State: provision.Failed, AccountID: r.Account, Failure: &failure}
	if failure.Code == provision.CodeOrderCancelled {
		status.State, failure.Reason = provision.Cancelled, "the order was cancelled"
	}
	return status
}
