package main

import (
	"context"
	"fmt"
	"net/http"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// orderVerb applies a verb to one or more orders.
type orderVerb struct {
	apiOptions
	outputOptions
	yesOptions
	idOptions
}

// apply applies the verb to the orders that are named.
func (v orderVerb) apply(e *env, targets []target, b bulk, send func(ctx context.Context, id string) (*http.Response, error)) error {
	b.noun, b.outputOptions, b.yesOptions, b.targets = "order", v.outputOptions, v.yesOptions, targets
	b.do = func(id string) ([]byte, string, error) {
		order, raw, err := client.Object[openapi.Order](send(e.ctx, id))
		return raw, string(order.State), err
	}
	return b.run(e)
}

// byID returns the targets that are named by id, and refuses to do nothing.
func (v orderVerb) byID(e *env) ([]target, error) {
	ids, err := v.ids(e)
	if err == nil && len(ids) == 0 && v.File == "" {
		err = usage("no order is named: give order ids, or --file")
	}
	return targetsOf(ids), err
}

// selectedOrders are orders that are named by id, or selected by a filter.
type selectedOrders struct {
	orderVerb
	orderFilter
}

// find returns the orders. Without ids, the filter selects among the orders in one of the states.
func (s selectedOrders) find(e *env, api *client.Client, states ...provision.OrderState) ([]target, error) {
	ids, err := s.ids(e)
	switch {
	case err != nil:
		return nil, err
	case s.given() && (len(ids) > 0 || s.File != ""):
		return nil, usage("give order ids or options that select orders, not both")
	case len(ids) > 0 || s.File != "":
		return targetsOf(ids), nil
	case !s.given():
		return nil, usage("no order is named: give order ids, --file, or options that select orders, such as --code or --marketplace")
	}
	filter := s.orderFilter
	if len(filter.State) == 0 {
		filter.State = states
	}
	orders, err := filter.list(e, api).all()
	targets := make([]target, len(orders))
	for i, o := range orders {
		targets[i] = target{o.ID, fmt.Sprintf("%s since %s  %s", o.State, e.when(o.Since), why(o))}
	}
	return targets, err
}

type retryOrdersCommand struct {
	selectedOrders
	reasonOptions
}

// Run retries the orders.
func (c *retryOrdersCommand) Run(e *env, api *client.Client) error {
	targets, err := c.find(e, api, provision.ActionRequired)
	if err != nil {
		return err
	}
	return c.apply(e, targets, bulk{verb: "retry", selected: c.given()}, func(ctx context.Context, id string) (*http.Response, error) {
		return api.RetryOrder(ctx, id, openapi.Reason{Reason: c.Reason})
	})
}

// openStates are the states of an order that has not ended and is not being undone.
var openStates = []provision.OrderState{
	provision.Accepted, provision.WaitingForAccount, provision.Provisioning, provision.ActionRequired,
}

type cancelOrdersCommand struct {
	selectedOrders
	Reason string `help:"Why. The history shows it; do not name people." placeholder:"TEXT"`
}

// Run cancels the orders.
func (c *cancelOrdersCommand) Run(e *env, api *client.Client) error {
	targets, err := c.find(e, api, openStates...)
	if err != nil {
		return err
	}
	return c.apply(e, targets, bulk{verb: "cancel", destroys: true}, func(ctx context.Context, id string) (*http.Response, error) {
		return api.CancelOrder(ctx, id, openapi.OptionalReason{Reason: named(c.Reason)})
	})
}

type failOrdersCommand struct {
	selectedOrders
	reasonOptions
}

// Run gives up the orders.
func (c *failOrdersCommand) Run(e *env, api *client.Client) error {
	targets, err := c.find(e, api, openStates...)
	if err != nil {
		return err
	}
	return c.apply(e, targets, bulk{verb: "fail", destroys: true}, func(ctx context.Context, id string) (*http.Response, error) {
		return api.FailOrder(ctx, id, openapi.Reason{Reason: c.Reason})
	})
}

type endUndoCommand struct {
	orderVerb
	reasonOptions
}

// Run ends the undos.
func (c *endUndoCommand) Run(e *env, api *client.Client) error {
	targets, err := c.byID(e)
	if err != nil {
		return err
	}
	return c.apply(e, targets, bulk{verb: "end the undo of", destroys: true}, func(ctx context.Context, id string) (*http.Response, error) {
		return api.EndUndo(ctx, id, openapi.Reason{Reason: c.Reason})
	})
}

type swapOrdersCommand struct {
	orderVerb
	reasonOptions
}

// Run swaps the account that each order holds now. The review shows it, and the request names it, so that a repeat swaps no other.
func (c *swapOrdersCommand) Run(e *env, api *client.Client) error {
	targets, err := c.byID(e)
	if err != nil {
		return err
	}
	accounts := map[string]string{}
	for i, t := range targets {
		order, _, err := client.Object[openapi.Order](api.GetOrder(e.ctx, t.id))
		if err != nil {
			return err
		}
		if order.AccountID == nil {
			return fmt.Errorf("order %s is %s and holds no account that could be swapped: %w", order.ID, order.State, provision.ErrConflict)
		}
		accounts[t.id] = *order.AccountID
		targets[i].what = "gives up account " + *order.AccountID + ", which becomes Invalid"
	}
	what := bulk{verb: "swap the account of", destroys: true}
	return c.apply(e, targets, what, func(ctx context.Context, id string) (*http.Response, error) {
		return api.SwapOrder(ctx, id, openapi.AccountSwap{AccountID: accounts[id], Reason: c.Reason})
	})
}
