package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"quartermaster/internal/provision"
)

// WatchStock checks the stock of all pools once. Its result lists for the Web UI the events that it raised. It also wakes the orders
// that have an account and have not begun with it, because their signal was lost.
func WatchStock(ctx workflow.Context) (provision.StockWatch, error) {
	woken, err := callLocal(ctx, watching, "Match stock that no one has matched", acts.MatchStock)
	if err != nil {
		return provision.StockWatch{}, err
	}
	wake(ctx, woken.Orders)
	watch, err := callLocal(ctx, watching, "Check the stock", acts.WatchStock)
	if err != nil {
		return watch, err
	}
	workflow.SetCurrentDetails(ctx, WatchDetails(watch))
	return watch, nil
}

// WatchDetails returns the result of WatchStock in Markdown, as the Web UI shows it.
func WatchDetails(watch provision.StockWatch) string {
	lines := []string{fmt.Sprintf("%d pools, %d open alerts.", watch.Pools, watch.Open)}
	for _, e := range watch.Events {
		lines = append(lines, fmt.Sprintf("- %#q of pool %#q: %s", e.Type, e.Pool.String(), e.Reason))
	}
	return strings.Join(lines, "\n")
}
