package activities

import (
	"bytes"
	"context"
	"encoding/json"

	"go.temporal.io/sdk/activity"

	"quartermaster/internal/provision"
)

// The activities of this file use only the database. The workflow runs them as local activities.

// OrderFailed is the input of RequireAction and BeginUndo: an order that cannot go on, and why.
type OrderFailed struct {
	Order   provision.OrderKey `json:"order"`
	Failure provision.Failure  `json:"failure"`
}

// RejectedAccount is the input of RejectAccount: an account that is unusable, and why.
type RejectedAccount struct {
	Order     provision.OrderKey `json:"order"`
	AccountID string             `json:"account_id"`
	Failure   provision.Failure  `json:"failure"`
	SetAside  bool               `json:"set_aside,omitempty"` // no session could be opened, which may be our own fault; nothing was written
}

// Allocation is the input of Allocate.
type Allocation struct {
	Order     provision.OrderKey `json:"order"`
	AccountID string             `json:"account_id"`
	Result    provision.Result   `json:"result"`
}

// Woken are orders that the same transaction has given an account. Their workflows must be woken.
type Woken struct {
	Orders []provision.OrderKey `json:"orders,omitempty"`
}

// Opened is the result of OpenOrder.
type Opened struct {
	Settings  provision.PoolSettings `json:"settings"`            // of the order
	Corrected *provision.Request     `json:"corrected,omitempty"` // the request after its corrections; nil: as it was placed
	provision.OrderStatus
}

// OpenOrder creates the order's row, or finds it.
func (a *Activities) OpenOrder(ctx context.Context, order provision.Order) (Opened, error) {
	row, err := a.Orders.Open(ctx, order)
	if err != nil {
		return Opened{}, conclude(ctx, err, provision.StepClaim)
	}
	opened := Opened{Settings: row.Settings, OrderStatus: row.OrderStatus}
	if !bytes.Equal(row.Request.Hash(), order.Request.Hash()) {
		opened.Corrected = &row.Request
	}
	return opened, nil
}

// ClaimAccount assigns the oldest Ready account of the pool to the order, or puts the order in the queue. A
// repeat returns the same account.
func (a *Activities) ClaimAccount(ctx context.Context, key provision.OrderKey) (provision.Claim, error) {
	claim, err := a.Orders.Claim(ctx, key)
	return claim, conclude(ctx, err, provision.StepClaim)
}

// Rejected is the result of RejectAccount: the orders to wake, and whether accounts are due for verification now.
type Rejected struct {
	Woken
	Verify bool `json:"verify,omitempty"`
}

// RejectAccount marks the account Invalid and puts the order back in the queue, in its old place. An account that is set aside is due
// for verification at once.
func (a *Activities) RejectAccount(ctx context.Context, in RejectedAccount) (Rejected, error) {
	rejected, err := a.Orders.RejectAccount(ctx, in.Order, in.AccountID, in.Failure, in.SetAside)
	if rejected.Suspended != "" {
		activity.GetLogger(ctx).Error("the claims of a pool are suspended until a session can be opened in one of its accounts; "+
			"check the service's own AWS identity and the roles of the accounts",
			"order", in.Order.String(), "because", rejected.Suspended)
	}
	return Rejected{Woken{rejected.Woken}, rejected.Verify}, conclude(ctx, err, provision.StepInspect)
}

// RereadSettings replaces the order's settings by the current ones of its pool, and returns them.
func (a *Activities) RereadSettings(ctx context.Context, key provision.OrderKey) (provision.PoolSettings, error) {
	settings, err := a.Orders.RereadSettings(ctx, key)
	return settings, conclude(ctx, err, provision.StepInspect)
}

// Corrected is the input of Correct: an order's request after a correction.
type Corrected struct {
	Order   provision.OrderKey     `json:"order"`
	Request provision.Request      `json:"request"`
	By      provision.Intervention `json:"by"`
}

// ActionTaken is the input of NoteAction: what an operator or the marketplace did to an order (retry, cancel, fail, or swap).
type ActionTaken struct {
	Order  provision.OrderKey     `json:"order"`
	Action string                 `json:"action"`
	By     provision.Intervention `json:"by"`
}

// RequireAction sets the order to action_required and records what it needs.
func (a *Activities) RequireAction(ctx context.Context, in OrderFailed) error {
	return conclude(ctx, a.Orders.RequireAction(ctx, in.Order, in.Failure), in.Failure.Step)
}

// Resume sets the order back to provisioning.
func (a *Activities) Resume(ctx context.Context, key provision.OrderKey) error {
	return conclude(ctx, a.Orders.Resume(ctx, key), provision.StepInspect)
}

// Correct replaces the order's request by the corrected one.
func (a *Activities) Correct(ctx context.Context, in Corrected) error {
	return conclude(ctx, a.Orders.Correct(ctx, in.Order, in.Request, in.By), provision.StepInspect)
}

// StoppedOrder is the input of StopOrder: who stops an order, how, and why.
type StoppedOrder struct {
	Order   provision.OrderKey     `json:"order"`
	Action  string                 `json:"action"` // cancel or fail
	Failure provision.Failure      `json:"failure"`
	By      provision.Intervention `json:"by"`
}

// StopOrder ends an order that holds no account, or begins the undo of one that does.
func (a *Activities) StopOrder(ctx context.Context, in StoppedOrder) error {
	return conclude(ctx, a.Orders.Stop(ctx, in.Order, in.Action, in.Failure, in.By), provision.StepInspect)
}

// OrderStatus reads the order's state, account, failure and result.
func (a *Activities) OrderStatus(ctx context.Context, key provision.OrderKey) (provision.OrderStatus, error) {
	status, err := a.Orders.Status(ctx, key)
	return status, conclude(ctx, err, provision.StepClaim)
}

// NoteAction records what an operator or the marketplace did to the order, and why.
func (a *Activities) NoteAction(ctx context.Context, in ActionTaken) error {
	return conclude(ctx, a.Orders.NoteAction(ctx, in.Order, in.Action, in.By), provision.StepInspect)
}

// BeginUndo sets the order to compensating. From then on, no late attempt can claim an account for it.
func (a *Activities) BeginUndo(ctx context.Context, in OrderFailed) error {
	return conclude(ctx, a.Orders.BeginUndo(ctx, in.Order, in.Failure), provision.StepCompare)
}

// CloseOrder ends the order and releases its account in one transaction.
func (a *Activities) CloseOrder(ctx context.Context, in provision.OrderClosing) (Woken, error) {
	woken, err := a.Orders.Close(ctx, in)
	return Woken{woken}, conclude(ctx, err, provision.StepCompare)
}

// Allocated is the result of Allocate.
type Allocated struct {
	Before *provision.Result `json:"before,omitempty"` // with which an earlier call has completed the order; nil: with the same
}

// Allocate completes the order and gives the account to the customer in one transaction: the point of no return. A repeat keeps the
// result of the first call.
func (a *Activities) Allocate(ctx context.Context, in Allocation) (allocated Allocated, err error) {
	if err = a.Orders.Allocate(ctx, in.Order, in.AccountID, in.Result); err != nil {
		return allocated, conclude(ctx, err, provision.StepAllocate)
	}
	completed, err := a.Orders.Status(ctx, in.Order)
	if err != nil || completed.Result == nil {
		return allocated, conclude(ctx, err, provision.StepAllocate)
	}
	given, err := json.Marshal(in.Result)
	if err != nil {
		return allocated, conclude(ctx, err, provision.StepAllocate)
	}
	if kept, err := json.Marshal(completed.Result); err != nil || !bytes.Equal(given, kept) {
		allocated.Before = completed.Result
	}
	return allocated, nil
}
