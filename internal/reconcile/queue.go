package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"quartermaster/internal/provision"
)

// The kinds of finding about the workers.
const (
	KindNoWorkers       Kind = "no_workers"        // no worker asks Temporal for tasks
	KindOrderNotStarted Kind = "order_not_started" // an accepted order that no worker has begun with
)

func init() {
	meanings[KindNoWorkers] = meaning{Stuck, "start `quartermaster worker`, or look at the log and the /readyz of those that should run; nothing is lost, everything waits in Temporal"}
	meanings[KindOrderNotStarted] = meaning{Stuck, "do workers run, and do they reach the database? The order is safe in Temporal and starts by itself as soon as they do"}
}

// Queue is what FindQueue needs of Temporal.
type Queue interface {
	// TaskQueues reports the workflow tasks and the activity tasks.
	TaskQueues(ctx context.Context) ([]provision.TaskQueue, error)
	// OrdersNotStarted counts the accepted orders that wait for a worker too long, and returns when some of them were accepted, at
	// most so many.
	OrdersNotStarted(ctx context.Context, most int) (total int, accepted map[provision.OrderKey]time.Time, err error)
}

// maxNotStarted bounds the list of orders that have not started: when they are many, they have one cause.
const maxNotStarted = 20

// FindQueue lists the types of task that no worker asks for, and the orders that were accepted and wait for a worker. When one of the
// two cannot be checked the findings of the other come with the error.
func FindQueue(ctx context.Context, q Queue) (found []Finding, err error) {
	queues, err := q.TaskQueues(ctx)
	for _, queue := range queues {
		if queue.Pollers > 0 {
			continue
		}
		var since time.Time
		what := "no worker asks for " + queue.Type + " tasks"
		if queue.Backlog > 0 {
			what, since = fmt.Sprintf("%s; about %d wait", what, queue.Backlog), time.Now().Add(-queue.BacklogAge)
		}
		found = append(found, New(KindNoWorkers, provision.OrderKey{}, "", since, what))
	}
	total, accepted, notStartedErr := q.OrdersNotStarted(ctx, maxNotStarted)
	oldestFirst := func(a, b provision.OrderKey) int {
		return cmp.Or(accepted[a].Compare(accepted[b]), cmp.Compare(a.String(), b.String()))
	}
	for _, key := range slices.SortedFunc(maps.Keys(accepted), oldestFirst) {
		found = append(found, New(KindOrderNotStarted, key, "", accepted[key], "the order was accepted, but no worker has begun with it"))
	}
	if more := total - len(accepted); more > 0 {
		found = append(found, New(KindOrderNotStarted, provision.OrderKey{}, "", time.Time{}, fmt.Sprintf("%d more orders were accepted, but no worker has begun with them", more)))
	}
	return found, errors.Join(err, notStartedErr)
}
