// Package workflows holds the durable stories of the product. Read ProvisionOrder from top to bottom: it is what happens
// to an order.
package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
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
	opened, err := callLocal(ctx, database, "Open order", acts.OpenOrder, order)
	if err != nil {
		return provision.Result{}, err
	}
	if opened.Ended {
		return provision.Result{}, alreadyEnded(order)
	}
	for unusable := 1; ; unusable++ {
		account, err := claimAccount(ctx, order, opened.Settings.WaitDeadline)
		if workflow.IsContinueAsNewError(err) {
			return provision.Result{}, err
		}
		if err != nil {
			return provision.Result{}, closeOrder(ctx, order, "", ending{cause: err})
		}
		w := activities.Assignment{Order: order.OrderKey, Nonce: opened.Nonce, Request: order.Request, Settings: opened.Settings, Account: *account}

		result, ended := provisionAccount(ctx, w)
		if ended.cause == nil {
			return result, nil
		}
		if failureOf(ended.cause).Code.Kind() != provision.KindAccount {
			return provision.Result{}, closeOrder(ctx, order, account.ID, ended)
		}
		if err := rejectAccount(ctx, w, ended); err != nil {
			return provision.Result{}, err
		}
		if unusable == maxAccounts {
			return provision.Result{}, closeOrder(ctx, order, "", ending{cause: accountsExhausted(ended.cause)})
		}
	}
}

// ending is how the work on an account ended: the cause is nil when the order completed; else everything is undone, but
// for the leftovers.
type ending struct {
	cause     error
	leftovers []string
	notes     []string
	park      bool
}

// provisionAccount does the work in the account, or undoes it.
func provisionAccount(ctx workflow.Context, w activities.Assignment) (result provision.Result, ended ending) {
	inspected, err := call(ctx, inventory, "Inspect account "+w.Account.ID, acts.Inspect, w)
	if err != nil {
		return result, ending{cause: err} // nothing was changed
	}
	work := &saga{}
	if result, err = setUp(ctx, w, inspected, work); err == nil {
		return result, ending{}
	}
	return result, undoAll(ctx, w, inspected.Journal, work, err)
}

// setUp makes the account the customer's.
func setUp(ctx workflow.Context, w activities.Assignment, inspected activities.Inspection, work *saga) (result provision.Result, err error) {
	var user provision.User
	var report provision.Report
	restore := activities.Restore{Assignment: w, Journal: inspected.Journal}
	setUpReport := activities.SetUpReport{Assignment: w, Existing: inspected.ExistingReport}

	work.add("cost report", func(ctx workflow.Context) (activities.Undone, error) {
		return call(ctx, cleanup, "Remove cost report", acts.RemoveReport, activities.ReportUndo{Assignment: w, Report: report})
	})
	work.add("account alias", func(ctx workflow.Context) (activities.Undone, error) {
		return call(ctx, cleanup, "Restore account alias", acts.RestoreAlias, restore)
	})
	work.add("contacts", func(ctx workflow.Context) (activities.Undone, error) {
		return call(ctx, cleanup, "Restore contacts", acts.RestoreContacts, restore)
	})
	work.add("IAM user", func(ctx workflow.Context) (activities.Undone, error) {
		return call(ctx, cleanup, "Remove IAM user", acts.RemoveUser, activities.UserUndo{Assignment: w, UserID: user.ID})
	})
	err = inParallel(ctx,
		func(ctx workflow.Context) (err error) {
			user, err = call(ctx, cloud, "Create IAM user", acts.CreateUser, w)
			return err
		},
		func(ctx workflow.Context) error {
			_, err := call(ctx, cloud, "Set contacts", acts.SetContacts, restore)
			return err
		},
		func(ctx workflow.Context) error {
			_, err := call(ctx, cloud, "Set account alias", acts.SetAlias, restore)
			return err
		},
		func(ctx workflow.Context) (err error) {
			report, err = call(ctx, cloud, reportSummary(w), acts.SetUpReport, setUpReport)
			return err
		},
	)
	if err != nil {
		return result, err
	}

	work.add("sign-in", func(ctx workflow.Context) (activities.Undone, error) {
		return call(ctx, cleanup, "Withdraw sign-in", acts.DisableSignIn, activities.UserUndo{Assignment: w, UserID: user.ID})
	})
	if _, err = call(ctx, cloud, "Enable sign-in", acts.EnableSignIn, activities.SignIn{Assignment: w, User: user}); err != nil {
		return result, err
	}

	if err = ctx.Err(); err != nil {
		return result, err // the last moment for a cancel
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	result = resultOf(w, report, workflow.Now(ctx))
	err = tellLocal(ctx, database, "Allocate account "+w.Account.ID, acts.Allocate, activities.Allocation{Order: w.Order, AccountID: w.Account.ID, Result: result})
	if err == nil {
		announce(ctx, provision.Completed, "", "Account "+w.Account.ID+" is the customer's.")
	}
	return result, err
}

// undoAll takes back what was done, on a context that a cancel does not reach, and compares the account with the journal.
func undoAll(ctx workflow.Context, w activities.Assignment, journal provision.Journal, work *saga, cause error) ending {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	failure := failureOf(cause)
	announce(ctx, provision.Compensating, failure.Code, "Undoing everything in account "+w.Account.ID+": "+failure.Reason)
	if failure.Code.Kind() != provision.KindAccount {
		if err := tellLocal(ctx, database, "Begin undo", acts.BeginUndo, activities.OrderFailed{Order: w.Order, Failure: failure}); err != nil {
			workflow.GetLogger(ctx).Error("the order could not be set to compensating; closing it will", "code", failureOf(err).Code)
		}
	}
	notes, problems := work.unwind(ctx)
	verified, err := call(ctx, cleanup, "Verify account "+w.Account.ID, acts.VerifyRestored, activities.Restore{Assignment: w, Journal: journal})
	ended := ending{cause: cause, leftovers: verified.Leftovers, notes: notes, park: w.Settings.Park}
	if err != nil {
		ended.leftovers = append(problems, "the account could not be verified: "+failureOf(err).Reason) //nolint:gocritic // what went wrong is all that is known
	}
	return ended
}

// rejectAccount marks an unusable account Invalid; the order is back in the queue, at its old place.
func rejectAccount(ctx workflow.Context, w activities.Assignment, ended ending) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	failure := failureOf(ended.cause)
	for _, leftover := range ended.leftovers {
		failure.Reason += "; left: " + leftover
	}
	woken, err := callLocal(ctx, database, "Reject account "+w.Account.ID, acts.RejectAccount,
		activities.RejectedAccount{Order: w.Order, AccountID: w.Account.ID, Failure: failure})
	wake(ctx, woken.Orders)
	return err
}

// closeOrder ends an order that did not complete and releases its account. It returns the error that the workflow ends
// with: bare, or Temporal would lose its type.
func closeOrder(ctx workflow.Context, order provision.Order, accountID string, ended ending) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	failure := failureOf(ended.cause)
	closing := provision.Closing{Order: order.OrderKey, State: provision.Failed, Failure: failure, AccountID: accountID,
		Leftovers: ended.leftovers, Notes: ended.notes, Park: ended.park}
	if failure.Code == provision.CodeCancelled {
		closing.State = provision.Cancelled
	}
	woken, err := callLocal(ctx, database, "Close order", acts.CloseOrder, closing)
	if err != nil {
		return err
	}
	announce(ctx, closing.State, failure.Code, failure.Reason)
	wake(ctx, woken.Orders)
	return ended.cause
}

// How often an order that waits looks for itself. The signal of new stock comes at once; this is for a lost signal.
const (
	firstLook   = 30 * time.Second
	longestLook = 15 * time.Minute
)

// claimAccount returns the order's account, waiting for stock as long as the pool allows (0 = for ever).
func claimAccount(ctx workflow.Context, order provision.Order, patience time.Duration) (*provision.Account, error) {
	stock := workflow.GetSignalChannel(ctx, SignalStock)
	for look := firstLook; ; look = min(2*look, longestLook) {
		for stock.ReceiveAsync(nil) {
		}
		claim, err := callLocal(ctx, database, "Claim account", acts.ClaimAccount, order.OrderKey)
		if err != nil {
			return nil, err
		}
		wake(ctx, claim.Woken)
		if claim.Account != nil {
			announceAccount(ctx, *claim.Account)
			return claim.Account, nil
		}
		if look == firstLook {
			announce(ctx, provision.WaitingForAccount, provision.CodeNoAccountReady, fmt.Sprintf("Waiting for an account of pool %s, place %d in the queue.", order.Pool(), claim.Place))
		}
		left := look
		if patience > 0 {
			left = min(look, order.AcceptedAt.Add(patience).Sub(workflow.Now(ctx)))
			if left <= 0 {
				return nil, waitedTooLong(patience)
			}
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return nil, workflow.NewContinueAsNewError(ctx, ProvisionOrder, order)
		}
		if err := awaitStock(ctx, stock, left); err != nil {
			return nil, err
		}
	}
}

// awaitStock returns when stock may have come, or after the time, or with the error of a cancel.
func awaitStock(ctx workflow.Context, stock workflow.ReceiveChannel, atMost time.Duration) error {
	timerCtx, stopTimer := workflow.WithCancel(ctx)
	defer stopTimer()
	timer := workflow.NewTimerWithOptions(timerCtx, atMost, workflow.TimerOptions{Summary: "Look for stock again"})
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(stock, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
	selector.AddFuture(timer, func(workflow.Future) {})
	selector.Select(ctx)
	return ctx.Err()
}

// wake tells orders that got an account while they waited. A signal that cannot be delivered is no loss: they look.
func wake(ctx workflow.Context, orders []provision.OrderKey) {
	for _, key := range orders {
		if err := workflow.SignalExternalWorkflow(ctx, OrderWorkflowID(key), "", SignalStock, nil).Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Warn("a waiting order could not be woken; it looks by itself within 15 minutes", "order", key.String())
		}
	}
}

// announce shows operators in the Web UI where the order stands: as search attributes, which are not encrypted and so
// hold only coarse words, and as details, which are.
func announce(ctx workflow.Context, state provision.OrderState, code provision.Code, details string) {
	workflow.SetCurrentDetails(ctx, details)
	upsert(ctx, StepKey.ValueSet(string(state)), ReasonKey.ValueSet(string(code)))
}

func announceAccount(ctx workflow.Context, account provision.Account) {
	workflow.SetCurrentDetails(ctx, "Provisioning account "+account.ID+".")
	upsert(ctx, StepKey.ValueSet(string(provision.Provisioning)), ReasonKey.ValueSet(""),
		AccountIDKey.ValueSet(account.ID), ModelKey.ValueSet(string(account.Model)))
}

func upsert(ctx workflow.Context, attributes ...temporal.SearchAttributeUpdate) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, attributes...); err != nil {
		workflow.GetLogger(ctx).Warn("search attributes were not written; is the namespace set up?", "error", err)
	}
}

func reportSummary(w activities.Assignment) string {
	if w.Request.UseExistingCUR != "" {
		return "Link existing cost report"
	}
	return "Create cost report"
}
