package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/testsuite"

	"quartermaster/activities"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/verbs"
	"quartermaster/workflows"
)

// memoryWorkflows is Workflows in memory, with Temporal's semantics of duplicates: of any number of starts of one id at
// the same time exactly one succeeds, and every other one sees the order of that one.
type memoryWorkflows struct {
	mu        sync.Mutex
	fail      error // of every call, which then does nothing
	lost      error // of every verb, which is done all the same
	orders    map[provision.OrderKey]startedOrder
	starts    int
	awakened  []provision.OrderKey
	db        *postgres.DB                    // whose orders the verbs change
	questions map[provision.OrderKey][]string // fields that an order asks for, where its failure does not tell all
	asked     int                             // how often anything was wanted of an order, refusals included
	told      []told                          // what was not refused
	webhooks  []provision.WebhookKey          // that were woken
	removals  []provision.LeftoverRemoval
	sweeps    int // how often the verification was started

	imports     []provision.ImportKey // whose workflows were started
	holdImports bool
	batches     []provision.BatchKey // whose workflows were started
	holdBatches bool

	sealer         Sealer
	passwords      []provision.PasswordRequest // that arrived
	noWorker       bool                        // no worker begins with them
	holdPasswords  bool                        // they are begun and not ended
	refusePassword *provision.Failure          // the outcome of those that are ended; nil: the password is set
}

type startedOrder struct {
	order provision.Order
	hash  []byte
}

func (w *memoryWorkflows) StartOrder(_ context.Context, order provision.Order, hash []byte) (bool, *provision.Order, []byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return false, nil, nil, w.fail
	}
	if existing, ok := w.orders[order.OrderKey]; ok {
		return false, &existing.order, existing.hash, nil
	}
	w.orders[order.OrderKey] = startedOrder{order, hash}
	w.starts++
	return true, nil, nil, nil
}

func (w *memoryWorkflows) OrderNotYetStored(_ context.Context, of provision.Tenant, id string) (*provision.Order, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return nil, w.fail
	}
	existing, ok := w.orders[provision.OrderKey{Provider: of.Provider, ID: id}]
	if ok && of.Includes(existing.order.Request.Marketplace) {
		return &existing.order, nil
	}
	return nil, fmt.Errorf("workflow of order %s/%s: %w", of.Provider, id, provision.ErrNotFound)
}

func (w *memoryWorkflows) VerifyDue(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sweeps++
	return w.fail
}

func (w *memoryWorkflows) RemoveLeftovers(_ context.Context, removal provision.LeftoverRemoval) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	removal.By.ID = ""
	w.removals = append(w.removals, removal)
	return w.fail
}

func (w *memoryWorkflows) WakeWebhooks(_ context.Context, keys []provision.WebhookKey) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.webhooks = append(w.webhooks, keys...)
	return w.fail
}

func (w *memoryWorkflows) WakeOrders(_ context.Context, keys []provision.OrderKey) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.awakened = append(w.awakened, keys...)
	return w.fail
}

// StartImport remembers the workflow; ImportKept does its work at once, unless the test holds it.
func (w *memoryWorkflows) StartImport(_ context.Context, key provision.ImportKey) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return w.fail
	}
	w.imports = append(w.imports, key)
	return nil
}

func (w *memoryWorkflows) ImportKept(ctx context.Context, key provision.ImportKey) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holdImports || w.fail != nil {
		return w.fail
	}
	for {
		if now, _, err := w.db.Imports.RunBatch(ctx, key, []string{"999999999999"}); err != nil || now.State != provision.ImportRunning {
			return err
		}
	}
}

// StartBatch remembers the workflow; BatchKept does its work at once, unless the test holds it.
func (w *memoryWorkflows) StartBatch(_ context.Context, key provision.BatchKey) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return w.fail
	}
	w.batches = append(w.batches, key)
	return nil
}

func (w *memoryWorkflows) BatchKept(_ context.Context, key provision.BatchKey) error {
	w.mu.Lock()
	hold, fail := w.holdBatches, w.fail
	w.mu.Unlock()
	if hold || fail != nil {
		return fail
	}
	return w.runBatch(key)
}

// runBatch does the work of a batch, as a worker does.
func (w *memoryWorkflows) runBatch(key provision.BatchKey) error {
	acts := &activities.Activities{
		Database: activities.Database{Batches: w.db.Batches},
		Batching: activities.Batching{Verbs: verbs.Verbs{Orders: w.db.Orders, Workflows: w, Log: slog.Default()},
			WakeOrders: w.WakeOrders, VerifyDue: w.VerifyDue},
	}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(acts)
	for {
		var now activities.BatchProgress
		encoded, err := env.ExecuteActivity(acts.RunBatchRows, key)
		if err == nil {
			err = encoded.Get(&now)
		}
		if err != nil || now.State != provision.BatchRunning {
			return err
		}
	}
}

// told is what a workflow was told and did not refuse.
type told struct {
	key    provision.OrderKey
	verb   string
	fields provision.Correction
	by     provision.Intervention
}

// Correct has the rules of the real workflow's validator, on the row instead of the workflow's own state.
func (w *memoryWorkflows) Correct(
	ctx context.Context, key provision.OrderKey, fields provision.Correction, by provision.Intervention,
) error {
	var corrected provision.Request
	validate := func(o provision.OrderView) *provision.Failure {
		if o.State != provision.ActionRequired {
			return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order does not wait for a correction"}
		}
		asked := w.questions[key]
		if asked == nil {
			asked = provision.AskedFields(*o.Failure)
		}
		for _, name := range fields.Fields() {
			if !slices.Contains(asked, name) {
				return &provision.Failure{Code: provision.CodeNotAsked, Field: name, Reason: "the order asks for " + strings.Join(asked,
					", ") + " only"}
			}
		}
		corrected = fields.Apply(o.Request)
		if wrong := corrected.Validate(); len(wrong) > 0 {
			return &provision.Failure{Code: provision.CodeInputRefused, Field: wrong[0].Field, Reason: wrong[0].Message}
		}
		return nil
	}
	return w.tell(ctx, told{key, workflows.UpdateCorrect, fields, by}, validate, func() error {
		return errors.Join(w.db.Orders.Correct(ctx, key, corrected, by), w.db.Orders.Resume(ctx, key))
	})
}

// Act has the rules of the real workflow's validators, on the row instead of the workflow's own state.
func (w *memoryWorkflows) Act(ctx context.Context, key provision.OrderKey, verb string, by provision.Intervention) error {
	validate := func(o provision.OrderView) *provision.Failure {
		switch {
		case verb == workflows.UpdateRetry && o.State != provision.ActionRequired:
			return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order waits for nothing that could be tried again"}
		case verb == workflows.UpdateSwap && o.AccountID == "":
			return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order holds no account that could be swapped"}
		}
		return nil
	}
	return w.tell(ctx, told{key: key, verb: verb, by: by}, validate, func() error {
		switch verb {
		case workflows.UpdateRetry:
			return errors.Join(w.db.Orders.NoteAction(ctx, key, verb, by), w.db.Orders.Resume(ctx, key))
		case workflows.UpdateEndUndo: // the workflow ends the undo, and then the order
			return w.db.Orders.NoteAction(ctx, key, verb, by)
		}
		code := map[string]provision.Code{workflows.UpdateCancel: provision.CodeOrderCancelled,
			workflows.UpdateFail: provision.CodeFailedByOperator,
			workflows.UpdateSwap: provision.CodeAccountSwappedByOperator}[verb]
		return w.db.Orders.Stop(ctx, key, verb, provision.Failure{Code: code, Reason: strings.TrimSuffix("stopped: "+by.Reason, ": ")}, by)
	})
}

// tell does what is not refused. An order that has no row yet is changed by nothing.
func (w *memoryWorkflows) tell(
	ctx context.Context, what told, validate func(provision.OrderView) *provision.Failure, do func() error,
) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if w.fail != nil {
		return w.fail
	}
	order, err := w.db.Orders.Get(ctx, what.key.Tenant(), what.key.ID)
	if errors.Is(err, provision.ErrNotFound) {
		order, do = w.orders[what.key].order.JustAccepted(), func() error { return nil }
	} else if err != nil {
		return err
	}
	if order.ID == "" || order.State.Ended() {
		return &provision.Failure{Code: provision.CodeTooLate, Reason: "the work on the order is over"}
	}
	if refusal := validate(order); refusal != nil {
		return refusal
	}
	if err := do(); err != nil {
		return err
	}
	w.told = append(w.told, what)
	return w.lost
}

// IssuePassword does what the workflow does, unless the test holds it: AWS refuses with refusePassword, or sets the password.
func (w *memoryWorkflows) IssuePassword(ctx context.Context, key provision.OrderKey, request provision.PasswordRequest,
	_ time.Duration) (outcome provision.PasswordOutcome, ended bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return outcome, false, w.fail
	}
	w.passwords = append(w.passwords, request)
	if w.noWorker {
		return outcome, false, nil
	}
	account, err := w.db.Passwords.Request(ctx, key, request)
	if err != nil || w.holdPasswords {
		return outcome, false, err
	}
	if outcome.Refused = w.refusePassword; outcome.Refused == nil {
		sealed, err := w.sealer.Seal([]byte(newPasswordText), provision.PasswordPurpose(key, account))
		if err != nil {
			return outcome, false, err
		}
		if _, err := w.db.Passwords.KeepNew(ctx, key, account, request.By, sealed, false); err != nil {
			return outcome, false, err
		}
	}
	return outcome, true, w.db.Passwords.EndRequest(ctx, key, request.By.ID, outcome.Refused)
}
