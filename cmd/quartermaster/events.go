package main

import (
	"fmt"
	"net/http"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
)

type eventsCommand struct {
	apiOptions
	outputOptions
	pageOptions
	eventOptions
	Follow bool `short:"f" help:"Print the events that happen from now on, until the command is interrupted."`
}

// eventOptions select events.
type eventOptions struct {
	Order string `help:"Only events of this order." placeholder:"ID"`
	Type  string `help:"Only events of this type or family of types, such as order.* or stock.low." placeholder:"TYPE"`
}

// Run prints events, oldest first, or follows new ones.
func (c *eventsCommand) Run(e *env, api *client.Client) error {
	if c.Follow {
		for event, err := range api.Follow(e.ctx, client.EventFilter{OrderID: c.Order, Type: c.Type}, "") {
			if err != nil {
				return err
			}
			c.print(e, event)
		}
		return e.ctx.Err()
	}
	l := c.list(e, api)
	return l.write(e, c.outputOptions, c.pageOptions)
}

// list returns the list of events. Its last page has a cursor, too, and no items.
func (c *eventsCommand) list(e *env, api *client.Client) listing[client.EventBody] {
	return listing[client.EventBody]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListEvents(e.ctx, &openapi.ListEventsParams{
				OrderID: named(c.Order), Type: named(c.Type), Limit: limit, Cursor: cursor,
			})
		},
		headings: []string{"HAPPENED", "TYPE", "EVENT", "CONTENT"},
		cells: func(v client.EventBody) []any {
			return []any{e.when(v.Timestamp), v.Type, v.ID, string(v.Data)}
		},
		id: func(v client.EventBody) string { return v.ID },
	}
}

// print prints one event at once.
func (c *eventsCommand) print(e *env, event client.Event) {
	switch {
	case c.JSON:
		fmt.Fprintf(e.out, "%s\n", event.Raw)
	case c.Quiet:
		fmt.Fprintln(e.out, event.Value.ID)
	default:
		fmt.Fprintf(e.out, "%s  %s  %s\n", e.when(event.Value.Timestamp), event.Value.Type, oneLine(string(event.Value.Data)))
	}
}
