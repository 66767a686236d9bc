package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// watchEvery is how often a watched order is read when no event says that it has changed. Steps have no events.
const watchEvery = 3 * time.Second

type watchOrderCommand struct {
	apiOptions
	outputOptions
	ID string `arg:"" help:"Order id."`
}

// Run follows the order.
func (c *watchOrderCommand) Run(e *env, api *client.Client) error {
	return watch{Client: api, output: c.outputOptions, id: c.ID}.run(e)
}

// watch follows an order until it ends.
type watch struct {
	*client.Client
	output outputOptions
	id     string
}

// run prints the order whenever it has changed. It succeeds if the order completes.
func (w watch) run(e *env) error {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	changed := make(chan struct{}, 1)
	go w.ring(ctx, changed)
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	shown := ""
	for {
		order, raw, err := client.Object[openapi.Order](w.GetOrder(ctx, w.id))
		if err != nil {
			return err
		}
		if now := w.line(order, raw); now != shown {
			shown = now
			w.show(e, order, now)
		}
		if order.State.Ended() {
			return w.end(e, order)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		case <-changed:
		}
	}
}

// ring says when an event of the order has happened. Without events, which the key may lack the scope for, the order is still
// read regularly.
func (w watch) ring(ctx context.Context, changed chan<- struct{}) {
	for _, err := range w.Follow(ctx, client.EventFilter{OrderID: w.id}, "") {
		if err != nil {
			return
		}
		select {
		case changed <- struct{}{}:
		default: // it will be read anyway
		}
	}
}

// line returns what is printed of an order. The order is printed again when it has changed.
func (w watch) line(o openapi.Order, raw []byte) string {
	switch {
	case w.output.JSON:
		return strings.TrimSuffix(string(raw), "\n")
	case w.output.Quiet:
		return o.ID
	}
	words := []string{string(o.State)}
	if o.AccountID != nil {
		words = append(words, *o.AccountID)
	}
	if o.Step != nil {
		words = append(words, *o.Step)
	}
	text := strings.Join(words, "  ")
	if because := why(o); because != "" {
		text += "  " + because
	}
	return text
}

func (w watch) show(e *env, o openapi.Order, line string) {
	switch {
	case w.output.JSON:
		fmt.Fprintln(e.out, line)
	case !w.output.Quiet:
		fmt.Fprintf(e.out, "%s  %s  %s\n", e.when(time.Now()), o.ID, oneLine(line))
	}
}

// end prints what the customer receives, and fails unless the order completed.
func (w watch) end(e *env, o openapi.Order) error {
	switch {
	case w.output.Quiet:
		fmt.Fprintln(e.out, o.ID)
	case !w.output.JSON:
		fmt.Fprintln(e.out)
		if err := showOrder(e, o); err != nil {
			return err
		}
	}
	if o.State != provision.Completed {
		return fmt.Errorf("order %s is %s: %s", o.ID, o.State, why(o))
	}
	return nil
}
