package activities

import (
	"context"
	"math/rand/v2"
	"time"

	"go.temporal.io/sdk/activity"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// AWS is eventually consistent for whoever reads: what was written may be invisible for a while, and what was deleted may
// still be shown. Writes meet the truth. So a thing counts as seen only when it is seen twice in a row, a thing that may
// have been written counts as absent only after it stayed unseen for a while, and where a write can ask the question, it
// is asked by the write.
// Source: IAM User Guide, "Changes that I make are not always immediately visible".

// pause waits between two looks, a little longer after every one, with jitter. Heartbeats beats meanwhile.
func (a *Activities) pause(ctx context.Context, look int) error {
	every := a.Timings.PollEvery
	longest := every * time.Duration(min(look, 4)+1)
	return sleep(ctx, every/2+rand.N(longest/2+1)) //nolint:gosec // jitter, not a secret
}

// sleep waits, or returns the error of the context when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// twice looks until it sees the thing twice in a row. It returns false when that did not happen within VisibleFor; an
// error of the look ends it.
func (a *Activities) waitStable(ctx context.Context, look func(context.Context) (bool, error)) (bool, error) {
	deadline := time.Now().Add(a.Timings.VisibleFor)
	for n, row := 0, 0; ; n++ {
		seen, err := look(ctx)
		if err != nil {
			return false, err
		}
		if row++; !seen {
			row = 0
		}
		if row == 2 {
			return true, nil
		}
		if n > 0 && row == 0 && time.Now().After(deadline) {
			return false, nil
		}
		if err := a.pause(ctx, n); err != nil {
			return false, err
		}
	}
}

// appears looks for a thing that may have been written a moment ago. It returns at once when the thing is there, and
// believes that it is absent only when it stayed unseen for the given time, two looks at least.
func (a *Activities) waitVisible(ctx context.Context, unseenFor time.Duration, look func(context.Context) (bool, error)) (bool, error) {
	deadline := time.Now().Add(unseenFor)
	for n := 0; ; n++ {
		if seen, err := look(ctx); seen || err != nil {
			return seen, err
		}
		if n > 0 && time.Now().After(deadline) {
			return false, nil
		}
		if err := a.pause(ctx, n); err != nil {
			return false, err
		}
	}
}

// absentFor is how long an undo looks for what it may have to take back.
func (t Timings) absentFor() time.Duration {
	if t.AbsentFor == 0 {
		return t.VisibleFor / 4
	}
	return t.AbsentFor
}

// insist repeats a call for as long as its error is one that passes, up to VisibleFor, and returns the last error.
func (a *Activities) retryWhile(ctx context.Context, passes func(error) bool, call func(context.Context) error) error {
	return a.retryWhileFor(ctx, a.Timings.VisibleFor, passes, call)
}

// insistFor is insist with a patience of its own.
func (a *Activities) retryWhileFor(ctx context.Context, patience time.Duration, passes func(error) bool, call func(context.Context) error) error {
	deadline := time.Now().Add(patience)
	for n := 0; ; n++ {
		err := call(ctx)
		if err == nil || !passes(err) || time.Now().After(deadline) {
			return err
		}
		if err := a.pause(ctx, n); err != nil {
			return err
		}
	}
}

// busy: AWS will do it in a moment, and the call had no effect.
func busy(err error) bool {
	return awscloud.IsConcurrentModification(err) || awscloud.IsTemporarilyUnmodifiable(err)
}

// settling: a call that depends on what we wrote a moment ago may meet a part of AWS that has not heard of it: the thing
// is not found, or the permission on it does not hold yet.
func propagating(err error) bool {
	return busy(err) || awscloud.IsNotFound(err) || awscloud.IsAccessDenied(err)
}

// repeatable: a deletion by a name that means the same thing each time may simply be repeated when its outcome is unknown.
func repeatable(err error) bool {
	return busy(err) || awscloud.IsThrottled(err) || awscloud.IsAmbiguous(err)
}

// repeated tells whether an earlier attempt may have written something whose reply was lost.
func repeated(ctx context.Context) bool { return activity.GetInfo(ctx).Attempt > 1 }

// notYetAfter is notYet with the answer of AWS to the call that should have made the thing, where there was one.
func notYetAfter(answer error, what string) error {
	failure := &provision.Failure{Code: provision.CodeNotYetVisible, Reason: "AWS does not show " + what + " yet" + tryAgain}
	if answer == nil {
		return failure
	}
	return withCause(failure, answer)
}
