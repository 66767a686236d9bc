package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// inPostgres is the database of the product, brought into the situation as the workflow does it.
func inPostgres(t *testing.T, order provision.OrderKey, is situation) Database {
	t.Helper()
	ctx, store := t.Context(), postgres.New(pgtest.New(t))
	pool := provision.Pool{Provider: order.Provider, Marketplace: "main", Environment: provision.Production}
	require.NoError(t, store.Providers.Create(ctx, order.Provider, "Acme"))
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(pool))
	require.NoError(t, err)
	all := Database{Orders: store.Orders, Steps: store.Steps, Passwords: store.Passwords, Leftovers: store.Leftovers,
		Verifications:     store.Verifications,
		ProtectedAccounts: store.ProtectedAccounts, Stock: store.Stock, Imports: store.Imports}
	open := func(id string, model provision.Model) provision.OrderKey {
		key := provision.OrderKey{Provider: order.Provider, ID: id}
		_, err := store.Orders.Open(ctx, provision.Order{OrderKey: key, AcceptedAt: time.Now(),
			Request: provision.Request{Marketplace: pool.Marketplace,
				Environment: pool.Environment, OrderMode: provision.OrderModeNewAccount, AccountModel: model, IAMUserName: "alice",
				ContactName: "Alice Customer", AccountAlias: "alice-corp"}})
		require.NoError(t, err)
		return key
	}
	claim := func(key provision.OrderKey) *provision.Account {
		got, err := store.Orders.Claim(ctx, key)
		require.NoError(t, err)
		return got.Account
	}
	closeOrder := func(state provision.OrderState, leftovers ...string) {
		_, err := store.Orders.Close(ctx, provision.OrderClosing{Order: order, State: state, AccountID: accountID, Leftovers: leftovers,
			Failure: provision.Failure{Code: provision.CodeOrderCancelled, Reason: "it was cancelled"}})
		require.NoError(t, err)
	}
	_, _, err = store.Accounts.Create(ctx, provision.Account{ID: accountID, Pool: pool, Model: provision.ModelSPAM,
		Status: provision.AccountReady, Name: "account",
		RootEmail: "root+" + accountID + "@example.com", RoleARN: "arn:aws:iam::" + accountID + ":role/quartermaster",
		ExternalID: provision.NewExternalID()}, "test")
	require.NoError(t, err)
	if is == neverHeld {
		require.Nil(t, claim(open(order.ID, provision.ModelECAM)))
		return all
	}
	open(order.ID, "")
	require.Equal(t, accountID, claim(order).ID)
	require.NoError(t, store.Steps.Begin(ctx, order, accountID, provision.StepInspect, 1), "until here the order holds the account")
	switch is {
	case cancelled:
		closeOrder(provision.Cancelled)
	case completed:
		require.NoError(t, store.Orders.Allocate(ctx, order, accountID, provision.Result{AccountID: accountID}))
	case failed:
		closeOrder(provision.Failed, "the IAM user of the order still exists")
	case anothers:
		closeOrder(provision.Cancelled)
		require.Equal(t, accountID, claim(open("order-2", "")).ID)
	case rejected:
		_, err := store.Orders.RejectAccount(ctx, order, accountID,
			provision.Failure{Code: provision.CodeAccountCannotBeEntered, Reason: "the role cannot be assumed"}, false)
		require.NoError(t, err)
	case compensating:
		require.NoError(t, store.Orders.BeginUndo(ctx, order, provision.Failure{Code: provision.CodeOrderCancelled, Reason: "it was cancelled"}))
	case undoBegun:
		for _, step := range steps {
			_, err := store.Steps.BeginUndo(ctx, order, accountID, step, LeaseTime)
			require.NoError(t, err)
		}
	default:
		t.Fatalf("nothing makes the situation %q", is)
	}
	return all
}
