package activities

import (
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
	if err := a.Store.StepStarted(ctx, w.Order, w.Account.ID, step, activity.GetInfo(ctx).Attempt); err != nil {
		return report(ctx, err, step)
	}
	lease.Grant(asked)
	err := outcome(ctx, work(ctx), step)
	state, problem := provision.StepDone, ""
	switch failure, final := failureOf(err); {
	case err == nil:
	case ctx.Err() != nil:
		state = provision.StepStopped
	case final:
		state, problem = provision.StepFailed, failure.Error()
	default:
		state, problem = provision.StepRetrying, failure.Error()
	}
	if recordErr := a.ended(ctx, w, step, state, problem); err == nil {
		err = report(ctx, recordErr, step)
	}
	return err
}

// undo runs one attempt at taking a step back. No attempt at the step can begin from here on, and those that began and have
// not said how they ended are waited for: until no lease of theirs can live.
func (a *Activities) undo(ctx context.Context, w Assignment, step provision.Step, work func(context.Context) ([]string, error)) (Undone, error) {
	lease := awscloud.LeaseOf(ctx)
	asked := lease.Now()
	wait, err := a.Store.UndoStarted(ctx, w.Order, w.Account.ID, step, LeaseTime)
	if err == nil {
		lease.Grant(asked)
		err = sleep(ctx, wait)
	}
	if err != nil { // not recorded as ended: the next attempt must wait as well
		return Undone{}, report(ctx, err, step)
	}
	notes, err := work(ctx)
	err = outcome(ctx, err, step)
	state, problem := provision.StepUndone, ""
	switch failure, _ := failureOf(err); {
	case err == nil:
	case ctx.Err() != nil:
		state, problem = provision.StepUndoing, "the attempt was stopped"
	default:
		state, problem = provision.StepUndoing, failure.Error()
	}
	if recordErr := a.ended(ctx, w, step, state, problem); err == nil {
		err = report(ctx, recordErr, step)
	}
	if err != nil {
		return Undone{}, err
	}
	return Undone{Notes: notes}, nil
}

// outcome is what the work of an attempt came to. Work that was stopped, or cut off by the attempt's deadline, ends with the
// error of the context, whatever it ran into then.
func outcome(ctx context.Context, err error, step provision.Step) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return report(ctx, err, step)
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
	return a.Store.StepEnded(ctx, w.Order, w.Account.ID, step, state, problem)
}

// leased returns an error when the attempt's lease has expired. Calls to AWS are checked where they are sent; what an attempt writes
// for its order elsewhere asks here.
func leased(ctx context.Context) error {
	if awscloud.LeaseOf(ctx).Left() <= 0 {
		return awscloud.ErrLeaseExpired
	}
	return nil
}
