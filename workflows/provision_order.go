// Package workflows holds the durable stories of the product. Read ProvisionOrder from top to bottom: it is what happens
// to an order.
package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// acts names the activities; the worker registers a real one.
var acts *activities.Activities

// maxAccounts is how many accounts one order may find unusable before it fails.
const maxAccounts = 5

// ProvisionOrder turns an account of the pool into the customer's. Either the order completes, or the account is put back
// as it was, and what could not be put back is listed.
func ProvisionOrder(ctx workflow.Context, order provision.Order) (provision.Result, error) {
	r := &orderRun{ordered: order, order: order, showing: workflow.NewMutex(ctx)}
	if err := r.listen(ctx); err != nil {
		return provision.Result{}, err
	}
	result, err := r.provision(ctx)
	r.finishListening(ctx)
	return result, err
}

func (r *orderRun) provision(ctx workflow.Context) (provision.Result, error) {
	always, _ := workflow.NewDisconnectedContext(ctx) // an order that was acknowledged has a row, even if it is cancelled at once
	opened, err := callLocal(always, database, "Open order", acts.OpenOrder, r.ordered)
	if err != nil {
		return provision.Result{}, err
	}
	if opened.State.Ended() {
		return provision.Result{}, alreadyEnded(r.order)
	}
	r.nonce, r.settings, r.order.Request = opened.Nonce, opened.Settings, opened.Request
	for unusable := 1; ; unusable++ {
		working, stop := workflow.WithCancel(ctx) // what operators stop: the wait for an account, or the work in it
		r.stopWork, r.leaving = stop, false
		if r.stopped != nil { // before there was anything to stop
			return provision.Result{}, r.close(ctx, "", ending{cause: r.stopped})
		}
		account, err := r.claimAccount(working)
		if workflow.IsContinueAsNewError(err) {
			return provision.Result{}, err
		}
		if err != nil {
			return provision.Result{}, r.close(ctx, "", ending{cause: r.causeOf(err)})
		}
		r.account = account

		result, ended := r.provisionAccount(working)
		if ended.cause == nil {
			return result, nil
		}
		if failureOf(ended.cause).Code.Kind() != provision.KindAccount {
			return provision.Result{}, r.close(ctx, account.ID, ended)
		}
		if err := r.rejectAccount(ctx, ended); err != nil {
			return provision.Result{}, err
		}
		if unusable == maxAccounts {
			return provision.Result{}, r.close(ctx, "", ending{cause: accountsExhausted(ended.cause)})
		}
	}
}

// ending is how the work on an account ended: the cause is nil when the order completed; else everything is undone, but
// for the leftovers.
type ending struct {
	cause     error
	leftovers []string
	notes     []string
}

// provisionAccount does the work in the account, or undoes it.
func (r *orderRun) provisionAccount(ctx workflow.Context) (result provision.Result, ended ending) {
	var inspected activities.Inspection
	err := r.settle(ctx, func(ctx workflow.Context) (err error) {
		inspected, err = call(ctx, inventory, "Inspect account "+r.account.ID, acts.Inspect, r.assignment())
		return err
	})
	if err != nil {
		return result, ending{cause: r.causeOf(err)} // nothing was changed
	}
	work := &saga{}
	if result, err = r.setUp(ctx, inspected, work); err == nil {
		return result, ending{}
	}
	return result, r.undo(ctx, inspected.Journal, work, r.causeOf(err))
}

// setUp makes the account the customer's.
func (r *orderRun) setUp(ctx workflow.Context, inspected activities.Inspection, work *saga) (result provision.Result, err error) {
	var user provision.User
	var report provision.Report
	restore := func() activities.Restore { return r.restore(inspected.Journal) }

	work.add("cost report", func(ctx workflow.Context) (activities.Undone, error) {
		return call(ctx, cleanup, "Remove cost report", acts.RemoveReport, activities.ReportUndo{Assignment: r.assignment(), Report: report})
	})
	work.add("account alias", func(ctx workflow.Context) (activities.Undone, error) {
		return call(ctx, cleanup, "Restore account alias", acts.RestoreAlias, restore())
	})
	work.add("contacts", func(ctx workflow.Context) (activities.Undone, error) {
		return call(ctx, cleanup, "Restore contacts", acts.RestoreContacts, restore())
	})
	work.add("IAM user", func(ctx workflow.Context) (activities.Undone, error) {
		return call(ctx, cleanup, "Remove IAM user", acts.RemoveUser, activities.UserUndo{Assignment: r.assignment(), UserID: user.ID})
	})
	err = inParallel(ctx,
		r.settled(func(ctx workflow.Context) (err error) {
			user, err = call(ctx, cloud, "Create IAM user", acts.CreateUser, r.assignment())
			return err
		}),
		r.settled(func(ctx workflow.Context) error {
			_, err := call(ctx, cloud, "Set contacts", acts.SetContacts, restore())
			return err
		}),
		r.settled(func(ctx workflow.Context) error {
			_, err := call(ctx, cloud, "Set account alias", acts.SetAlias, restore())
			return err
		}),
		r.settled(func(ctx workflow.Context) (err error) {
			report, err = call(ctx, cloud, r.reportSummary(), acts.SetUpReport, activities.SetUpReport{Assignment: r.assignment(), Existing: inspected.ExistingReport})
			return err
		}),
	)
	if err != nil {
		return result, err
	}

	work.add("sign-in", func(ctx workflow.Context) (activities.Undone, error) {
		return call(ctx, cleanup, "Withdraw sign-in", acts.DisableSignIn, activities.UserUndo{Assignment: r.assignment(), UserID: user.ID})
	})
	if err = r.settle(ctx, func(ctx workflow.Context) error {
		_, err := call(ctx, cloud, "Enable sign-in", acts.EnableSignIn, activities.SignIn{Assignment: r.assignment(), User: user})
		return err
	}); err != nil {
		return result, err
	}

	if err = ctx.Err(); err != nil {
		return result, err // the last moment for a cancel
	}
	r.final = true
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	result = resultOf(r.assignment(), report, workflow.Now(ctx))
	err = tellLocal(ctx, database, "Allocate account "+r.account.ID, acts.Allocate, activities.Allocation{Order: r.order.OrderKey, AccountID: r.account.ID, Result: result})
	if err == nil {
		announce(ctx, provision.Completed, "", "Account `"+r.account.ID+"` is the customer's.")
	}
	return result, err
}

// undo takes back what was done, on a context that a cancel does not reach, and compares the account with the journal.
func (r *orderRun) undo(ctx workflow.Context, journal provision.Journal, work *saga, cause error) ending {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	failure := failureOf(cause)
	r.leaving, r.final = true, failure.Code.Kind() != provision.KindAccount
	announce(ctx, provision.Compensating, failure.Code, "Undoing everything in account `"+r.account.ID+"`, because: "+failure.Reason)
	if failure.Code.Kind() != provision.KindAccount {
		if err := tellLocal(ctx, database, "Begin undo", acts.BeginUndo, activities.OrderFailed{Order: r.order.OrderKey, Failure: failure}); err != nil {
			workflow.GetLogger(ctx).Error("the order could not be set to compensating; closing it will", "code", failureOf(err).Code)
		}
	}
	notes, problems := work.unwind(ctx)
	verified, err := call(ctx, cleanup, "Verify account "+r.account.ID, acts.VerifyRestored, r.restore(journal))
	ended := ending{cause: cause, leftovers: verified.Leftovers, notes: notes}
	if err != nil {
		ended.leftovers = append(problems, "the account could not be verified: "+failureOf(err).Reason) //nolint:gocritic // what went wrong is all that is known
	}
	return ended
}

// rejectAccount marks an unusable account Invalid; the order is back in the queue, at its old place.
func (r *orderRun) rejectAccount(ctx workflow.Context, ended ending) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	r.leaving = true
	failure := failureOf(ended.cause)
	for _, leftover := range ended.leftovers {
		failure.Reason += "; left: " + leftover
	}
	woken, err := callLocal(ctx, database, "Reject account "+r.account.ID, acts.RejectAccount,
		activities.RejectedAccount{Order: r.order.OrderKey, AccountID: r.account.ID, Failure: failure})
	r.account = nil
	wake(ctx, woken.Orders)
	return err
}

// close ends an order that did not complete and releases its account. It returns the error that the workflow ends with:
// bare, or Temporal would lose its type.
func (r *orderRun) close(ctx workflow.Context, accountID string, ended ending) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	r.final = true
	failure := failureOf(ended.cause)
	closing := provision.Closing{Order: r.order.OrderKey, State: provision.Failed, Failure: failure, AccountID: accountID,
		Leftovers: ended.leftovers, Notes: ended.notes, Park: r.settings.Park}
	if failure.Code == provision.CodeCancelled {
		closing.State = provision.Cancelled
	}
	woken, err := callLocal(ctx, database, "Close order", acts.CloseOrder, closing)
	if err != nil {
		return err
	}
	announce(ctx, closing.State, failure.Code, failure.Reason)
	wake(ctx, woken.Orders)
	return bare(ended.cause)
}

// How often an order that waits looks for itself. The signal of new stock comes at once; this is for a lost signal.
const (
	firstLook   = 30 * time.Second
	longestLook = 15 * time.Minute
)

// claimAccount returns the order's account, waiting for stock as long as the pool allows (0 = for ever).
func (r *orderRun) claimAccount(ctx workflow.Context) (*provision.Account, error) {
	patience := r.settings.WaitDeadline
	stock := workflow.GetSignalChannel(ctx, SignalStock)
	for look := firstLook; ; look = min(2*look, longestLook) {
		for stock.ReceiveAsync(nil) {
		}
		claim, err := callLocal(ctx, database, "Claim account", acts.ClaimAccount, r.order.OrderKey)
		if err != nil {
			return nil, err
		}
		wake(ctx, claim.Woken)
		if claim.Account != nil {
			announceAccount(ctx, *claim.Account)
			return claim.Account, nil
		}
		if look == firstLook {
			announce(ctx, provision.WaitingForAccount, provision.CodeNoAccountReady,
				fmt.Sprintf("Waiting for an account of pool %#q. The order goes on when stock arrives.", r.order.Pool().String()))
		}
		left := look
		if patience > 0 {
			left = min(look, r.order.AcceptedAt.Add(patience).Sub(workflow.Now(ctx)))
			if left <= 0 {
				return nil, waitedTooLong(patience)
			}
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return nil, workflow.NewContinueAsNewError(ctx, ProvisionOrder, r.ordered)
		}
		if err := waitOrSignal(ctx, left, "Look for stock again", stock); err != nil {
			return nil, err
		}
	}
}

// waitOrSignal returns after the time, or when a signal came, or with the error of a cancel. The summary is what the Web UI shows.
func waitOrSignal(ctx workflow.Context, atMost time.Duration, summary string, signal workflow.ReceiveChannel) error {
	timerCtx, stopTimer := workflow.WithCancel(ctx)
	defer stopTimer()
	timer := workflow.NewTimerWithOptions(timerCtx, atMost, workflow.TimerOptions{Summary: summary})
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(signal, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
	selector.AddFuture(timer, func(workflow.Future) {})
	selector.Select(ctx)
	return ctx.Err()
}
