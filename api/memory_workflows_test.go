package api

import (
	"context"
	"fmt"
	"sync"

	"quartermaster/internal/provision"
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
