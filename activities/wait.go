package activities

import (
	"context"
	"math/rand/v2"
	"time"

	"go.temporal.io/sdk/activity"

	"quartermaster/internal/awscloud"
)

// Propagation is the delay in AWS between a write and the reads that show it: what was created may be invisible for a while, and
// what was deleted may still be shown. Writes always act on the current state. Therefore:
//
//   - A state counts as reached when two reads in a row show it (waitStable, waitGone).
//   - A resource that may have been written counts as absent only when it stays invisible for a while (waitVisible).
//   - Where a write can answer the question, the write is used and not a read.
//
// Source: IAM User Guide, "Changes that I make are not always immediately visible".

// pause waits between two reads, a little longer after each of the first ones, with jitter.
func (a *Activities) pause(ctx context.Context, reads int) error {
	every := a.Timings.PollEvery
	longest := every * time.Duration(min(reads, 4)+1)
	return sleep(ctx, every/2+rand.N(longest/2+1)) //nolint:gosec // jitter, not a secret
}

// sleep waits for d. If the context ends first, it returns the context's error.
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

// waitStable calls read until it returns true twice in a row. It returns false when that does not happen within VisibleFor. An
// error of read ends the wait.
func (a *Activities) waitStable(ctx context.Context, read func(context.Context) (bool, error)) (bool, error) {
	deadline := time.Now().Add(a.Timings.VisibleFor)
	for n, row := 0, 0; ; n++ {
		seen, err := read(ctx)
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

// waitGone calls read until it returns false twice in a row. It returns false when that does not happen within VisibleFor.
func (a *Activities) waitGone(ctx context.Context, read func(context.Context) (bool, error)) (bool, error) {
	return a.waitStable(ctx, func(ctx context.Context) (bool, error) {
		there, err := read(ctx)
		return err == nil && !there, err
	})
}

// waitVisible looks for a resource that may have been written recently. It returns true as soon as read does, and false when read
// returns false for the given time, at least twice.
func (a *Activities) waitVisible(ctx context.Context, absentFor time.Duration, read func(context.Context) (bool, error)) (bool, error) {
	deadline := time.Now().Add(absentFor)
	for n := 0; ; n++ {
		if seen, err := read(ctx); seen || err != nil {
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

// absentFor returns AbsentFor or its default.
func (t Timings) absentFor() time.Duration {
	if t.AbsentFor == 0 {
		return t.VisibleFor / 4
	}
	return t.AbsentFor
}

// retryWhile repeats a call while its error passes, for up to VisibleFor, and returns the last error.
func (a *Activities) retryWhile(ctx context.Context, passes func(error) bool, call func(context.Context) error) error {
	return a.retryWhileFor(ctx, a.Timings.VisibleFor, passes, call)
}

// retryWhileFor is retryWhile with a time limit of its own.
func (a *Activities) retryWhileFor(
	ctx context.Context, patience time.Duration, passes func(error) bool, call func(context.Context) error,
) error {
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

// busy reports that AWS is still working on the resource. The call had no effect, and succeeds soon.
func busy(err error) bool {
	return awscloud.IsConcurrentModification(err) || awscloud.IsTemporarilyUnmodifiable(err)
}

// propagating reports that a recent write may not have reached the part of AWS that answered: the resource is not found, or the
// permission on it is not in effect yet.
func propagating(err error) bool {
	return busy(err) || awscloud.IsNotFound(err) || awscloud.IsAccessDenied(err)
}

// repeatable reports that a deletion by name may be repeated, because it had no effect or its outcome is unknown.
func repeatable(err error) bool {
	return busy(err) || awscloud.IsThrottled(err) || awscloud.IsAmbiguous(err)
}

// isRetry reports whether an earlier attempt may have written something whose reply was lost.
func isRetry(ctx context.Context) bool { return activity.GetInfo(ctx).Attempt > 1 }
