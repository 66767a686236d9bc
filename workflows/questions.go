package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// question is a failure that the customer or an operator can mend. The answer is a correction of the order, or a retry.
type question struct {
	failure  provision.Failure
	answered bool
}

// untilAnswered runs a function until it succeeds. When it fails in a way that the customer or an operator can mend, the order asks a
// question, and the function is repeated when the question is answered; steps in parallel go on. Any other failure is returned.
func (r *orderRun) untilAnswered(ctx workflow.Context, function func(workflow.Context) error) error {
	for {
		err := function(ctx)
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

// ask sets the order to action_required and returns when the question is answered, or with the failure of a deadline or a cancel.
func (r *orderRun) ask(ctx workflow.Context, failure provision.Failure) error {
	patience, inTime := r.settings.ActionDeadline, false
	deadline := workflow.Now(ctx).Add(patience).UTC() // a little before the timer's, which starts when the question is shown
	q := &question{failure: failure}
	q.failure.AnswerBy = &deadline
	r.questions = append(r.questions, q)
	err := r.showQuestions(ctx)
	if err == nil {
		inTime, err = r.awaitAnswer(ctx, q, patience)
	}
	r.questions = slices.DeleteFunc(r.questions, func(other *question) bool { return other == q })
	switch {
	case err != nil:
		return err
	case !inTime:
		return noOneAnswered(failure, patience)
	}
	// A correction that came with the answer is recorded before the step reads the request.
	if err := r.correcting.Lock(ctx); err != nil {
		return err
	}
	r.correcting.Unlock()
	return r.showQuestions(ctx)
}

// awaitAnswer returns true when the question was answered in time. The signal that wakes an order makes the run read the order's row,
// because the worker that received a stop may have died before this run knew of it. For an account that can no longer be entered the
// signal is also the answer: the accounts of the pool can be entered again.
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
			// only once: if that does not help, the account is at fault
			if q.failure.Code == provision.CodeAccountCannotBeReentered && !r.reentered {
				r.reentered, q.answered = true, true
			}
		}
	}
	return true, nil
}

// showQuestions makes the order's state say what the order asks for, or that the work goes on. One call at a time: the last one knows
// all the answers.
func (r *orderRun) showQuestions(ctx workflow.Context) error {
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
