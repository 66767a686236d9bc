package bench

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"quartermaster/dev/stack"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// inFlight runs n jobs, so many at a time, and returns how long they took.
func inFlight(ctx context.Context, n, at int, job func(ctx context.Context, i int) error) (time.Duration, error) {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for range min(at, n) {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := job(ctx, i); err != nil {
					return err
				}
			}
		})
	}
	err := group.Wait()
	return time.Since(began), err
}

// runBare8 runs Bare8 to its end.
func (s *servers) runBare8(ctx context.Context, id string) error {
	run, err := s.bareClient.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: bareQueue}, bare8)
	if err != nil {
		return err
	}
	return run.Get(ctx, nil)
}

// place places an order for any account of the pool that is named like the marketplace.
func (s *servers) place(ctx context.Context, c *stack.Client, marketplace, id string) error {
	order := stack.NewOrder(id, provision.ModelECAM)
	order.Marketplace = marketplace
	status, _, err := c.PlaceOrder(ctx, order)
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("order %s: status %d, expected 202", id, status)
	}
	return err
}

// runOrder places an order and waits until its workflow has ended, like runBare8.
func (s *servers) runOrder(ctx context.Context, marketplace, id string) error {
	if err := s.place(ctx, s.Client, marketplace, id); err != nil {
		return err
	}
	return s.awaitOrder(ctx, provision.OrderKey{Provider: stack.Provider, ID: id})
}

func (s *servers) awaitOrder(ctx context.Context, key provision.OrderKey) error {
	if err := s.Workflow.GetWorkflow(ctx, workflows.OrderWorkflowID(key), "").Get(ctx, nil); err != nil {
		return fmt.Errorf("order %s: %w", key, err)
	}
	return nil
}

// completed checks that the orders of a marketplace have completed, all of them: a benchmark of orders that fail shows nothing.
func (s *servers) completed(ctx context.Context, marketplace string, n int) error {
	var states []struct {
		State string
		Count int
	}
	if err := s.product.SelectContext(ctx, &states,
		`SELECT state, count(*) FROM orders WHERE marketplace = $1 GROUP BY state`, marketplace); err != nil {
		return err
	}
	if len(states) != 1 || states[0].State != string(provision.Completed) || states[0].Count != n {
		return fmt.Errorf("the orders of %s are %v, expected %d completed ones", marketplace, states, n)
	}
	return nil
}

// median returns the middle of the values.
func median[T cmp.Ordered](values []T) (middle T) {
	if len(values) == 0 {
		return middle
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
