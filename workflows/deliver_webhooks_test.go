package workflows_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// queue is what a webhook has to send, as a script.
type queue struct {
	mu      sync.Mutex
	pending []provision.NextDelivery
	sent    []string
	looks   int
	down    int // attempts that break on our side
}

var hook = provision.WebhookKey{Provider: "acme", ID: "7f9c0f0e-4a51-4f6e-9d0b-2f8c8a2f6b10"}

func setupDelivery(t *testing.T, pending ...provision.NextDelivery) (*testsuite.TestWorkflowEnvironment, *queue) {
	t.Helper()
	env := newEnvironment()
	q := &queue{pending: pending}
	var a *activities.Activities
	env.OnActivity(a.NextDelivery, mock.Anything, hook).Return(func(context.Context, provision.WebhookKey) (provision.NextDelivery, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.looks++
		if len(q.pending) == 0 {
			return provision.NextDelivery{}, nil
		}
		return q.pending[0], nil
	})
	env.OnActivity(a.Deliver, mock.Anything, mock.Anything).Return(func(_ context.Context, d activities.Delivery) (activities.Sent, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.down > 0 {
			q.down--
			return activities.Sent{}, errors.New("the database is away")
		}
		q.sent = append(q.sent, d.ID)
		q.pending = q.pending[1:]
		return activities.Sent{Delivered: true}, nil
	})
	return env, q
}

func TestAWebhookSendsWhatItHasInOrderAndEnds(t *testing.T) {
	t.Parallel()
	env, q := setupDelivery(t, provision.NextDelivery{ID: "1"}, provision.NextDelivery{ID: "2"}, provision.NextDelivery{ID: "3"})
	q.down = 2
	env.ExecuteWorkflow(workflows.DeliverWebhooks, hook)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"1", "2", "3"}, q.sent)
}

// due makes the head of the queue due when the time is there.
func (q *queue) due() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending[0].Wait = 0
}

func TestAWebhookWaitsForTheNextAttempt(t *testing.T) {
	t.Parallel()
	env, q := setupDelivery(t, provision.NextDelivery{ID: "1", Wait: time.Hour}, provision.NextDelivery{ID: "2"})
	start := env.Now()
	env.RegisterDelayedCallback(q.due, time.Hour-time.Millisecond)
	env.ExecuteWorkflow(workflows.DeliverWebhooks, hook)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"1", "2"}, q.sent, "nothing newer goes first")
	require.GreaterOrEqual(t, env.Now().Sub(start), time.Hour)
}

func TestASignalEndsTheWait(t *testing.T) {
	t.Parallel()
	env, q := setupDelivery(t, provision.NextDelivery{ID: "1", Wait: 10 * time.Hour})
	start := env.Now()
	env.RegisterDelayedCallback(func() {
		q.due()
		env.SignalWorkflow(workflows.SignalDeliver, nil)
	}, time.Minute)
	env.ExecuteWorkflow(workflows.DeliverWebhooks, hook)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"1"}, q.sent)
	require.Less(t, env.Now().Sub(start), time.Hour)
}

func TestACancelledWebhookStops(t *testing.T) {
	t.Parallel()
	env, q := setupDelivery(t, provision.NextDelivery{ID: "1", Wait: time.Hour})
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow(workflows.DeliverWebhooks, hook)
	require.Error(t, env.GetWorkflowError())
	require.Empty(t, q.sent)
	require.Equal(t, 1, q.looks)
}

func TestASweepWakesAndPurgesABoundedTime(t *testing.T) {
	t.Parallel()
	suite := new(testsuite.WorkflowTestSuite)
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	for _, left := range []int{3, 1000} {
		env := suite.NewTestWorkflowEnvironment()
		var a *activities.Activities
		purges, wakes := 0, 0
		env.OnActivity(a.WakeWebhooks, mock.Anything).Return(func(context.Context) (int, error) { wakes++; return 2, nil })
		env.OnActivity(a.PurgeEvents, mock.Anything).Return(func(context.Context) (bool, error) { purges++; return purges < left, nil })
		env.ExecuteWorkflow(workflows.SweepWebhooks)
		require.NoError(t, env.GetWorkflowError())
		require.Equal(t, min(left, 20), purges)
		require.Equal(t, 1, wakes)
	}
}
