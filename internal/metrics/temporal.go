package metrics

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"quartermaster/internal/provision"
)

// Queue is what the metrics need of Temporal.
type Queue interface {
	// TaskQueues reports the workflow tasks and the activity tasks.
	TaskQueues(ctx context.Context) ([]provision.TaskQueue, error)
	// OrdersNotStarted counts the accepted orders that wait for a worker too long; it lists at most so many of them.
	OrdersNotStarted(ctx context.Context, most int) (total int, accepted map[provision.OrderKey]time.Time, err error)
}

var (
	temporalUpDesc = describe("temporal_up", "1 when the numbers of the task queue could be read from Temporal; else they are missing.")
	pollersDesc    = describe("task_queue_pollers", "Worker processes that asked for tasks of this type in the last 90 seconds.", "type")
	backlogDesc    = describe("task_queue_backlog", "Tasks of this type that wait for a worker, approximately.", "type")
	backlogAgeDesc = describe("task_queue_backlog_age_seconds",
		"How long the oldest task of this type has waited for a worker, approximately.", "type")
	notStartedDesc = describe("orders_not_started", "Orders that were accepted more than a minute ago and that no worker has begun with.")
)

// OfTemporal collects what Temporal knows of the workers and of the orders that wait for one.
func OfTemporal(queue Queue, log *slog.Logger) prometheus.Collector {
	return &collector{
		descs: []*prometheus.Desc{temporalUpDesc, pollersDesc, backlogDesc, backlogAgeDesc, notStartedDesc},
		read: func(ctx context.Context, _ time.Time) []prometheus.Metric {
			read, err := fromTemporal(ctx, queue)
			if err != nil {
				log.Warn("the metrics of the task queue cannot be read", "error", err)
				return []prometheus.Metric{gauge(temporalUpDesc, 0)}
			}
			return append(read, gauge(temporalUpDesc, 1))
		},
		now: time.Now,
	}
}

func fromTemporal(ctx context.Context, queue Queue) (read []prometheus.Metric, err error) {
	queues, err := queue.TaskQueues(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range queues {
		read = append(read, gauge(pollersDesc, float64(q.Pollers), q.Type), gauge(backlogDesc, float64(q.Backlog), q.Type),
			gauge(backlogAgeDesc, q.BacklogAge.Seconds(), q.Type))
	}
	notStarted, _, err := queue.OrdersNotStarted(ctx, 0)
	if err != nil {
		return nil, err
	}
	return append(read, gauge(notStartedDesc, float64(notStarted))), nil
}
