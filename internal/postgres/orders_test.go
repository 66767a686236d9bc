package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestTheReasonOfWaitingIsInNumbers(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	key := open(t, store, "w0", "")
	claim(t, store, key)
	view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, &provision.QueuePlace{Place: 1, Why: "the pool has no accounts"}, view.Waiting)

	createAccounts(t, store, provision.ModelSPAM, 1, 3) // w0 takes the first
	completed := open(t, store, "done", "")
	accountID := claim(t, store, completed).Account.ID
	require.NoError(t, store.Orders.Allocate(ctx, completed, accountID, provision.Result{AccountID: accountID}))
	waiting := open(t, store, "w1", provision.ModelECAM)
	claim(t, store, waiting)
	view, err = store.Orders.Get(ctx, waiting.Tenant(), waiting.ID)
	require.NoError(t, err)
	require.Equal(t, "0 of 3 accounts match: 3 other model", view.Waiting.Why)

	third := open(t, store, "third", "")
	claim(t, store, third)
	spam := open(t, store, "w2", provision.ModelSPAM)
	claim(t, store, spam)
	view, err = store.Orders.Get(ctx, spam.Tenant(), spam.ID)
	require.NoError(t, err)
	require.Equal(t, 2, view.Waiting.Place)
	require.Equal(t, "0 of 3 accounts match: 1 allocated, 2 with other orders", view.Waiting.Why)
}

func TestOneIDOneRequest(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	o := order("o", "")
	first, err := store.Orders.Open(ctx, o)
	require.NoError(t, err)
	again, err := store.Orders.Open(ctx, o)
	require.NoError(t, err)
	require.Equal(t, first, again)
	o.Request.AccountAlias = "another"
	_, err = store.Orders.Open(ctx, o)
	var failure *provision.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, provision.CodeOrderIDReused, failure.Code)
}

func TestTheSchemaRefusesWhatTheTextForbids(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 3)
	key := open(t, store, "o", "")
	claim(t, store, key) // account 1
	other := open(t, store, "p", "")
	claim(t, store, other) // account 2
	for name, test := range map[string]struct{ statement, constraint string }{
		"a transition that is none": {`UPDATE accounts SET status = 'allocated', order_id = 'o' WHERE id = '000000000003'`,
			"accounts_transition_allowed"},
		"allocated is the end": {`UPDATE accounts SET status = 'allocated' WHERE id = '000000000001';
			UPDATE orders SET state = 'completed', result = '{}' WHERE id = 'o';
			UPDATE accounts SET status = 'ready', order_id = NULL WHERE id = '000000000001'`,
			"accounts_transition_allowed"},
		"a second account for one order": {`UPDATE accounts SET status = 'provisioning', order_id = 'o' WHERE id = '000000000003'`,
			"accounts_one_per_order"},
		"completed without its account": {`UPDATE orders SET state = 'completed', result = '{}' WHERE id = 'o'`, "account_and_order_agree"},
		"allocated without its order":   {`UPDATE accounts SET status = 'allocated' WHERE id = '000000000001'`, "account_and_order_agree"},
		"failed and still holding": {`UPDATE orders SET state = 'compensating' WHERE id = 'o';
			UPDATE orders SET state = 'failed', failure = '{}' WHERE id = 'o'`,
			"account_and_order_agree"},
		"held by no order": {`UPDATE accounts SET status = 'provisioning' WHERE id = '000000000003'`,
			"accounts_held_by_an_order"},
		"unusable without a reason": {`UPDATE accounts SET status = 'invalid' WHERE id = '000000000003'`, "accounts_unusable_says_why"},
		"another age": {`UPDATE accounts SET added_at = now() - interval '1 year' WHERE id = '000000000003'`,
			"accounts_identity_is_fixed"},
		"deleting an account in progress": {`DELETE FROM accounts WHERE id = '000000000001'`, "accounts_transition_allowed"},
		"another provider's order": {`INSERT INTO pools (provider, marketplace, environment) VALUES ('other', 'north', 'production');
			UPDATE accounts SET provider = 'other' WHERE id = '000000000003'`,
			"accounts_identity_is_fixed"},
		"rewriting history": {`UPDATE account_history SET actor = 'forged'`, "history_is_append_only"},
		"failing an order without an undo": {`UPDATE orders SET state = 'failed', failure = '{}' WHERE id = 'o'`,
			"orders_transition_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			tx, err := db.BeginTxx(ctx, nil)
			require.NoError(t, err)
			defer func() { _ = tx.Rollback() }()
			_, err = tx.ExecContext(ctx, `SELECT set_config('qm.actor', 'test', true)`)
			require.NoError(t, err)
			if _, err = tx.ExecContext(ctx, test.statement); err == nil {
				err = tx.Commit()
			}
			refused := pq.As(err)
			require.NotNil(t, refused, "the database accepted it: %v", err)
			require.Equal(t, test.constraint, refused.Constraint, refused.Message)
		})
	}
	_, err := db.ExecContext(ctx, `UPDATE accounts SET status = 'invalid', reason = 'x' WHERE id = '000000000003'`)
	refused := pq.As(err)
	require.NotNil(t, refused)
	require.Equal(t, "history_names_the_actor", refused.Constraint)
}

func TestProvidersSeeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	key := open(t, store, "o", "")
	claim(t, store, key)

	_, err := store.Accounts.Get(ctx, "other", "000000000001")
	require.ErrorIs(t, err, provision.ErrNotFound)
	_, err = store.Orders.Get(ctx, provision.Tenant{Provider: "other"}, "o")
	require.ErrorIs(t, err, provision.ErrNotFound)
	accounts, err := store.Accounts.List(ctx, "other", provision.AccountFilter{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, accounts)

	stolen := account(1, provision.ModelSPAM)
	stolen.Provider = "other"
	_, err = store.Pools.Create(ctx, "test", provision.DefaultPool(stolen.Pool))
	require.NoError(t, err)
	_, _, err = store.Accounts.Create(ctx, stolen, "test")
	require.ErrorIs(t, err, provision.ErrConflict)

	// The same order id of another provider is another order, and draws from another pool.
	o := order("o", "")
	o.Provider = "other"
	_, err = store.Orders.Open(ctx, o)
	require.NoError(t, err)
	require.Nil(t, claim(t, store, o.OrderKey).Account)
}

// A tenant of one marketplace sees the orders of that marketplace, their history and their events, and of others exactly as much
// as of orders that do not exist.
func TestATenantSeesOnlyItsMarketplaces(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	south := pool
	south.Marketplace = "south"
	_, err := store.Pools.Create(ctx, "test", provision.DefaultPool(south))
	require.NoError(t, err)
	open(t, store, "of-north", "")
	o := order("of-south", "")
	o.Request.Marketplace = "south"
	_, err = store.Orders.Open(ctx, o)
	require.NoError(t, err)

	for name, c := range map[string]struct {
		of   provision.Tenant
		sees []string
	}{
		"all":      {provision.Tenant{Provider: "acme"}, []string{"of-north", "of-south"}},
		"both":     {provision.Tenant{Provider: "acme", Marketplaces: []string{"south", "north"}}, []string{"of-north", "of-south"}},
		"north":    {provision.Tenant{Provider: "acme", Marketplaces: []string{"north"}}, []string{"of-north"}},
		"south":    {provision.Tenant{Provider: "acme", Marketplaces: []string{"south"}}, []string{"of-south"}},
		"none":     {provision.Tenant{Provider: "acme", Marketplaces: []string{}}, nil},
		"other":    {provision.Tenant{Provider: "other", Marketplaces: []string{"north"}}, nil},
		"other's":  {provision.Tenant{Provider: "other"}, nil},
		"no slugs": {provision.Tenant{Provider: "acme", Marketplaces: []string{"North", ""}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, id := range []string{"of-north", "of-south"} {
				_, got := store.Orders.Get(ctx, c.of, id)
				_, remembered := store.Orders.History(ctx, c.of, id, 0, 10)
				if slices.Contains(c.sees, id) {
					require.NoError(t, errors.Join(got, remembered))
				} else {
					require.ErrorIs(t, got, provision.ErrNotFound)
					require.ErrorIs(t, remembered, provision.ErrNotFound)
				}
			}
			var listed, happened []string
			views, err := store.Orders.List(ctx, c.of, provision.OrderFilter{Limit: 10})
			require.NoError(t, err)
			for _, v := range views {
				listed = append(listed, v.ID)
			}
			require.ElementsMatch(t, c.sees, listed)
			events, _, err := store.Events.List(ctx, c.of, provision.EventFilter{Limit: 10})
			require.NoError(t, err)
			for _, e := range events {
				happened = append(happened, e.Subject)
			}
			require.ElementsMatch(t, c.sees, happened)
			for _, marketplace := range []string{"north", "south"} {
				exists, err := store.Pools.Exists(ctx, c.of, marketplace, provision.Production)
				require.NoError(t, err)
				require.Equal(t, slices.Contains(c.sees, "of-"+marketplace), exists)
			}
		})
	}
	having, err := store.Pools.Marketplaces(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, []string{"north", "south"}, having)
}

func TestListsFilterAndPage(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 5)
	for i := range 7 {
		key := open(t, store, fmt.Sprintf("o%d", i), "")
		claim(t, store, key)
	}
	waiting, err := store.Orders.List(ctx, provision.Tenant{Provider: "acme"},
		provision.OrderFilter{States: []provision.OrderState{provision.WaitingForAccount}, Limit: 10})
	require.NoError(t, err)
	require.Len(t, waiting, 2)
	require.Equal(t, "o6", waiting[0].ID, "newest first")

	var ids []string
	filter := provision.OrderFilter{Limit: 3}
	for {
		page, err := store.Orders.List(ctx, provision.Tenant{Provider: "acme"}, filter)
		require.NoError(t, err)
		for _, v := range page {
			ids = append(ids, v.ID)
		}
		if len(page) < filter.Limit {
			break
		}
		last := page[len(page)-1]
		filter.After = &provision.OrderCursor{CreatedAt: last.AcceptedAt, ID: last.ID}
	}
	require.Equal(t, []string{"o6", "o5", "o4", "o3", "o2", "o1", "o0"}, ids)

	byAccount, err := store.Orders.List(ctx, provision.Tenant{Provider: "acme"}, provision.OrderFilter{AccountID: "000000000003", Limit: 10})
	require.NoError(t, err)
	require.Len(t, byAccount, 1)
	require.Equal(t, "o2", byAccount[0].ID)

	held, err := store.Accounts.List(ctx, "acme",
		provision.AccountFilter{Statuses: []provision.AccountStatus{provision.AccountProvisioning}, Model: provision.ModelSPAM, Limit: 3})
	require.NoError(t, err)
	require.Len(t, held, 3)
	next, err := store.Accounts.List(ctx, "acme",
		provision.AccountFilter{Limit: 3, After: &provision.AccountCursor{AddedAt: held[2].AddedAt, ID: held[2].ID}})
	require.NoError(t, err)
	require.Len(t, next, 2)
}

func TestStepsAreVisible(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, "000000000001", provision.StepAlias, 1)))
	require.NoError(t, store.Steps.End(ctx, key, "000000000001", provision.StepAlias, provision.AttemptEnd{State: provision.StepRetrying,
		Problem: "Throttled"}))
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, "000000000001", provision.StepAlias, 2)))
	view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, provision.StepAlias, view.Step)
	require.Len(t, view.Steps, 1)
	require.Equal(t, 2, view.Steps[0].Attempt)
	require.Equal(t, "running", view.Steps[0].State)
	require.NoError(t, store.Steps.End(ctx, key, "000000000001", provision.StepAlias, provision.AttemptEnd{State: provision.StepDone}))
	require.NoError(t, pgtest.Err(store.Steps.Begin(ctx, key, "000000000001", provision.StepAlias, 3)))
	view, err = store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, "done", view.Steps[0].State, "a step that is done stays done when an attempt wakes up late")
	require.NotNil(t, view.Steps[0].FinishedAt)
}

func TestOpeningAnOrderReturnsItsState(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	o := order("o", "")
	o.Nonce = "7f0d9c1e-5a34-4c58-9a53-2f1f7f0a9b11"
	opened, err := store.Orders.Open(ctx, o)
	require.NoError(t, err)
	require.Equal(t, o.Nonce, opened.Nonce, "an order whose row was lost knows its own things in AWS")
	require.Equal(t, provision.OrderStatus{State: provision.Accepted}, opened.OrderStatus)
	other := open(t, store, "other", "")
	drawn, err := store.Orders.Open(ctx, order("other", ""))
	require.NoError(t, err)
	require.NotEmpty(t, drawn.Nonce, "an order that brings none gets one")
	require.NotEqual(t, o.Nonce, drawn.Nonce)

	requireStatus := func(key provision.OrderKey, want provision.OrderStatus) {
		t.Helper()
		again := order(key.ID, "")
		again.Nonce = "00000000-0000-4000-8000-000000000000"
		opened, err := store.Orders.Open(ctx, again)
		require.NoError(t, err)
		require.Equal(t, want, opened.OrderStatus)
		require.NotEqual(t, again.Nonce, opened.Nonce, "the first one counts")
		status, err := store.Orders.Status(ctx, key)
		require.NoError(t, err)
		require.Equal(t, want, status)
	}
	claim(t, store, o.OrderKey)
	requireStatus(o.OrderKey, provision.OrderStatus{State: provision.Provisioning, AccountID: account1})
	require.NoError(t, store.Orders.RequireAction(ctx, o.OrderKey, why))
	requireStatus(o.OrderKey, provision.OrderStatus{State: provision.ActionRequired, AccountID: account1, Failure: &why})
	require.NoError(t, store.Orders.Resume(ctx, o.OrderKey))
	result := provision.Result{AccountID: account1, IAMUserName: "customer"}
	require.NoError(t, store.Orders.Allocate(ctx, o.OrderKey, account1, result))
	requireStatus(o.OrderKey, provision.OrderStatus{State: provision.Completed, AccountID: account1, Result: &result})

	claim(t, store, other)
	requireStatus(other, provision.OrderStatus{State: provision.WaitingForAccount})
	failure := provision.Failure{Code: provision.CodeWaitDeadlinePassed, Reason: "it waited too long"}
	_, err = store.Orders.Close(ctx, provision.OrderClosing{Order: other, State: provision.Failed, Failure: failure})
	require.NoError(t, err)
	requireStatus(other, provision.OrderStatus{State: provision.Failed, Failure: &failure})
	_, err = store.Orders.Status(ctx, provision.OrderKey{Provider: "other", ID: "o"})
	require.ErrorIs(t, err, provision.ErrNotFound)
}
