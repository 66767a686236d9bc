package stack

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

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
	c, err := client.DialContext(ctx, client.Options{HostPort: s.Temporal, Namespace: namespace, DataConverter: data, FailureConverter: failures,
		Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}) // the tools' output is for people
	if err != nil {
		return nil, err
	}
	s.onStop(func() error { c.Close(); return nil })
	return c, nil
}

// Stock adds n accounts to a pool, which it makes if need be, and returns their ids, oldest first.
func (p *Playground) Stock(ctx context.Context, marketplace string, model provision.Model, n int) (ids []string, err error) {
	if err := p.Pool(ctx, marketplace, provision.DataExport); err != nil {
		return nil, err
	}
	for range n {
		p.numbers++
		account := Stocked{marketplace, model, p.numbers}
		if err := p.AddAccount(ctx, p.Client, account); err != nil {
			return nil, err
		}
		ids = append(ids, account.ID())
	}
	return ids, nil
}

// Pool makes a pool. Every scenario has one of its own, named like it, so that none draws another's accounts.
func (p *Playground) Pool(ctx context.Context, marketplace string, kind provision.ReportKind) error {
	return p.Store.AddPool(ctx, provision.Pool{Provider: Provider, Marketplace: marketplace, Environment: provision.Production}, kind)
}

// NewOrder is an order that asks for nothing special, from the pool that is named like it.
func NewOrder(id string, model provision.Model) api.NewOrder {
	return api.NewOrder{
		ID: id, Marketplace: id, Environment: provision.Production, OrderMode: provision.OrderModeNewAccount, AccountModel: &model,
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
		return p.simple(ctx, NewOrder("completed-new-report", provision.ModelECAM), nil)
	}},
	{"completed-new-legacy-report", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		if err := p.Pool(ctx, "completed-new-legacy-report", provision.LegacyCUR); err != nil {
			return api.Order{}, err
		}
		return p.simple(ctx, NewOrder("completed-new-legacy-report", provision.ModelECAM), nil)
	}},
	{"completed-existing-report", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		order, existing := NewOrder("completed-existing-report", provision.ModelSPAM), ExistingReport
		order.UseExistingCUR = &existing
		return p.simple(ctx, order, nil)
	}},
	{"waited-for-stock", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		order := NewOrder("waited-for-stock", provision.ModelSPAM)
		if err := p.wait(ctx, order); err != nil {
			return api.Order{}, err
		}
		if _, err := p.Stock(ctx, order.Marketplace, provision.ModelSPAM, 1); err != nil {
			return api.Order{}, err
		}
		return p.Ended(ctx, order.ID)
	}},
	{"swapped-account", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		ids, err := p.Stock(ctx, "swapped-account", provision.ModelECAM, 2)
		if err != nil {
			return api.Order{}, err
		}
		if err := p.Sim.Edit(ids[0], func(a *awssim.Account) { a.State = awssim.StateSuspended }); err != nil {
			return api.Order{}, err
		}
		return p.play(ctx, NewOrder("swapped-account", provision.ModelECAM))
	}},
	{"retried-through-throttling", provision.Completed, func(ctx context.Context, p *Playground) (api.Order, error) {
		return p.simple(ctx, NewOrder("retried-through-throttling", provision.ModelSPAM), []awssim.Fault{{Service: "account", Operation: "PutContactInformation", Times: 2, Kind: awssim.Throttle}})
	}},
	{"failed-report-not-found", provision.Failed, func(ctx context.Context, p *Playground) (api.Order, error) {
		order, missing := NewOrder("failed-report-not-found", provision.ModelECAM), "no-such-report"
		order.UseExistingCUR = &missing
		return p.simple(ctx, order, nil)
	}},
	{"failed-alias-taken", provision.Failed, func(ctx context.Context, p *Playground) (api.Order, error) {
		order := NewOrder("failed-alias-taken", provision.ModelSPAM)
		elsewhere := awssim.Account{ID: "999900000001", Email: "root@elsewhere.example", Alias: order.AWSAccountAlias, Role: awssim.Role{Name: "theirs", TrustedPrincipal: p.callerKey.ARN}}
		if err := p.Sim.Load(awssim.Seed{Accounts: []awssim.Account{elsewhere}}); err != nil {
			return api.Order{}, err
		}
		return p.simple(ctx, order, nil)
	}},
	{"failed-sign-in-denied", provision.Failed, func(ctx context.Context, p *Playground) (api.Order, error) {
		return p.simple(ctx, NewOrder("failed-sign-in-denied", provision.ModelECAM), deny("CreateLoginProfile"))
	}},
	{LeftSomething, provision.Failed, func(ctx context.Context, p *Playground) (api.Order, error) {
		return p.simple(ctx, NewOrder(LeftSomething, provision.ModelECAM), deny("CreateLoginProfile", "DeleteUser"))
	}},
	{"cancelled-while-waiting", provision.Cancelled, func(ctx context.Context, p *Playground) (api.Order, error) {
		order := NewOrder("cancelled-while-waiting", provision.ModelECAM)
		if err := p.wait(ctx, order); err != nil {
			return api.Order{}, err
		}
		if err := p.cancel(ctx, order.ID); err != nil {
			return api.Order{}, err
		}
		return p.Ended(ctx, order.ID)
	}},
	{"cancelled-while-running", provision.Cancelled, func(ctx context.Context, p *Playground) (api.Order, error) {
		order := NewOrder("cancelled-while-running", provision.ModelECAM)
		ids, err := p.Stock(ctx, order.Marketplace, provision.ModelECAM, 1)
		if err != nil {
			return api.Order{}, err
		}
		return p.asBefore(ids[0], func() (api.Order, error) {
			// The contacts are throttled again and again: the cancel meets one step that is being retried and others that are done.
			heal := p.Sim.Inject(awssim.Fault{Service: "account", Operation: "PutContactInformation", AccountID: ids[0], Kind: awssim.Throttle})
			defer heal()
			if err := p.Place(ctx, order); err != nil {
				return api.Order{}, err
			}
			if _, err := p.Until(ctx, order.ID, func(o api.Order) bool {
				return slices.ContainsFunc(o.Steps, func(s api.Step) bool { return s.Step == string(provision.StepUser) && s.State == "done" })
			}); err != nil {
				return api.Order{}, err
			}
			if err := p.cancel(ctx, order.ID); err != nil {
				return api.Order{}, err
			}
			return p.Ended(ctx, order.ID)
		})
	}},
}

// LeftSomething names the scenario whose undo cannot remove everything.
const LeftSomething = "failed-undo-left-something"

// simple stocks one account, spoils some of its calls, and plays the order. An order that does not complete must leave
// the account as it was, but for the scenario whose undo is spoilt.
func (p *Playground) simple(ctx context.Context, order api.NewOrder, faults []awssim.Fault) (api.Order, error) {
	ids, err := p.Stock(ctx, order.Marketplace, *order.AccountModel, 1)
	if err != nil {
		return api.Order{}, err
	}
	var heals []func()
	for _, fault := range faults {
		fault.AccountID = ids[0]
		heals = append(heals, p.Sim.Inject(fault))
	}
	defer func() {
		for _, heal := range heals {
			heal()
		}
	}()
	return p.asBefore(ids[0], func() (api.Order, error) { return p.play(ctx, order) })
}

// asBefore checks that an order that ended without completing and without leftovers left the account byte for byte as it was.
func (p *Playground) asBefore(accountID string, play func() (api.Order, error)) (api.Order, error) {
	before := string(p.Sim.Snapshot(accountID))
	order, err := play()
	if after := string(p.Sim.Snapshot(accountID)); err == nil && order.State != provision.Completed && len(order.Leftovers) == 0 && after != before {
		err = fmt.Errorf("account %s is not as before:\n%s\nbefore:\n%s", accountID, after, before)
	}
	return order, err
}

// deny makes calls of IAM fail with AccessDenied for as long as the order runs.
func deny(operations ...string) (faults []awssim.Fault) {
	for _, operation := range operations {
		faults = append(faults, awssim.Fault{Service: "iam", Operation: operation, Kind: awssim.AccessDenied})
	}
	return faults
}

// wait places an order that finds no stock, and returns when it waits.
func (p *Playground) wait(ctx context.Context, order api.NewOrder) error {
	if err := p.Pool(ctx, order.Marketplace, provision.DataExport); err != nil {
		return err
	}
	if err := p.Place(ctx, order); err != nil {
		return err
	}
	_, err := p.Until(ctx, order.ID, func(o api.Order) bool { return o.State == provision.WaitingForAccount })
	return err
}
