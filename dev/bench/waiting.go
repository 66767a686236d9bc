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
	empty, err := s.reconcile(ctx)
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
	full, err := s.reconcile(ctx)
	if err != nil {
		return nil, err
	}
	return append(figures, reconcileFigure(empty, full, o.Waiting)), nil
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

// reconciled is what it took to reconcile, and to list the running workflows alone.
type reconciled struct {
	running           int
	took, list, spent time.Duration // spent is the CPU time of the command
}

// reconcile runs the command reconcile over the running workflows.
func (s *servers) reconcile(ctx context.Context) (r reconciled, err error) {
	r.list, err = timed(func() error {
		var page []byte
		for {
			answer, err := s.Workflow.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
				Query: `ExecutionStatus = "Running"`, PageSize: 1000, NextPageToken: page,
			})
			if err != nil {
				return err
			}
			r.running += len(answer.GetExecutions())
			if page = answer.GetNextPageToken(); len(page) == 0 {
				return nil
			}
		}
	})
	if err != nil {
		return r, err
	}
	command := s.Command(ctx, "reconcile")
	r.took, err = timed(func() error {
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("quartermaster reconcile: %w\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	r.spent = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	return r, nil
}

// reconcileFigure returns what the orders that wait add to the time that it takes to reconcile. Its limit is what they add to the list.
func reconcileFigure(before, after reconciled, orders int) Figure {
	scale := manyWaiting / float64(orders)
	return Figure{
		Name: fmt.Sprintf("reconcile %d orders that wait", manyWaiting), Unit: "s", Value: (after.took - before.took).Seconds() * scale,
		Limit: (after.list - before.list).Seconds() * scale, LimitIs: "the list of their workflows alone", Target: ratioAtMost(3),
		Detail: fmt.Sprintf("measured with %d running: %.2f s, of which %.2f s CPU of the command; with %d: %.2f s", after.running,
			after.took.Seconds(), after.spent.Seconds(), before.running, before.took.Seconds()),
	}
}
