package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// memoryWorkflows is Workflows in memory, with Temporal's semantics of duplicates: of any number of starts of one id at
// the same time exactly one succeeds, and every other one sees the order of that one.
type memoryWorkflows struct {
	mu        sync.Mutex
	fail      error
	orders    map[provision.OrderKey]startedOrder
	starts    int
	awakened  []provision.OrderKey
	store     *memoryStore                    // whose rows the verbs of actions_test.go change
	questions map[provision.OrderKey][]string // fields that an order asks for, where its failure does not tell all
	asked     int                             // how often anything was wanted of an order, refusals included
	told      []told                          // what was not refused
	webhooks  []provision.WebhookKey          // that were woken
	removals  []provision.LeftoverRemoval
	sweeps    int // how often the verification was started

	imports     []provision.ImportKey // whose workflows were started
	holdImports bool
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

func (w *memoryWorkflows) OrderNotYetStored(_ context.Context, key provision.OrderKey) (*provision.Order, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return nil, w.fail
	}
	if existing, ok := w.orders[key]; ok {
		return &existing.order, nil
	}
	return nil, fmt.Errorf("workflow of order %s: %w", key, provision.ErrNotFound)
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
		if now, _, err := w.store.db.Imports.RunBatch(ctx, key, []string{"999999999999"}); err != nil || now.State != provision.ImportRunning {
			return err
		}
	}
}

// told is what a fake workflow was told and did not refuse.
type told struct {
	key    provision.OrderKey
	verb   string
	fields provision.Correction
	by     provision.Intervention
}

// Correct has the rules of the real workflow's validator, on the row instead of the workflow's own state.
func (w *memoryWorkflows) Correct(_ context.Context, key provision.OrderKey, fields provision.Correction, by provision.Intervention) error {
	return w.tell(told{key, workflows.UpdateCorrect, fields, by}, func(o *provision.OrderView) *provision.Failure {
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
		if wrong := fields.Apply(o.Request).Validate(); len(wrong) > 0 {
			return &provision.Failure{Code: provision.CodeInputRefused, Field: wrong[0].Field, Reason: wrong[0].Message}
		}
		o.Request, o.State, o.Failure, o.Since = fields.Apply(o.Request), provision.Provisioning, nil, now
		return nil
	})
}

// Act has the rules of the real workflow's validators, on the row instead of the workflow's own state.
func (w *memoryWorkflows) Act(_ context.Context, key provision.OrderKey, verb string, by provision.Intervention) error {
	return w.tell(told{key: key, verb: verb, by: by}, func(o *provision.OrderView) *provision.Failure {
		switch {
		case verb == workflows.UpdateRetry && o.State != provision.ActionRequired:
			return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order waits for nothing that could be tried again"}
		case verb == workflows.UpdateRetry:
			o.State, o.Failure, o.Since = provision.Provisioning, nil, now
			return nil
		case verb == workflows.UpdateSwap && o.AccountID == "":
			return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order holds no account that could be swapped"}
		}
		if verb == workflows.UpdateEndUndo { // the workflow ends the undo, and then the order
			return nil
		}
		code := map[string]provision.Code{workflows.UpdateCancel: provision.CodeOrderCancelled,
			workflows.UpdateFail: provision.CodeFailedByOperator,
			workflows.UpdateSwap: provision.CodeAccountSwappedByOperator}[verb]
		o.State, o.Since = provision.Compensating, now
		o.Failure = &provision.Failure{Code: code, Reason: strings.TrimSuffix("stopped: "+by.Reason, ": ")}
		return nil
	})
}

func (w *memoryWorkflows) tell(what told, do func(*provision.OrderView) *provision.Failure) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if w.fail != nil {
		return w.fail
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	accepted := acceptedOrder(w.orders[what.key].order)
	order := &accepted // the order has no row yet
	for i := range w.store.orders {
		if w.store.orders[i].OrderKey == what.key {
			order = &w.store.orders[i]
		}
	}
	if order.ID == "" || order.State.Ended() {
		return &provision.Failure{Code: provision.CodeTooLate, Reason: "the work on the order is over"}
	}
	if refusal := do(order); refusal != nil {
		return refusal
	}
	w.told = append(w.told, what)
	return nil
}
