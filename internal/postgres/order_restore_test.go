package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

const lostNonce = "0b1f8f0e-7d4f-4f6e-9c4e-1f6f3b7a9d21"

// lostOrder is an order whose row is gone, as its workflow knows it.
func lostOrder(id string, status provision.OrderStatus) reconcile.Lost {
	placed := order(id, "")
	placed.Nonce = lostNonce
	placed.AcceptedAt = placed.AcceptedAt.Add(-time.Hour)
	return reconcile.Lost{Order: placed, OrderStatus: status}
}

func soldWith(accountID string) provision.OrderStatus {
	return provision.OrderStatus{State: provision.Completed, AccountID: accountID,
		Result: &provision.Result{AccountID: accountID, AccountAlias: "alias-lost", IAMUserName: "customer"}}
}

func endedAs(state provision.OrderState, accountID string, code provision.Code) provision.OrderStatus {
	return provision.OrderStatus{State: state, AccountID: accountID, Failure: &provision.Failure{Code: code, Reason: "it ended like this"}}
}

// historyRows lists the history of the order, as "actor: from to".
func historyRows(t *testing.T, db *sqlx.DB, id string) (rows []string) {
	t.Helper()
	require.NoError(t, db.SelectContext(t.Context(), &rows, `SELECT actor || ': ' || COALESCE(from_state, '-') || ' ' || to_state ||
		CASE WHEN code = '' THEN '' ELSE ' ' || code END || CASE WHEN reason = '' THEN '' ELSE ' (' || reason || ')' END
		FROM order_history WHERE order_id = $1 ORDER BY seq`, id))
	return rows
}

func TestTheRowOfASoldOrderIsWrittenAgain(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	const sold = "000000000002" // not the oldest: exactly the account that was sold
	lost := lostOrder("lost", soldWith(sold))
	corrected := lost.Order.Request
	corrected.ContactName = "Corrected Name"
	lost.Requests = []provision.Request{lost.Order.Request, corrected}
	require.NoError(t, store.Orders.Restore(ctx, lost, "reconciler", "its row was lost"))

	view, err := store.Orders.Get(ctx, lost.Order.Tenant(), lost.Order.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Completed, view.State)
	require.Equal(t, sold, view.AccountID)
	require.Empty(t, view.Steps, "nothing is at work any more")
	require.Equal(t, lost.Result, view.Result)
	require.Equal(t, corrected, view.Request, "with its corrections")
	require.Equal(t, lost.Order.Request.Hash(), view.RequestHash, "a repeated POST is compared with what was placed")
	require.Equal(t, lost.Order.AcceptedAt, view.AcceptedAt.UTC())
	got, err := store.Accounts.Get(ctx, "acme", sold)
	require.NoError(t, err)
	require.Equal(t, provision.AccountAllocated, got.Status)
	opened, err := store.Orders.Open(ctx, lost.Order)
	require.NoError(t, err)
	require.Equal(t, lostNonce, opened.Nonce, "what the order made in AWS is still its own")
	require.Equal(t, []string{"reconciler: - accepted", "reconciler: accepted provisioning", "reconciler: provisioning completed",
		"reconciler: completed completed restore (its row was lost)"}, historyRows(t, db, "lost"))
	events, err := store.Accounts.History(ctx, "acme", sold, 0, 10)
	require.NoError(t, err)
	require.Equal(t, []provision.AccountStatus{"ready", "provisioning", "allocated"},
		[]provision.AccountStatus{events[0].ToStatus, events[1].ToStatus, events[2].ToStatus})
	require.Equal(t, "reconciler", events[2].Actor)

	require.ErrorIs(t, store.Orders.Restore(ctx, lost, "reconciler", "again"), provision.ErrConflict, "it has ended")
	requireSound(t, store)
}

func TestASoldAccountThatIsNotToBeHadIsTakenFromNoOrder(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	other := open(t, store, "other", "")
	held := claim(t, store, other).Account.ID
	_, _, err := store.Accounts.Invalidate(ctx, "test", "acme", "000000000002", 0, "closed")
	require.NoError(t, err)
	for _, sold := range []string{held, "000000000002", "000000000009"} {
		require.ErrorIs(t, store.Orders.Restore(ctx, lostOrder("lost", soldWith(sold)), "reconciler", ""), provision.ErrConflict, sold)
	}
	_, err = store.Orders.Get(ctx, provision.Tenant{Provider: "acme"}, "lost")
	require.ErrorIs(t, err, provision.ErrNotFound, "half a repair is none")
	require.Empty(t, historyRows(t, db, "lost"))
	require.Equal(t, held, claim(t, store, other).Account.ID)
	requireSound(t, store)
}

// The row is that of a backup that was made before the order completed.
func TestTheRowOfASoldOrderCatchesUp(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 4)
	accepted := lostOrder("accepted", soldWith("000000000004"))
	waiting := lostOrder("waiting", soldWith("000000000003"))
	working := lostOrder("working", soldWith("000000000001"))
	asking := lostOrder("asking", soldWith("000000000002"))
	for _, lost := range []reconcile.Lost{accepted, waiting, working, asking} {
		_, err := store.Orders.Open(ctx, lost.Order)
		require.NoError(t, err)
	}
	claim(t, store, working.Order.OrderKey)
	claim(t, store, asking.Order.OrderKey)
	require.NoError(t, store.Orders.RequireAction(ctx, asking.Order.OrderKey,
		provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}))
	around(t, db, `UPDATE orders SET state = 'waiting_for_account', queue_position = 7 WHERE id = 'waiting'`)
	_, err := store.Passwords.Keep(ctx, working.Order.OrderKey, "000000000001", []byte("sealed"))
	require.NoError(t, err)

	wrong := asking
	wrong.OrderStatus = soldWith("000000000001")
	require.ErrorIs(t, store.Orders.Restore(ctx, wrong, "reconciler", ""), provision.ErrConflict, "it holds another account")
	for _, lost := range []reconcile.Lost{accepted, waiting, working, asking} {
		require.NoError(t, store.Orders.Restore(ctx, lost, "reconciler", ""))
		view, err := store.Orders.Get(ctx, lost.Order.Tenant(), lost.Order.ID)
		require.NoError(t, err)
		require.Equal(t, provision.Completed, view.State)
		require.Equal(t, lost.Result.AccountID, view.AccountID)
		require.Equal(t, lost.Order.ID == "working", view.Password != nil, "a password that is kept is shown")
	}
}

func TestTheRowOfAnOrderThatEndedSaysHow(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 4)
	for _, c := range []struct {
		id      string
		ended   provision.OrderStatus
		prepare func(reconcile.Lost)
		account provision.AccountStatus // of the account that the workflow names
	}{
		{"cancelled", endedAs(provision.Cancelled, "", provision.CodeOrderCancelled), nil, ""},
		{"failed", endedAs(provision.Failed, "", provision.CodeWaitDeadlinePassed), nil, ""},
		{"failed-in-account", endedAs(provision.Failed, "000000000003", provision.CodeFailedByOperator), nil,
			provision.AccountProvisioningFailed},
		{"account-gone", endedAs(provision.Failed, "000000000009", provision.CodeFailedByOperator), nil, ""},
		{"old-row-waits", endedAs(provision.Cancelled, "", provision.CodeOrderCancelled), func(lost reconcile.Lost) {
			around(t, db, `UPDATE orders SET state = 'waiting_for_account', queue_position = 9 WHERE id = '`+lost.Order.ID+`'`)
		}, ""},
		{"old-row-works", endedAs(provision.Failed, "000000000001", provision.CodeActionDeadlinePassed),
			func(lost reconcile.Lost) { claim(t, store, lost.Order.OrderKey) }, provision.AccountProvisioningFailed},
		{"old-row-is-undone", endedAs(provision.Cancelled, "000000000002", provision.CodeOrderCancelled), func(lost reconcile.Lost) {
			claim(t, store, lost.Order.OrderKey)
			require.NoError(t, store.Orders.BeginUndo(ctx, lost.Order.OrderKey, *lost.Failure))
		}, provision.AccountProvisioningFailed},
	} {
		t.Run(c.id, func(t *testing.T) {
			lost := lostOrder(c.id, c.ended)
			if c.prepare != nil {
				_, err := store.Orders.Open(ctx, lost.Order)
				require.NoError(t, err)
				c.prepare(lost)
			}
			require.NoError(t, store.Orders.Restore(ctx, lost, "reconciler", ""))
			view, err := store.Orders.Get(ctx, lost.Order.Tenant(), lost.Order.ID)
			require.NoError(t, err)
			require.Equal(t, c.ended.State, view.State)
			require.Equal(t, c.ended.Failure, view.Failure)
			if c.account == "" {
				require.Empty(t, view.AccountID)
				require.Empty(t, view.Leftovers)
				return
			}
			require.Equal(t, c.ended.AccountID, view.AccountID)
			require.Len(t, view.Leftovers, 1, "what it left is not known")
			got, err := store.Accounts.Get(ctx, "acme", c.ended.AccountID)
			require.NoError(t, err)
			require.Equal(t, c.account, got.Status, "never drawn again by itself")
		})
	}
	requireSound(t, store)
}

func TestAnOrderWhoseWorkGoesOnGetsItsAccountBack(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 4)
	taken := claim(t, store, open(t, store, "other", "")).Account.ID
	failure := &provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}
	for _, c := range []struct {
		id   string
		was  provision.OrderStatus
		then provision.OrderState
	}{
		{"accepted", provision.OrderStatus{State: provision.Accepted}, provision.Accepted},
		{"waits", provision.OrderStatus{State: provision.WaitingForAccount}, provision.WaitingForAccount},
		{"works", provision.OrderStatus{State: provision.Provisioning, AccountID: "000000000003"}, provision.Provisioning},
		{"asks", provision.OrderStatus{State: provision.ActionRequired, AccountID: "000000000002", Failure: failure},
			provision.ActionRequired},
		{"is-undone", provision.OrderStatus{State: provision.Compensating, AccountID: "000000000004", Failure: failure},
			provision.Compensating},
		{"account-is-taken", provision.OrderStatus{State: provision.ActionRequired, AccountID: taken, Failure: failure},
			provision.Accepted},
	} {
		t.Run(c.id, func(t *testing.T) {
			lost := lostOrder(c.id, c.was)
			require.NoError(t, store.Orders.Restore(ctx, lost, "reconciler", ""))
			require.ErrorIs(t, store.Orders.Restore(ctx, lost, "reconciler", ""), provision.ErrConflict, "it has a row")
			view, err := store.Orders.Get(ctx, lost.Order.Tenant(), lost.Order.ID)
			require.NoError(t, err)
			require.Equal(t, c.then, view.State)
			if c.then == provision.Accepted || c.then == provision.WaitingForAccount {
				require.Empty(t, view.AccountID)
				return
			}
			require.Equal(t, c.was.AccountID, view.AccountID)
			orders, err := store.Reconciliation.OrdersNow(ctx, []provision.OrderKey{lost.Order.OrderKey})
			require.NoError(t, err)
			require.True(t, orders[lost.Order.OrderKey].Touched,
				"the changes in the account are unknown, so no run may start from the beginning")
		})
	}
	requireSound(t, store)
	works := provision.OrderKey{Provider: "acme", ID: "works"}
	_, err := store.Orders.RejectAccount(ctx, works, "000000000003", *failure, false)
	require.NoError(t, err)
	require.Equal(t, 2, place(t, store, works), "it goes on with the next account")
	createAccounts(t, store, provision.ModelSPAM, 5, 5)
	require.Equal(t, "000000000005", claim(t, store, provision.OrderKey{Provider: "acme", ID: "waits"}).Account.ID)
}

func TestARowIsNotWrittenOverThatOfAnotherOrder(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	open(t, store, "lost", "")
	lost := lostOrder("lost", soldWith("000000000001"))
	lost.Order.Request.ContactName = "Another Customer"
	require.ErrorIs(t, store.Orders.Restore(ctx, lost, "reconciler", ""), provision.ErrConflict)
	elsewhere := lostOrder("elsewhere", provision.OrderStatus{State: provision.Accepted})
	elsewhere.Order.Request.Marketplace = "gone"
	require.ErrorIs(t, store.Orders.Restore(ctx, elsewhere, "reconciler", ""), provision.ErrConflict, "there is no such pool")
	foreign := lostOrder("foreign", soldWith("000000000001"))
	foreign.Order.Request.AccountModel = provision.ModelECAM
	require.ErrorIs(t, store.Orders.Restore(ctx, foreign, "reconciler", ""), provision.ErrConflict, "the account does not fit the order")
}

// An operator deleted the row of an order by hand, and its account still names the order.
func TestAnAccountThatNamesALostOrderIsItsOwn(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	around(t, db, `UPDATE accounts SET status = 'allocated', order_id = 'sold' WHERE id = '000000000001';
		UPDATE accounts SET status = 'provisioning', order_id = 'works' WHERE id = '000000000002'`)
	require.NoError(t, store.Orders.Restore(ctx, lostOrder("sold", soldWith("000000000001")), "reconciler", ""))
	require.NoError(t, store.Orders.Restore(ctx, lostOrder("works", provision.OrderStatus{State: provision.Accepted}), "reconciler", ""))
	view, err := store.Orders.Get(ctx, provision.Tenant{Provider: "acme"}, "works")
	require.NoError(t, err)
	require.Equal(t, provision.Provisioning, view.State)
	require.Equal(t, "000000000002", view.AccountID)
}

// around writes around every trigger of the schema, except those that count.
func around(t *testing.T, db *sqlx.DB, statements string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `BEGIN; SET LOCAL session_replication_role = replica; `+statements+`; COMMIT`)
	require.NoError(t, err)
	require.NoError(t, postgres.New(db).Reconciliation.RepairCounts(t.Context()))
}

// requireSound asks the reconciler whether the database contradicts itself.
func requireSound(t *testing.T, store *postgres.DB) {
	t.Helper()
	require.Empty(t, contradictions(t, store, reconcile.DefaultBounds()))
}

// contradictions is everything in which the database contradicts itself.
func contradictions(t *testing.T, store *postgres.DB, bounds reconcile.Bounds) []reconcile.Finding {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	found, err := store.Reconciliation.Contradictions(ctx, bounds)
	require.NoError(t, err)
	more, err := store.Reconciliation.ContradictionsOfEveryRow(ctx, time.Time{})
	require.NoError(t, err)
	return append(found, more...)
}
