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

	"quartermaster/api/openapi"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
)

// Playground is a stack with an API client and a Temporal client.
type Playground struct {
	*Stack
	Client   *Client
	Workflow client.Client
	numbers  int
}

// NewPlayground prepares a running stack for scenarios. There is no stock yet; each scenario adds its own.
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
	c, err := client.DialContext(ctx, client.Options{
		HostPort: s.Temporal, Namespace: namespace, DataConverter: data, FailureConverter: failures, Logger: Quiet(),
	})
	if err != nil {
		return nil, err
	}
	s.onStop(func() error { c.Close(); return nil })
	return c, nil
}

// Quiet returns a logger that logs nothing, for tools whose output people read.
func Quiet() log.Logger { return log.NewStructuredLogger(slog.New(slog.DiscardHandler)) }

// Stock adds n accounts to a pool, which it makes if need be, and returns their ids, oldest first.
func (p *Playground) Stock(ctx context.Context, marketplace string, model provision.Model, n int) (ids []string, err error) {
	if err := p.Pool(ctx, marketplace, provision.DataExport); err != nil {
		return nil, err
	}
	var accounts []Stocked
	for range n {
		p.numbers++
		accounts = append(accounts, Stocked{marketplace, model, p.numbers})
		ids = append(ids, accounts[len(accounts)-1].ID())
	}
	return ids, p.AddAccounts(ctx, p.Client, accounts...)
}

// Pool makes a pool. Every scenario has one of its own, named like it, so that none draws another's accounts.
func (p *Playground) Pool(ctx context.Context, marketplace string, kind provision.ReportKind) error {
	return p.createPool(ctx, pool(marketplace), kind)
}

// NewOrder is an order that asks for nothing special, from the pool that is named like it.
func NewOrder(id string, model provision.Model) openapi.NewOrder {
	return openapi.NewOrder{
		ID: id, Marketplace: id, Environment: provision.Production, OrderMode: provision.OrderModeNewAccount, AccountModel: &model,
		IAMUserName: "customer." + id, AWSContactName: "Jane Roe", AWSAccountAlias: "customer-" + id,
		AWSAlternateContact: &provision.AlternateContact{
			Name: "Billing Desk", Email: "billing@customer.example", Phone: "+46 8 123 456", Title: "Accountant",
		},
	}
}

// Place places an order that must be new.
func (p *Playground) Place(ctx context.Context, order openapi.NewOrder) error {
	status, _, err := p.Client.PlaceOrder(ctx, order)
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("order %s: status %d, expected 202", order.ID, status)
	}
	return err
}

// Until reads the order until the condition holds.
func (p *Playground) Until(ctx context.Context, id string, holds func(openapi.Order) bool) (openapi.Order, error) {
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
func (p *Playground) Ended(ctx context.Context, id string) (openapi.Order, error) {
	return p.Until(ctx, id, func(o openapi.Order) bool { return o.State.Ended() })
}

// cancel is what an operator's Cancel in the Web UI does.
func (p *Playground) cancel(ctx context.Context, id string) error {
	return p.Workflow.CancelWorkflow(ctx, workflows.OrderWorkflowID(provision.OrderKey{Provider: Provider, ID: id}), "")
}

func (p *Playground) play(ctx context.Context, order openapi.NewOrder) (openapi.Order, error) {
	if err := p.Place(ctx, order); err != nil {
		return openapi.Order{}, err
	}
	return p.Ended(ctx, order.ID)
}

// simple stocks one account, spoils some of its calls, and plays the order. When the order requires action, answer acts. An
// order that does not complete must leave the account as it was, but for the leftovers that it lists.
func (p *Playground) simple(
	ctx context.Context,
	order openapi.NewOrder,
	faults []awssim.Fault,
	answer func(context.Context, openapi.Order) error,
) (openapi.Order, error) {
	ids, err := p.Stock(ctx, order.Marketplace, *order.AccountModel, 1)
	if err != nil {
		return openapi.Order{}, err
	}
	for _, fault := range faults {
		fault.AccountID = ids[0]
		p.Sim.Inject(fault)
	}
	return p.asBefore(ids[0], func() (openapi.Order, error) {
		if err := p.Place(ctx, order); err != nil {
			return openapi.Order{}, err
		}
		if answer != nil {
			asking, err := p.Until(ctx, order.ID, func(o openapi.Order) bool {
				return o.State == provision.ActionRequired || o.State.Ended()
			})
			if err != nil {
				return asking, err
			}
			if asking.State != provision.ActionRequired {
				return asking, fmt.Errorf("order %s is %s and never required action", order.ID, asking.State)
			}
			if err := answer(ctx, asking); err != nil {
				return asking, err
			}
		}
		return p.Ended(ctx, order.ID)
	})
}

// correct is the answer of a marketplace that corrects fields.
func (p *Playground) correct(fields map[string]any) func(context.Context, openapi.Order) error {
	return func(ctx context.Context, order openapi.Order) error {
		_, err := p.Client.Do(ctx, http.MethodPatch, "/v1/orders/"+order.ID, fields, &openapi.Order{})
		return err
	}
}

// act returns what an operator does with an order: retry, fail, swap or cancel.
func (p *Playground) act(verb string) func(context.Context, openapi.Order) error {
	return func(ctx context.Context, order openapi.Order) error {
		body := map[string]string{"reason": "a scenario asks for it"}
		if verb == "swap" {
			body["account_id"] = *order.AccountID
		}
		_, err := p.Client.Do(ctx, http.MethodPost, "/v1/orders/"+order.ID+"/"+verb, body, &openapi.Order{})
		return err
	}
}

// aliasElsewhere adds another company's account that has the alias.
func (p *Playground) aliasElsewhere(accountID, alias string) error {
	return p.Sim.Load(awssim.Seed{Accounts: []awssim.Account{{ID: accountID, Email: "root@elsewhere.example", Alias: alias,
		Role: awssim.Role{Name: "theirs", TrustedPrincipal: p.callerKey.ARN}}}})
}

// StepDone returns a condition: the step of the order is done.
func StepDone(step provision.Step) func(openapi.Order) bool {
	return func(o openapi.Order) bool {
		return slices.ContainsFunc(o.Steps, func(s openapi.Step) bool { return s.Step == string(step) && s.State == "done" })
	}
}

func pool(marketplace string) provision.Pool {
	return provision.Pool{Provider: Provider, Marketplace: marketplace, Environment: provision.Production}
}

// asBefore checks that an order that ended without completing and without leftovers left the account exactly as it was.
func (p *Playground) asBefore(accountID string, play func() (openapi.Order, error)) (openapi.Order, error) {
	before := string(p.Sim.Snapshot(accountID))
	order, err := play()
	after := string(p.Sim.Snapshot(accountID))
	if err == nil && order.State != provision.Completed && len(order.Leftovers) == 0 && after != before {
		err = fmt.Errorf("account %s is not as before:\n%s\nbefore:\n%s", accountID, after, before)
	}
	return order, err
}

// deny returns faults that make IAM operations fail with AccessDenied.
func deny(operations ...string) (faults []awssim.Fault) {
	for _, operation := range operations {
		faults = append(faults, awssim.Fault{Service: "iam", Operation: operation, Kind: awssim.AccessDenied})
	}
	return faults
}

// wait places an order for an empty pool, and returns when the order waits.
func (p *Playground) wait(ctx context.Context, order openapi.NewOrder) error {
	if err := p.Pool(ctx, order.Marketplace, provision.DataExport); err != nil {
		return err
	}
	if err := p.Place(ctx, order); err != nil {
		return err
	}
	_, err := p.Until(ctx, order.ID, func(o openapi.Order) bool { return o.State == provision.WaitingForAccount })
	return err
}
