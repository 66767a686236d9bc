package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var pool = provision.Pool{Provider: "acme", Marketplace: "north", Environment: provision.Production}

func setup(t *testing.T) (context.Context, *postgres.DB, *sqlx.DB) {
	t.Helper()
	ctx := t.Context()
	db := pgtest.New(t)
	store := postgres.New(db)
	require.NoError(t, store.Providers.Create(ctx, "acme", "Acme"))
	require.NoError(t, store.Providers.Create(ctx, "other", "Other"))
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(pool))
	require.NoError(t, err)
	return ctx, store, db
}

func createAccounts(t *testing.T, store *postgres.DB, model provision.Model, from, to int) (woken []provision.OrderKey) {
	t.Helper()
	for i := from; i <= to; i++ {
		_, orders, err := store.Accounts.Create(t.Context(), account(i, model), "test")
		require.NoError(t, err)
		woken = append(woken, orders...)
	}
	return woken
}

func account(i int, model provision.Model) provision.Account {
	id := fmt.Sprintf("%012d", i)
	return provision.Account{ID: id, Pool: pool, Model: model, Status: provision.AccountReady, Name: "account " + id, RootEmail: "root+" +
		id + "@acme.test",
		RoleARN: "arn:aws:iam::" + id + ":role/quartermaster", ExternalID: provision.NewExternalID()}
}

func order(id string, model provision.Model) provision.Order {
	return provision.Order{
		OrderKey:   provision.OrderKey{Provider: "acme", ID: id},
		AcceptedAt: time.Now().UTC().Truncate(time.Microsecond),
		Request: provision.Request{Marketplace: pool.Marketplace, Environment: pool.Environment, OrderMode: provision.OrderModeNewAccount,
			AccountModel: model, IAMUserName: "customer", ContactName: "Jane Roe", AccountAlias: "alias-" + id},
	}
}

func open(t *testing.T, store *postgres.DB, id string, model provision.Model) provision.OrderKey {
	t.Helper()
	o := order(id, model)
	_, err := store.Orders.Open(t.Context(), o)
	require.NoError(t, err)
	return o.OrderKey
}

func claim(t *testing.T, store *postgres.DB, key provision.OrderKey) provision.Claim {
	t.Helper()
	c, err := store.Orders.Claim(t.Context(), key)
	require.NoError(t, err)
	return c
}

// place is the order's place in the queue after it has asked for an account.

func place(t *testing.T, store *postgres.DB, key provision.OrderKey) int {
	t.Helper()
	require.Nil(t, claim(t, store, key).Account)
	view, err := store.Orders.Get(t.Context(), key.Tenant(), key.ID)
	require.NoError(t, err)
	return view.Waiting.Place
}

// The negative control: the claim that everybody writes first. If the test above could not see a double claim, neither

// could this one.
