package apitest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"quartermaster/api"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/verbs"
	"quartermaster/workflows"
)

// Workflows does at once, on the rows, what the workflows of orders and imports do in the end.
type Workflows struct {
	api.Workflows // of what no test uses
	DB            *postgres.DB

	RefusePassword *provision.Failure // why AWS refuses new passwords; nil: it does not
	SlowPassword   bool               // a new password takes longer than the API waits
	Protected      []string           // accounts that imports refuse
	HoldBatches    bool               // batches begin and do nothing

	mu   sync.Mutex
	lost int // how many answers about a new order are lost from now on
}

// LoseAnswers makes the answers about the next new orders get lost on their way.
func (w *Workflows) LoseAnswers(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = n
}

// StartOrder opens the order.
func (w *Workflows) StartOrder(ctx context.Context, order provision.Order, hash []byte) (bool, *provision.Order, []byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.DB.Orders.Open(ctx, order); err != nil {
		return false, nil, nil, err
	}
	if w.lost > 0 {
		w.lost--
		return false, nil, nil, fmt.Errorf("the answer is lost: %w", provision.ErrUnavailable)
	}
	return true, nil, hash, nil
}

// OrderNotYetStored finds nothing: an order has a row as soon as it is started.
func (w *Workflows) OrderNotYetStored(context.Context, provision.Tenant, string) (*provision.Order, error) {
	return nil, provision.ErrNotFound
}

// Correct corrects the order and resumes it.
func (w *Workflows) Correct(ctx context.Context, key provision.OrderKey, fields provision.Correction, by provision.Intervention) error {
	order, err := w.DB.Orders.Get(ctx, key.Tenant(), key.ID)
	if err == nil && order.State != provision.ActionRequired {
		err = &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order asks for nothing"}
	}
	if err != nil {
		return err
	}
	return errors.Join(w.DB.Orders.Correct(ctx, key, fields.Apply(order.Request), by), w.DB.Orders.Resume(ctx, key))
}

// Act does what the verb asks for.
func (w *Workflows) Act(ctx context.Context, key provision.OrderKey, verb string, by provision.Intervention) error {
	order, err := w.DB.Orders.Get(ctx, key.Tenant(), key.ID)
	switch {
	case err != nil:
		return err
	case order.State.Ended():
		return &provision.Failure{Code: provision.CodeTooLate, Reason: "order has ended"}
	case verb == workflows.UpdateRetry && order.State != provision.ActionRequired:
		return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order waits for nothing that could be retried"}
	case verb == workflows.UpdateRetry:
		return errors.Join(w.DB.Orders.NoteAction(ctx, key, verb, by), w.DB.Orders.Resume(ctx, key))
	case verb == workflows.UpdateEndUndo:
		return w.DB.Orders.NoteAction(ctx, key, verb, by)
	}
	code := map[string]provision.Code{
		workflows.UpdateCancel: provision.CodeOrderCancelled, workflows.UpdateFail: provision.CodeFailedByOperator,
		workflows.UpdateSwap: provision.CodeAccountSwappedByOperator,
	}[verb]
	return w.DB.Orders.Stop(ctx, key, verb, provision.Failure{Code: code, Reason: "stopped: " + by.Reason}, by)
}

// IssuePassword sets the password: at once, or a moment after it has answered that it takes longer. AWS refuses with RefusePassword.
func (w *Workflows) IssuePassword(
	ctx context.Context, key provision.OrderKey, request provision.PasswordRequest, _ time.Duration,
) (outcome provision.PasswordOutcome, ended bool, err error) {
	account, err := w.DB.Passwords.Request(ctx, key, request)
	if err != nil {
		return outcome, false, err
	}
	set := func() error {
		if w.RefusePassword == nil {
			if _, err := w.DB.Passwords.KeepNew(ctx, key, account, request.By, []byte("sealed"), false); err != nil {
				return err
			}
		}
		return w.DB.Passwords.EndRequest(ctx, key, request.By.ID, w.RefusePassword)
	}
	if outcome.Refused = w.RefusePassword; !w.SlowPassword {
		return outcome, true, set()
	}
	ctx = context.WithoutCancel(ctx)
	time.AfterFunc(100*time.Millisecond, func() { _ = set() }) // the test misses the password if there was an error
	return outcome, false, nil
}

// VerifyDue does nothing.
func (w *Workflows) VerifyDue(context.Context) error { return nil }

// RemoveLeftovers does nothing.
func (w *Workflows) RemoveLeftovers(context.Context, provision.LeftoverRemoval) error { return nil }

// WakeWebhooks does nothing.
func (w *Workflows) WakeWebhooks(context.Context, []provision.WebhookKey) error { return nil }

// WakeOrders does nothing.
func (w *Workflows) WakeOrders(context.Context, []provision.OrderKey) error { return nil }

// StartBatch does nothing: BatchKept runs the rows.
func (w *Workflows) StartBatch(context.Context, provision.BatchKey) error { return nil }

// BatchKept runs the rows, as a workflow does.
func (w *Workflows) BatchKept(ctx context.Context, key provision.BatchKey) error {
	if w.HoldBatches {
		return nil
	}
	b, rows, err := w.DB.Batches.Next(ctx, key, provision.MaxBatch)
	for _, row := range rows {
		if err == nil {
			err = w.runRow(ctx, b, row)
		}
	}
	if err == nil {
		_, err = w.DB.Batches.Advance(ctx, key)
	}
	return err
}

func (w *Workflows) runRow(ctx context.Context, b provision.Batch, row provision.BatchRow) error {
	var err error
	if b.Targets == provision.BatchAccounts {
		_, err = w.DB.Batches.ChangeAccount(ctx, b, row)
	} else {
		ask := verbs.Verbs{Orders: w.DB.Orders, Workflows: w, Log: slog.New(slog.DiscardHandler)}
		_, err = ask.Act(ctx, b.Tenant, row.ID, b.Verb.Action(), b.Intervention(row))
	}
	outcome := provision.RowDone
	why, refused := provision.RefusalOf(b.Targets.Named(row.ID), err)
	switch {
	case refused:
		outcome = provision.RowRefused
	case err != nil:
		return err
	}
	return w.DB.Batches.EndRow(ctx, b.BatchKey, row.N, outcome, why)
}

// StartImport does nothing: ImportKept imports the rows.
func (w *Workflows) StartImport(context.Context, provision.ImportKey) error { return nil }

// ImportKept imports the rows in the background, as a workflow does. The context is that of a hint, which is short.
func (w *Workflows) ImportKept(ctx context.Context, key provision.ImportKey) error {
	ctx = context.WithoutCancel(ctx)
	go func() {
		for {
			now, _, err := w.DB.Imports.RunBatch(ctx, key, w.Protected)
			if err != nil || now.State != provision.ImportRunning {
				return // the test misses the end of the import if there was an error
			}
		}
	}()
	return nil
}
