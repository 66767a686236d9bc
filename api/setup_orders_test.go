package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// newOrder is an order that a test creates.
type newOrder struct {
	provision.Order
	asks string // the field that it asks for when it is action_required
}

// asking makes an order ask for the field.
func asking(field string) func(*newOrder) {
	return func(o *newOrder) { o.asks = field }
}

// orderIn creates order MP-1 of acme in that state. One that is action_required asks for the field.
func (w *testAPI) orderIn(state provision.OrderState, field string) provision.OrderView {
	return w.createOrder("MP-1", state, func(o *newOrder) { o.Request.UseExistingCUR = "monthly" }, asking(field))
}

// completedOrder creates a completed order of acme, whose password is still to be taken.
func (w *testAPI) completedOrder(id string) provision.OrderView {
	return w.createOrder(id, provision.Completed)
}

// createOrder creates an order of acme in that state, by the calls that its workflow makes, and an account for it when it needs
// one. The pool must have no Ready account of that model. An order that waits asks for model ECAM, so that it does not get the
// account of the next order.
func (w *testAPI) createOrder(id string, state provision.OrderState, change ...func(*newOrder)) provision.OrderView {
	ctx, orders := context.Background(), w.store.Orders
	key, by := provision.OrderKey{Provider: "acme", ID: id}, provision.Intervention{Actor: "test", ID: uuid.NewString()}
	order := newOrder{Order: provision.Order{OrderKey: key, Request: requestFixture(), AcceptedAt: now.Add(-time.Hour)}}
	if state == provision.WaitingForAccount {
		order.Request.AccountModel = provision.ModelECAM
	}
	for _, c := range change {
		c(&order)
	}
	_, err := orders.Open(ctx, order.Order)
	require.NoError(w.t, err)
	switch state {
	case provision.Accepted:
	case provision.WaitingForAccount:
		claim, err := orders.Claim(ctx, key)
		require.NoError(w.t, err)
		require.Nil(w.t, claim.Account)
	case provision.Failed:
		require.NoError(w.t, orders.Stop(ctx, key, "fail", provision.Failure{Code: provision.CodeFailedByOperator}, by))
	case provision.Cancelled:
		require.NoError(w.t, orders.Stop(ctx, key, "cancel", provision.Failure{Code: provision.CodeOrderCancelled}, by))
	default:
		w.allot(order, state)
	}
	view, err := orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(w.t, err)
	require.Equal(w.t, state, view.State)
	return view
}

// allot gives the order a new account and brings it into that state.
func (w *testAPI) allot(order newOrder, state provision.OrderState) {
	ctx, key, id := context.Background(), order.OrderKey, fmt.Sprintf("%012d", w.nextAccount)
	w.nextAccount++
	account := readyAccount(id)
	account.Environment = order.Request.Environment
	if order.Request.AccountModel != "" {
		account.Model = order.Request.AccountModel
	}
	_, _, err := w.store.Accounts.Create(ctx, account, "test")
	require.NoError(w.t, err)
	claim, err := w.store.Orders.Claim(ctx, key)
	require.NoError(w.t, err)
	require.Equal(w.t, id, claim.Account.ID)
	switch state {
	case provision.ActionRequired:
		require.NoError(w.t, w.store.Orders.RequireAction(ctx, key, provision.Failure{Code: provision.CodeAliasTaken,
			Step: provision.StepAlias, Field: order.asks, Reason: "refused for the test"}))
	case provision.Compensating:
		require.NoError(w.t, w.store.Orders.BeginUndo(ctx, key, provision.Failure{Code: provision.CodeOrderCancelled, Reason: "stopped"}))
	case provision.Completed:
		sealed, err := w.service.Sealer.Seal([]byte(passwordText), "order-password/"+key.String()+"/"+id)
		require.NoError(w.t, err)
		_, err = w.store.Passwords.Keep(ctx, key, id, sealed)
		require.NoError(w.t, err)
		require.NoError(w.t, pgtest.Err(w.store.Steps.Begin(ctx, key, id, provision.StepAllocate, 1)))
		require.NoError(w.t, w.store.Orders.Allocate(ctx, key, id, resultFixture(id)))
		require.NoError(w.t, w.store.Steps.End(ctx, key, id, provision.StepAllocate, provision.AttemptEnd{State: provision.StepDone}))
	}
}

// readyAccount is an account of acme's pool nordic/production that orders may claim.
func readyAccount(id string) provision.Account {
	return provision.Account{ID: id, Pool: pools[0], Model: provision.ModelSPAM, Name: "Pool " + id,
		RootEmail: "aws+" + id + "@provider.example", RoleARN: "arn:aws:iam::" + id + ":role/Quartermaster",
		ExternalID: provision.NewExternalID(), Status: provision.AccountReady}
}

func resultFixture(account string) provision.Result {
	return provision.Result{
		AccountID: account, AccountModel: provision.ModelECAM, AccountAlias: "berg-logistics",
		SignInURL: provision.SignInURL("berg-logistics"), SignInURLByID: provision.SignInURL(account), IAMUserName: "anna.berg",
		Report:             provision.Report{Name: "qm-usage", Kind: provision.DataExport, Bucket: "qm-cur", Prefix: "cur", Region: "us-east-1"},
		UsageAvailableFrom: now.Add(23 * time.Hour), RootInstructions: "Use \"forgot password\".",
		ManualSteps: []string{"Register the account.", "Set the currency."}, CompletedAt: now.Add(-59 * time.Minute),
	}
}

func requestFixture() provision.Request {
	return provision.Request{
		Marketplace: "nordic", Environment: provision.Production, OrderMode: provision.OrderModeNewAccount,
		IAMUserName: "anna.berg", ContactName: "Anna Berg", AccountAlias: "berg-logistics",
	}
}

// token is the token of the link to the password of a completed order.
func (w *testAPI) token(order provision.OrderView) string {
	return w.service.revealToken(uuid.MustParse(order.Password.Link.ID))
}

// brokenOrders fails to read an order.
type brokenOrders struct{ Orders }

func (brokenOrders) Exists(context.Context, provision.OrderKey) (bool, error) {
	return false, errors.New("broken")
}

func (brokenOrders) Get(context.Context, provision.Tenant, string) (provision.OrderView, error) {
	return provision.OrderView{}, errors.New("broken")
}

// limitedOrders records how many orders were wanted of the last list.
type limitedOrders struct {
	Orders
	limit int
}

func (s *limitedOrders) List(ctx context.Context, of provision.Tenant, f provision.OrderFilter) ([]provision.OrderView, error) {
	s.limit = f.Limit
	return s.Orders.List(ctx, of, f)
}
