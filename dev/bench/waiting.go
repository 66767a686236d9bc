package bench

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"quartermaster/dev/stack"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// manyWaiting is the number of waiting orders that the figures are about. A run with fewer is scaled to it.
const manyWaiting = 10_000

// measureWaiting measures what the product does while many orders wait for an account, and how long it takes to reconcile them.
func measureWaiting(ctx context.Context, s *servers, o Options) ([]Figure, error) {
	const marketplace = "waiting"
	if err := s.Pool(ctx, marketplace, provision.DataExport); err != nil {
		return nil, err
	}
	o.say("what is idle without orders")
	before, err := s.idle(ctx, o.Idle)
	if err != nil {
		return nil, err
	}
	o.say("placing %d orders that wait", o.Waiting)
	if _, err := inFlight(ctx, o.Waiting, concurrency, func(ctx context.Context, i int) error {
		return s.place(ctx, s.Client, marketplace, fmt.Sprintf("w-%d", i))
	}); err != nil {
		return nil, err
	}
	if err := s.await(ctx, `SELECT count(*) = $2 FROM orders WHERE marketplace = $1 AND state = 'waiting_for_account'`,
		marketplace, o.Waiting); err != nil {
		return nil, err
	}
	// Orders look for an account themselves, at first often. What lasts is what counts.
	o.say("letting %d orders come to rest", o.Waiting)
	if err := pause(ctx, o.Rest); err != nil {
		return nil, err
	}
	events, err := s.eventsOf(ctx, o.Waiting)
	if err != nil {
		return nil, err
	}
	after, err := s.idle(ctx, o.Idle)
	if err != nil {
		return nil, err
	}
	eventsAfter, err := s.eventsOf(ctx, o.Waiting)
	if err != nil {
		return nil, err
	}
	scale := manyWaiting / float64(o.Waiting)
	share := func(c cpu) float64 { return 100 * c.sum().Seconds() / o.Idle.Seconds() }
	figures := []Figure{{
		Name: fmt.Sprintf("%d orders waiting, CPU of one core", manyWaiting), Unit: "%", Value: max(0, share(after)-share(before)) * scale,
		Target: atMost(1),
		Detail: fmt.Sprintf("measured with %d, after %s; without orders the parts use %.1f %%", o.Waiting, o.Rest, share(before)),
	}, {
		Name: "a waiting order, events of its history an hour", Value: float64(eventsAfter-events) / float64(o.Waiting) *
			float64(time.Hour) / float64(o.Idle),
	}}
	reconciled, err := s.reconcileFigures(ctx, scale)
	return append(figures, reconciled...), err
}

// idle returns the CPU time that the product uses in that time without any load.
func (s *servers) idle(ctx context.Context, d time.Duration) (cpu, error) {
	before, err := s.cpuNow()
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, d); err != nil {
		return nil, err
	}
	after, err := s.cpuNow()
	return after.minus(before), err
}

// eventsOf returns the number of events in the histories of the orders that wait, estimated from some of them.
func (s *servers) eventsOf(ctx context.Context, orders int) (total int64, err error) {
	const sample = 200
	n := min(orders, sample)
	for i := range n {
		id := workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: fmt.Sprintf("w-%d", i*orders/n)})
		described, err := s.Workflow.DescribeWorkflowExecution(ctx, id, "")
		if err != nil {
			return 0, err
		}
		total += described.GetWorkflowExecutionInfo().GetHistoryLength()
	}
	return total * int64(orders) / int64(n), nil
}

// reconcileFigures runs the command reconcile over the running workflows. Its limit is the list of those alone.
func (s *servers) reconcileFigures(ctx context.Context, scale float64) ([]Figure, error) {
	running := 0
	list, err := timed(func() error {
		var page []byte
		for {
			answer, err := s.Workflow.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
				Query: `ExecutionStatus = "Running"`, PageSize: 1000, NextPageToken: page,
			})
			if err != nil {
				return err
			}
			running += len(answer.GetExecutions())
			if page = answer.GetNextPageToken(); len(page) == 0 {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var used time.Duration
	took, err := timed(func() error {
		command := s.Command(ctx, "reconcile")
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("quartermaster reconcile: %w\n%s", err, out)
		}
		used = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
		return nil
	})
	return []Figure{{
		Name: fmt.Sprintf("reconcile, scaled to %d running workflows", manyWaiting), Unit: "s", Value: took.Seconds() * scale,
		Limit: list.Seconds() * scale, LimitIs: "the list of them alone", Target: ratioAtMost(3),
		Detail: fmt.Sprintf("measured with %d running: %.1f s, of which %.1f s CPU of the command", running, took.Seconds(), used.Seconds()),
	}}, err
}
