package workflows

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/internal/provision"
)

// endedBefore is the error of a run whose order has ended: an earlier or a later run did the work.
type endedBefore struct{ status provision.OrderStatus }

// Error names the state.
func (e *endedBefore) Error() string { return "the order is " + string(e.status.State) + " already" }

func hasEnded(err error) bool {
	_, ended := errors.AsType[*endedBefore](err)
	return ended
}

// errAccountChanged says that the order no longer holds the account: its row names another one, or none.
var errAccountChanged = errors.New("the order no longer holds the account")

// overtaken returns why the database refused this run: the order's row is ahead of it, because the order was stopped or another run
// worked on it.
func (r *orderRun) overtaken(ctx workflow.Context) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	now, err := callDatabase(ctx, "Read order", acts.OrderStatus, r.order.OrderKey)
	switch {
	case err != nil:
		return err
	case now.State.Ended():
		return &endedBefore{now}
	case now.AccountID != r.accountID():
		return errAccountChanged
	case now.State == provision.Compensating && now.Failure != nil:
		return &stopError{*now.Failure}
	}
	return &stopError{provision.Failure{Code: provision.CodeAccountSwappedByOperator,
		Reason: "an earlier run of the workflow had begun to give the account back"}}
}

// catchUp stops the work when the order's row says that the order is being undone and this run does not know it: the worker that
// received the stop died after it had written the row.
func (r *orderRun) catchUp(ctx workflow.Context) error {
	if knows := r.stopped != nil || r.phase != claiming && r.phase != working; knows {
		return nil
	}
	now, err := callDatabase(ctx, "Read order", acts.OrderStatus, r.order.OrderKey)
	if err == nil && now.State == provision.Compensating && now.Failure != nil {
		r.stop(*now.Failure)
	}
	return err
}

// outcomeOf returns what the workflow ends with. If the order has ended before, the workflow ends as the run did that ended the order.
func outcomeOf(err error) (provision.Result, error) {
	before, ok := errors.AsType[*endedBefore](err)
	switch {
	case !ok:
		return provision.Result{}, bare(err)
	case before.status.State == provision.Completed && before.status.Result != nil:
		return *before.status.Result, nil
	case before.status.State == provision.Cancelled:
		return provision.Result{}, temporal.NewCanceledError()
	case before.status.Failure != nil:
		return provision.Result{}, failed(*before.status.Failure)
	}
	return provision.Result{}, failed(provision.Failure{Code: provision.CodeOrderNotInProgress, Reason: before.Error()})
}
