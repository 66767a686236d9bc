package verbs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"quartermaster/internal/provision"
)

// Orders are the rows of the orders.
type Orders interface {
	// Get reads one order of the tenant. Errors: provision.ErrNotFound.
	Get(ctx context.Context, of provision.Tenant, id string) (provision.OrderView, error)
	// NoteRefusal records an action on an order that was refused with that code, and the fields that it would have corrected.
	NoteRefusal(ctx context.Context, key provision.OrderKey, action string, fields []string, refused provision.Code,
		by provision.Intervention) error
	// ActionNoted reports whether the action with that id was recorded in the order's history.
	ActionNoted(ctx context.Context, key provision.OrderKey, actionID string) (bool, error)
}

// Workflows are the workflows of the orders.
type Workflows interface {
	// OrderNotYetStored reads an order of the tenant whose workflow has started and that has no row yet. Errors:
	// provision.ErrNotFound.
	OrderNotYetStored(ctx context.Context, of provision.Tenant, id string) (*provision.Order, error)
	// Act sends an action to the workflow of an order, and returns when the workflow has recorded it. Errors: a *provision.Failure
	// when the order refuses (NotAsked, InputRefused) or has ended (TooLate); provision.ErrUnavailable when it is not known whether
	// the order received it.
	Act(ctx context.Context, key provision.OrderKey, action string, by provision.Intervention) error
}

// Verbs asks the workflows of orders to act. The workflow decides, because only the workflow knows the order's state at this moment. Two
// answers come from the order's row alone: that the order does not exist, and that its state rules the action out.
type Verbs struct {
	Orders    Orders
	Workflows Workflows
	Log       *slog.Logger
}

// Asked is what someone asks of an order.
type Asked struct {
	Action string   // provision.ActionRetry, for example
	Fields []string // that it corrects
}

// ErrUnread says that the order received the request, but cannot be read at the moment.
var ErrUnread = errors.New("the order received the request and cannot be read")

// ErrUnconfirmed says that it is not known whether the order received the request. A repeat is safe.
var ErrUnconfirmed = errors.New("could not confirm that the order received the request")

// Order reads an order of the tenant. An order that was accepted a moment ago may have no row yet; it is then read from its workflow.
// Errors: provision.ErrNotFound.
func (v Verbs) Order(ctx context.Context, of provision.Tenant, id string) (provision.OrderView, error) {
	view, err := v.Orders.Get(ctx, of, id)
	if errors.Is(err, provision.ErrNotFound) {
		var order *provision.Order
		if order, err = v.Workflows.OrderNotYetStored(ctx, of, id); err == nil {
			view = order.JustAccepted()
		}
	}
	return view, err
}

// Act sends an action that needs only the actor and the reason. Errors: as Ask.
func (v Verbs) Act(ctx context.Context, of provision.Tenant, id, action string, by provision.Intervention) (provision.OrderView, error) {
	return v.Ask(ctx, of, id, Asked{Action: action}, by, func(key provision.OrderKey) error { return v.Workflows.Act(ctx, key, action, by) })
}

// Ask sends a request to the workflow of an order of the tenant, and returns the order afterwards. What the order refuses is recorded in
// its history. Errors: provision.ErrNotFound, a *provision.Failure with the refusal, ErrUnconfirmed, ErrUnread.
func (v Verbs) Ask(ctx context.Context, of provision.Tenant, id string, asked Asked, by provision.Intervention,
	do func(provision.OrderKey) error) (provision.OrderView, error) {
	order, err := v.ask(ctx, of, id, asked.Action, by, do)
	refused, ok := errors.AsType[*provision.Failure](err)
	if !ok || !refused.Code.IsRefusal() {
		return order, err
	}
	key := provision.OrderKey{Provider: of.Provider, ID: id}
	if failed := v.Orders.NoteRefusal(ctx, key, asked.Action, asked.Fields, refused.Code, by); failed != nil {
		v.Log.WarnContext(ctx, "could not record in the history that a request was refused", "order", key, "code", refused.Code,
			"error", failed)
	}
	return order, err
}

// ask is Ask without the record of refusals.
func (v Verbs) ask(ctx context.Context, of provision.Tenant, id, action string, by provision.Intervention,
	do func(provision.OrderKey) error) (provision.OrderView, error) {
	view, err := v.Order(ctx, of, id)
	if err != nil {
		return view, err
	}
	err = view.Forbids(action)
	if err == nil {
		err = do(view.OrderKey)
	}
	// The workflow may have acted although its answer was lost, for example because it ended at that moment. The history
	// knows, because the action and its row in the history are written together.
	if err != nil && !v.WasTaken(ctx, view.OrderKey, by) {
		if errors.Is(err, provision.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", ErrUnconfirmed, err)
		}
		return view, err
	}
	if view, err = v.Order(ctx, of, id); err != nil {
		return view, fmt.Errorf("%w: %w", ErrUnread, err)
	}
	return view, nil
}

// WasTaken reports whether the history contains the action. It returns false if the history cannot be read.
func (v Verbs) WasTaken(ctx context.Context, key provision.OrderKey, by provision.Intervention) bool {
	taken, err := v.Orders.ActionNoted(ctx, key, by.ID)
	return err == nil && taken
}
