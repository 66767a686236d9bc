package main

import (
	"net/http"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type alertsCommand struct {
	List listAlertsCommand `cmd:"" help:"List stock alerts, newest first: the open ones, unless you ask for others."`
	Ack  ackAlertsCommand  `cmd:"" aliases:"acknowledge" help:"Say that someone takes care of alerts. They send no more reminders."`
}

type listAlertsCommand struct {
	apiOptions
	outputOptions
	pageOptions
	poolFilter
	State string `help:"open, closed or all." enum:"open,closed,all" default:"open"`
}

// Run prints the alerts.
func (c *listAlertsCommand) Run(e *env, api *client.Client) error {
	return alertsOf(e, api, c.poolFilter, c.State).write(e, c.outputOptions, c.pageOptions)
}

// alertsOf returns the list of alerts in a state.
func alertsOf(e *env, api *client.Client, pools poolFilter, state string) listing[openapi.StockAlert] {
	if state == "all" {
		state = ""
	}
	return listing[openapi.StockAlert]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListStockAlerts(e.ctx, &openapi.ListStockAlertsParams{
				State:       named(openapi.ListStockAlertsParamsState(state)),
				Marketplace: named(pools.Marketplace),
				Environment: named(provision.Environment(pools.Environment)),
				Limit:       limit,
				Cursor:      cursor,
			})
		},
		headings: []string{"ALERT", "POOL", "KIND", "STATE", "OPENED", "READY", "ORDERS WAITING", "WHY", "NOTE"},
		cells: func(a openapi.StockAlert) []any {
			return []any{a.ID, a.Marketplace + "/" + string(a.Environment), a.Kind, a.State, e.when(a.OpenedAt), a.Ready, a.OrdersWaiting,
				a.Reason, orDash(a.Note)}
		},
		id: func(a openapi.StockAlert) string { return a.ID },
	}
}

type ackAlertsCommand struct {
	apiOptions
	outputOptions
	yesOptions
	idOptions
	Reason string `help:"What is being done about it. Everyone who sees the alert reads it." required:"" placeholder:"TEXT"`
}

// Run acknowledges the alerts.
func (c *ackAlertsCommand) Run(e *env, api *client.Client) error {
	ids, err := c.ids(e)
	if err == nil && len(ids) == 0 && c.File == "" {
		err = usage("no alert is named: quartermaster alerts list shows the ids")
	}
	if err != nil {
		return err
	}
	return bulk{
		outputOptions: c.outputOptions, yesOptions: c.yesOptions, verb: "acknowledge", noun: "alert", targets: targetsOf(ids),
		do: func(id string) ([]byte, string, error) {
			alert, raw, err := client.Object[openapi.StockAlert](api.AcknowledgeStockAlert(e.ctx, id, openapi.Acknowledgement{Note: c.Reason}))
			return raw, alert.State, err
		},
	}.run(e)
}
