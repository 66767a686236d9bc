package main

import (
	"fmt"
	"text/tabwriter"

	"quartermaster/internal/provision"
)

type stockCommand struct {
	databaseOptions
	Provider string `help:"Provider id; all of them when it is not given."`
	JSON     bool   `help:"A JSON object a line instead of a table."`
}

// Run prints the stock: a line per pool, a line per account model, and the open alerts.
func (c *stockCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	stock, err := store.Stock.Count(e.ctx, c.Provider)
	if err != nil {
		return err
	}
	if c.JSON {
		for _, pool := range stock {
			if err := writeJSON(e, pool); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "POOL\tMODEL\tREADY\tTHRESHOLD\tIN PROGRESS\tALLOCATED\tFAILED\tINVALID\tTO VERIFY\tORDERS WAIT\tLASTS\tALERT\tCLAIMS")
	line := func(pool, model string, n provision.StockCount, threshold *int, waiting int, f provision.Forecast, alert, claims string) {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", pool, model, n.Ready, number(threshold), n.InProgress, n.Allocated, n.Failed, n.Invalid,
			n.WaitingForVerification, waiting, lasts(f), alert, claims)
	}
	for _, p := range stock {
		line(p.String(), "all", p.StockCount, p.Threshold, p.OrdersWaiting, p.Forecast, alertText(p.Alert), claims(p.ClaimsSuspendedAt, p.ClaimsSuspendedBecause))
		for _, m := range p.Models {
			line("", string(m.Model), m.StockCount, m.Threshold, m.OrdersWaiting, m.Forecast, "", "")
		}
	}
	return table.Flush()
}

func lasts(f provision.Forecast) string {
	if f.Days == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f days", *f.Days)
}

func alertText(a *provision.StockAlert) string {
	switch {
	case a == nil:
		return "-"
	case a.AcknowledgedAt != nil:
		return fmt.Sprintf("%s: %s (acknowledged by %s: %s)", a.Kind, a.Reason, a.AcknowledgedBy, a.Note)
	}
	return fmt.Sprintf("%s: %s", a.Kind, a.Reason)
}
