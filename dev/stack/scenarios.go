package stack

import (
	"context"
	"slices"

	"quartermaster/api/openapi"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// Scenario is one named way that an order can go. The end-to-end tests run them all, and the recorder keeps the history of
// each for the replay tests.
type Scenario struct {
	Name string
	Ends provision.OrderState
	// Run sets up pools, accounts and faults, and places the order. It returns the order when it has ended.
	Run func(ctx context.Context, p *Playground) (openapi.Order, error)
}

// Scenarios lists the ways that an order can go.
var Scenarios = []Scenario{
	{"completed-new-report", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		return p.simple(ctx, NewOrder("completed-new-report", provision.ModelECAM), nil, nil)
	}},
	{"completed-new-legacy-report", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		if err := p.Pool(ctx, "completed-new-legacy-report", provision.LegacyCUR); err != nil {
			return openapi.Order{}, err
		}
		return p.simple(ctx, NewOrder("completed-new-legacy-report", provision.ModelECAM), nil, nil)
	}},
	{"completed-existing-report", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order, existing := NewOrder("completed-existing-report", provision.ModelSPAM), ExistingReport
		order.UseExistingCUR = &existing
		return p.simple(ctx, order, nil, nil)
	}},
	{"waited-for-stock", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order := NewOrder("waited-for-stock", provision.ModelSPAM)
		if err := p.wait(ctx, order); err != nil {
			return openapi.Order{}, err
		}
		if _, err := p.Stock(ctx, order.Marketplace, provision.ModelSPAM, 1); err != nil {
			return openapi.Order{}, err
		}
		return p.Ended(ctx, order.ID)
	}},
	{"swapped-account", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		ids, err := p.Stock(ctx, "swapped-account", provision.ModelECAM, 2)
		if err != nil {
			return openapi.Order{}, err
		}
		if err := p.Sim.Edit(ids[0], func(a *awssim.Account) { a.State = awssim.StateSuspended }); err != nil {
			return openapi.Order{}, err
		}
		return p.play(ctx, NewOrder("swapped-account", provision.ModelECAM))
	}},
	{"two-dead-accounts", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order := NewOrder("two-dead-accounts", provision.ModelECAM)
		ids, err := p.Stock(ctx, order.Marketplace, provision.ModelECAM, 3)
		if err != nil {
			return openapi.Order{}, err
		}
		// They fail after their verification: AWS suspends the first, and the role of the second is deleted.
		for i, die := range []func(*awssim.Account){
			func(a *awssim.Account) { a.State = awssim.StateSuspended },
			func(a *awssim.Account) { a.Role.Name = "deleted-and-made-again-under-another-name" },
		} {
			if err := p.Sim.Edit(ids[i], die); err != nil {
				return openapi.Order{}, err
			}
		}
		return p.play(ctx, order)
	}},
	{"retried-through-throttling", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		return p.simple(ctx, NewOrder("retried-through-throttling", provision.ModelSPAM), []awssim.Fault{
			{Service: "account", Operation: "PutContactInformation", Times: 2, Kind: awssim.Throttle},
		}, nil)
	}},
	{"corrected-report", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order, misspelled := NewOrder("corrected-report", provision.ModelSPAM), "company-usgae"
		order.UseExistingCUR = &misspelled
		return p.simple(ctx, order, nil, p.correct(map[string]any{"use_existing_cur": ExistingReport}))
	}},
	{"corrected-alias", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order := NewOrder("corrected-alias", provision.ModelSPAM)
		if err := p.aliasElsewhere("999900000001", order.AWSAccountAlias); err != nil {
			return openapi.Order{}, err
		}
		return p.simple(ctx, order, nil, p.correct(map[string]any{"aws_account_alias": "corrected-at-last"}))
	}},
	{"retried-by-operator", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		// The simulated role lacks the permission until the operator has added it.
		order := NewOrder("retried-by-operator", provision.ModelECAM)
		return p.simple(ctx, order, deny("CreateLoginProfile"), func(ctx context.Context, order openapi.Order) error {
			p.Sim.ClearFaults(*order.AccountID)
			return p.act("retry")(ctx, order)
		})
	}},
	{"swapped-by-operator", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order := NewOrder("swapped-by-operator", provision.ModelECAM)
		return p.simple(ctx, order, deny("CreateLoginProfile"), func(ctx context.Context, asking openapi.Order) error {
			if _, err := p.Stock(ctx, order.Marketplace, provision.ModelECAM, 1); err != nil {
				return err
			}
			return p.act("swap")(ctx, asking)
		})
	}},
	{"failed-by-operator", provision.Failed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		return p.simple(ctx, NewOrder("failed-by-operator", provision.ModelECAM), deny("CreateLoginProfile"), p.act("fail"))
	}},
	{"failed-alias-deadline", provision.Failed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order := NewOrder("failed-alias-deadline", provision.ModelSPAM)
		if err := p.aliasElsewhere("999900000002", order.AWSAccountAlias); err != nil {
			return openapi.Order{}, err
		}
		if err := p.Pool(ctx, order.Marketplace, provision.DataExport); err != nil {
			return openapi.Order{}, err
		}
		// The API offers a minute at least, which is too long for a test.
		_, err := p.Store.SQL().ExecContext(ctx,
			`UPDATE pools SET action_deadline = interval '1 second' WHERE marketplace = $1`, order.Marketplace)
		if err != nil {
			return openapi.Order{}, err
		}
		return p.simple(ctx, order, nil, nil)
	}},
	{LeftSomething, provision.Failed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		return p.simple(ctx, NewOrder(LeftSomething, provision.ModelECAM), deny("CreateLoginProfile", "DeleteUser"), p.failAndEndUndo)
	}},
	{"cancelled-in-question", provision.Cancelled, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order := NewOrder("cancelled-in-question", provision.ModelSPAM)
		if err := p.aliasElsewhere("999900000003", order.AWSAccountAlias); err != nil {
			return openapi.Order{}, err
		}
		return p.simple(ctx, order, nil, p.act("cancel"))
	}},
	{"worker-crashed", provision.Completed, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order := NewOrder("worker-crashed", provision.ModelECAM)
		ids, err := p.Stock(ctx, order.Marketplace, provision.ModelECAM, 1)
		if err != nil {
			return openapi.Order{}, err
		}
		// Writing the contacts hangs in the worker that crashes.
		heal := p.Sim.Inject(awssim.Fault{
			Service: "account", Operation: "PutContactInformation", AccountID: ids[0],
			Times: 1, When: awssim.After, Kind: awssim.Timeout,
		})
		defer heal()
		if err := p.Place(ctx, order); err != nil {
			return openapi.Order{}, err
		}
		if _, err := p.Until(ctx, order.ID, StepDone(provision.StepAlias)); err != nil {
			return openapi.Order{}, err
		}
		if err := p.Crash(ctx, PartWorker); err != nil {
			return openapi.Order{}, err
		}
		return p.Ended(ctx, order.ID)
	}},
	{"cancelled-while-waiting", provision.Cancelled, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order := NewOrder("cancelled-while-waiting", provision.ModelECAM)
		if err := p.wait(ctx, order); err != nil {
			return openapi.Order{}, err
		}
		if err := p.cancel(ctx, order.ID); err != nil {
			return openapi.Order{}, err
		}
		return p.Ended(ctx, order.ID)
	}},
	{"cancelled-while-running", provision.Cancelled, func(ctx context.Context, p *Playground) (openapi.Order, error) {
		order := NewOrder("cancelled-while-running", provision.ModelECAM)
		ids, err := p.Stock(ctx, order.Marketplace, provision.ModelECAM, 1)
		if err != nil {
			return openapi.Order{}, err
		}
		return p.asBefore(ids[0], func() (openapi.Order, error) {
			// The contacts are throttled repeatedly, so the cancel finds one step that is being retried and others that are done.
			heal := p.Sim.Inject(awssim.Fault{
				Service: "account", Operation: "PutContactInformation", AccountID: ids[0], Kind: awssim.Throttle,
			})
			defer heal()
			if err := p.Place(ctx, order); err != nil {
				return openapi.Order{}, err
			}
			if _, err := p.Until(ctx, order.ID, StepDone(provision.StepUser)); err != nil {
				return openapi.Order{}, err
			}
			if err := p.cancel(ctx, order.ID); err != nil {
				return openapi.Order{}, err
			}
			return p.Ended(ctx, order.ID)
		})
	}},
}

// failAndEndUndo fails an order, and ends its undo after AWS has refused a part of it.
func (p *Playground) failAndEndUndo(ctx context.Context, order openapi.Order) error {
	if err := p.act("fail")(ctx, order); err != nil {
		return err
	}
	refused := func(s openapi.Step) bool { return s.State == string(provision.StepUndoing) && s.Problem != nil }
	if _, err := p.Until(ctx, order.ID, func(o openapi.Order) bool { return slices.ContainsFunc(o.Steps, refused) }); err != nil {
		return err
	}
	return p.act("end-undo")(ctx, order)
}

// LeftSomething names the scenario whose undo cannot remove everything.
const LeftSomething = "failed-undo-left-something"
