package main

import (
	"errors"
	"fmt"

	"quartermaster/api/resource"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

type stockCommand struct {
	databaseOptions
	Provider string `help:"Provider id. Unset: all providers."`
	JSON     bool   `help:"Print one JSON object a pool, as the API returns it."`
}

// Run prints the stock: a line for each pool, a line for each of its account models, and the open alerts.
func (c *stockCommand) Run(e *env, db *postgres.DB) error {
	if c.JSON && c.Provider == "" {
		return errors.New("--json needs --provider: the API returns the stock of one provider, and its JSON does not name the provider")
	}
	stock, err := db.Stock.Count(e.ctx, c.Provider)
	if err != nil {
		return err
	}
	if c.JSON {
		for _, pool := range stock {
			if err := writeJSON(e, resource.PoolStock(pool)); err != nil {
				return err
			}
		}
		return nil
	}
	rows := newTable(e.out, "POOL", "MODEL", "READY", "THRESHOLD", "IN PROGRESS", "ALLOCATED", "FAILED", "INVALID", "TO VERIFY",
		"ORDERS WAITING", "LASTS", "ALERT", "CLAIMS")
	row := func(pool, model string, n provision.StockCount, threshold *int, waiting int, f provision.Forecast, alert, claims string) {
		rows.row(pool, model, n.Ready, numberOrDash(threshold), n.InProgress, n.Allocated, n.Failed, n.Invalid, n.WaitingForVerification,
			waiting, lasts(f), alert, claims)
	}
	for _, p := range stock {
		row(p.String(), "all", p.StockCount, p.Threshold, p.OrdersWaiting, p.Forecast,
			alertText(p.Alert), claims(p.ClaimsSuspendedAt, p.ClaimsSuspendedBecause))
		for _, m := range p.Models {
			row("", string(m.Model), m.StockCount, m.Threshold, m.OrdersWaiting, m.Forecast, "", "")
		}
	}
	return rows.flush()
}

// lasts says how long the stock lasts.
func lasts(f provision.Forecast) string {
	if f.Days == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f days", *f.Days)
}

// alertText describes the open alert of a pool.
func alertText(a *provision.StockAlert) string {
	switch {
	case a == nil:
		return "-"
	case a.AcknowledgedAt != nil:
		return fmt.Sprintf("%s: %s (acknowledged by %s: %s)", a.Kind, a.Reason, a.AcknowledgedBy, a.Note)
	}
	return fmt.Sprintf("%s: %s", a.Kind, a.Reason)
}
