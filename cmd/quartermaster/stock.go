package main

import (
	"encoding/json"
	"fmt"
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// poolFilter selects what belongs to pools.
type poolFilter struct {
	Marketplace string `help:"Only this marketplace." placeholder:"ID"`
	Environment string `help:"Only this environment: production or test." enum:",production,test" default:"" placeholder:"ENVIRONMENT"`
}

type stockCommands struct {
	Show    stockCommand        `cmd:"" default:"withargs" help:"Show what is in stock, how long it will last, and which alerts are open."`
	History stockHistoryCommand `cmd:"" help:"Show the stock of the past, hour by hour."`
}

type stockCommand struct {
	apiOptions
	outputOptions
	poolFilter
}

// Run prints the stock: a line for each pool, a line for each of its account models, and the open alerts.
func (c *stockCommand) Run(e *env, api *client.Client) error {
	stock, _, err := client.Object[struct{ Items []json.RawMessage }](api.GetStock(e.ctx, &openapi.GetStockParams{
		Marketplace: named(c.Marketplace), Environment: named(provision.Environment(c.Environment)),
	}))
	if err != nil {
		return err
	}
	rows := newTable(e.out, "POOL", "MODEL", "READY", "THRESHOLD", "IN PROGRESS", "ALLOCATED", "FAILED", "INVALID", "TO VERIFY",
		"ORDERS WAITING", "LASTS", "ALERT", "CLAIMS")
	for _, raw := range stock.Items {
		var p openapi.PoolStock
		if err := json.Unmarshal(raw, &p); err != nil {
			return fmt.Errorf("reading the API's answer: %w", err)
		}
		name := p.Marketplace + "/" + string(p.Environment)
		switch {
		case c.JSON:
			fmt.Fprintf(e.out, "%s\n", raw)
			continue
		case c.Quiet:
			fmt.Fprintln(e.out, name)
			continue
		}
		rows.row(name, "all", p.Ready, numberOrDash(p.Threshold), p.InProgress, p.Allocated, p.Failed, p.Invalid,
			p.WaitingForVerification, p.OrdersWaiting, lasts(p.Forecast), alertText(p.Alert),
			claims(e, p.ClaimsSuspendedAt, p.ClaimsSuspendedBecause))
		for _, m := range p.Models {
			rows.row("", m.Model, m.Ready, numberOrDash(m.Threshold), m.InProgress, m.Allocated, m.Failed, m.Invalid,
				m.WaitingForVerification, m.OrdersWaiting, lasts(m.Forecast), "", "")
		}
	}
	if c.JSON || c.Quiet {
		return nil
	}
	return rows.flush()
}

// lasts says how long the stock lasts.
func lasts(f openapi.Forecast) string {
	if f.Days == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f days", *f.Days)
}

// alertText describes the open alert of a pool.
func alertText(a *openapi.StockAlert) string {
	switch {
	case a == nil:
		return "-"
	case a.AcknowledgedAt != nil:
		return fmt.Sprintf("%s: %s (acknowledged by %s: %s)", a.Kind, a.Reason, or(a.AcknowledgedBy, "?"), or(a.Note, ""))
	}
	return fmt.Sprintf("%s: %s", a.Kind, a.Reason)
}

type stockHistoryCommand struct {
	apiOptions
	outputOptions
	poolFilter
	Model string    `help:"Only accounts of this model, and orders that wait for it." placeholder:"MODEL"`
	Since time.Time `help:"Only hours that begin at this time or later: a time, a day, or how long ago, such as 7d. Unset: the last 30 days." placeholder:"TIME"`
}

// Run prints a line for each pool and hour, the oldest hour first.
func (c *stockHistoryCommand) Run(e *env, api *client.Client) error {
	history, raw, err := client.Object[openapi.StockHistory](api.GetStockHistory(e.ctx, &openapi.GetStockHistoryParams{
		Marketplace: named(c.Marketplace), Environment: named(provision.Environment(c.Environment)),
		Model: named(provision.Model(c.Model)), Since: named(c.Since),
	}))
	switch {
	case err != nil:
		return err
	case c.JSON:
		return writeRaw(e, raw)
	}
	rows := newTable(e.out, "POOL", "HOUR", "READY", "ORDERS WAITING", "ALLOCATIONS")
	for _, pool := range history.Items {
		name := pool.Marketplace + "/" + string(pool.Environment)
		if c.Quiet {
			fmt.Fprintln(e.out, name)
			continue
		}
		for _, h := range pool.Hours {
			rows.row(name, e.when(h.At), h.Ready, h.OrdersWaiting, numberOrDash(h.Allocations))
		}
	}
	if c.Quiet {
		return nil
	}
	return rows.flush()
}
