package activities

import (
	"bytes"
	"context"
	"encoding/json"

	"go.temporal.io/sdk/activity"

	"quartermaster/internal/provision"
)

// The activities of this file touch only our own database. The workflow runs them as local activities.

// OrderFailed says which order cannot go on and why.
type OrderFailed struct {
	Order   provision.OrderKey `json:"order"`
	Failure provision.Failure  `json:"failure"`
}

// RejectedAccount says which account turned out to be unusable and why.
type RejectedAccount struct {
	Order     provision.OrderKey `json:"order"`
	AccountID string             `json:"account_id"`
	Failure   provision.Failure  `json:"failure"`
	SetAside  bool               `json:"set_aside,omitempty"` // it could not be entered and nothing was written: that may be our own fault
}

// Allocation hands the account over for good.
type Allocation struct {
	Order     provision.OrderKey `json:"order"`
	AccountID string             `json:"account_id"`
	Result    provision.Result   `json:"result"`
}

// Woken are orders that got an account in the same transaction and wait for the news.
type Woken struct {
	Orders []provision.OrderKey `json:"orders,omitempty"`
}

// OpenOrder writes the order's row, or finds it.
func (a *Activities) OpenOrder(ctx context.Context, order provision.Order) (provision.OpenedOrder, error) {
	opened, err := a.Orders.Open(ctx, order)
	return opened, conclude(ctx, err, provision.StepClaim)
}

// ClaimAccount gives the order the oldest Ready account of its pool, or the same one again, or a place in the queue.
func (a *Activities) ClaimAccount(ctx context.Context, key provision.OrderKey) (provision.Claim, error) {
	claim, err := a.Orders.Claim(ctx, key)
	return claim, conclude(ctx, err, provision.StepClaim)
}

// Rejected is what RejectAccount did: orders to wake, and whether accounts are due for verification now.
type Rejected struct {
	Woken
	Verify bool `json:"verify,omitempty"`
}

// RejectAccount marks the account Invalid and puts the order back into the queue, at its old place. An account that is set aside is
// due for verification at once.
func (a *Activities) RejectAccount(ctx context.Context, in RejectedAccount) (Rejected, error) {
	rejected, err := a.Orders.RejectAccount(ctx, in.Order, in.AccountID, in.Failure, in.SetAside)
	if rejected.Suspended != "" {
		activity.GetLogger(ctx).Error("the claims of a pool are suspended until one of its accounts can be entered; check the service's own AWS identity and the roles of the accounts",
			"order", in.Order.String(), "because", rejected.Suspended)
	}
	return Rejected{Woken{rejected.Woken}, rejected.Verify}, conclude(ctx, err, provision.StepInspect)
}

// SettingsHad are the settings that the run of an order knows.
type SettingsHad struct {
	Order provision.OrderKey     `json:"order"`
	Had   provision.PoolSettings `json:"had"`
}

// SettingsNow are the settings of an order's pool.
type SettingsNow struct {
	Settings provision.PoolSettings `json:"settings"`
	Changed  bool                   `json:"changed,omitempty"` // they are not those that the run had
}

// RereadSettings reads the settings that the order's pool has now. From then on they are the order's.
func (a *Activities) RereadSettings(ctx context.Context, in SettingsHad) (now SettingsNow, err error) {
	now.Settings, err = a.Orders.RereadSettings(ctx, in.Order)
	if err != nil {
		return now, conclude(ctx, err, provision.StepInspect)
	}
	// As texts, because what is empty may be absent on one side.
	before, err := json.Marshal(in.Had)
	if err != nil {
		return now, conclude(ctx, err, provision.StepInspect)
	}
	after, err := json.Marshal(now.Settings)
	now.Changed = !bytes.Equal(before, after)
	return now, conclude(ctx, err, provision.StepInspect)
}

// Corrected is an order's request after a correction.
type Corrected struct {
	Order   provision.OrderKey     `json:"order"`
	Request provision.Request      `json:"request"`
	By      provision.Intervention `json:"by"`
}

// ActionTaken is what somebody did to an order: retry, cancel, fail, swap.
type ActionTaken struct {
	Order  provision.OrderKey     `json:"order"`
	Action string                 `json:"action"`
	By     provision.Intervention `json:"by"`
}

// RequireAction sets the order to action_required and says what is asked for.
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

// StoppedOrder says who stops an order, how and why.
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

// OrderStatus reads where the order stands.
func (a *Activities) OrderStatus(ctx context.Context, key provision.OrderKey) (provision.OrderStatus, error) {
	status, err := a.Orders.Status(ctx, key)
	return status, conclude(ctx, err, provision.StepClaim)
}

// NoteAction writes down what somebody did to the order, and why.
func (a *Activities) NoteAction(ctx context.Context, in ActionTaken) error {
	return conclude(ctx, a.Orders.NoteAction(ctx, in.Order, in.Action, in.By), provision.StepInspect)
}

// BeginUndo sets the order to compensating: from here on no attempt that wakes up late can claim for it.
func (a *Activities) BeginUndo(ctx context.Context, in OrderFailed) error {
	return conclude(ctx, a.Orders.BeginUndo(ctx, in.Order, in.Failure), provision.StepCompare)
}

// CloseOrder ends the order and releases its account in one transaction.
func (a *Activities) CloseOrder(ctx context.Context, in provision.OrderClosing) (Woken, error) {
	woken, err := a.Orders.Close(ctx, in)
	return Woken{woken}, conclude(ctx, err, provision.StepCompare)
}

// Allocate marks account and order in one transaction: the point of no return. It returns the result that the order has: a
// repeat returns that of the first time.
func (a *Activities) Allocate(ctx context.Context, in Allocation) (provision.Result, error) {
	if err := a.Orders.Allocate(ctx, in.Order, in.AccountID, in.Result); err != nil {
		return provision.Result{}, conclude(ctx, err, provision.StepAllocate)
	}
	completed, err := a.Orders.Status(ctx, in.Order)
	if err != nil || completed.Result == nil {
		return in.Result, conclude(ctx, err, provision.StepAllocate)
	}
	return *completed.Result, nil
}
