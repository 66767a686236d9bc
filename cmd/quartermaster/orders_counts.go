package main

import (
	"fmt"
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type countOrdersCommand struct {
	apiOptions
	JSON       bool      `help:"Print the JSON of the API, unchanged."`
	EndedSince time.Time `help:"Also count the orders that have ended since this time: a time, a day, or how long ago, such as 24h." placeholder:"TIME"`
}

// Run prints the counts.
func (c *countOrdersCommand) Run(e *env, api *client.Client) error {
	counts, raw, err := client.Object[openapi.OrderCounts](api.CountOrders(e.ctx, &openapi.CountOrdersParams{EndedSince: named(c.EndedSince)}))
	if err != nil {
		return err
	}
	if c.JSON {
		return writeRaw(e, raw)
	}
	rows := newTable(e.out, "ORDERS", "COUNT")
	for _, state := range provision.OrderStates {
		rows.row(state, howMany(counts.States[string(state)]))
		if state == provision.ActionRequired {
			rows.row("  ask the customer", howMany(counts.Asks.Customer))
			rows.row("  ask an operator", howMany(counts.Asks.Operator))
		}
	}
	if counts.Ended != nil {
		rows.row("ended since "+e.when(c.EndedSince), howMany(*counts.Ended))
	}
	rows.row("all", howMany(counts.All))
	return rows.flush()
}

// howMany is a number of orders, which may be a lower bound.
func howMany(c openapi.OrderCount) string {
	if c.More {
		return fmt.Sprintf("more than %d", c.Count)
	}
	return fmt.Sprint(c.Count)
}
