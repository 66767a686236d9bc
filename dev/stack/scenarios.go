package stack

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"

	"quartermaster/api"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
)

// Scenario is one named way that an order can go. The end-to-end tests run them all, and the recorder keeps the history of
// each for the replay tests.
type Scenario struct {
	Name string
	Ends provision.OrderState
	// Run makes the world and places the order; it returns the order when it has ended.
	Run func(ctx context.Context, p *Playground) (api.Order, error)
}

// Playground is a stack with a client and Temporal at hand.
type Playground struct {
	*Stack
	Client   *Client
	Workflow client.Client
	numbers  int
}

// NewPlayground prepares a running stack for scenarios: no stock yet, each scenario brings its own.
func NewPlayground(ctx context.Context, s *Stack) (*Playground, error) {
	c, err := s.Seed(ctx, 0)
	if err != nil {
		return nil, err
	}
	w, err := s.DialTemporal(ctx)
	if err != nil {
		return nil, err
	}
	return &Playground{Stack: s, Client: c, Workflow: w}, nil
}

// DialTemporal connects to the stack's Temporal with the stack's keys.
func (s *Stack) DialTemporal(ctx context.Context) (client.Client, error) {
	ring, err := secrets.ParseRing(s.SealKeys)
	if err != nil {
		return nil, err
	}
	data, failures := secrets.Converters(ring)
	c, err := client.DialContext(ctx, client.Options{HostPort: s.Temporal, Namespace: namespace, DataConverter: data, FailureConverter: failures, Logger: quiet{}})
	if err != nil {
		return nil, err
	}
	s.onStop(func() error { c.Close(); return nil })
	return c, nil
}

// quiet is a logger for tools whose output is for people.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// Stock adds n accounts and returns their ids, oldest first.
func (p *Playground) Stock(ctx context.Context, marketplace string, model provision.Model, n int) (ids []string, err error) {
	for range n {
		p.numbers++
		if err := p.AddAccount(ctx, p.Client, marketplace, model, p.numbers); err != nil {
			return nil, err
		}
		ids = append(ids, fmt.Sprintf("1110%08d", p.numbers))
	}
	return ids, nil
}

// NewOrder is an order that asks for nothing special.
func NewOrder(id, marketplace string, model provision.Model) api.NewOrder {
	return api.NewOrder{
		ID: id, Marketplace: marketplace, Environment: provision.Production, OrderMode: provision.OrderModeNewAccount, AccountModel: &model,
		IAMUserName: "customer." + id, AWSContactName: "Jane Roe", AWSAccountAlias: "customer-" + id,
		AWSAlternateContact: &provision.AlternateContact{Name: "Billing Desk", Email: "billing@customer.example", Phone: "+46 8 123 456", Title: "Accountant"},
	}
}

// Place places an order that must be new.
func (p *Playground) Place(ctx context.Context, order api.NewOrder) error {
	status, _, err := p.Client.PlaceOrder(ctx, order)
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("order %s: status %d, expected 202", order.ID, status)
	}
	return err
}

// Until reads the order until the condition holds.
func (p *Playground) Until(ctx context.Context, id string, holds func(api.Order) bool) (api.Order, error) {
	for {
		order, err := p.Client.Order(ctx, id)
		if err != nil || holds(order) {
			return order, err
		}
		select {
		case <-ctx.Done():
			return order, fmt.Errorf("order %s is %s, step %v: %w", id, order.State, order.Step, ctx.Err())
		case err := <-p.Failed():
			return order, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Ended is the order when it has ended.
func (p *Playground) Ended(ctx context.Context, id string) (api.Order, error) {
	return p.Until(ctx, id, func(o api.Order) bool { return o.State.Ended() })
}

func in(state provision.OrderState) func(api.Order) bool {
	return func(o api.Order) bool { return o.State == state }
}

// cancel is what an operator's Cancel in the Web UI does.
func (p *Playground) cancel(ctx context.Context, id string) error {
	return p.Workflow.CancelWorkflow(ctx, workflows.OrderWorkflowID(provision.OrderKey{Provider: Provider, ID: id}), "")
}

func (p *Playground) play(ctx context.Context, order api.NewOrder) (api.Order, error) {
	if err := p.Place(ctx, order); err != nil {
		return api.Order{}, err
	}
	return p.Ended(ctx, order.ID)
}

// Scenarios are the ways of an order.
var Scenarios = []Scenario{
	{"completed-new-report", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		if _, err := p.Stock(ctx, NewReports, provision.ModelECAM, 1); err != nil {
			return api.Order{}, err
		}
		return p.play(ctx, NewOrder("completed-new-report", NewReports, provision.ModelECAM))
	}},
	{"completed-new-legacy-report", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		if _, err := p.Stock(ctx, ExistingReports, provision.ModelECAM, 1); err != nil {
			return api.Order{}, err
		}
		return p.play(ctx, NewOrder("completed-new-legacy-report", ExistingReports, provision.ModelECAM))
	}},
	{"completed-existing-report", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		if _, err := p.Stock(ctx, ExistingReports, provision.ModelSPAM, 1); err != nil {
			return api.Order{}, err
		}
		order := NewOrder("completed-existing-report", ExistingReports, provision.ModelSPAM)
		existing := ExistingReport
		order.UseExistingCUR = &existing
		return p.play(ctx, order)
	}},
	{"waited-for-stock", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		order := NewOrder("waited-for-stock", NewReports, provision.ModelSPAM)
		if err := p.Place(ctx, order); err != nil {
			return api.Order{}, err
		}
		if _, err := p.Until(ctx, order.ID, in(provision.WaitingForAccount)); err != nil {
			return api.Order{}, err
		}
		if _, err := p.Stock(ctx, NewReports, provision.ModelSPAM, 1); err != nil {
			return api.Order{}, err
		}
		return p.Ended(ctx, order.ID)
	}},
	{"swapped-account", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		ids, err := p.Stock(ctx, NewReports, provision.ModelECAM, 2)
		if err != nil {
			return api.Order{}, err
		}
		if err := p.Sim.Edit(ids[0], func(a *awssim.Account) { a.State = awssim.StateSuspended }); err != nil {
			return api.Order{}, err
		}
		return p.play(ctx, NewOrder("swapped-account", NewReports, provision.ModelECAM))
	}},
	{"failed-report-not-found", provision.Failed, func(ctx context.Context, p *Playground) (api.Order, error) {
		if _, err := p.Stock(ctx, NewReports, provision.ModelECAM, 1); err != nil {
			return api.Order{}, err
		}
		order := NewOrder("failed-report-not-found", NewReports, provision.ModelECAM)
		missing := "no-such-report"
		order.UseExistingCUR = &missing
		return p.play(ctx, order)
	}},
	{"failed-alias-taken", provision.Failed, func(ctx context.Context, p *Playground) (api.Order, error) {
		ids, err := p.Stock(ctx, ExistingReports, provision.ModelSPAM, 1)
		if err != nil {
			return api.Order{}, err
		}
		other := awssim.Account{ID: "999900000001", Email: "root@elsewhere.example", Alias: "customer-failed-alias-taken"}
		if err := p.Sim.Load(awssim.Seed{Accounts: []awssim.Account{other}}); err != nil {
			return api.Order{}, err
		}
		before := p.Sim.Snapshot(ids[0])
		ended, err := p.play(ctx, NewOrder("failed-alias-taken", ExistingReports, provision.ModelSPAM))
		if err == nil && string(p.Sim.Snapshot(ids[0])) != string(before) {
			err = fmt.Errorf("account %s is not as before:\n%s\nbefore:\n%s", ids[0], p.Sim.Snapshot(ids[0]), before)
		}
		return ended, err
	}},
	{"failed-sign-in-denied", provision.Failed, func(ctx context.Context, p *Playground) (api.Order, error) {
		ids, err := p.Stock(ctx, NewReports, provision.ModelECAM, 1)
		if err != nil {
			return api.Order{}, err
		}
		heal := p.Sim.Inject(awssim.Fault{Service: "iam", Operation: "CreateLoginProfile", AccountID: ids[0], When: awssim.Before, Kind: awssim.AccessDenied})
		defer heal()
		return p.play(ctx, NewOrder("failed-sign-in-denied", NewReports, provision.ModelECAM))
	}},
	{"failed-undo-left-something", provision.Failed, func(ctx context.Context, p *Playground) (api.Order, error) {
		ids, err := p.Stock(ctx, ExistingReports, provision.ModelECAM, 1)
		if err != nil {
			return api.Order{}, err
		}
		for _, operation := range []string{"CreateLoginProfile", "DeleteUser"} {
			defer p.Sim.Inject(awssim.Fault{Service: "iam", Operation: operation, AccountID: ids[0], When: awssim.Before, Kind: awssim.AccessDenied})()
		}
		return p.play(ctx, NewOrder("failed-undo-left-something", ExistingReports, provision.ModelECAM))
	}},
	{"cancelled-while-waiting", provision.Cancelled, func(ctx context.Context, p *Playground) (api.Order, error) {
		order := NewOrder("cancelled-while-waiting", ExistingReports, provision.ModelECAM)
		if err := p.Place(ctx, order); err != nil {
			return api.Order{}, err
		}
		if _, err := p.Until(ctx, order.ID, in(provision.WaitingForAccount)); err != nil {
			return api.Order{}, err
		}
		if err := p.cancel(ctx, order.ID); err != nil {
			return api.Order{}, err
		}
		return p.Ended(ctx, order.ID)
	}},
	{"cancelled-while-running", provision.Cancelled, func(ctx context.Context, p *Playground) (api.Order, error) {
		ids, err := p.Stock(ctx, NewReports, provision.ModelECAM, 1)
		if err != nil {
			return api.Order{}, err
		}
		before := p.Sim.Snapshot(ids[0])
		heal := p.Sim.Inject(awssim.Fault{Service: "iam", Operation: "CreateAccountAlias", AccountID: ids[0], When: awssim.After, Kind: awssim.Throttle})
		defer heal()
		order := NewOrder("cancelled-while-running", NewReports, provision.ModelECAM)
		if err := p.Place(ctx, order); err != nil {
			return api.Order{}, err
		}
		if _, err := p.Until(ctx, order.ID, func(o api.Order) bool {
			for _, step := range o.Steps {
				if step.Step == string(provision.StepUser) && step.State == "done" {
					return true
				}
			}
			return false
		}); err != nil {
			return api.Order{}, err
		}
		if err := p.cancel(ctx, order.ID); err != nil {
			return api.Order{}, err
		}
		ended, err := p.Ended(ctx, order.ID)
		if err == nil && string(p.Sim.Snapshot(ids[0])) != string(before) {
			err = fmt.Errorf("account %s is not as before:\n%s\nbefore:\n%s", ids[0], p.Sim.Snapshot(ids[0]), before)
		}
		return ended, err
	}},
	{"retried-through-throttling", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		ids, err := p.Stock(ctx, NewReports, provision.ModelSPAM, 1)
		if err != nil {
			return api.Order{}, err
		}
		heal := p.Sim.Inject(awssim.Fault{Service: "account", Operation: "PutContactInformation", AccountID: ids[0], Times: 2, When: awssim.Before, Kind: awssim.Throttle})
		defer heal()
		return p.play(ctx, NewOrder("retried-through-throttling", NewReports, provision.ModelSPAM))
	}},
}
