package workflows

import (
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"quartermaster/internal/provision"
)

// WatchStockName is the workflow's name in Temporal, WatchStockID the id of its schedule.
const (
	WatchStockName = "WatchStock"
	WatchStockID   = "watch-stock"
)

// WatchStock looks at the stock of all pools once. Its result is what was told, which the Web UI shows.
func WatchStock(ctx workflow.Context) (provision.StockWatch, error) {
	watch, err := askLocal(ctx, watching, "Look at the stock", acts.WatchStock)
	if err != nil {
		return watch, err
	}
	workflow.SetCurrentDetails(ctx, WatchDetails(watch))
	return watch, nil
}

// WatchDetails is what a look came to, in Markdown, as the Web UI shows it.
func WatchDetails(watch provision.StockWatch) string {
	lines := []string{fmt.Sprintf("%d pools, %d open alerts.", watch.Pools, watch.Open)}
	for _, e := range watch.Events {
		lines = append(lines, fmt.Sprintf("- %#q of pool %#q: %s", e.Type, e.Pool.String(), e.Reason))
	}
	return strings.Join(lines, "\n")
}

// How often the stock is looked at.
const (
	watchEvery  = time.Minute
	watchJitter = 10 * time.Second
)

func watchSchedule() client.ScheduleOptions {
	return client.ScheduleOptions{
		ID:            WatchStockID,
		Spec:          client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: watchEvery}}, Jitter: watchJitter},
		Overlap:       enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: watchEvery,
		Action: &client.ScheduleWorkflowAction{
			ID:            WatchStockID,
			Workflow:      WatchStockName,
			TaskQueue:     TaskQueue,
			StaticSummary: "Looks at the stock, keeps its alerts",
		},
	}
}
