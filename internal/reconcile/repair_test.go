package reconcile_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

// actions lists what was noted of an order without changing its state.
func (w *orders) actions(id string) (actions []string) {
	w.t.Helper()
	require.NoError(w.t, w.db.SelectContext(w.t.Context(), &actions,
		`SELECT actor || ': ' || code FROM order_history WHERE order_id = $1 AND from_state = to_state ORDER BY seq`, id))
	return actions
}

func (w *orders) repair() reconcile.Report {
	w.t.Helper()
	report, err := w.FindAndRepair(w.t.Context())
	require.NoError(w.t, err)
	require.Equal(w.t, len(report.Findings), report.Raised+report.Repaired)
	return report
}

func TestATerminatedOrderThatTouchedNothingIsStartedAgain(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"fresh", "waits", "asked"} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.closed(id, "Terminated", reconcile.Settled+time.Minute)
			report := w.repair()
			require.Zero(t, report.Raised, report)
			require.Len(t, w.temporal.restarted, 1)
			require.Equal(t, key(id), w.temporal.restarted[0].OrderKey)
			require.Empty(t, w.temporal.continued)
			require.Equal(t, []string{"reconciler: restart"}, w.actions(id))

			// The new run finds its row and, as the first one would, an account.
			opened, err := w.store.Orders.Open(t.Context(), w.temporal.restarted[0])
			require.NoError(t, err)
			require.False(t, opened.State.Ended())
			again := w.repair()
			require.Empty(t, again.Findings, "nothing is left to repair")
			require.Len(t, w.temporal.restarted, 1)
		})
	}
}

func TestACorrectedOrderIsStartedAgainAsItWasFirstPlaced(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := order("asked", "").Request
	corrected := first
	for _, alias := range []string{"better-alias", "best-alias"} {
		corrected.AccountAlias = alias
		require.NoError(t, w.store.Orders.Correct(t.Context(), key("asked"), corrected, provision.Intervention{Actor: "shop"}))
	}
	w.closed("asked", "Terminated", time.Hour)
	require.Equal(t, 2, w.repair().Repaired, "the order and its account")
	require.Len(t, w.temporal.restarted, 1)
	require.Equal(t, first, w.temporal.restarted[0].Request, "its hash is the one that the row and every repeated POST are compared with")

	view, err := w.store.Orders.Get(t.Context(), key("asked").Tenant(), key("asked").ID)
	require.NoError(t, err)
	require.Equal(t, provision.Provisioning, view.State, "the new run asks its questions again")
	require.Equal(t, view.AcceptedAt.UTC(), w.temporal.restarted[0].AcceptedAt)
	opened, err := w.store.Orders.Open(t.Context(), w.temporal.restarted[0])
	require.NoError(t, err, "the corrected order is not refused")
	require.Equal(t, opened.Nonce, w.temporal.restarted[0].Nonce, "what it makes in AWS is its own, even when its row is lost after this")
	require.Equal(t, corrected, opened.Request, "and goes on with its corrections")
	claim, err := w.store.Orders.Claim(t.Context(), key("asked"))
	require.NoError(t, err)
	require.Equal(t, account(3), claim.Account.ID, "and with its account")
}

// A run from the beginning would take the half changed account for what was there before the order.
func TestATerminatedOrderThatTouchedItsAccountContinuesWhereItWas(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"work", "undo"} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.closed(id, "Terminated", reconcile.Settled+time.Minute)
			report := w.repair()
			require.Equal(t, 2, report.Repaired, report)
			require.Zero(t, report.Raised)
			require.Equal(t, []string{"run of " + id}, w.temporal.continued)
			require.Empty(t, w.temporal.restarted)
			require.Equal(t, []string{"reconciler: continue"}, w.actions(id))
			require.Empty(t, w.repair().Findings)
		})
	}
}

func TestNothingIsTakenOverWhileAnAttemptMayStillRun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, id := range []string{"fresh", "work", "undo"} {
		w.closed(id, "Terminated", reconcile.Settled-time.Minute)
	}
	report := w.repair()
	require.Zero(t, report.Repaired)
	require.Equal(t, 5, report.Raised, "three orders, two accounts")
	for _, f := range report.Findings {
		require.True(t, f.Repairable, f)
	}
	require.Empty(t, w.temporal.restarted)
	require.Empty(t, w.temporal.continued)
}

func TestAnOrderThatCannotBeTakenOverSafelyIsRaised(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(w *orders){
		"its history is gone in the middle of the work": func(w *orders) { w.forgotten("work"); w.forgotten("undo") },
		"it ended by its own decision": func(w *orders) {
			for _, id := range []string{"work", "undo"} {
				w.closed(id, "Failed", time.Hour)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			lose(w)
			w.violate(`UPDATE orders SET state_since = now() - interval '30 minutes' WHERE id IN ('work', 'undo');
				UPDATE order_steps SET started_at = now() - interval '29 minutes', finished_at = NULL`)
			report := w.repair()
			require.Equal(t, []string{
				"account_without_workflow undo",
				"account_without_workflow work",
				"order_without_workflow undo",
				"order_without_workflow work",
			}, shorten(t, report.Findings))
			require.Equal(t, 4, report.Raised)
			for _, f := range report.Findings {
				require.False(t, f.Repairable, f)
			}
			require.Empty(t, w.temporal.restarted)
			require.Empty(t, w.temporal.continued)
		})
	}
}

func TestAnOrderThatTemporalForgotIsStartedAgainIfItTouchedNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.forgotten("waits")
	w.violate(`UPDATE orders SET state_since = now() - interval '5 minutes' WHERE id = 'waits'`)
	require.Equal(t, 1, w.repair().Raised, "too early")
	w.violate(`UPDATE orders SET state_since = now() - interval '7 minutes' WHERE id = 'waits'`)
	require.Equal(t, 1, w.repair().Repaired)
	require.Len(t, w.temporal.restarted, 1)
}

func TestAnOrderThatChangesDuringTheRepairIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.store.Orders.PrepareRestart(t.Context(), key("work"), "test", "")
	require.ErrorIs(t, err, provision.ErrConflict, "its account is touched")
	_, err = w.store.Orders.PrepareRestart(t.Context(), key("undo"), "test", "")
	require.ErrorIs(t, err, provision.ErrConflict)
	_, err = w.store.Orders.PrepareRestart(t.Context(), key("done"), "test", "")
	require.ErrorIs(t, err, provision.ErrConflict)
	_, err = w.store.Orders.PrepareRestart(t.Context(), key("unknown"), "test", "")
	require.ErrorIs(t, err, provision.ErrNotFound)

	// Found while nothing was touched, and touched before the repair.
	w.closed("asked", "Terminated", time.Hour)
	w.Orders = changedBeforeRestart{w.store.Orders, func() {
		require.NoError(t, pgtest.Err(w.store.Steps.Begin(t.Context(), key("asked"), account(3), provision.StepUser, 1)))
	}}
	report := w.repair()
	require.Equal(t, 2, report.Raised)
	require.Empty(t, w.temporal.restarted)
	require.Empty(t, w.actions("asked"), "what did not happen is not noted")
}

func TestOrdersThatCanContinueAreWoken(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.violate(`UPDATE orders SET model = NULL, state_since = now() - interval '2 minutes' WHERE id = 'waits';
		UPDATE accounts SET status_since = now() - interval '2 minutes' WHERE id = '000000000005';
		DELETE FROM order_steps WHERE order_id = 'work'; UPDATE orders SET state_since = now() - interval '2 minutes' WHERE id = 'work'`)
	report := w.repair()
	require.Equal(t, 2, report.Repaired, report)
	require.ElementsMatch(t, []provision.OrderKey{key("waits"), key("work")}, w.temporal.woken)

	claim, err := w.store.Orders.Claim(t.Context(), key("waits")) // what the woken order does
	require.NoError(t, err)
	require.Equal(t, account(5), claim.Account.ID)
}

// changedBeforeRestart changes something after the reconciler has looked and before it restarts an order.
type changedBeforeRestart struct {
	reconcile.Orders
	change func()
}

func (s changedBeforeRestart) PrepareRestart(ctx context.Context, key provision.OrderKey, actor, reason string) (provision.Order, error) {
	s.change()
	return s.Orders.PrepareRestart(ctx, key, actor, reason)
}
