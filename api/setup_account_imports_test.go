package api

import (
	"context"

	"quartermaster/internal/provision"
)

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
