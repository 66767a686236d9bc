package reconcile_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

// queue is Temporal's word about the workers and the orders that wait for them.
type queue struct {
	queues       []provision.TaskQueue
	total        int
	accepted     map[provision.OrderKey]time.Time
	down, blind  error
	mostAccepted int // how many orders were asked for
}

func (q *queue) TaskQueues(context.Context) ([]provision.TaskQueue, error) { return q.queues, q.down }

func (q *queue) OrdersNotStarted(_ context.Context, most int) (int, map[provision.OrderKey]time.Time, error) {
	q.mostAccepted = most
	return q.total, q.accepted, q.blind
}

func TestRunningWorkersAreNoFinding(t *testing.T) {
	t.Parallel()
	q := &queue{queues: []provision.TaskQueue{{Type: "workflow", Pollers: 1, Backlog: 1000}, {Type: "activity", Pollers: 2}}}
	found, err := reconcile.FindQueue(t.Context(), q)
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestMissingWorkersAndTheOrdersThatWaitForThemAreFound(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	q := &queue{
		queues:   []provision.TaskQueue{{Type: "workflow", Backlog: 12, BacklogAge: time.Hour}, {Type: "activity"}},
		total:    500,
		accepted: map[provision.OrderKey]time.Time{key("second"): noon, key("first"): noon.Add(-time.Minute)},
	}
	found, err := reconcile.FindQueue(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, found, 5)
	require.Equal(t, reconcile.KindNoWorkers, found[0].Kind)
	require.Equal(t, reconcile.Stuck, found[0].Severity)
	require.Equal(t, "no worker asks for workflow tasks; about 12 wait", found[0].What)
	require.WithinDuration(t, time.Now().Add(-time.Hour), found[0].Since, time.Minute)
	require.Contains(t, found[0].Do, "start `quartermaster worker`")
	require.Equal(t, "no worker asks for activity tasks", found[1].What)
	for i, id := range []string{"first", "second"} {
		f := found[2+i]
		require.Equal(t, reconcile.KindOrderNotStarted, f.Kind)
		require.Equal(t, reconcile.Stuck, f.Severity)
		require.Equal(t, key(id), f.Order)
		require.Equal(t, q.accepted[key(id)], f.Since)
		require.Contains(t, f.Do, "The order is safe in Temporal")
	}
	require.Contains(t, found[4].String(), "order_not_started [stuck]: 498 more orders were accepted")
	require.Positive(t, q.mostAccepted)
}

func TestFindQueueReturnsFindingsTogetherWithAnError(t *testing.T) {
	t.Parallel()
	down, blind := errors.New("down"), errors.New("no visibility")
	found, err := reconcile.FindQueue(t.Context(), &queue{queues: []provision.TaskQueue{{Type: "workflow"}}, blind: blind})
	require.ErrorIs(t, err, blind)
	require.Len(t, found, 1)
	accepted := map[provision.OrderKey]time.Time{key("one"): time.Now()}
	found, err = reconcile.FindQueue(t.Context(), &queue{down: down, total: 1, accepted: accepted})
	require.ErrorIs(t, err, down)
	require.Len(t, found, 1)
}
