// Package workflows holds the durable stories of the product. Read ProvisionOrder from top to bottom: it is what happens
// to an order.
package workflows

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
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
//
// The order's row in the database is the truth. A run that is older than the row (it was reset, or comes from a backup)
// changes nothing that the row forbids, and ends as the order ended.
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
	opened, err := callDatabase(always, "Open order", acts.OpenOrder, r.ordered)
	r.opened = true
	if err != nil {
		return provision.Result{}, err
	}
	if opened.State.Ended() {
		return (&endedBefore{opened.OrderStatus}).outcome()
	}
	r.nonce, r.settings, r.order.Request = opened.Nonce, opened.Settings, opened.Request
	for unusable := 0; ; {
		working, stop := workflow.WithCancel(ctx) // what operators stop: the wait for an account, or the work in it
		r.stopWork, r.leaving = stop, false
		if r.stopped != nil { // before there was anything to stop
			return r.leave(ctx, r.stopped)
		}
		account, err := r.claimAccount(working)
		if workflow.IsContinueAsNewError(err) {
			return provision.Result{}, err
		}
		if err != nil {
			cause := r.causeOf(err)
			if failureOf(cause).Code == provision.CodeOrderNotInProgress {
				cause = r.overtaken(ctx, "")
			}
			if errors.Is(cause, errAccountGone) { // it has got one since
				continue
			}
			return r.leave(ctx, cause)
		}
		r.account, r.made = account, made{}

		result, ended := r.provisionAccount(working)
		switch {
		case ended.cause == nil:
			return result, nil
		case errors.Is(ended.cause, errAccountGone): // nothing of it is ours to undo
			r.account = nil
			continue
		case failureOf(ended.cause).Code.Kind() != provision.KindAccount:
			return r.close(ctx, account.ID, ended)
		}
		if err := r.rejectAccount(ctx, ended); err != nil {
			return provision.Result{}, err
		}
		if ended.setAside {
			continue // it may well be we who cannot enter
		}
		if unusable++; unusable == maxAccounts {
			return r.close(ctx, "", ending{cause: accountsExhausted(ended.cause)})
		}
	}
}

// ending is how the work on an account ended: the cause is nil when the order completed; else everything is undone, but
// for the leftovers.
type ending struct {
	cause     error
	leftovers []string
	notes     []string
	setAside  bool // the account could not be entered, and nothing was changed in it
}

// provisionAccount does the work in the account, or undoes it.
func (r *orderRun) provisionAccount(ctx workflow.Context) (result provision.Result, ended ending) {
	var inspected activities.Inspection
	work := &saga{}
	err := r.settle(ctx, func(ctx workflow.Context) (err error) {
		inspected, err = call(ctx, inventory, "Inspect account "+r.account.ID, acts.Inspect, r.assignment())
		return err
	})
	if err == nil {
		if result, err = r.setUp(ctx, inspected, work); err == nil {
			return result, ending{}
		}
	}
	cause := r.causeOf(err)
	if failureOf(cause).Code == provision.CodeOrderNotInProgress {
		cause = r.overtaken(ctx, r.account.ID)
	}
	switch {
	case hasEnded(cause), errors.Is(cause, errAccountGone):
		return result, ending{cause: cause}
	case len(work.undos) == 0 && !r.account.touched: // nothing was changed
		return result, ending{cause: cause, setAside: failureOf(cause).Code == provision.CodeAccountCannotBeEntered}
	case len(work.undos) == 0:
		work = r.undosOfEarlierRun(inspected.Journal)
	}
	return result, r.undo(ctx, inspected.Journal, work, cause)
}

// allUndos take back everything that an order does in an account.
func (r *orderRun) allUndos(journal provision.Journal) *saga {
	undos := r.undosIn(journal)
	work := &saga{}
	work.add(undos.report, undos.alias, undos.contacts, undos.user, undos.signIn)
	return work
}

// undosOfEarlierRun take back what an earlier run may have done in the account, as far as this run can: what the alias and the
// contacts were before that, only the earlier run knew.
func (r *orderRun) undosOfEarlierRun(journal provision.Journal) *saga {
	undos := r.undosIn(journal)
	work := &saga{}
	work.add(undos.report, undos.user, undos.signIn)
	return work
}

// leave ends an order for which this run has not worked in any account. When its row names an account all the same, an earlier
// run may have worked there, and that is taken back first.
func (r *orderRun) leave(ctx workflow.Context, cause error) (provision.Result, error) {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	now, err := callDatabase(ctx, "Read order", acts.OrderStatus, r.order.OrderKey)
	if err != nil {
		return provision.Result{}, err
	}
	if now.State.Ended() || now.AccountID == "" {
		return r.close(ctx, "", ending{cause: cause})
	}
	claim, err := callDatabase(ctx, "Claim account", acts.ClaimAccount, r.order.OrderKey)
	if err != nil {
		return provision.Result{}, err
	}
	wake(ctx, claim.Woken)
	if claim.Account == nil || !claim.Touched {
		return r.close(ctx, "", ending{cause: cause})
	}
	r.account = &held{*claim.Account, claim.Touched}
	return r.close(ctx, r.account.ID, r.undo(ctx, provision.Journal{}, r.undosOfEarlierRun(provision.Journal{}), cause))
}

// setUp makes the account the customer's.
func (r *orderRun) setUp(ctx workflow.Context, inspected activities.Inspection, work *saga) (result provision.Result, err error) {
	undos := r.undosIn(inspected.Journal)

	work.add(undos.report)
	if !r.account.touched { // else the journal shows what an earlier run has written
		work.add(undos.alias, undos.contacts)
	}
	work.add(undos.user)
	err = inParallel(ctx,
		r.settled(func(ctx workflow.Context) (err error) {
			r.made.user, err = call(ctx, cloud, "Create IAM user", acts.CreateUser, r.assignment())
			return err
		}),
		r.settled(func(ctx workflow.Context) error {
			written, err := call(ctx, cloud, "Set contacts", acts.SetContacts, activities.NewSetContacts(r.assignment(), inspected.Journal, r.earlier))
			if err == nil {
				r.made.contacts = &written
			}
			return err
		}),
		r.settled(func(ctx workflow.Context) error {
			_, err := call(ctx, cloud, "Set account alias", acts.SetAlias, r.assignment())
			return err
		}),
		r.settled(func(ctx workflow.Context) (err error) {
			r.made.report, err = call(ctx, cloud, r.reportSummary(), acts.SetUpReport, activities.SetUpReport{
				Assignment: r.assignment(), Existing: inspected.ExistingReport, EarlierSettings: r.replaced})
			return err
		}),
	)
	if err != nil {
		return result, err
	}

	work.add(undos.signIn)
	if err = r.settle(ctx, func(ctx workflow.Context) error {
		_, err := call(ctx, cloud, "Enable sign-in", acts.EnableSignIn, activities.EnableSignIn{Assignment: r.assignment(), User: r.made.user})
		return err
	}); err != nil {
		return result, err
	}

	if err = ctx.Err(); err != nil {
		return result, err // the last moment for a cancel
	}
	r.final = true
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	result, err = callDatabase(ctx, "Allocate account "+r.account.ID, acts.Allocate, activities.Allocation{
		Order: r.order.OrderKey, AccountID: r.account.ID, Result: resultOf(r.assignment(), r.made.report, workflow.Now(ctx), inspected.Warnings...)})
	if err == nil {
		announce(ctx, provision.Completed, "", "Account `"+r.account.ID+"` is the customer's.")
	}
	return result, err
}

// made is what the steps are known to have made in the account so far.
type made struct {
	user     provision.User
	contacts *provision.WrittenContacts
	report   provision.Report
}

// undos take back the steps of one account.
type undos struct{ report, alias, contacts, user, signIn undo }

func (r *orderRun) undosIn(journal provision.Journal) undos {
	userUndo := func() activities.UserUndo {
		return activities.UserUndo{Assignment: r.assignment(), UserID: r.made.user.ID}
	}
	return undos{
		report: undo{"cost report", func(ctx workflow.Context) (activities.Undone, error) {
			return call(ctx, r.cleanup(), "Remove cost report", acts.RemoveReport, activities.RemoveReport{
				Assignment: r.assignment(), Report: r.made.report, EarlierSettings: r.replaced})
		}},
		alias: undo{"account alias", func(ctx workflow.Context) (activities.Undone, error) {
			return call(ctx, r.cleanup(), "Restore account alias", acts.RestoreAlias, activities.RestoreAlias{Assignment: r.assignment(), Alias: journal.Alias})
		}},
		contacts: undo{"contacts", func(ctx workflow.Context) (activities.Undone, error) {
			return call(ctx, r.cleanup(), "Restore contacts", acts.RestoreContacts, activities.RestoreContacts{
				Assignment: r.assignment(), Journal: journal, EarlierRequests: r.earlier, Written: r.made.contacts})
		}},
		user: undo{"IAM user", func(ctx workflow.Context) (activities.Undone, error) {
			return call(ctx, r.cleanup(), "Remove IAM user", acts.RemoveUser, userUndo())
		}},
		signIn: undo{"sign-in", func(ctx workflow.Context) (activities.Undone, error) {
			return call(ctx, r.cleanup(), "Withdraw sign-in", acts.DisableSignIn, userUndo())
		}},
	}
}

// cleanup is how the parts of an undo are run: patiently, or once more for the last time.
func (r *orderRun) cleanup() workflow.ActivityOptions {
	if r.undoUntil.IsZero() {
		return lastCleanup
	}
	return cleanup
}

// undoPatience is how long an undo tries what AWS refuses to take back. An outage of AWS is no refusal.
const undoPatience = time.Hour

// undo takes back what was done, on a context that a cancel does not reach, and compares the account with the journal.
func (r *orderRun) undo(ctx workflow.Context, journal provision.Journal, work *saga, cause error) ending {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	failure := failureOf(cause)
	r.leaving, r.final = true, failure.Code.Kind() != provision.KindAccount
	announce(ctx, provision.Compensating, failure.Code, "Undoing everything in account `"+r.account.ID+"`, because: "+failure.Reason)
	if failure.Code.Kind() != provision.KindAccount {
		if err := execDatabase(ctx, "Begin undo", acts.BeginUndo, activities.OrderFailed{Order: r.order.OrderKey, Failure: failure}); err != nil {
			workflow.GetLogger(ctx).Error("the order could not be set to compensating; closing it will", "code", failureOf(err).Code)
		}
	}
	ended, err := r.takeBack(ctx, journal, work)
	ended.cause = cause
	if failureOf(err).Code == provision.CodeOrderNotInProgress { // a later run has given the account back
		if now := r.overtaken(ctx, r.account.ID); hasEnded(now) || errors.Is(now, errAccountGone) {
			return ending{cause: now}
		}
	}
	if len(ended.leftovers) > 0 {
		r.keepUndo(ctx, journal)
	}
	return ended
}

// takeBack runs the undos and says what is left. The error is that of the comparison with the journal.
func (r *orderRun) takeBack(ctx workflow.Context, journal provision.Journal, work *saga) (ended ending, err error) {
	r.undoUntil = workflow.Now(ctx).Add(undoPatience)
	defer func() { r.undoUntil = time.Time{} }() // what comes after it is no undo
	undoing, end := workflow.WithCancel(ctx)
	defer end()
	r.endUndo = func() {
		r.undoUntil = time.Time{}
		end()
	}
	notes, problems := work.unwind(func(u undo) (activities.Undone, error) {
		undone, err := u.run(undoing)
		if undoing.Err() != nil { // somebody has ended the undo: each part is tried once more, and what is refused then is left
			undone, err = u.run(ctx)
		}
		return undone, err
	})
	look := func(ctx workflow.Context) (activities.Comparison, error) {
		return call(ctx, r.cleanup(), "Compare account "+r.account.ID+" with the journal", acts.CompareWithJournal, activities.CompareWithJournal{
			Assignment: r.assignment(), Journal: journal, EarlierRequests: r.earlier, Written: r.made.contacts, EarlierSettings: r.replaced})
	}
	compared, err := look(undoing)
	r.endUndo = nil
	if undoing.Err() != nil {
		compared, err = look(ctx)
	}
	ended.notes = notes
	failure := failureOf(err)
	switch {
	case err != nil:
		ended.leftovers = append(problems, "the account could not be compared with what it was: "+failure.Cause()) //nolint:gocritic // what went wrong is all that is known
	case len(compared.Leftovers) > 0:
		ended.leftovers = slices.Concat(compared.Leftovers, problems) // what is left, and why
	}
	if r.account.touched {
		ended.leftovers = append(ended.leftovers, journalUnknown)
	}
	return ended, err
}

// rejectAccount marks an unusable account Invalid; the order is back in the queue, at its old place. An account that is only set
// aside becomes Ready again when its verification passes.
func (r *orderRun) rejectAccount(ctx workflow.Context, ended ending) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	r.leaving = true
	failure := failureOf(ended.cause)
	for _, leftover := range ended.leftovers {
		failure.Reason += "; left: " + leftover
	}
	rejected, err := callDatabase(ctx, "Reject account "+r.account.ID, acts.RejectAccount,
		activities.RejectedAccount{Order: r.order.OrderKey, AccountID: r.account.ID, Failure: failure, SetAside: ended.setAside})
	r.account = nil
	wake(ctx, rejected.Orders)
	if rejected.Verify {
		verifyDue(ctx)
	}
	return err
}

// close ends an order that did not complete and releases its account. It returns what the workflow ends with: a bare error,
// or Temporal would lose its type. A run of an order that has ended already closes nothing and ends as the order ended.
func (r *orderRun) close(ctx workflow.Context, accountID string, ended ending) (provision.Result, error) {
	if before, ok := errors.AsType[*endedBefore](ended.cause); ok {
		return before.outcome()
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	r.final = true
	failure := failureOf(ended.cause)
	closing := provision.OrderClosing{Order: r.order.OrderKey, State: provision.Failed, Failure: failure, AccountID: accountID,
		Leftovers: ended.leftovers, Notes: ended.notes, OnFailure: r.settings.OnFailure}
	if failure.Code == provision.CodeOrderCancelled {
		closing.State = provision.Cancelled
	}
	woken, err := callDatabase(ctx, "Close order", acts.CloseOrder, closing)
	if err != nil {
		return provision.Result{}, err
	}
	announce(ctx, closing.State, failure.Code, failure.Reason)
	wake(ctx, woken.Orders)
	return provision.Result{}, bare(ended.cause)
}

// How often an order that waits looks for itself. The signal of new stock comes at once; this is for a lost signal.
const (
	firstLook   = 30 * time.Second
	longestLook = 15 * time.Minute
)

// claimAccount returns the order's account, waiting for stock as long as the pool allows (0 = without a limit).
func (r *orderRun) claimAccount(ctx workflow.Context) (*held, error) {
	patience := r.settings.WaitDeadline
	stock := workflow.GetSignalChannel(ctx, SignalStock)
	for look := firstLook; ; look = min(2*look, longestLook) {
		for stock.ReceiveAsync(nil) {
		}
		claim, err := callDatabase(ctx, "Claim account", acts.ClaimAccount, r.order.OrderKey)
		if err != nil {
			return nil, err
		}
		wake(ctx, claim.Woken)
		if claim.Account != nil {
			announceAccount(ctx, *claim.Account)
			return &held{*claim.Account, claim.Touched}, nil
		}
		if look == firstLook {
			announce(ctx, provision.WaitingForAccount, provision.CodeNoAccountReady,
				fmt.Sprintf("Waiting for an account of pool %#q. The order goes on when stock arrives.", r.order.Pool().String()))
		}
		left := look + r.jitter(look)
		if patience > 0 {
			left = min(left, r.order.AcceptedAt.Add(patience).Sub(workflow.Now(ctx)))
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

// jitter spreads the looks of the orders that began to wait together: up to a quarter of the wait, and always the same for
// the same order and wait, as a replay needs it.
func (r *orderRun) jitter(wait time.Duration) time.Duration {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(r.order.String() + wait.String())) // never fails
	return time.Duration(uint64(hash.Sum32()) * uint64(wait/4) >> 32)
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
