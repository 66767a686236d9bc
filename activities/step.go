package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"

	"quartermaster/internal/provision"
)

// step runs the work of one step and keeps people posted: the row of the step says running, then done, retrying or
// failed. The record is written before the work's error is returned, and a record that cannot be written fails the
// attempt: every step may be repeated, so nothing is lost by that.
func (a *Activities) step(ctx context.Context, w Assignment, step provision.Step, work func(context.Context) error) error {
	if err := a.Store.StepStarted(ctx, w.Order, w.Account.ID, step, activity.GetInfo(ctx).Attempt); err != nil {
		return report(ctx, err, step)
	}
	err := report(ctx, work(ctx), step)
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	state, problem := provision.StepDone, ""
	if err != nil {
		failure, final := failureOf(err)
		state, problem = provision.StepRetrying, failure.Error()
		if final {
			state = provision.StepFailed
		}
	}
	if recordErr := a.Store.StepEnded(ctx, w.Order, w.Account.ID, step, state, problem); recordErr != nil {
		if err == nil {
			err = report(ctx, recordErr, step)
		}
	}
	return err
}

// undo runs the taking back of one step and keeps people posted. Unlike a step it records only its success: until then
// the step's own record says best what the account still holds.
func (a *Activities) undo(ctx context.Context, w Assignment, step provision.Step, work func(context.Context) ([]string, error)) (Undone, error) {
	notes, err := work(ctx)
	if err == nil {
		err = a.Store.StepEnded(ctx, w.Order, w.Account.ID, step, provision.StepUndone, "")
	}
	if err != nil {
		return Undone{}, report(ctx, err, step)
	}
	return Undone{Notes: notes}, nil
}
