package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

func TestActionRequiredKeepsTheClaimAndResumes(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	key := open(t, store, "o", "")
	claim(t, store, key)
	why := provision.Failure{Code: provision.CodeAliasTaken, Step: provision.StepAlias, Field: "aws_account_alias", Value: "alias-o",
		Reason: "taken"}
	require.NoError(t, store.Orders.RequireAction(ctx, key, why))
	require.NoError(t, store.Orders.RequireAction(ctx, key, why), "a repeat changes nothing")
	view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, provision.ActionRequired, view.State)
	require.Equal(t, &why, view.Failure)
	require.Equal(t, "000000000001", claim(t, store, key).Account.ID, "the claim is kept")

	by := provision.Intervention{Actor: "key store", Reason: "the customer called"}
	corrected := order("o", "").Request
	corrected.AccountAlias = "another-alias"
	require.NoError(t, store.Orders.Correct(ctx, key, corrected, by))
	require.NoError(t, store.Orders.NoteAction(ctx, key, "retry", by))
	require.NoError(t, store.Orders.Resume(ctx, key))
	view, err = store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Provisioning, view.State)
	require.Nil(t, view.Failure)
	require.Equal(t, corrected, view.Request)
	require.Equal(t, order("o", "").Request.Hash(), view.RequestHash, "a repeated POST is compared with what was placed")

	opened, err := store.Orders.Open(ctx, order("o", ""))
	require.NoError(t, err, "a workflow that starts again holds the first request")
	require.Equal(t, corrected, opened.Request, "and continues with the corrected one")

	var actions []struct{ Actor, Code, Reason string }
	require.NoError(t, db.SelectContext(ctx, &actions,
		`SELECT actor, code, reason FROM order_history WHERE order_id = 'o' AND code IN ('correct', 'retry') ORDER BY seq`))
	require.Len(t, actions, 2)
	require.Equal(t, by.Actor, actions[0].Actor)
	require.Equal(t, by.Reason, actions[1].Reason)
}

func TestAnOrderThatRequiresActionCanBeSwappedOrUndone(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	key := open(t, store, "o", "")
	claim(t, store, key)
	why := provision.Failure{Code: provision.CodePermissionMissing, Reason: "denied"}
	require.NoError(t, store.Orders.RequireAction(ctx, key, why))
	_, err := store.Orders.RejectAccount(ctx, key, "000000000001",
		provision.Failure{Code: provision.CodeAccountSwappedByOperator, Reason: "an operator swapped the account"}, false)
	require.NoError(t, err)
	require.Equal(t, "000000000002", claim(t, store, key).Account.ID)

	require.NoError(t, store.Orders.RequireAction(ctx, key, why))
	require.NoError(t, store.Orders.BeginUndo(ctx, key,
		provision.Failure{Code: provision.CodeFailedByOperator, Reason: "an operator ended the order"}))
	require.NoError(t, store.Orders.RequireAction(ctx, key, why), "an attempt that wakes up late does not bring it back")
	view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, provision.Compensating, view.State)
}

// history is who did what to order o, oldest first, as "actor: from>to code (reason)".
func history(t *testing.T, db *sqlx.DB) (rows []string) {
	t.Helper()
	require.NoError(t, db.SelectContext(t.Context(), &rows, `
		SELECT format('%s: %s>%s %s (%s)', actor, from_state, to_state, code, reason)
		FROM order_history WHERE order_id = 'o' ORDER BY seq`))
	return rows
}

var (
	cancelled = provision.Failure{Code: provision.CodeOrderCancelled, Reason: "the order was cancelled"}
	ended     = provision.Failure{Code: provision.CodeFailedByOperator, Reason: "an operator ended the order"}
	by        = provision.Intervention{Actor: "key store", Reason: "the customer called", ID: "update-1"}
)

func TestStopWritesWhoAndWhyWithTheChange(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reach func(t *testing.T, store *postgres.DB, key provision.OrderKey)
		why   provision.Failure
		state provision.OrderState
	}{
		"cancel, accepted": {func(*testing.T, *postgres.DB, provision.OrderKey) {}, cancelled, provision.Cancelled},
		"fail, accepted":   {func(*testing.T, *postgres.DB, provision.OrderKey) {}, ended, provision.Failed},
		"cancel, waiting": {func(t *testing.T, store *postgres.DB, key provision.OrderKey) {
			t.Helper()
			require.Nil(t, claim(t, store, key).Account)
		}, cancelled, provision.Cancelled},
		"fail, provisioning": {func(t *testing.T, store *postgres.DB, key provision.OrderKey) {
			t.Helper()
			createAccounts(t, store, provision.ModelSPAM, 1, 1)
			claim(t, store, key)
		}, ended, provision.Compensating},
		"cancel, action required": {func(t *testing.T, store *postgres.DB, key provision.OrderKey) {
			t.Helper()
			createAccounts(t, store, provision.ModelSPAM, 1, 1)
			claim(t, store, key)
			require.NoError(t, store.Orders.RequireAction(t.Context(), key, why))
		}, cancelled, provision.Compensating},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, store, db := setup(t)
			key := open(t, store, "o", "")
			test.reach(t, store, key)
			before, err := store.Orders.Status(ctx, key)
			require.NoError(t, err)
			rows := len(history(t, db))

			require.NoError(t, store.Orders.Stop(ctx, key, "stop", test.why, by))
			require.NoError(t, store.Orders.Stop(ctx, key, "stop", test.why, by), "a repeat of the same action")
			status, err := store.Orders.Status(ctx, key)
			require.NoError(t, err)
			require.Equal(t, provision.OrderStatus{State: test.state, AccountID: before.AccountID, Failure: &test.why}, status)
			require.Equal(t, []string{
				fmt.Sprintf("key store: %s>%[1]s stop (the customer called)", before.State),
				fmt.Sprintf("key store: %s>%s %s (the customer called)", before.State, test.state, test.why.Code),
			}, history(t, db)[rows:])

			another := by
			another.ID = "update-2"
			refusedAs(t, store.Orders.Stop(ctx, key, "stop", test.why, another), provision.CodeTooLate)
			another.ID = ""
			refusedAs(t, store.Orders.Stop(ctx, key, "stop", test.why, another), provision.CodeTooLate)
			require.Len(t, history(t, db), rows+2, "what is refused is not written down")
			refusedAs(t, pgtest.Err(store.Steps.Begin(ctx, key, account1, provision.StepAlias, 1)), provision.CodeOrderNotInProgress)
			if test.state != provision.Compensating {
				createAccounts(t, store, provision.ModelSPAM, 2, 2)
				_, err = store.Orders.Claim(ctx, key)
				refusedAs(t, err, provision.CodeOrderNotInProgress)
			}
			_, err = store.Orders.Close(ctx, provision.OrderClosing{Order: key, State: provision.Cancelled, Failure: test.why})
			require.NoError(t, err, "the workflow ends it, if it has not ended")
		})
	}
}

func TestACompletedOrderCannotBeStopped(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	require.NoError(t, store.Orders.Allocate(ctx, key, account1, provision.Result{AccountID: account1}))
	rows := history(t, db)
	refusedAs(t, store.Orders.Stop(ctx, key, "cancel", cancelled, by), provision.CodeTooLate)
	require.Equal(t, rows, history(t, db))
	require.ErrorIs(t, store.Orders.Stop(ctx, provision.OrderKey{Provider: "acme", ID: "lost"}, "cancel", cancelled, by),
		provision.ErrNotFound)
}

func TestARepeatedActionIsWrittenDownOnce(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	key := open(t, store, "o", "")
	claim(t, store, key)
	require.NoError(t, store.Orders.RequireAction(ctx, key, why))
	rows := len(history(t, db))
	corrected := order("o", "").Request
	corrected.AccountAlias = "first"
	require.NoError(t, store.Orders.Correct(ctx, key, corrected, by))
	corrected.AccountAlias = "second"
	another := by
	another.ID = "update-2"
	require.NoError(t, store.Orders.Correct(ctx, key, corrected, another))
	stale := corrected
	stale.AccountAlias = "first"
	require.NoError(t, store.Orders.Correct(ctx, key, stale, by), "the answer to the first got lost, so it comes again")
	view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
	require.NoError(t, err)
	require.Equal(t, corrected, view.Request)

	retry := provision.Intervention{Actor: "operator", Reason: "AWS was ill", ID: "update-3"}
	require.NoError(t, store.Orders.NoteAction(ctx, key, "retry", retry))
	require.NoError(t, store.Orders.NoteAction(ctx, key, "retry", retry))
	unnamed := provision.Intervention{Actor: "operator", Reason: "again"}
	require.NoError(t, store.Orders.NoteAction(ctx, key, "retry", unnamed))
	require.NoError(t, store.Orders.NoteAction(ctx, key, "retry", unnamed))
	require.Equal(t, []string{
		"key store: action_required>action_required correct (the customer called)",
		"key store: action_required>action_required correct (the customer called)",
		"operator: action_required>action_required retry (AWS was ill)",
		"operator: action_required>action_required retry (again)",
		"operator: action_required>action_required retry (again)",
	}, history(t, db)[rows:])
	lost := provision.OrderKey{Provider: "acme", ID: "lost"}
	require.NoError(t, store.Orders.NoteAction(ctx, lost, "retry", retry),
		"the reconciler notes what it did to an order that has no row yet")
	require.ErrorIs(t, store.Orders.Correct(ctx, lost, corrected, retry), provision.ErrNotFound)
}

// An action that comes while the state changes shows the state after it: its row never comes last with an old state.
func TestAnActionIsWrittenDownInItsPlace(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	key := open(t, store, "o", "")
	tx, err := db.BeginTxx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, `SELECT set_config('qm.actor', 'test', true)`)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, `UPDATE orders SET state = 'cancelled' WHERE id = 'o'`)
	require.NoError(t, err)

	noted := make(chan error, 1)
	go func() { noted <- store.Orders.NoteAction(ctx, key, "retry", by) }()
	require.Eventually(t, func() bool {
		var waiting bool
		require.NoError(t, db.GetContext(ctx, &waiting,
			`SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`))
		return waiting
	}, 20*time.Second, 10*time.Millisecond, "it waits for the change")
	require.NoError(t, tx.Commit())
	require.NoError(t, <-noted)
	rows := history(t, db)
	require.Equal(t, []string{"test: accepted>cancelled  ()", "key store: cancelled>cancelled retry (the customer called)"}, rows[1:])
}

func TestAnUnusableAccountOfAnOrderThatIsBeingUndoneIsInvalid(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	key := open(t, store, "o", "")
	claim(t, store, key)
	require.NoError(t, store.Orders.Stop(ctx, key, "cancel", cancelled, by))
	_, err := store.Orders.RejectAccount(ctx, key, account1, provision.Failure{Code: provision.CodeAccountSuspended, Reason: "suspended"},
		false)
	require.NoError(t, err)
	status, err := store.Orders.Status(ctx, key)
	require.NoError(t, err)
	require.Equal(t, provision.OrderStatus{State: provision.Compensating, Failure: &cancelled}, status, "it takes no other account")
	require.Empty(t, contradictions(t, store, reconcile.Bounds{Accepted: time.Hour, Provisioning: time.Hour,
		Compensating: time.Hour, Deadlines: time.Hour, Grace: time.Hour}))
	_, err = store.Orders.Close(ctx, provision.OrderClosing{Order: key, State: provision.Cancelled, Failure: cancelled})
	require.NoError(t, err)
	a, err := store.Accounts.Get(ctx, "acme", account1)
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, a.Status)
}

// An order keeps the settings that it has read again: every later Open returns them.
func TestAnOrderKeepsTheSettingsThatItReadAgain(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	key := open(t, store, "o", "")
	before, err := store.Orders.RereadSettings(ctx, key)
	require.NoError(t, err)
	require.Equal(t, "us-east-1", before.ReportRegion)
	_, err = db.ExecContext(ctx, `UPDATE pools SET report_region = 'eu-west-1'`)
	require.NoError(t, err)
	now, err := store.Orders.RereadSettings(ctx, key)
	require.NoError(t, err)
	require.Equal(t, "eu-west-1", now.ReportRegion)
	_, err = db.ExecContext(ctx, `UPDATE pools SET report_region = 'eu-west-2'`)
	require.NoError(t, err)
	var kept []byte
	require.NoError(t, db.GetContext(ctx, &kept, `SELECT settings FROM orders WHERE id = 'o'`))
	require.Contains(t, string(kept), "eu-west-1", "only a retry reads them")
	_, err = store.Orders.RereadSettings(ctx, provision.OrderKey{Provider: key.Provider, ID: "unknown"})
	require.ErrorIs(t, err, provision.ErrNotFound)
}
