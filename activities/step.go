package activities

import (
	"cmp"
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// Every activity that works in an order's account goes through step or undo. Both first ask the database whether the order
// holds the account now, in the statement that records the attempt. Only a yes grants the attempt's lease, without which no
// call changes anything in AWS.

// step runs one attempt at a step and keeps people posted: the row of the step says running, then done, retrying, failed or
// stopped. The record is written before the work's error is returned, and a success that cannot be recorded fails the
// attempt: every step may be repeated, so nothing is lost by that.
func (a *Activities) step(ctx context.Context, w Assignment, step provision.Step, work func(context.Context) error) error {
	lease := awscloud.LeaseOf(ctx)
	asked := lease.Now()
	if err := a.Steps.Begin(ctx, w.Order, w.Account.ID, step, activity.GetInfo(ctx).Attempt); err != nil {
		return conclude(ctx, err, step)
	}
	lease.Grant(asked)
	err := attempt(ctx, step, work)
	if err != nil && ctx.Err() == nil {
		err = a.judge(ctx, w, step, err)
	}
	state, problem := provision.StepDone, ""
	switch failure, final := failureOf(err); {
	case err == nil:
	case ctx.Err() != nil:
		state = provision.StepStopped
	case final:
		state, problem = provision.StepFailed, failure.Explained()
	default:
		state, problem = provision.StepRetrying, failure.Explained()
	}
	if recordErr := a.ended(ctx, w, step, state, problem); err == nil {
		err = conclude(ctx, recordErr, step)
	}
	return err
}

// undo runs one attempt at taking a step back. No attempt at the step can begin from here on, and those that began and have
// not said how they ended are waited for: until no lease of theirs can live.
func (a *Activities) undo(ctx context.Context, w Assignment, step provision.Step, work func(context.Context) ([]string, error)) (Undone, error) {
	lease := awscloud.LeaseOf(ctx)
	asked := lease.Now()
	wait, err := a.Steps.BeginUndo(ctx, w.Order, w.Account.ID, step, LeaseTime)
	if err == nil {
		lease.Grant(asked)
		err = sleep(ctx, wait)
	}
	if err != nil { // not recorded as ended: the next attempt must wait as well
		return Undone{}, conclude(ctx, err, step)
	}
	var notes []string
	err = attempt(ctx, step, func(ctx context.Context) (err error) {
		notes, err = work(ctx)
		return err
	})
	if err != nil && ctx.Err() == nil {
		err = a.judgeUndo(ctx, w, step, err)
	}
	state, problem := provision.StepUndone, ""
	switch failure, _ := failureOf(err); {
	case err == nil:
	case ctx.Err() != nil:
		state, problem = provision.StepUndoing, "the attempt was stopped"
	default:
		state, problem = provision.StepUndoing, failure.Explained()
	}
	if recordErr := a.ended(ctx, w, step, state, problem); err == nil {
		err = conclude(ctx, recordErr, step)
	}
	if err != nil {
		return Undone{}, err
	}
	return Undone{Notes: notes}, nil
}

// attempt does the work of one attempt. It ends the work a little before Temporal gives the attempt up, so that the attempt can
// say what did not answer. Work that was stopped ends with the error of the context, whatever it ran into then.
func attempt(ctx context.Context, step provision.Step, work func(context.Context) error) error {
	deadline := activity.GetInfo(ctx).Deadline
	inTime, cancel := context.WithDeadline(ctx, deadline.Add(-min(recordTime, time.Until(deadline)/4)))
	defer cancel()
	err := work(inTime)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case inTime.Err() != nil:
		return raise(timeOver(err, step), false)
	}
	return conclude(ctx, err, step)
}

// judge decides whether the error of an attempt at a step is the last word. What AWS refuses may change: permissions take time
// to spread, and somebody may mend the account. So a refusal is believed only after it has lasted for a while, attempt after
// attempt (Timings). Then it is for an operator.
func (a *Activities) judge(ctx context.Context, w Assignment, step provision.Step, err error) error {
	failure, _ := failureOf(err)
	if step == provision.StepCompare {
		return a.judgeUndo(ctx, w, step, err)
	}
	patience := a.Timings.patience(failure)
	if patience == 0 {
		return err
	}
	lasting, err := a.Steps.NoteRefusal(ctx, w.Order, w.Account.ID, step, failure.Code)
	switch {
	case err != nil:
		return conclude(ctx, err, step)
	case lasting < patience:
		return raise(failure, false)
	}
	return raise(believed(failure, patience), true)
}

// judgeUndo decides the same for an undo: what AWS refuses to take back is tried again until the undo's time is over, and is
// left then. An answer that no attempt can change, and what is no refusal of AWS, is as final as it is elsewhere.
func (a *Activities) judgeUndo(ctx context.Context, w Assignment, step provision.Step, err error) error {
	failure, final := failureOf(err)
	refused := final && failure.AWSCode != ""
	switch failure.Code {
	case provision.CodeAWSRefused, provision.CodeNotYetVisible, provision.CodeAWSNotReady:
		refused = true
	}
	if !refused {
		return err
	}
	// An outage may have used the time up: then too the first refusal after it is not the last word.
	lasting, err := a.Steps.NoteRefusal(ctx, w.Order, w.Account.ID, step, failure.Code)
	if err != nil {
		return conclude(ctx, err, step)
	}
	timeOver := !time.Now().Before(w.Until) && lasting >= cmp.Or(a.Timings.DeniedFor, deniedFor)
	return raise(failure, w.Until.IsZero() || timeOver)
}

// recordTime bounds how long an attempt that was stopped tries to say so.
const recordTime = 5 * time.Second

// ended records how an attempt ended, also when it was stopped. An attempt whose lease has expired records nothing: another
// one may be at work, and the row tells of that. An undo waits for those that have not said how they ended.
func (a *Activities) ended(ctx context.Context, w Assignment, step provision.Step, state provision.StepState, problem string) error {
	if err := leased(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	return a.Steps.End(ctx, w.Order, w.Account.ID, step, state, problem)
}

// leased returns an error when the attempt's lease has expired. Calls to AWS are checked where they are sent; what an attempt writes
// for its order elsewhere asks here.
func leased(ctx context.Context) error {
	if awscloud.LeaseOf(ctx).Left() <= 0 {
		return awscloud.ErrLeaseExpired
	}
	return nil
}
