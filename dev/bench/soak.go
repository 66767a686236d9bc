package bench

import (
	"context"
	"fmt"
	"time"

	"quartermaster/dev/stack"
	"quartermaster/internal/provision"
)

const (
	soakInFlight = 10
	soakBatch    = 200 // orders between two looks at the memory
)

// measureSoak runs orders for a long time and compares the memory and the speed of the last third with those of the second: the first
// fills caches.
func measureSoak(ctx context.Context, s *servers, o Options) ([]Figure, error) {
	pool := provision.Pool{Provider: stack.Provider, Marketplace: "soak", Environment: provision.Production}
	if err := s.stock(ctx, pool.Marketplace, soakBatch); err != nil {
		return nil, err
	}
	memory, rates := map[string][]float64{}, []float64{}
	parts := []string{stack.PartAPI, stack.PartWorker, stack.PartTemporal}
	began := time.Now()
	for batch := 0; time.Since(began) < o.Soak; batch++ {
		if batch > 0 {
			if err := s.addStock(ctx, pool, soakBatch); err != nil {
				return nil, err
			}
		}
		all, err := inFlight(ctx, soakBatch, soakInFlight, func(ctx context.Context, i int) error {
			return s.runOrder(ctx, pool.Marketplace, fmt.Sprintf("soak-%d-%d", batch, i))
		})
		if err != nil {
			return nil, err
		}
		rates = append(rates, soakBatch/all.Seconds())
		line := fmt.Sprintf("%s of %s: %d orders, %.1f/s, memory in MiB:", time.Since(began).Round(time.Second), o.Soak, (batch+1)*soakBatch,
			rates[batch])
		for _, part := range parts {
			used, err := residentMemory(s.PIDs(part)[0])
			if err != nil {
				return nil, err
			}
			memory[part] = append(memory[part], used)
			line += fmt.Sprintf(" %s %.0f", part, used)
		}
		o.say("%s", line)
	}
	figures := []Figure{{
		Name: fmt.Sprintf("orders/s in the last third of %s", o.Soak), Unit: "/s", Value: median(third(rates, 2)), Limit: median(third(rates, 1)),
		LimitIs: "in the second third", Target: ratioAtLeast(0.9),
	}}
	for _, part := range parts {
		figures = append(figures, Figure{
			Name: fmt.Sprintf("memory of the %s in the last third of %s", part, o.Soak), Unit: "MiB", Value: median(third(memory[part], 2)),
			Limit: median(third(memory[part], 1)), LimitIs: "in the second third", Target: ratioAtMost(1.1),
		})
	}
	return figures, nil
}

// third returns the nth third of the values, from 0.
func third(values []float64, nth int) []float64 {
	return values[nth*len(values)/3 : (nth+1)*len(values)/3]
}
