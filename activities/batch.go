package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"quartermaster/internal/provision"
	"quartermaster/internal/verbs"
)

// Batching holds the dependencies of the activities of this file.
type Batching struct {
	Verbs verbs.Verbs
	// WakeOrders tells waiting orders to look for an account. It is a hint.
	WakeOrders func(ctx context.Context, keys []provision.OrderKey) error
	// VerifyDue starts the verification of the accounts that are due. It is a hint.
	VerifyDue func(ctx context.Context) error
	// Pace limits how many rows of batches this process begins per second, so that they leave the database and Temporal to orders; nil
	// means no limit.
	Pace *rate.Limiter
	// Pause is the pause before the second try of a row whose answer is unknown; five times as long before each further one. A second when
	// 0.
	Pause time.Duration
}

const (
	batchPage   = 40 // rows of one activity
	rowsAtOnce  = 8
	rowTries    = 3 // until a row whose answer is unknown has failed
	rowPause    = time.Second
	hintTimeout = 5 * time.Second
)

// BatchProgress is the result of RunBatchRows. The rows stay in the database.
type BatchProgress struct {
	State provision.BatchState `json:"state,omitempty"` // empty when the batch does not exist, or not yet
	Verb  provision.BatchVerb  `json:"verb,omitempty"`
	provision.BatchCount
}

// StoppedBatch is the input of StopBatch: a batch, and why it ends.
type StoppedBatch struct {
	Batch  provision.BatchKey `json:"batch"`
	Reason string             `json:"reason"`
}

// RunBatchRows does the verb of a batch to its next orders or accounts, as the API does it to a single one: with the same rules and the
// same entries in the history. A row that was done is never done again.
func (a *Activities) RunBatchRows(ctx context.Context, key provision.BatchKey) (BatchProgress, error) {
	b, rows, err := a.Batches.Next(ctx, key, batchPage)
	if errors.Is(err, provision.ErrNotFound) {
		return BatchProgress{}, nil
	}
	if err == nil {
		err = a.runRows(ctx, b, rows)
	}
	if err == nil {
		b, err = a.Batches.Advance(ctx, key)
	}
	return BatchProgress{b.State, b.Verb, b.BatchCount}, conclude(ctx, err, "")
}

// StopBatch ends a batch. What was done stays.
func (a *Activities) StopBatch(ctx context.Context, in StoppedBatch) error {
	_, err := a.Batches.Stop(ctx, in.Batch, in.Reason)
	return conclude(ctx, err, "")
}

// runRows runs a page of rows, a few at a time. It returns an error when the outcome of a row could not be recorded; the next attempt
// continues there.
func (a *Activities) runRows(ctx context.Context, b provision.Batch, rows []provision.BatchRow) error {
	running, inPage := errgroup.WithContext(ctx)
	running.SetLimit(rowsAtOnce)
	for _, row := range rows {
		running.Go(func() error {
			if a.Batching.Pace != nil {
				if err := a.Batching.Pace.Wait(inPage); err != nil {
					return err
				}
			}
			return a.runRow(inPage, b, row)
		})
	}
	err := running.Wait()
	if b.Verb == provision.BatchVerify || b.Verb == provision.BatchReturn {
		a.hint(ctx, "could not start the verification; the schedule starts it within minutes", a.Batching.VerifyDue)
	}
	return err
}

// runRow runs one row and records its outcome. A row whose answer is unknown is tried again, and has failed in the end.
func (a *Activities) runRow(ctx context.Context, b provision.Batch, row provision.BatchRow) error {
	var err error
	for try, pause := 1, cmp.Or(a.Batching.Pause, rowPause); ; try, pause = try+1, 5*pause {
		if err = a.tryRow(ctx, b, row); err == nil || ctx.Err() != nil {
			break
		}
		if why, refused := provision.RefusalOf(b.Targets.Named(row.ID), err); refused {
			return a.Batches.EndRow(ctx, b.BatchKey, row.N, provision.RowRefused, why)
		}
		unconfirmed := errors.Is(err, verbs.ErrUnconfirmed)
		if !unconfirmed && errors.Is(err, provision.ErrUnavailable) { // nothing was sent yet: try when the database or Temporal answers again
			break
		}
		if try == rowTries {
			activity.GetLogger(ctx).Error("a row of a batch has failed", "batch", b.ID, "row", row.N, "error", err)
			return a.Batches.EndRow(ctx, b.BatchKey, row.N, provision.RowFailed, failedRow(b.Targets.Named(row.ID), unconfirmed))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return errors.Join(err, ctx.Err())
}

// failedRow says why a row has failed.
func failedRow(named string, unconfirmed bool) provision.Refusal {
	if unconfirmed {
		return provision.Refusal{Code: provision.CodeUnavailable, Message: fmt.Sprintf(
			"could not confirm in %d tries that %s received the request: read it, and put it into another batch if it did not", rowTries, named)}
	}
	return provision.Refusal{Code: provision.CodeInternal, Message: fmt.Sprintf(
		"%s: an internal error occurred, which the log of the worker has: read it, and put it into another batch", named)}
}

// tryRow does the verb to the order or account of a row.
func (a *Activities) tryRow(ctx context.Context, b provision.Batch, row provision.BatchRow) error {
	if b.Targets == provision.BatchAccounts {
		woken, err := a.Batches.ChangeAccount(ctx, b, row)
		if len(woken) > 0 {
			a.hint(ctx, "could not wake orders; they look for an account later", func(ctx context.Context) error {
				return a.Batching.WakeOrders(ctx, woken)
			})
		}
		return err
	}
	if b.Verb == provision.BatchSwap && row.Account == "" { // it may hold one by now, which no one has reviewed
		return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order held no account that could be swapped"}
	}
	_, err := a.Batching.Verbs.Act(ctx, b.Tenant, row.ID, b.Verb.Action(), b.Intervention(row))
	if err != nil && !errors.Is(err, verbs.ErrUnread) { // an order that cannot be read has received the request
		return err
	}
	return a.Batches.EndRow(ctx, b.BatchKey, row.N, provision.RowDone, provision.Refusal{})
}

// hint sends a hint, even if the attempt is being stopped.
func (a *Activities) hint(ctx context.Context, failed string, send func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hintTimeout)
	defer cancel()
	if err := send(ctx); err != nil {
		activity.GetLogger(ctx).Warn(failed, "error", err)
	}
}
