package workflows

import (
	"errors"

	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// maxAccounts is how many unusable accounts one order may meet before it fails.
const maxAccounts = 5

// ProvisionOrder turns an account of the pool into the customer's account. Either the order completes, or everything in the account
// is undone and the result lists what could not be undone.
//
// The order's row in the database is the truth. A run that is behind the row (because the workflow was reset, or Temporal was restored
// from a backup) changes nothing that the row forbids, and ends as the order ended.
func ProvisionOrder(ctx workflow.Context, order provision.Order) (provision.Result, error) {
	r := newOrderRun(ctx, order)
	if err := r.handleUpdates(ctx); err != nil {
		return provision.Result{}, err
	}
	result, err := r.provision(ctx)
	r.awaitHandlers(ctx)
	return result, err
}

func (r *orderRun) provision(ctx workflow.Context) (provision.Result, error) {
	// 1. Open the order: write its row, or read the row that an earlier run has written.
	if err := r.open(ctx); err != nil {
		return outcomeOf(err)
	}
	for unusable := 0; ; {
		// 2. Claim an account of the pool. Without a Ready account, wait for one.
		work, err := r.claim(ctx)
		switch {
		case workflow.IsContinueAsNewError(err):
			return provision.Result{}, err
		case errors.Is(err, errAccountChanged): // the order has got an account since
			continue
		case err != nil:
			return r.endWithoutAccount(ctx, err)
		}

		// 3. to 7. Set the account up. When a step fails for good or someone stops the order, undo everything in the account.
		result, err := r.setUp(work)
		if err == nil {
			return result, nil
		}
		end := r.undo(ctx, r.causeOf(ctx, err))
		switch {
		case errors.Is(end.cause, errAccountChanged): // nothing in the account is this order's any more
			r.account = nil
			continue
		case !isAccountFault(end.cause):
			return r.close(ctx, end)
		}

		// 8. The account is unusable: mark it Invalid and go on with the next one.
		if err := r.rejectAccount(ctx, end); err != nil {
			return provision.Result{}, err
		}
		if end.setAside { // the account could not be entered, which may be our fault
			continue
		}
		if unusable++; unusable == maxAccounts {
			return r.close(ctx, ending{cause: accountsExhausted(end.cause)})
		}
	}
}

// setUp sets the account up and allocates it to the customer.
func (r *orderRun) setUp(ctx workflow.Context) (result provision.Result, err error) {
	// 3. Inspect the account, which changes nothing. The journal keeps what an undo restores.
	if err = r.untilAnswered(ctx, r.inspect); err != nil {
		return result, err
	}

	// 4. Four steps in parallel. Each has its undo; a step that asks a question does not stop the others.
	if err = r.do(ctx, setUpReport, setAlias, setContacts, createUser); err != nil {
		return result, err
	}

	// 5. Let the IAM user sign in. From here on the customer's password exists.
	if err = r.do(ctx, enableSignIn); err != nil {
		return result, err
	}

	// 6. This is the last moment for a cancel.
	if err = ctx.Err(); err != nil {
		return result, err
	}

	// 7. Allocate the account: it is the customer's, and nothing is undone any more.
	return r.allocate(ctx)
}

// open writes the order's row. An order that was acknowledged gets its row even if it is cancelled at once. The error is an
// *endedBefore when the order has ended.
func (r *orderRun) open(ctx workflow.Context) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	opened, err := callDatabase(ctx, "Open order", acts.OpenOrder, r.ordered)
	if err == nil && opened.State.Ended() {
		err = &endedBefore{opened.OrderStatus}
	}
	if err != nil {
		r.enter(closing)
		return err
	}
	r.settings = opened.Settings
	if opened.Corrected != nil {
		r.order.Request = *opened.Corrected
	}
	return nil
}

// allocate makes the account the customer's.
func (r *orderRun) allocate(ctx workflow.Context) (provision.Result, error) {
	r.enter(completing)
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	a := r.account
	result := r.result(workflow.Now(ctx))
	allocated, err := callDatabase(ctx, "Allocate account "+a.ID, acts.Allocate, activities.Allocation{
		Order: r.order.OrderKey, AccountID: a.ID, Result: result})
	if err != nil {
		return provision.Result{}, err
	}
	if allocated.Before != nil {
		result = *allocated.Before
	}
	announce(ctx, provision.Completed, "", "Account `"+a.ID+"` is the customer's.")
	return result, nil
}

// ending is how the work on an account ended without success.
type ending struct {
	cause     error
	leftovers []string // what could not be undone
	notes     []string // what the undo left alone on purpose
	setAside  bool     // the account could not be entered, and nothing was changed in it
}

// rejectAccount marks an unusable account Invalid and puts the order back in the queue, at its old place. An account that is only set
// aside becomes Ready again when its verification passes.
func (r *orderRun) rejectAccount(ctx workflow.Context, end ending) error {
	r.enter(returning)
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	failure := failureOf(end.cause)
	for _, leftover := range end.leftovers {
		failure.Reason += "; left: " + leftover
	}
	rejected, err := callDatabase(ctx, "Reject account "+r.account.ID, acts.RejectAccount,
		activities.RejectedAccount{Order: r.order.OrderKey, AccountID: r.account.ID, Failure: failure, SetAside: end.setAside})
	r.account = nil
	wake(ctx, rejected.Orders)
	if rejected.Verify {
		verifyDue(ctx)
	}
	return err
}

// endWithoutAccount ends an order for which this run has worked in no account. If the order's row names an account all the same, an
// earlier run may have worked there, and that is undone first.
func (r *orderRun) endWithoutAccount(ctx workflow.Context, cause error) (provision.Result, error) {
	r.enter(closing)
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	now, err := callDatabase(ctx, "Read order", acts.OrderStatus, r.order.OrderKey)
	if err != nil {
		return provision.Result{}, err
	}
	if now.State.Ended() || now.AccountID == "" {
		return r.close(ctx, ending{cause: cause})
	}
	claim, err := callDatabase(ctx, "Claim account", acts.ClaimAccount, r.order.OrderKey)
	if err != nil {
		return provision.Result{}, err
	}
	wake(ctx, claim.Woken)
	if claim.Account == nil || !claim.Touched {
		return r.close(ctx, ending{cause: cause})
	}
	r.account = &held{Account: *claim.Account, touched: claim.Touched}
	return r.close(ctx, r.undo(ctx, cause))
}

// close ends an order that did not complete and releases its account. If the order has ended already, close changes nothing and
// returns what the order ended with.
func (r *orderRun) close(ctx workflow.Context, end ending) (provision.Result, error) {
	r.enter(closing)
	if hasEnded(end.cause) {
		return outcomeOf(end.cause)
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	failure := failureOf(end.cause)
	row := provision.OrderClosing{Order: r.order.OrderKey, State: provision.Failed, Failure: failure, AccountID: r.accountID(),
		Leftovers: end.leftovers, Notes: end.notes, OnFailure: r.settings.OnFailure}
	if failure.Code == provision.CodeOrderCancelled {
		row.State = provision.Cancelled
	}
	woken, err := callDatabase(ctx, "Close order", acts.CloseOrder, row)
	if err != nil {
		return provision.Result{}, err
	}
	announce(ctx, row.State, failure.Code, failure.Reason)
	wake(ctx, woken.Orders)
	return outcomeOf(end.cause)
}
