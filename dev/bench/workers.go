package bench

import (
	"context"
	"fmt"
)

// measureWorkers runs the same orders with one worker, with two, and with four. On a machine whose cores are all in use, more workers
// cannot do more; they must not cost more either.
func measureWorkers(ctx context.Context, s *servers, o Options) (figures []Figure, err error) {
	const marketplace = "workers"
	if err := s.stock(ctx, marketplace, 3*o.Orders); err != nil {
		return nil, err
	}
	var one throughput
	for _, workers := range []int{1, 2, 4} {
		for len(s.PIDs("worker")) < workers {
			if err := s.AddWorker(ctx); err != nil {
				return nil, err
			}
		}
		o.say("%d orders with %d workers", o.Orders, workers)
		var t throughput
		if err := s.round(ctx, &t, o.Orders, func(ctx context.Context, i int) error {
			return s.runOrder(ctx, marketplace, fmt.Sprintf("workers-%d-%d", workers, i))
		}); err != nil {
			return nil, err
		}
		if workers == 1 {
			one = t
			continue
		}
		figures = append(figures, Figure{
			Name: fmt.Sprintf("CPU an order with %d workers", workers), Unit: "ms", Value: milliseconds(t.cpu.sum()) / float64(t.units),
			Limit: milliseconds(one.cpu.sum()) / float64(one.units), LimitIs: "with one", Target: ratioAtMost(1.15),
			Detail: fmt.Sprintf("%.1f orders/s, with one %.1f", t.rates[0], one.rates[0]),
		})
	}
	return figures, nil
}
