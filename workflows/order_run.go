package workflows

import (
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// orderRun is one run of ProvisionOrder: the order as it stands now, and what people may do to it meanwhile.
type orderRun struct {
	ordered   provision.Order     // as the marketplace placed it: the workflow's input
	order     provision.Order     // as it stands, corrections included
	earlier   []provision.Request // the order's request before each correction
	nonce     string
	settings  provision.PoolSettings
	replaced  []provision.PoolSettings // the settings before each time they were read anew
	opened    bool                     // the order's row is known, or that there can be none
	made      made
	account   *held // the account that the order holds
	showing   workflow.Mutex
	questions []*question // what somebody must answer before the work goes on
	stopWork  workflow.CancelFunc
	stopped   *stop               // somebody stopped the work; nil: nobody did
	reentered bool                // the order has tried by itself to enter its account again
	leaving   bool                // the account is being undone or given back
	final     bool                // the order completes or ends: too late for everything
	undoUntil time.Time           // until when an undo tries what AWS refuses
	endUndo   workflow.CancelFunc // ends the undo that runs; nil: none runs
}

// held is an account in the hands of the order.
type held struct {
	provision.Account
	touched bool // an earlier run of this order's workflow has begun to write to it
}

// stop is why somebody stopped the work on an account.
type stop struct{ failure provision.Failure }

// Error is the failure's.
func (s *stop) Error() string { return s.failure.Error() }

// bare is the error that a workflow may end with: Temporal shows what the order shows.
func bare(err error) error {
	var byHand *stop
	switch {
	case !errors.As(err, &byHand):
		return err
	case byHand.failure.Code == provision.CodeOrderCancelled:
		return temporal.NewCanceledError()
	}
	return failed(byHand.failure)
}

// question is a failure that somebody can mend.
type question struct {
	failure  provision.Failure
	answered bool
}

func (r *orderRun) assignment() activities.Assignment {
	return activities.Assignment{Order: r.order.OrderKey, Nonce: r.nonce, Request: r.order.Request, Settings: r.settings, Account: r.account.Account, Until: r.undoUntil}
}

func (r *orderRun) reportSummary() string {
	if r.order.Request.UseExistingCUR != "" {
		return "Link existing cost report"
	}
	return "Create cost report"
}

// endedBefore says that the order has ended, whatever this run was about to do: an earlier or a later run did the work.
type endedBefore struct{ status provision.OrderStatus }

// Error names the state.
func (e *endedBefore) Error() string { return "the order is " + string(e.status.State) + " already" }

func hasEnded(err error) bool {
	_, ended := errors.AsType[*endedBefore](err)
	return ended
}

// outcome is what the run ends with: what the run that ended the order ended with.
func (e *endedBefore) outcome() (provision.Result, error) {
	switch {
	case e.status.State == provision.Completed && e.status.Result != nil:
		return *e.status.Result, nil
	case e.status.State == provision.Cancelled:
		return provision.Result{}, temporal.NewCanceledError()
	case e.status.Failure != nil:
		return provision.Result{}, failed(*e.status.Failure)
	}
	return provision.Result{}, failed(provision.Failure{Code: provision.CodeOrderNotInProgress, Reason: e.Error()})
}

// errAccountGone says that the order does not hold the account any more; its row names another account, or none.
var errAccountGone = errors.New("the order does not hold the account any more")

// overtaken is what becomes of a run that the database has refused, because the order's row is ahead of the run: it was
// stopped, or another run worked on it. The account is the one that this run works in; empty: none.
func (r *orderRun) overtaken(ctx workflow.Context, accountID string) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	now, err := callDatabase(ctx, "Read order", acts.OrderStatus, r.order.OrderKey)
	switch {
	case err != nil:
		return err
	case now.State.Ended():
		return &endedBefore{now}
	case now.AccountID != accountID:
		return errAccountGone
	case now.State == provision.Compensating && now.Failure != nil:
		return &stop{*now.Failure}
	}
	return &stop{provision.Failure{Code: provision.CodeAccountSwappedByOperator, Reason: "an earlier run of the workflow had begun to give the account back"}}
}

// causeOf is why the work on the account really ended. Whoever stopped it says so, but an account that turned out to be
// unusable meanwhile is rejected first; the order ends after that. A swap is done with either way.
func (r *orderRun) causeOf(err error) error {
	if r.stopped == nil {
		return err
	}
	stopped := r.stopped
	if stopped.failure.Code == provision.CodeAccountSwappedByOperator {
		r.stopped = nil
	}
	if !temporal.IsCanceledError(err) && failureOf(err).Code.Kind() == provision.KindAccount {
		return err
	}
	return stopped
}

func (r *orderRun) settled(step func(workflow.Context) error) func(workflow.Context) error {
	return func(ctx workflow.Context) error { return r.settle(ctx, step) }
}

// settle runs a step until it succeeds. A failure that the customer or an operator can mend becomes a question, and the
// step is repeated when it was answered; steps beside it go on meanwhile. Every other failure is the step's.
func (r *orderRun) settle(ctx workflow.Context, step func(workflow.Context) error) error {
	for {
		err := step(ctx)
		if err == nil || temporal.IsCanceledError(err) {
			return err
		}
		failure := failureOf(err)
		if kind := failure.Code.Kind(); kind != provision.KindInput && kind != provision.KindPermission {
			return err
		}
		if err := r.ask(ctx, failure); err != nil {
			return err
		}
	}
}

// ask sets the order to action_required and returns when the question was answered, or with the failure of a deadline or
// a cancel.
func (r *orderRun) ask(ctx workflow.Context, failure provision.Failure) error {
	q := &question{failure: failure}
	r.questions = append(r.questions, q)
	patience, inTime := r.settings.ActionDeadline, false
	err := r.showQuestion(ctx)
	if err == nil {
		inTime, err = r.awaitAnswer(ctx, q, patience)
	}
	r.questions = slices.DeleteFunc(r.questions, func(other *question) bool { return other == q })
	switch {
	case err != nil:
		return err
	case !inTime:
		return nobodyAnswered(failure, patience)
	}
	return r.showQuestion(ctx)
}

// awaitAnswer returns true when the question was answered in time. The signal with which an order is woken makes the run read
// the order's row: it may have been stopped by a worker that died before this run heard of it. It also answers the question of
// an account that cannot be entered any more: the accounts of the pool can be entered again.
func (r *orderRun) awaitAnswer(ctx workflow.Context, q *question, patience time.Duration) (inTime bool, err error) {
	ctx, stopTimer := workflow.WithCancel(ctx)
	defer stopTimer() // an answered question leaves no timer behind
	timer := workflow.NewTimerWithOptions(ctx, patience, workflow.TimerOptions{Summary: "Deadline for " + string(q.failure.Code)})
	woken := workflow.GetSignalChannel(ctx, SignalStock)
	for !q.answered {
		if err := workflow.Await(ctx, func() bool { return q.answered || timer.IsReady() || woken.Len() > 0 }); err != nil {
			return false, err
		}
		if timer.IsReady() {
			return q.answered, nil
		}
		for woken.ReceiveAsync(nil) {
			if err := r.catchUp(ctx); err != nil {
				return false, err
			}
			if q.failure.Code == provision.CodeAccountCannotBeReentered && !r.reentered { // once: if that does not help, it is the account
				r.reentered, q.answered = true, true
			}
		}
	}
	return true, nil
}

// showQuestion makes the order's state say what is asked for now, or that the work goes on. One at a time: the last one
// knows best.
func (r *orderRun) showQuestion(ctx workflow.Context) error {
	if err := r.showing.Lock(ctx); err != nil {
		return err
	}
	defer r.showing.Unlock()
	if len(r.questions) == 0 {
		announce(ctx, provision.Provisioning, "", "Provisioning account `"+r.account.ID+"`.")
		return execDatabase(ctx, "Resume", acts.Resume, r.order.OrderKey)
	}
	failure := r.questions[0].failure
	field := ""
	if failure.Field != "" {
		field = "\n\n**Field** `" + failure.Field + "`, ordered: `" + failure.Value + "`"
	}
	announce(ctx, provision.ActionRequired, failure.Code, "**Action required** at step `"+string(failure.Step)+"`: "+failure.Cause()+field)
	return execDatabase(ctx, "Require action", acts.RequireAction, activities.OrderFailed{Order: r.order.OrderKey, Failure: failure})
}

func nobodyAnswered(failure provision.Failure, patience time.Duration) error {
	failure.Reason = "nobody mended this within " + patience.String() + ": " + failure.Reason
	failure.Code = provision.CodeActionDeadlinePassed
	return failed(failure)
}
