package activities

import (
	"cmp"
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// Every activity that works in an order's account runs through step or undo. The statement that records the attempt also checks that
// the order holds the account now. Only then is the attempt's lease granted, and without a lease no call writes to AWS.

// step runs one attempt of a step. The step's row says running, and afterwards done, retrying, failed or stopped. It is
// written before the error of the work is returned. A success that cannot be recorded fails the attempt; nothing is lost by that,
// because every step may be repeated.
func (a *Activities) step(ctx context.Context, in Work, step provision.Step, work func(context.Context, Assignment) error) error {
	return a.stepSeeing(ctx, in, step, func(ctx context.Context, w Assignment) (*provision.AccountSeen, error) { return nil, work(ctx, w) })
}

// stepSeeing is step for work that also returns what it saw of what the order is about to replace.
func (a *Activities) stepSeeing(
	ctx context.Context, in Work, step provision.Step, work func(context.Context, Assignment) (*provision.AccountSeen, error),
) error {
	lease := awscloud.LeaseOf(ctx)
	asked := lease.Now()
	now, err := a.Steps.Begin(ctx, in.Order, in.AccountID, step, activity.GetInfo(ctx).Attempt)
	if err != nil {
		return conclude(ctx, err, step)
	}
	lease.Grant(asked)
	w, began := in.assigned(now), time.Now()
	var seen *provision.AccountSeen
	err = attempt(ctx, step, func(ctx context.Context) (err error) {
		seen, err = work(ctx, w)
		return err
	})
	if err != nil && ctx.Err() == nil {
		err = a.judge(ctx, in, step, err)
	}
	end := provision.AttemptEnd{State: provision.StepDone, Took: time.Since(began), Seen: seen}
	switch failure, final := failureOf(err); {
	case err == nil:
	case ctx.Err() != nil:
		end.State = provision.StepStopped
	case final:
		end.State, end.Problem, end.AWS = provision.StepFailed, failure.Explained(), failure.AWS()
	default:
		end.State, end.Problem, end.AWS = provision.StepRetrying, failure.Explained(), failure.AWS()
	}
	if recordErr := a.ended(ctx, in, step, end); err == nil {
		err = conclude(ctx, recordErr, step)
	}
	return err
}

// Undone is the result of an undo. The notes name what the undo left alone because someone else had changed it.
type Undone struct {
	Notes []string `json:"notes,omitempty"`
}

// undo runs one attempt at undoing a step. From here on, no attempt of the step can begin. If earlier attempts have not recorded
// their end, undo waits until none of them can hold a lease.
func (a *Activities) undo(ctx context.Context, in Work, step provision.Step,
	work func(context.Context, Assignment) ([]string, error)) (Undone, error) {
	lease := awscloud.LeaseOf(ctx)
	asked := lease.Now()
	now, wait, err := a.Steps.BeginUndo(ctx, in.Order, in.AccountID, step, LeaseTime)
	if err == nil {
		lease.Grant(asked)
		err = sleep(ctx, wait)
	}
	if err != nil { // the end is not recorded: the next attempt must wait as well
		return Undone{}, conclude(ctx, err, step)
	}
	w, began := in.assigned(now), time.Now()
	var notes []string
	err = attempt(ctx, step, func(ctx context.Context) (err error) {
		notes, err = work(ctx, w)
		return err
	})
	if err != nil && ctx.Err() == nil {
		err = a.judgeUndo(ctx, in, step, err)
	}
	end := provision.AttemptEnd{State: provision.StepUndone, Took: time.Since(began)}
	switch failure, _ := failureOf(err); {
	case err == nil:
	case ctx.Err() != nil:
		end.State, end.Problem = provision.StepUndoing, "the attempt was stopped"
	default:
		end.State, end.Problem, end.AWS = provision.StepUndoing, failure.Explained(), failure.AWS()
	}
	if recordErr := a.ended(ctx, in, step, end); err == nil {
		err = conclude(ctx, recordErr, step)
	}
	if err != nil {
		return Undone{}, err
	}
	return Undone{Notes: notes}, nil
}

// attempt does the work of one attempt. It ends the work shortly before Temporal's timeout of the attempt, so that the attempt can
// still report which call did not answer. The error of work that was stopped is always that of its context.
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

// judge decides whether the error of an attempt is final. A refusal by AWS may pass: permissions take time to propagate, and an
// operator may repair the account. So a refusal becomes final, and goes to an operator, only after AWS has repeated it for a
// while, attempt after attempt (Timings).
func (a *Activities) judge(ctx context.Context, in Work, step provision.Step, err error) error {
	failure, _ := failureOf(err)
	if step == provision.StepCompare {
		return a.judgeUndo(ctx, in, step, err)
	}
	patience := a.Timings.patience(failure)
	if patience == 0 {
		return err
	}
	lasting, err := a.Steps.NoteRefusal(ctx, in.Order, in.AccountID, step, failure.Code)
	switch {
	case err != nil:
		return conclude(ctx, err, step)
	case lasting < patience:
		return raise(failure, false)
	}
	return raise(believed(failure, patience), true)
}

// judgeUndo decides the same for an undo: a refusal by AWS becomes final, and a leftover, when the time of the undo is over.
// Any other error is as final as it is for a step.
func (a *Activities) judgeUndo(ctx context.Context, in Work, step provision.Step, err error) error {
	failure, final := failureOf(err)
	refused := final && failure.AWSCode != ""
	switch failure.Code {
	case provision.CodeAWSRefused, provision.CodeNotYetVisible, provision.CodeAWSNotReady:
		refused = true
	}
	if !refused {
		return err
	}
	// The first refusal after an outage is not final even if the outage has used up the time.
	lasting, err := a.Steps.NoteRefusal(ctx, in.Order, in.AccountID, step, failure.Code)
	if err != nil {
		return conclude(ctx, err, step)
	}
	timeOver := !time.Now().Before(in.Until) && lasting >= cmp.Or(a.Timings.DeniedFor, deniedFor)
	return raise(failure, in.Until.IsZero() || timeOver)
}

// recordTime bounds how long an attempt that was stopped tries to record its end.
const recordTime = 5 * time.Second

// ended records how an attempt ended, even one that was stopped. An attempt whose lease has expired records nothing: the row may
// already belong to another attempt. An undo waits for the attempts that have not recorded their end.
func (a *Activities) ended(ctx context.Context, in Work, step provision.Step, end provision.AttemptEnd) error {
	if err := leased(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	return a.Steps.End(ctx, in.Order, in.AccountID, step, end)
}

// leased returns an error when the attempt's lease has expired. Package awscloud checks the writes to AWS; writes to the
// database that depend on the lease are checked here.
func leased(ctx context.Context) error {
	if awscloud.LeaseOf(ctx).Left() <= 0 {
		return awscloud.ErrLeaseExpired
	}
	return nil
}
