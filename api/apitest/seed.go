package apitest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// Seed creates orders and accounts of a pool, in the states that a test needs.
type Seed struct {
	DB   *postgres.DB
	Pool provision.Pool

	accounts atomic.Int64 // how many accounts were created for orders
}

// Order creates an order in a state, with an account if it needs one.
func (s *Seed) Order(t testing.TB, id string, state provision.OrderState) {
	t.Helper()
	ctx, orders, key := t.Context(), s.DB.Orders, provision.OrderKey{Provider: s.Pool.Provider, ID: id}
	by := provision.Intervention{Actor: "test", ID: uuid.NewString()}
	request := provision.Request{
		Marketplace: s.Pool.Marketplace, Environment: s.Pool.Environment, OrderMode: provision.OrderModeNewAccount, IAMUserName: "anna.berg",
		ContactName: "Anna Berg", AccountAlias: "berg-logistics",
	}
	if state == provision.WaitingForAccount {
		request.AccountModel = provision.ModelECAM
	}
	_, err := orders.Open(ctx, provision.Order{OrderKey: key, Request: request, AcceptedAt: time.Now()})
	require.NoError(t, err)
	switch state {
	case provision.Accepted:
	case provision.WaitingForAccount:
		_, err := orders.Claim(ctx, key)
		require.NoError(t, err)
	case provision.Failed:
		require.NoError(t, orders.Stop(ctx, key, "fail", provision.Failure{Code: provision.CodeFailedByOperator, Reason: "given up"}, by))
	case provision.Cancelled:
		require.NoError(t, orders.Stop(ctx, key, "cancel", provision.Failure{Code: provision.CodeOrderCancelled}, by))
	default:
		s.allot(t, key, state)
	}
}

// allot gives the order a new account and brings it into the state.
func (s *Seed) allot(t testing.TB, key provision.OrderKey, state provision.OrderState) {
	t.Helper()
	ctx := t.Context()
	id := fmt.Sprintf("%012d", 500_000+s.accounts.Add(1))
	s.Account(t, id, provision.AccountReady)
	claim, err := s.DB.Orders.Claim(ctx, key)
	require.NoError(t, err)
	id = claim.Account.ID // of an older account, if there was one
	switch state {
	case provision.ActionRequired:
		require.NoError(t, s.DB.Orders.RequireAction(ctx, key, provision.Failure{
			Code: provision.CodeAliasTaken, Step: provision.StepAlias, Field: "aws_account_alias", Value: "berg-logistics",
			Reason: "another AWS account has this alias",
		}))
	case provision.Compensating:
		require.NoError(t, s.DB.Orders.BeginUndo(ctx, key, provision.Failure{Code: provision.CodeOrderCancelled, Reason: "stopped"}))
	case provision.Completed:
		s.Complete(t, key, id)
	}
}

// Complete hands the account over to the customer.
func (s *Seed) Complete(t testing.TB, key provision.OrderKey, account string) {
	t.Helper()
	ctx := t.Context()
	_, err := s.DB.Passwords.Keep(ctx, key, account, []byte("sealed"))
	require.NoError(t, err)
	require.NoError(t, pgtest.Err(s.DB.Steps.Begin(ctx, key, account, provision.StepAllocate, 1)))
	require.NoError(t, s.DB.Orders.Allocate(ctx, key, account, provision.Result{
		AccountID: account, AccountModel: provision.ModelSPAM, AccountAlias: "berg-logistics",
		SignInURL: provision.SignInURL("berg-logistics"), SignInURLByID: provision.SignInURL(account), IAMUserName: "anna.berg",
		Report:             provision.Report{Name: "qm-usage", Kind: provision.DataExport, Bucket: "qm-cur", Prefix: "cur", Region: "us-east-1"},
		UsageAvailableFrom: time.Now(), CompletedAt: time.Now(), ManualSteps: []string{"Register the account.", "Set the currency."},
	}))
	require.NoError(t, s.DB.Steps.End(ctx, key, account, provision.StepAllocate, provision.AttemptEnd{State: provision.StepDone}))
}

// Account creates an account of the pool.
func (s *Seed) Account(t testing.TB, id string, status provision.AccountStatus) {
	t.Helper()
	_, _, err := s.DB.Accounts.Create(t.Context(), provision.Account{
		ID: id, Pool: s.Pool,
		Model: provision.ModelSPAM, Name: "Pool " + id, RootEmail: "aws+" + id + "@acme.example",
		RoleARN: "arn:aws:iam::" + id + ":role/quartermaster", ExternalID: provision.NewExternalID(), Status: status,
	}, "test")
	require.NoError(t, err)
}
