package stack_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/awssim"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// held is an order whose worker is paused during an attempt, and the order that gets the account next.
type held struct {
	id        string
	spoils    awssim.Fault // keeps the order where the pause is to meet it
	cancelled bool         // before the pause: the attempt is one at an undo
	activity  string       // what the paused worker has in hand
	step      provision.Step
	account   string
	next      openapi.NewOrder
}

// workflow returns the id of the order's workflow.
func (h *held) workflow() string {
	return workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: h.id})
}

// inHand reports whether a worker, possibly a paused one, has an attempt of the activity.
func (h *held) inHand(ctx context.Context, p *stack.Playground) bool {
	described, err := p.Workflow.DescribeWorkflowExecution(ctx, h.workflow(), "")
	if err != nil {
		return false
	}
	for _, pending := range described.PendingActivities {
		if pending.ActivityType.Name == h.activity {
			return pending.State == enumspb.PENDING_ACTIVITY_STATE_STARTED
		}
	}
	return false
}

// cancel cancels the order as a marketplace does: it repeats the request until it gets a response.
func (h *held) cancel(ctx context.Context, p *stack.Playground) error {
	for {
		status, err := p.Client.Do(ctx, http.MethodPost, "/v1/orders/"+h.id+"/cancel",
			map[string]string{"reason": "the customer withdrew"}, &openapi.Order{})
		if status == http.StatusAccepted || status == http.StatusConflict {
			return nil
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("order %s was not cancelled: status %d, %w", h.id, status, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// spoiled reports whether a fault of the simulator hit a call of the order.
func (h *held) spoiled(p *stack.Playground) bool {
	return slices.ContainsFunc(p.Sim.Faults(), func(f awssim.ActiveFault) bool { return f.Fault == h.spoils && f.Fired > 0 })
}

// TestPausedWorkerWritesNothingIntoTheNextOrdersAccount pauses a worker that has attempts in hand: two tasks that wait in its
// socket, and two attempts between two calls to AWS; of each kind one at a step and one at an undo. The orders are cancelled and
// undone by another worker, the accounts go to other orders, which complete. Then the worker wakes up.
func TestPausedWorkerWritesNothingIntoTheNextOrdersAccount(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	// An attempt repeats what AWS is too busy for until the pause is over.
	s, err := stack.Start(ctx, stack.Options{
		Progress: os.Stderr, Program: playground.Program, Delay: 20 * time.Millisecond,
		Env: []string{"QM_AWS_VISIBLE_FOR=3m"},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()
	p, err := stack.NewPlayground(ctx, s)
	require.NoError(t, err)

	waitingStep := &held{id: "waiting-step", activity: "SetAlias", step: provision.StepAlias,
		spoils: awssim.Fault{Service: "iam", Operation: "CreateAccountAlias", Kind: awssim.Throttle}}
	waitingUndo := &held{id: "waiting-undo", activity: "RestoreAlias", step: provision.StepAlias, cancelled: true,
		spoils: awssim.Fault{Service: "iam", Operation: "DeleteAccountAlias", Kind: awssim.Throttle}}
	runningStep := &held{id: "running-step", activity: "SetUpReport", step: provision.StepReport,
		spoils: awssim.Fault{Service: "s3", Operation: "CreateBucket", Kind: awssim.ConcurrentModification}}
	runningUndo := &held{id: "running-undo", activity: "RestoreAlias", step: provision.StepAlias, cancelled: true,
		spoils: awssim.Fault{Service: "iam", Operation: "DeleteAccountAlias", Kind: awssim.ConcurrentModification}}
	all := []*held{waitingStep, waitingUndo, runningStep, runningUndo}

	for _, h := range all {
		ids, err := p.Stock(ctx, h.id, provision.ModelECAM, 1)
		require.NoError(t, err)
		h.account, h.spoils.AccountID, h.spoils.When = ids[0], ids[0], awssim.Before
	}
	var placed errgroup.Group
	for _, h := range all {
		placed.Go(func() error { return h.arrange(ctx, p) })
	}
	require.NoError(t, placed.Wait())

	// Only one worker is there, so it is this one that has every attempt, and the tasks of the next ones, however often Temporal
	// hands them out.
	require.Eventually(t, func() bool {
		require.NoError(t, s.Freeze(stack.PartWorker, 0))
		for range 40 {
			if !slices.ContainsFunc(all, func(h *held) bool { return !h.inHand(ctx, p) }) {
				return true
			}
			require.NoError(t, pause(ctx, 200*time.Millisecond))
		}
		require.NoError(t, s.Thaw(stack.PartWorker, 0)) // a task of something else was in the way
		return false
	}, time.Minute, time.Second, "the paused worker has all four attempts")

	require.NoError(t, s.AddWorker(ctx))
	var undone errgroup.Group
	for _, h := range all {
		p.Sim.ClearFaults(h.account)
		undone.Go(func() error {
			if h.cancelled {
				return nil
			}
			return h.cancel(ctx, p)
		})
	}
	require.NoError(t, undone.Wait())
	for _, h := range all {
		ended, err := p.Ended(ctx, h.id)
		require.NoError(t, err)
		require.Equal(t, provision.Cancelled, ended.State, "%s: %+v", h.id, ended.Failure)
		require.Empty(t, ended.Leftovers, h.id)
		next, err := p.Ended(ctx, h.next.ID)
		require.NoError(t, err)
		require.Equal(t, provision.Completed, next.State, "%s: %+v", h.next.ID, next.Failure)
		require.Equal(t, h.account, next.Result.AccountID)
	}

	woke := time.Now()
	require.NoError(t, s.Thaw(stack.PartWorker, 0))
	requireWorks(ctx, t, p, 0)

	opened, err := postgres.Open(ctx, p.Database)
	require.NoError(t, err)
	defer func() { require.NoError(t, opened.Close()) }()
	db := opened.SQL()
	for _, h := range all {
		t.Run(h.id, func(t *testing.T) {
			for _, r := range p.Sim.Requests() {
				late := r.AccountID == h.account && r.Time.After(woke) && strings.HasSuffix(r.CallerARN, "/ord-"+h.id)
				require.False(t, late && changes(r), "the worker that was paused writes into the account of order %s: %+v", h.next.ID, r)
			}
			next, err := p.Client.Order(ctx, h.next.ID)
			require.NoError(t, err)
			requireAsOrderedOn(t, p, next)
			var state provision.StepState
			require.NoError(t, db.GetContext(ctx, &state,
				`SELECT state FROM order_steps WHERE provider = $1 AND order_id = $2 AND step = $3`, stack.Provider, h.id, h.step))
			require.Equal(t, provision.StepUndone, state)
		})
	}
	require.Eventually(t, func() bool { err = p.Reconcile(ctx); return err == nil }, 30*time.Second, time.Second,
		"the reconciler finds nothing")
}

// arrange brings the order to the point of the pause, and lets the next order wait for the account.
func (h *held) arrange(ctx context.Context, p *stack.Playground) error {
	if h.cancelled { // it must not complete before
		p.Sim.Inject(awssim.Fault{Service: "account", Operation: "PutContactInformation", AccountID: h.account, Kind: awssim.Throttle})
	} else {
		p.Sim.Inject(h.spoils)
	}
	order := stack.NewOrder(h.id, provision.ModelECAM)
	if err := p.Place(ctx, order); err != nil {
		return err
	}
	if h.cancelled {
		if _, err := p.Until(ctx, h.id, stack.StepDone(provision.StepAlias)); err != nil {
			return err
		}
		p.Sim.Inject(h.spoils)
		if err := h.cancel(ctx, p); err != nil {
			return err
		}
	}
	for !h.spoiled(p) {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("order %s: %w", h.id, err)
		}
	}
	// The same customer orders again, with the same words: an undo would take the new ones for its own.
	h.next = order
	h.next.ID += "-again"
	if !h.cancelled {
		h.next.AWSAccountAlias += "-again" // so that it would show if the alias of the order before came back
	}
	if err := p.Place(ctx, h.next); err != nil {
		return err
	}
	_, err := p.Until(ctx, h.next.ID, func(o openapi.Order) bool { return o.State == provision.WaitingForAccount })
	return err
}

// requireWorks returns when the nth worker has worked on a new order, and so has finished what it had before.
func requireWorks(ctx context.Context, t *testing.T, p *stack.Playground, nth int) {
	t.Helper()
	pid, err := p.PID(stack.PartWorker, nth)
	require.NoError(t, err)
	began := time.Now()
	for i := 0; ; i++ {
		id := fmt.Sprintf("work-for-%d-%d", nth, i)
		_, err := p.Stock(ctx, id, provision.ModelECAM, 1)
		require.NoError(t, err)
		require.NoError(t, p.Place(ctx, stack.NewOrder(id, provision.ModelECAM)))
		order, err := p.Ended(ctx, id)
		require.NoError(t, err)
		require.Equal(t, provision.Completed, order.State)
		workflowID := workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: id})
		events := p.Workflow.GetWorkflowHistory(ctx, workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(t, err)
			started := event.GetActivityTaskStartedEventAttributes()
			if started != nil && event.EventTime.AsTime().After(began) && strings.HasPrefix(started.Identity, fmt.Sprintf("%d@", pid)) {
				return
			}
		}
	}
}

// changes reports whether a request changes something in AWS.
func changes(r awssim.Request) bool {
	return !slices.ContainsFunc([]string{"Get", "List", "Head", "Describe", "AssumeRole"}, func(reads string) bool {
		return strings.HasPrefix(r.Operation, reads)
	})
}
