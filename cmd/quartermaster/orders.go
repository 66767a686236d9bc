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
	Create   createOrderCommand  `cmd:"" help:"Place an order. Running the same command again never places a second one."`
	Watch    watchOrderCommand   `cmd:"" help:"Follow an order until it ends. The exit code is 0 only if it completes."`
	History  orderHistoryCommand `cmd:"" help:"Show who did what to an order, when and why."`
	Correct  correctOrderCommand `cmd:"" help:"Answer the question of an order with new values."`
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
	CreatedAfter  time.Time              `help:"Only orders created at this time or later: a time, a day, or how long ago, such as 7d." placeholder:"TIME"`
	CreatedBefore time.Time              `help:"Only orders created before this time." placeholder:"TIME"`
}

// given reports whether the filter selects anything.
func (f orderFilter) given() bool {
	return len(f.State)+len(f.Code) > 0 || f.Marketplace+f.Environment+f.Model+f.Account+f.Customer != "" ||
		!f.CreatedAfter.IsZero() || !f.CreatedBefore.IsZero()
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
				CreatedAfter:  named(f.CreatedAfter),
				CreatedBefore: named(f.CreatedBefore),
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

// showOrder prints an order for a person.
func showOrder(e *env, o openapi.Order) error {
	f := newFacts(e.out)
	f.add("order", o.ID)
	f.add("state", fmt.Sprintf("%s since %s", o.State, e.when(o.Since)))
	f.add("why", why(o))
	if o.Failure != nil {
		f.add("comment", or(o.Failure.Comment, ""))
	}
	f.add("what to do", whatToDo(o))
	if o.ActionDeadline != nil {
		f.add("or it fails at", e.when(*o.ActionDeadline))
	}
	f.add("marketplace", o.Marketplace+"/"+string(o.Environment))
	if o.Customer != nil {
		f.add("customer", o.Customer.ID+" "+o.Customer.Name)
	}
	f.add("created", e.when(o.CreatedAt))
	f.add("account", or(o.AccountID, ""))
	f.add("model", or(o.AccountModel, ""))
	f.add("IAM user", o.IAMUserName)
	f.add("contact", o.AWSContactName)
	f.add("alias", o.AWSAccountAlias)
	f.add("existing report", or(o.UseExistingCUR, ""))
	if r := o.Result; r != nil {
		f.add("sign-in", r.SignInURL)
		f.add("sign-in by id", r.SignInURLByID)
		if p := r.Password; p != nil {
			f.add("password", password(e, *p))
		}
		f.add("report", fmt.Sprintf("%s (%s) in s3://%s/%s, %s", r.Report.Name, r.Report.Kind, r.Report.Bucket, r.Report.Prefix, r.Report.Region))
		f.add("usage from", e.when(r.UsageAvailableFrom))
		for _, step := range r.ManualSteps {
			f.add("by hand", step)
		}
		if r.Warnings != nil {
			for _, warning := range *r.Warnings {
				f.add("warning", warning)
			}
		}
	}
	for _, leftover := range o.Leftovers {
		f.add("left over", leftover)
	}
	for _, note := range o.Notes {
		f.add("note", note)
	}
	if err := f.out.Flush(); err != nil {
		return err
	}
	if o.Result != nil {
		for _, text := range []string{or(o.Result.RootAccess, ""), or(o.Result.Instructions, "")} {
			if text != "" {
				fmt.Fprintf(e.out, "\n%s\n", printable(text))
			}
		}
	}
	if len(o.Steps) == 0 {
		return nil
	}
	fmt.Fprintln(e.out)
	steps := newTable(e.out, "STEP", "STATE", "ACCOUNT", "ATTEMPT", "STARTED", "ENDED", "PROBLEM")
	for _, s := range o.Steps {
		steps.row(s.Step, s.State, cmp.Or(s.AccountID, "-"), s.Attempt, e.when(s.StartedAt), e.whenOr(s.FinishedAt, "-"), orDash(s.Problem))
	}
	return steps.flush()
}

// password describes the link to a password.
func password(e *env, p openapi.Password) string {
	switch {
	case p.SettingSince != nil:
		return "a new one is being set since " + e.when(*p.SettingSince)
	case p.URL != nil:
		return fmt.Sprintf("%s (once, until %s)", *p.URL, e.whenOr(p.ExpiresAt, "it is read"))
	case p.RevealedAt != nil:
		return "read at " + e.when(*p.RevealedAt)
	case p.Refused != nil:
		return "no new one was set at " + e.when(p.Refused.At) + ": " + p.Refused.Reason
	}
	return "no link is shown to this key, or it expired: it was valid until " + e.whenOr(p.ExpiresAt, "the last request for a new one")
}

// whatToDo says which command helps an order that needs a person.
func whatToDo(o openapi.Order) string {
	switch {
	case o.State == provision.ActionRequired && o.Failure != nil && o.Failure.Field != nil:
		return "correct the field: quartermaster orders correct " + o.ID + " " + correctionOption(*o.Failure.Field)
	case o.State == provision.ActionRequired:
		return "fix the cause, then: quartermaster orders retry " + o.ID + " --reason …; or swap the account, or fail the order"
	case o.State == provision.WaitingForAccount:
		return "add accounts to the pool: quartermaster accounts create, or accounts import"
	case o.State == provision.Failed && len(o.Leftovers) > 0 && o.AccountID != nil:
		return "fix what AWS refused, then: quartermaster accounts clean " + *o.AccountID + " --reason …"
	}
	return ""
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
