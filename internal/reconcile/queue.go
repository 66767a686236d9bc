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

// Queue is what FindQueue needs of Temporal.
type Queue interface {
	// TaskQueues reports the workflow tasks and the activity tasks.
	TaskQueues(ctx context.Context) ([]provision.TaskQueue, error)
	// OrdersNotStarted counts the accepted orders that have waited for a worker for too long. It also returns when they were
	// accepted, for at most the given number of them.
	OrdersNotStarted(ctx context.Context, most int) (total int, accepted map[provision.OrderKey]time.Time, err error)
}

// maxNotStarted bounds the list of orders that have not started. Many of them have the same cause.
const maxNotStarted = 20

// FindQueue lists the types of task that no worker polls for, and the accepted orders that wait for a worker. When it cannot
// check one of the two, it returns the findings of the other with the error.
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
		found = append(found, New(KindOrderNotStarted, provision.OrderKey{}, "", time.Time{},
			fmt.Sprintf("%d more orders were accepted, but no worker has begun with them", more)))
	}
	return found, errors.Join(err, notStartedErr)
}
