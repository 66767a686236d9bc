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
	Orders   int       // orders in a round
	Rounds   int
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
}

// Run starts the product, measures, and stops it.
func Run(ctx context.Context, o Options) (figures []Figure, err error) {
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
