package metrics

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// queue is Temporal with twelve orders that no worker has begun with.
type queue struct{ down, blind error }

func (q queue) TaskQueues(context.Context) ([]provision.TaskQueue, error) {
	return []provision.TaskQueue{{Type: "workflow", Backlog: 12, BacklogAge: 3 * time.Minute}, {Type: "activity", Pollers: 2}}, q.down
}

func (q queue) OrdersNotStarted(context.Context, int) (int, map[provision.OrderKey]time.Time, error) {
	return 12, nil, q.blind
}

func TestDeadWorkersAndOrdersThatWaitForThemAreMeasured(t *testing.T) {
	t.Parallel()
	of := func(q Queue) map[string]string {
		registry := prometheus.NewRegistry()
		registry.MustRegister(OfTemporal(q, slog.New(slog.DiscardHandler)))
		return scrape(t, Handler(registry))
	}
	require.Equal(t, map[string]string{
		`quartermaster_temporal_up`:                                     "1",
		`quartermaster_task_queue_pollers{type="workflow"}`:             "0",
		`quartermaster_task_queue_pollers{type="activity"}`:             "2",
		`quartermaster_task_queue_backlog{type="workflow"}`:             "12",
		`quartermaster_task_queue_backlog{type="activity"}`:             "0",
		`quartermaster_task_queue_backlog_age_seconds{type="workflow"}`: "180",
		`quartermaster_task_queue_backlog_age_seconds{type="activity"}`: "0",
		`quartermaster_orders_not_started`:                              "12",
	}, of(queue{}))
	down := map[string]string{`quartermaster_temporal_up`: "0"}
	require.Equal(t, down, of(queue{down: errors.New("down")}))
	require.Equal(t, down, of(queue{blind: errors.New("no visibility")}), "a part would look as if all were well")
}
