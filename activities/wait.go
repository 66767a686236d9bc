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
//   - The success of a write is final. What a write or a later step proves is not read as well.
//   - Where a write can answer the question, the write is used and not a read.
//   - What the customer uses at once (sign-in, alias) must be shown by two reads in a row (waitStable). For the rest (contacts,
//     report), one read is enough, unless an earlier one did not show it: then AWS's replicas differ (waitShown).
//   - A resource that may have been written counts as absent only when it stays invisible for a while (waitVisible), and a deleted
//     one as gone when two reads in a row, PollEvery apart, do not show it (waitGone). Undos rely on that.
//
// The table in docs/aws.md says for each resource what proves it.
// Source: IAM User Guide, "Changes that I make are not always immediately visible".

// pause waits between two reads: first for PollEvery/16 and then twice as long each time, up to 2 PollEvery, plus jitter of up to half
// of it. A write is often visible at once, so the first pauses are short.
func (a *Activities) pause(ctx context.Context, reads int) error {
	least := a.Timings.PollEvery << min(reads, 5) / 16
	return sleep(ctx, least+rand.N(least/2+1)) //nolint:gosec // jitter, not a secret
}

// unhurried, added to the number of reads, makes pause begin with PollEvery. It is for reads that decide that something is gone, or
// whose it is: two reads in quick succession may both be stale.
const unhurried = 4

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
	return a.waitInARow(ctx, 0, 0, read)
}

// waitShown is waitStable, except that the first read is enough if it returns true.
func (a *Activities) waitShown(ctx context.Context, read func(context.Context) (bool, error)) (bool, error) {
	return a.waitInARow(ctx, 1, 0, read)
}

// waitGone calls read until it returns false twice in a row, PollEvery apart. It returns false when that does not happen within
// VisibleFor.
func (a *Activities) waitGone(ctx context.Context, read func(context.Context) (bool, error)) (bool, error) {
	return a.waitInARow(ctx, 0, unhurried, func(ctx context.Context) (bool, error) {
		there, err := read(ctx)
		return err == nil && !there, err
	})
}

// waitInARow waits for two reads in a row that return true. row is how many count as done already, hurry the number of reads for the
// first pause.
func (a *Activities) waitInARow(ctx context.Context, row, hurry int, read func(context.Context) (bool, error)) (bool, error) {
	deadline := time.Now().Add(a.Timings.VisibleFor)
	for n := 0; ; n++ {
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
		if err := a.pause(ctx, hurry+n); err != nil {
			return false, err
		}
	}
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

// lostReplyTime is how long to look for what a refusal says exists already. An earlier attempt of a retry may have written it and lost
// the reply.
func (a *Activities) lostReplyTime(ctx context.Context) time.Duration {
	if activity.GetInfo(ctx).Attempt > 1 {
		return a.Timings.VisibleFor
	}
	return a.Timings.PollEvery
}
