package workflows

import (
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// undoPatience is how long an undo retries what AWS refuses to undo. An outage of AWS is no refusal.
const undoPatience = time.Hour

// undoing is an undo that runs.
type undoing struct {
	until time.Time           // how long it retries what AWS refuses; zero: an operator has ended it
	end   workflow.CancelFunc // ends it
}

// undo undoes everything in the account, on a context that a cancel does not reach, and compares the account with the journal.
func (r *orderRun) undo(ctx workflow.Context, cause error) ending {
	failure, end := failureOf(cause), ending{cause: cause}
	switch {
	case hasEnded(cause), errors.Is(cause, errAccountChanged): // nothing in the account is this run's
		return end
	case len(r.account.begun) == 0 && !r.account.touched: // nothing was changed
		end.setAside = failure.Code == provision.CodeAccountCannotBeEntered
		return end
	case len(r.account.begun) == 0: // an earlier run may have changed everything
		r.account.begun = allSteps
	}

	ctx, _ = workflow.NewDisconnectedContext(ctx)
	announce(ctx, provision.Compensating, failure.Code, "Undoing everything in account `"+r.account.ID+"`, because: "+failure.Reason)
	if isAccountFault(cause) {
		r.enter(returning)
	} else {
		r.enter(closing)
		failed := activities.OrderFailed{Order: r.order.OrderKey, Failure: failure}
		if err := execDatabase(ctx, "Begin undo", acts.BeginUndo, failed); err != nil {
			workflow.GetLogger(ctx).Error("could not set the order to compensating; closing the order makes up for it",
				"code", failureOf(err).Code)
		}
	}
	var err error
	if end.leftovers, end.notes, err = r.undoSteps(ctx); failureOf(err).Code == provision.CodeOrderNotInProgress {
		// A later run may have ended the order, or given the account back.
		if now := r.overtaken(ctx); hasEnded(now) || errors.Is(now, errAccountChanged) {
			return ending{cause: now}
		}
	}
	if len(end.leftovers) > 0 {
		r.keepUndo(ctx)
	}
	return end
}

// undoSteps undoes the steps that were begun, the last one first, whatever fails, and compares the account with the journal. It returns
// what is left of the order in the account and what was left alone on purpose. The error is that of the comparison.
func (r *orderRun) undoSteps(ctx workflow.Context) (leftovers, notes []string, err error) {
	cancellable, cancel := workflow.WithCancel(ctx)
	defer cancel()
	r.undoing = &undoing{until: workflow.Now(ctx).Add(undoPatience)}
	r.undoing.end = func() {
		r.undoing.until = time.Time{}
		cancel()
	}
	defer func() { r.undoing = nil }()

	var problems []string
	for _, s := range slices.Backward(r.account.begun) {
		if s.restores && r.account.touched { // the journal holds what an earlier run has written
			continue
		}
		undone, err := onceMore(ctx, cancellable, func(ctx workflow.Context) (activities.Undone, error) { return s.undo(r, ctx) })
		notes = append(notes, undone.Notes...)
		if err != nil {
			failure := failureOf(err)
			problems = append(problems, s.name+": "+failure.Cause())
		}
	}
	compared, err := onceMore(ctx, cancellable, r.compareWithJournal)
	switch {
	case err != nil:
		failure := failureOf(err)
		leftovers = slices.Concat(problems, []string{"the account could not be compared with the journal: " + failure.Cause()})
	case len(compared.Leftovers) > 0:
		leftovers = slices.Concat(compared.Leftovers, problems) // what is left, and why
	}
	if r.account.touched {
		leftovers = append(leftovers, journalUnknown)
	}
	return leftovers, notes, err
}

// journalUnknown is the leftover of an account in which an earlier run has worked.
const journalUnknown = "an earlier run of the workflow worked in the account, and what the account's alias and contacts were before that " +
	"is not known: compare them by hand"

// onceMore runs a part of an undo. When an operator ends the undo, the part is tried once more; what AWS refuses then is left.
func onceMore[Out any](ctx, cancellable workflow.Context, part func(workflow.Context) (Out, error)) (Out, error) {
	out, err := part(cancellable)
	if cancellable.Err() != nil {
		return part(ctx)
	}
	return out, err
}

// cleanup returns the options of a part of an undo.
func (r *orderRun) cleanup() workflow.ActivityOptions {
	if r.undoing.until.IsZero() {
		return lastCleanup
	}
	return cleanup
}

func (r *orderRun) compareWithJournal(ctx workflow.Context) (activities.Comparison, error) {
	return call(ctx, r.cleanup(), "Compare account "+r.account.ID+" with the journal", acts.CompareWithJournal,
		activities.CompareWithJournal{Work: r.work(), Journal: r.account.inspected.Journal, Written: r.account.contacts})
}

// keepUndo keeps what RemoveLeftovers needs to undo the account again.
func (r *orderRun) keepUndo(ctx workflow.Context) {
	a := r.account
	kept := activities.KeptUndo{Work: r.work(), Journal: a.inspected.Journal, User: a.user, Written: a.contacts, Report: a.report,
		Touched: a.touched}
	if err := execDatabase(ctx, "Keep the undo", acts.KeepUndo, kept); err != nil {
		workflow.GetLogger(ctx).Error("could not keep the undo: what is left in the account must be removed by hand",
			"account", a.ID, "code", failureOf(err).Code)
	}
}
