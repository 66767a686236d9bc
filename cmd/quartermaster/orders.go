package main

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type ordersCommand struct {
	List     listOrdersCommand   `cmd:"" help:"List orders, newest first."`
	Show     showOrderCommand    `cmd:"" help:"Show orders: where they are, why, and what the customers receive."`
	Form     orderFormCommand    `cmd:"" help:"Show what can be ordered: the pools, the account models, and how many accounts are Ready."`
	Counts   countOrdersCommand  `cmd:"" help:"Count orders: by state, by whom they ask, and those that have ended since a time."`
	Create   createOrderCommand  `cmd:"" help:"Place an order. Running the same command again never places a second one."`
	Watch    watchOrderCommand   `cmd:"" help:"Follow an order until it ends. The exit code is 0 only if it completes."`
	History  orderHistoryCommand `cmd:"" help:"Show who did what to an order, when and why."`
	Correct  correctOrderCommand `cmd:"" help:"Answer the question of an order with new values."`
	Tick     tickCommand         `cmd:"" help:"Record that a manual step of a completed order is done, or with --undo that it is not."`
	Password newPasswordCommand  `cmd:"" help:"Set a new password for the customer of a completed order, and print the new link."`
	Retry    retryOrdersCommand  `cmd:"" help:"Try again what orders wait for, after you have fixed something outside of them."`
	Swap     swapOrdersCommand   `cmd:"" help:"Continue orders with other accounts; the ones that they hold become Invalid."`
	Cancel   cancelOrdersCommand `cmd:"" help:"Cancel orders, for the marketplace: undo everything."`
	Fail     failOrdersCommand   `cmd:"" help:"Give up orders, for the provider: undo everything."`
	EndUndo  endUndoCommand      `cmd:"" help:"End undos that AWS refuses; what is left is listed."`
}

// orderFilter selects orders.
type orderFilter struct {
	State         []provision.OrderState `help:"Only orders in this state: accepted, waiting_for_account, provisioning, action_required, compensating, completed, failed or cancelled. Repeat the option, or separate several by commas." placeholder:"STATE"`
	Code          []string               `help:"Only orders whose failure has this code, such as AliasTaken." placeholder:"CODE"`
	Marketplace   string                 `help:"Only orders of this marketplace." placeholder:"ID"`
	Environment   string                 `help:"Only orders of this environment: production or test." enum:",production,test" default:"" placeholder:"ENVIRONMENT"`
	Model         string                 `help:"Only orders that asked for this account model." placeholder:"MODEL"`
	Account       string                 `help:"Only the order that holds or received this AWS account." placeholder:"ID"`
	Customer      string                 `help:"Only orders of this customer, by the id that the marketplace gave it." placeholder:"ID"`
	Search        string                 `help:"Only orders that the text finds: the beginning of an order id or an alias, an AWS account id, or a customer id." placeholder:"TEXT"`
	Asks          provision.Addressee    `help:"Only orders whose question is for the customer, or for an operator." enum:",customer,operator" default:"" placeholder:"WHOM"`
	CreatedAfter  time.Time              `help:"Only orders created at this time or later: a time, a day, or how long ago, such as 7d." placeholder:"TIME"`
	CreatedBefore time.Time              `help:"Only orders created before this time." placeholder:"TIME"`
	EndedAfter    time.Time              `help:"Only orders that have ended at this time or later." placeholder:"TIME"`
	EndedBefore   time.Time              `help:"Only orders that have ended before this time." placeholder:"TIME"`
}

// given reports whether the filter selects anything.
func (f orderFilter) given() bool {
	return len(f.State)+len(f.Code) > 0 || f.Marketplace+f.Environment+f.Model+f.Account+f.Customer+f.Search+string(f.Asks) != "" ||
		!f.CreatedAfter.IsZero() || !f.CreatedBefore.IsZero() || !f.EndedAfter.IsZero() || !f.EndedBefore.IsZero()
}

// list returns the list of the orders that match.
func (f orderFilter) list(e *env, api *client.Client) listing[openapi.Order] {
	return listing[openapi.Order]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListOrders(e.ctx, &openapi.ListOrdersParams{
				State:         namedList(f.State),
				Marketplace:   named(f.Marketplace),
				Environment:   named(provision.Environment(f.Environment)),
				Model:         named(provision.Model(f.Model)),
				AccountID:     named(f.Account),
				CustomerID:    named(f.Customer),
				Search:        named(f.Search),
				Asks:          named(f.Asks),
				CreatedAfter:  named(f.CreatedAfter),
				CreatedBefore: named(f.CreatedBefore),
				EndedAfter:    named(f.EndedAfter),
				EndedBefore:   named(f.EndedBefore),
				Limit:         limit,
				Cursor:        cursor,
			})
		},
		keep: func(o openapi.Order) bool {
			return len(f.Code) == 0 || o.Failure != nil && slices.Contains(f.Code, o.Failure.Code)
		},
		headings: []string{"ORDER", "STATE", "SINCE", "MARKETPLACE", "ACCOUNT", "STEP", "WHY"},
		cells: func(o openapi.Order) []any {
			return []any{o.ID, o.State, e.when(o.Since), o.Marketplace + "/" + string(o.Environment), orDash(o.AccountID),
				orDash(o.Step), cmp.Or(why(o), "-")}
		},
		id: func(o openapi.Order) string { return o.ID },
	}
}

// why says in a line why an order is where it is; empty: there is nothing to say.
func why(o openapi.Order) string {
	reasons := []string{obstacle(o)}
	switch {
	case o.Failure != nil && o.Failure.Field != nil:
		reasons = []string{fmt.Sprintf("%s (%s): %s", o.Failure.Code, *o.Failure.Field, o.Failure.Reason), obstacle(o)}
	case o.Failure != nil:
		reasons = []string{fmt.Sprintf("%s: %s", o.Failure.Code, o.Failure.Reason), obstacle(o)}
	case o.Waiting != nil:
		reasons = []string{fmt.Sprintf("place %d: %s", o.Waiting.Place, o.Waiting.Why)}
	}
	return strings.Join(slices.DeleteFunc(reasons, func(r string) bool { return r == "" }), "; ")
}

// obstacle says why a step is tried again, or why it cannot be undone yet.
func obstacle(o openapi.Order) string {
	for _, step := range o.Steps {
		if step.Problem != nil && (step.State == string(provision.StepRetrying) || step.State == string(provision.StepUndoing)) {
			return step.Step + " is " + step.State + ": " + *step.Problem
		}
	}
	return ""
}

type listOrdersCommand struct {
	apiOptions
	outputOptions
	pageOptions
	orderFilter
}

// Run prints the orders.
func (c *listOrdersCommand) Run(e *env, api *client.Client) error {
	return c.list(e, api).write(e, c.outputOptions, c.pageOptions)
}

type showOrderCommand struct {
	apiOptions
	outputOptions
	IDs []string `arg:"" name:"id" help:"Order ids."`
}

// Run prints the orders.
func (c *showOrderCommand) Run(e *env, api *client.Client) error {
	for i, id := range c.IDs {
		order, raw, err := client.Object[openapi.Order](api.GetOrder(e.ctx, id))
		if err != nil {
			return err
		}
		if i > 0 && !c.JSON && !c.Quiet {
			fmt.Fprintln(e.out)
		}
		if err := writeObject(e, c.outputOptions, order, raw, order.ID, showOrder); err != nil {
			return err
		}
	}
	return nil
}

type orderHistoryCommand struct {
	apiOptions
	outputOptions
	pageOptions
	ID string `arg:"" help:"Order id."`
}

// Run prints the history, oldest first.
func (c *orderHistoryCommand) Run(e *env, api *client.Client) error {
	return listing[openapi.OrderHistoryEntry]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListOrderHistory(e.ctx, c.ID, &openapi.ListOrderHistoryParams{Limit: limit, Cursor: cursor})
		},
		headings: []string{"WHEN", "WHO", "FROM", "TO", "WHAT", "WHY"},
		cells: func(h openapi.OrderHistoryEntry) []any {
			return []any{e.when(h.At), h.Actor, orDash(h.FromState), h.ToState, orDash(h.Code), orDash(h.Reason)}
		},
		id: func(h openapi.OrderHistoryEntry) string { return h.ToState },
	}.write(e, c.outputOptions, c.pageOptions)
}
