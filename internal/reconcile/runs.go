package reconcile

import (
	"errors"
	"time"

	"quartermaster/internal/provision"
)

// Run is one run of an order's workflow, as Temporal shows it without the seal keys.
type Run struct {
	ID       string         // empty: Temporal knows no run of the order
	Open     bool           // it has not closed
	Opening  bool           // it tries to write the order's row, and will until it has
	Status   string         // Running, or how it closed, as Temporal calls it
	Code     provision.Code // why it failed; empty: no failure of ours says so
	Started  time.Time
	ClosedAt time.Time // zero while it is open
	// The search attributes.
	State   provision.OrderState // where the order was in its story
	Reason  provision.Code       // why it was there
	Account string               // the last account that the order got; empty: none
}

// Story is what the history of a run tells about its order.
type Story struct {
	Order   provision.Order    // as it was placed
	Request provision.Request  // as it was corrected since
	Failure *provision.Failure // why the run failed, when it says so
	Result  *provision.Result  // of a run that completed
}

// ErrSealed says that a history cannot be opened: the key that sealed it is missing here.
var ErrSealed = errors.New("the history of the order's workflow cannot be opened with the seal keys of this process")

// Lost is an order as its workflow knows it: what its row is written again from.
type Lost struct {
	Order   provision.Order   // as it was placed
	Request provision.Request // as it was corrected since
	provision.OrderStatus
}

// ending says whose decision it was that a run ended.
type ending int

const (
	running  ending = iota
	sold            // the order completed
	decided         // the order failed or was cancelled
	refused         // the row of the order's id was another order's, or had ended: the run did nothing
	ours            // our own trouble, which is never the end of an order
	stopped         // Temporal or an operator ended the run, which knows nothing of it
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
	case r.Code.Kind() == provision.KindOrder || r.State == provision.Compensating && !r.swaps(): // it was on its way out
		return decided
	}
	return ours
}

// completed is the status of a run whose order was sold.
const completed = "Completed"

// how is how the run closed, for people.
func (r Run) how() string {
	if r.Code != "" {
		return r.Status + " (" + string(r.Code) + ")"
	}
	return r.Status
}

// working tells whether the order held an account when the run last said where it was.
func (r Run) working() bool {
	return r.Account != "" && r.State != provision.Accepted && r.State != provision.WaitingForAccount
}

// swaps tells whether what the run gave back was one account, to go on with the next.
func (r Run) swaps() bool { return r.Reason.Kind() == provision.KindAccount }

// inProgress is where the row of an order stands whose work goes on.
func (r Run) inProgress() provision.OrderStatus {
	switch {
	case r.Open && r.State == provision.WaitingForAccount: // another run would take a place in the queue itself
		return provision.OrderStatus{State: provision.WaitingForAccount}
	case !r.working():
		return provision.OrderStatus{State: provision.Accepted}
	}
	status := provision.OrderStatus{State: provision.Provisioning, AccountID: r.Account}
	if r.State == provision.ActionRequired || r.State == provision.Compensating && !r.swaps() {
		status.State = r.State
		status.Failure = &provision.Failure{Code: r.Reason,
			Reason: "the row of the order was lost and written again; the order's workflow says in Temporal's Web UI what happened"}
	}
	return status
}

// ended is where the row of an order stands whose run ended by the order's own decision.
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
