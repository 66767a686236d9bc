package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// orderVerb is something that a person can do to an order. Its page shows the order, says what will happen, and asks why.
type orderVerb struct {
	Name   string // in the address
	Verb   string
	Label  string
	Title  string
	Button string
	Danger bool
	Does   []string // what will happen
	Said   string   // afterwards
	scope  provision.Scope
	do     func(p *page, o openapi.Order, f *form) (*http.Response, error)
	states []provision.OrderState
	also   func(o openapi.Order) bool // what the order must be besides; nil: nothing
}

// Can reports whether the order's state allows the verb, as far as a reader can know. The API decides.
func (v orderVerb) Can(o openapi.Order) bool {
	for _, state := range v.states {
		if o.State == state {
			return v.also == nil || v.also(o)
		}
	}
	return false
}

// The states in which verbs work.
var (
	beforeTheEnd = []provision.OrderState{provision.Accepted, provision.WaitingForAccount, provision.Provisioning, provision.ActionRequired}
	inAnAccount  = []provision.OrderState{provision.Provisioning, provision.ActionRequired}
)

// orderVerbs are all verbs of an order, the mildest first.
var orderVerbs = []orderVerb{
	{
		Name: "retry", Verb: "Retry", Label: "Retry…", Title: "Retry the order", Button: "Retry", Said: "The order is being retried.",
		scope: provision.ScopeOrdersOperate, states: []provision.OrderState{provision.ActionRequired},
		Does: []string{
			"Every step that waits for an answer is tried again, with the values that the order has.",
			"The settings of the pool are read again.",
			"If AWS still refuses, the order asks again.",
		},
		do: func(p *page, o openapi.Order, f *form) (*http.Response, error) {
			return p.API.RetryOrder(p.ctx(), o.ID, openapi.Reason{Reason: f.Value("reason")})
		},
	},
	{
		Name: "swap", Verb: "Take the next account", Label: "Next account…", Title: "Take the next account", Button: "Take the next account",
		Said: "The account is being undone. The order then takes the next one.", scope: provision.ScopeOrdersOperate, states: inAnAccount,
		also: func(o openapi.Order) bool { return o.AccountID != nil },
		Does: []string{
			"Everything that was done in the account is undone, and compared with what was there before.",
			"The account becomes Invalid with your reason. It is not used until someone returns it.",
			"The order keeps its place, and takes the oldest Ready account that fits. Without one, it waits.",
		},
		do: func(p *page, o openapi.Order, f *form) (*http.Response, error) {
			return p.API.SwapOrder(p.ctx(), o.ID, openapi.AccountSwap{AccountID: f.Value("account_id"), Reason: f.Value("reason")})
		},
	},
	{
		Name: "cancel", Verb: "Cancel", Label: "Cancel…", Title: "Cancel the order", Button: "Cancel the order", Danger: true,
		Said: "The order is being cancelled.", scope: provision.ScopeOrdersWrite, states: beforeTheEnd,
		Does: []string{
			"Everything that was done in the account is undone, and compared with what was there before.",
			"A clean account returns to the stock. Otherwise the order lists what is left.",
			"The order ends as Cancelled. There is no way back: a new order needs a new id.",
		},
		do: func(p *page, o openapi.Order, f *form) (*http.Response, error) {
			return p.API.CancelOrder(p.ctx(), o.ID, openapi.OptionalReason{Reason: new(f.Value("reason"))})
		},
	},
	{
		Name: "fail", Verb: "Give up", Label: "Fail…", Title: "Give up the order", Button: "Give up the order", Danger: true,
		Said: "The order is being given up.", scope: provision.ScopeOrdersOperate, states: beforeTheEnd,
		Does: []string{
			"Everything that was done in the account is undone, and compared with what was there before.",
			"A clean account returns to the stock. Otherwise the order lists what is left.",
			"The order ends as Failed, and the marketplace reads your reason. There is no way back.",
		},
		do: func(p *page, o openapi.Order, f *form) (*http.Response, error) {
			return p.API.FailOrder(p.ctx(), o.ID, openapi.Reason{Reason: f.Value("reason")})
		},
	},
	{
		Name: "end-undo", Verb: "End the undo", Label: "End the undo…", Title: "End the undo", Button: "End the undo", Danger: true,
		Said: "The undo is ending. The order will list what is left.", scope: provision.ScopeOrdersOperate,
		states: []provision.OrderState{provision.Provisioning, provision.Compensating},
		also:   func(o openapi.Order) bool { return o.State == provision.Compensating || isUndoing(o) },
		Does: []string{
			"Each part that could not be undone is tried once more.",
			"The order lists what AWS still refuses as leftovers, and the account becomes Provisioning failed.",
			"The leftovers can be removed later, from the account's page.",
		},
		do: func(p *page, o openapi.Order, f *form) (*http.Response, error) {
			return p.API.EndUndo(p.ctx(), o.ID, openapi.Reason{Reason: f.Value("reason")})
		},
	},
	{
		Name: "password", Verb: "Set a new password", Label: "New password…",
		Title: "Set a new password", Button: "Set a new password", Danger: true,
		Said:  "The new password is set. Pass on its link.",
		scope: provision.ScopeOrdersPassword, states: []provision.OrderState{provision.Completed},
		Does: []string{
			"The earlier link stops working.",
			"AWS gets a new password for the customer's user, which the customer must change at the next sign-in.",
			"This page shows a new link, which works once.",
		},
		do: issuePassword,
	},
}

// isUndoing reports whether the order undoes one account before it takes the next.
func isUndoing(o openapi.Order) bool {
	for _, s := range o.Steps {
		if s.State == string(provision.StepUndoing) {
			return true
		}
	}
	return false
}

func issuePassword(p *page, o openapi.Order, f *form) (*http.Response, error) {
	request := openapi.NewPassword{Reason: f.Value("reason")}
	if f.Value("even_if_used") != "" {
		request.EvenIfUsed = new(true)
	}
	return p.API.IssuePassword(p.ctx(), o.ID, &openapi.IssuePasswordParams{IdempotencyKey: f.optional("once")}, request)
}

// orderVerbData is what the page of a verb shows.
type orderVerbData struct {
	Verb  orderVerb
	Order openapi.Order
	Form  *form
	Can   bool
}

// review answers GET /{provider}/orders/{id}/{verb}: what will happen, and why should it?
func review(v orderVerb) handler {
	return func(p *page) error {
		o, err := read[openapi.Order](p.API.GetOrder(p.ctx(), p.r.PathValue("id")))
		if err != nil {
			return err
		}
		data := orderVerbData{Verb: v, Order: o, Can: v.Can(o), Form: p.newForm(url.Values{})}
		if o.AccountID != nil {
			data.Form.Values.Set("account_id", *o.AccountID)
		}
		if data.Form.Value("once") == "" {
			data.Form.Values.Set("once", uuid.NewString())
		}
		if !data.Can {
			data.Form.Status = http.StatusConflict
			data.Form.Refused = fmt.Sprintf("Not possible now: order %s is in the state %s.", o.ID, orderStatus(o.State).Word)
			return p.again(data.Form, "order-verb", v.Title+" "+o.ID, data)
		}
		return p.show("order-verb", v.Title+" "+o.ID, data)
	}
}

// act answers POST /{provider}/orders/{id}/{verb}.
func act(v orderVerb) handler {
	return func(p *page) error {
		f, err := p.sent()
		if err != nil {
			return err
		}
		id := p.r.PathValue("id")
		after, err := read[openapi.Order](v.do(p, openapi.Order{ID: id}, f))
		if err == nil {
			said := v.Said
			if v.Name == "password" && after.Result.Password.SettingSince != nil {
				said = "The new password is being set. Its link appears here."
			}
			return p.redirect(p.URL("orders", id), said)
		}
		if refusal, ok := errors.AsType[*openapi.Problem](err); ok && refusal.Code == "AlreadyDone" {
			return p.redirect(p.URL("orders", id), "This form was sent before, and is done.")
		}
		if !f.refuse(err, nil) {
			return err
		}
		o, err := read[openapi.Order](p.API.GetOrder(p.ctx(), id))
		if err != nil {
			return err
		}
		data := orderVerbData{Verb: v, Order: o, Can: v.Can(o), Form: f}
		return p.again(f, "order-verb", v.Title+" "+o.ID, data)
	}
}

// tick answers POST /{provider}/orders/{id}/manual-steps/{number}: a manual step is done, or not after all.
func tick(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	id := p.r.PathValue("id")
	number, err := strconv.Atoi(p.r.PathValue("number"))
	if err != nil {
		return noPage(p)
	}
	done := f.Value("done") == "true"
	if _, err := read[openapi.Order](p.API.TickManualStep(p.ctx(), id, number, openapi.ManualStepTick{Done: done})); err != nil {
		return err
	}
	said := "The manual step is not done after all."
	if done {
		said = "The manual step is done."
	}
	return p.redirect(p.URL("orders", id)+"#by-hand", said)
}

// link answers GET /{provider}/orders/{id}/link: after a sign-in, it leads to the order, which then shows the link to the password.
func link(p *page) error { return p.redirect(p.URL("orders", p.r.PathValue("id"))+"#password", "") }
