package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Options say what to measure, and how much of it.
type Options struct {
	Progress io.Writer // receives what is being done
	Only     []string  // names of measurements; empty: those of the sizes
	Profile  string    // folder for profiles; empty: none
	Program  string    // the program, as stack.Options.Program
	Sizes
}

// Sizes say how much is measured.
type Sizes struct {
	Measurements []string      // names
	Rounds       int           // of orders and of Bare8, in turns
	Orders       int           // in a round
	Alone        int           // orders that run one at a time, with an AWS that answers at once
	AloneInAWS   int           // the same with an AWS that takes its time
	Posts        int           // with streams that are never read, and without them
	Waiting      int           // orders that wait for an account
	Rest         time.Duration // until they have come to rest
	Idle         time.Duration // how long idle processes are watched
	Queued       int           // orders of one provider while another one places one at a time
	Accounts     int           // among which an order claims one
	Sold         int           // completed orders, and their accounts, among which the API reads
	Unsold       int           // further accounts, which are Invalid
	Reads        int           // of each kind
	Soak         time.Duration
}

// Full is what `make bench` measures.
func Full() Sizes {
	return Sizes{
		Measurements: []string{"orders", "latency", "posts", "waiting", "fairness", "workers", "claims", "reads"},
		Rounds:       3, Orders: 150, Alone: 20, AloneInAWS: 3, Posts: 100, Waiting: 1000, Rest: time.Minute, Idle: 30 * time.Second,
		Queued: 300, Accounts: 100_000, Sold: 100_000, Reads: 40,
	}
}

// Quick is what `make bench-quick` measures: what hardly depends on the machine, and the ratios of an order to Bare8.
func Quick() Sizes {
	s := Full()
	s.Measurements, s.Rounds, s.Orders = []string{"orders"}, 2, 60
	return s
}

// Million is what `make bench-million` measures: what depends on the number of accounts, with a million of them.
func Million() Sizes {
	s := Full()
	s.Measurements, s.Accounts, s.Unsold, s.Waiting = []string{"waiting", "claims", "reads"}, 1_000_000, 900_000, manyWaiting
	return s
}

// Scaled returns the sizes times a factor, for a first look.
func (s Sizes) Scaled(factor float64) Sizes {
	for _, n := range []*int{&s.Orders, &s.Alone, &s.AloneInAWS, &s.Posts, &s.Waiting, &s.Queued, &s.Accounts, &s.Sold, &s.Unsold, &s.Reads} {
		*n = int(float64(*n) * factor)
	}
	s.AloneInAWS = max(1, s.AloneInAWS)
	s.Rest, s.Idle = time.Duration(float64(s.Rest)*factor), time.Duration(float64(s.Idle)*factor)
	return s
}

// Soak runs orders for so long.
func Soak(d time.Duration) Sizes { return Sizes{Measurements: []string{"soak"}, Soak: d} }

func (o Options) say(format string, args ...any) {
	fmt.Fprintf(o.Progress, "%s  "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}

// measurements are all measurements by name.
var measurements = map[string]func(context.Context, *servers, Options) ([]Figure, error){
	"orders": measureOrders, "latency": measureLatency, "posts": measurePosts, "waiting": measureWaiting, "fairness": measureFairness,
	"workers": measureWorkers, "claims": measureClaims, "reads": measureReads, "soak": measureSoak,
}

// Run starts the product, measures, and stops it. When a measurement fails, it returns the figures so far with the error.
func Run(ctx context.Context, o Options) (figures []Figure, costs Costs, err error) {
	chosen := o.Measurements
	if len(o.Only) > 0 {
		chosen = o.Only
	}
	for _, name := range chosen {
		if measurements[name] == nil {
			return nil, costs, fmt.Errorf("there is no measurement %q: choose some of %s", name, strings.Join(Full().Measurements, ", "))
		}
	}
	if o.Profile != "" {
		if err := os.MkdirAll(o.Profile, 0o755); err != nil {
			return nil, costs, err
		}
	}
	s, err := start(ctx, o)
	if err != nil {
		return nil, costs, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	for i, name := range chosen {
		o.say("%d of %d: %s", i+1, len(chosen), name)
		measured, err := measurements[name](ctx, s, o)
		figures = slices.Concat(figures, measured)
		if err != nil {
			return figures, s.costs, fmt.Errorf("measuring %s: %w", name, err)
		}
	}
	return figures, s.costs, nil
}
