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
	Only     string    // the name of one measurement; empty: all
	Profile  string    // folder for profiles; empty: none
	Program  string    // the program, as stack.Options.Program
	Sizes
}

// Sizes say how much is measured.
type Sizes struct {
	Rounds     int // of orders and of Bare8, in turns
	Orders     int // in a round
	Alone      int // orders that run one at a time, with an AWS that answers at once
	AloneInAWS int // the same with an AWS that takes its time
	Posts      int
	Waiting    int           // orders that wait for an account
	Rest       time.Duration // until they have come to rest
	Idle       time.Duration // how long idle processes are watched
	Queued     int           // orders of one provider while another places one at a time
}

// The sizes of `make bench`.
var full = Sizes{
	Rounds: 3, Orders: 150, Alone: 20, AloneInAWS: 3, Posts: 100, Waiting: 1000, Rest: time.Minute, Idle: 30 * time.Second, Queued: 300,
}

func (o Options) say(format string, args ...any) {
	fmt.Fprintf(o.Progress, "%s  "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}

// measurement measures some figures.
type measurement struct {
	name    string
	measure func(context.Context, *servers, Options) ([]Figure, error)
}

var measurements = []measurement{
	{"orders", measureOrders},
	{"latency", measureLatency},
	{"posts", measurePosts},
	{"waiting", measureWaiting},
	{"fairness", measureFairness},
}

// Run starts the product, measures, and stops it.
func Run(ctx context.Context, o Options) (figures []Figure, err error) {
	o.Sizes = full
	chosen := measurements
	if o.Only != "" {
		chosen = slices.DeleteFunc(slices.Clone(measurements), func(m measurement) bool { return m.name != o.Only })
		if len(chosen) == 0 {
			return nil, fmt.Errorf("there is no measurement %q: choose one of %s", o.Only, strings.Join(names(), ", "))
		}
	}
	if o.Profile != "" {
		if err := os.MkdirAll(o.Profile, 0o755); err != nil {
			return nil, err
		}
	}
	s, err := start(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	for _, m := range chosen {
		o.say("== %s", m.name)
		measured, err := m.measure(ctx, s, o)
		if err != nil {
			return figures, fmt.Errorf("measuring %s: %w", m.name, err)
		}
		figures = append(figures, measured...)
	}
	return figures, nil
}

func names() (names []string) {
	for _, m := range measurements {
		names = append(names, m.name)
	}
	return names
}
