package main

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type todoCommand struct {
	apiOptions
	outputOptions
}

// todo is something that waits for an operator.
type todo struct {
	kind  string
	id    string
	since string
	why   string
	raw   json.RawMessage
	next  string // the command that helps
}

// Run prints what waits for an operator: orders that ask a question or cannot be undone, open alerts that no one takes care of,
// endpoints that are disabled or fail, and accounts that an undo left dirty.
func (c *todoCommand) Run(e *env, api *client.Client) error {
	rows := newTable(e.out, "WHAT", "ID", "SINCE", "WHY", "NEXT")
	found := 0
	for t, err := range todos(e, api) {
		if err != nil {
			return err
		}
		found++
		switch {
		case c.JSON:
			fmt.Fprintf(e.out, "{\"kind\":%q,\"object\":%s}\n", t.kind, t.raw)
		case c.Quiet:
			fmt.Fprintln(e.out, t.id)
		default:
			rows.row(t.kind, t.id, t.since, t.why, t.next)
		}
	}
	switch {
	case c.JSON || c.Quiet:
		return nil
	case found == 0:
		_, err := fmt.Fprintln(e.out, "nothing waits for an operator")
		return err
	}
	return rows.flush()
}

// todos returns what waits for an operator.
func todos(e *env, api *client.Client) iter.Seq2[todo, error] {
	orders := orderFilter{State: []provision.OrderState{provision.ActionRequired, provision.Compensating}}.list(e, api)
	accounts := accountFilter{Status: []provision.AccountStatus{provision.AccountProvisioningFailed}}.list(e, api)
	return func(yield func(todo, error) bool) {
		_ = collect(orders.get, func(o openapi.Order) (todo, bool) {
			next := "quartermaster orders show " + o.ID
			return todo{kind: "order", id: o.ID, since: e.when(o.Since), why: why(o), next: next},
				o.State == provision.ActionRequired || obstacle(o) != ""
		}, yield) &&
			collect(accounts.get, func(a openapi.Account) (todo, bool) {
				next := "quartermaster accounts clean " + a.ID + " --reason …"
				return todo{kind: "account", id: a.ID, since: e.when(a.StatusSince), why: whyAccount(a), next: next}, a.RemovingSince == nil
			}, yield) &&
			collect(alertsOf(e, api, poolFilter{}, "open").get, func(a openapi.StockAlert) (todo, bool) {
				return todo{
					kind: "alert", id: a.ID, since: e.when(a.OpenedAt), why: a.Marketplace + "/" + string(a.Environment) + ": " + a.Reason,
					next: "add accounts, or quartermaster alerts ack " + a.ID + " --reason …",
				}, a.AcknowledgedAt == nil
			}, yield) &&
			collect(webhooksOf(e, api).get, func(w openapi.Webhook) (todo, bool) {
				t := todo{
					kind: "webhook", id: w.ID, since: e.whenOr(w.FailingSince, "-"), why: "deliveries fail",
					next: "quartermaster webhooks deliveries " + w.ID,
				}
				if !w.Enabled {
					t.since, t.why = e.whenOr(w.DisabledAt, "-"), "disabled: "+or(w.DisabledBecause, "")
				}
				return t, !w.Enabled || w.FailingSince != nil
			}, yield)
	}
}

// collect yields what of a list waits for an operator. It returns false when the reader wants no more.
func collect[T any](
	get func(limit *int, cursor *string) (*http.Response, error), what func(T) (todo, bool), yield func(todo, error) bool,
) bool {
	for item, err := range client.List[T](get) {
		if err != nil {
			yield(todo{}, err)
			return false
		}
		if t, waits := what(item.Value); waits {
			if t.raw = item.Raw; !yield(t, nil) {
				return false
			}
		}
	}
	return true
}
