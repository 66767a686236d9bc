package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"quartermaster/dev/stack"
	"quartermaster/internal/apikey"
	"quartermaster/internal/provision"
)

// measureFairness queues many orders of one provider at once, and places orders of another provider, one at a time, until they are done.
func measureFairness(ctx context.Context, s *servers, o Options) ([]Figure, error) {
	const big, small = "fairness-big", "fairness-small"
	if err := s.stock(ctx, big, o.Queued); err != nil {
		return nil, err
	}
	other, key, err := s.secondProvider(ctx, small, o.Queued)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	queued := make([]time.Duration, o.Queued)
	var waiting errgroup.Group
	if _, err := inFlight(ctx, o.Queued, concurrency, func(ctx context.Context, i int) error {
		return s.place(ctx, s.Client, big, fmt.Sprintf("f-%d", i))
	}); err != nil {
		return nil, err
	}
	o.say("%d orders of one provider are accepted after %.1f s", o.Queued, time.Since(began).Seconds())
	done := make(chan struct{})
	for i := range o.Queued {
		waiting.Go(func() error {
			err := s.awaitOrder(ctx, provision.OrderKey{Provider: stack.Provider, ID: fmt.Sprintf("f-%d", i)})
			queued[i] = time.Since(began)
			return err
		})
	}
	go func() { _ = waiting.Wait(); close(done) }()
	var single []time.Duration
	for i := 0; ; i++ {
		select {
		case <-done:
			return fairnessFigures(queued, single, o.Queued), waiting.Wait()
		default:
		}
		took, err := timed(func() error {
			id := fmt.Sprintf("single-%d", i)
			if err := s.place(ctx, other, small, id); err != nil {
				return err
			}
			return s.awaitOrder(ctx, provision.OrderKey{Provider: key, ID: id})
		})
		if err != nil {
			return nil, err
		}
		single = append(single, took)
	}
}

func fairnessFigures(queued, single []time.Duration, n int) []Figure {
	return []Figure{{
		Name: fmt.Sprintf("one order of a provider while another has queued %d", n), Unit: "s", Value: median(single).Seconds(),
		Limit: median(queued).Seconds(), LimitIs: "an order of the other", Target: ratioAtMost(0.25),
		Detail: fmt.Sprintf("%d of them, one at a time", len(single)),
	}}
}

// secondProvider creates a provider with a pool of its own and returns its client and id.
func (s *servers) secondProvider(ctx context.Context, marketplace string, accounts int) (*stack.Client, string, error) {
	const provider = "bolt"
	if err := s.Store.Providers.Create(ctx, provider, "Bolt Distribution"); err != nil {
		return nil, "", err
	}
	text, key := apikey.New(provider, "benchmark", provision.RoleAdmin)
	if _, err := s.Store.APIKeys.Create(ctx, "benchmark", key); err != nil {
		return nil, "", err
	}
	return &stack.Client{Base: s.API, Key: text}, provider, s.stockOf(ctx, provider, marketplace, accounts)
}
