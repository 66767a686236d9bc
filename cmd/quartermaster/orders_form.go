package main

import (
	"strings"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
)

type orderFormCommand struct {
	apiOptions
	outputOptions
}

// Run prints what can be ordered.
func (c *orderFormCommand) Run(e *env, api *client.Client) error {
	form, raw, err := client.Object[openapi.OrderForm](api.GetOrderForm(e.ctx))
	if err != nil {
		return err
	}
	pools := make([]string, len(form.Pools))
	for i, pool := range form.Pools {
		pools[i] = pool.Marketplace + "/" + string(pool.Environment)
	}
	return writeObject(e, c.outputOptions, form, raw, strings.Join(pools, "\n"), showOrderForm)
}

// showOrderForm prints a line for each pool, and a line for each account model in it.
func showOrderForm(e *env, form openapi.OrderForm) error {
	rows := newTable(e.out, "POOL", "MODEL", "READY", "ORDERS WAITING", "CLAIMS")
	for _, pool := range form.Pools {
		claims := "-"
		if pool.Suspended {
			claims = "suspended"
		}
		rows.row(pool.Marketplace+"/"+string(pool.Environment), "any", pool.Ready, pool.OrdersWaiting, claims)
		for _, model := range form.Models {
			rows.row("", model.ID, pool.ReadyByModel[string(model.ID)], "", "")
		}
	}
	return rows.flush()
}
