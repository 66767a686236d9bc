package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

func TestNothingIsFoundWhenEverythingAgrees(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Empty(t, w.found())

	// A correction keeps the hash of the first request, and that is right.
	corrected := order("asked", "").Request
	for _, alias := range []string{"better-alias", "best-alias"} {
		corrected.AccountAlias = alias
		require.NoError(t, w.store.Orders.Correct(t.Context(), key("asked"), corrected, provision.Intervention{Actor: "test"}))
	}
	require.Empty(t, w.found())
}

// Each case breaks one promise around the schema, and lists everything that is found then, no more and no less.
func TestEveryContradictionIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		violate string
		found   []string
	}{
		"an order in progress without its account": {
			`UPDATE accounts SET status = 'invalid', order_id = NULL, reason = 'x' WHERE id = '000000000002'`,
			[]string{"account_history_differs 000000000002", "order_without_account work"}},
		"an order that waits for an answer without its account": {
			`UPDATE accounts SET status = 'invalid', order_id = NULL, reason = 'x' WHERE id = '000000000003'`,
			[]string{"account_history_differs 000000000003", "order_without_account asked"}},
		"an order that is undone without its account": {
			`UPDATE accounts SET status = 'ready', order_id = NULL WHERE id = '000000000004'`,
			[]string{"account_history_differs 000000000004", "order_without_account undo"}},
		"two accounts of one order": {
			`DROP INDEX accounts_one_per_order; UPDATE accounts SET status = 'provisioning', order_id = 'work' WHERE id = '000000000005'`,
			[]string{"account_history_differs work", "order_holds_two_accounts work"}},
		"an account of a failed order": {
			`UPDATE accounts SET status = 'provisioning', order_id = 'gone' WHERE id = '000000000005'`,
			[]string{"account_held_wrongly gone", "account_history_differs gone"}},
		"an account of a waiting order": {
			`UPDATE accounts SET status = 'provisioning', order_id = 'waits', model = 'ECAM' WHERE id = '000000000005'`,
			[]string{"account_held_wrongly waits", "account_history_differs waits"}},
		"an account of an accepted order": {
			`UPDATE accounts SET status = 'allocated', order_id = 'fresh' WHERE id = '000000000005'`,
			[]string{"account_held_wrongly fresh", "account_history_differs fresh"}},
		"an account of no order": {
			`UPDATE accounts SET status = 'provisioning', order_id = 'unknown' WHERE id = '000000000005'`,
			[]string{"account_held_wrongly unknown", "account_history_differs unknown"}},
		"an allocated account of an order in progress": {
			`UPDATE accounts SET status = 'allocated' WHERE id = '000000000002'`,
			[]string{"account_held_wrongly work", "account_history_differs work", "order_without_account work"}},
		"an account of another environment": {
			`UPDATE accounts SET environment = 'test' WHERE id = '000000000002'`,
			[]string{"account_of_other_pool work"}},
		"an account of another model": {
			`UPDATE accounts SET model = 'ECAM' WHERE id = '000000000002'; UPDATE orders SET model = 'SPAM' WHERE id = 'work'`,
			[]string{"account_of_other_pool work"}},
		"a completed order without its account": {
			`UPDATE accounts SET status = 'provisioning_failed', reason = 'x' WHERE id = '000000000001'`,
			[]string{"account_history_differs done", "completed_without_account done"}},
		"a completed order whose result names another account": {
			`UPDATE orders SET result = result || '{"account_id": "000000000005"}' WHERE id = 'done'`,
			[]string{"completed_without_account done", "password_kept done"}},
		"a status without its history entry": {
			`UPDATE accounts SET status = 'invalid', reason = 'x' WHERE id = '000000000005'`,
			[]string{"account_history_differs 000000000005"}},
		"an account without a history": {
			`DELETE FROM account_history WHERE account_id = '000000000005'`,
			[]string{"account_history_differs 000000000005"}},
		"a state without its history entry": {
			`UPDATE orders SET state = 'provisioning' WHERE id = 'asked'`,
			[]string{"order_history_differs asked"}},
		"an order without a history": {
			`DELETE FROM order_history WHERE order_id = 'fresh'`,
			[]string{"order_history_differs fresh"}},
		"accepted for too long": {
			`UPDATE orders SET state_since = now() - interval '6 minutes' WHERE id = 'fresh'`,
			[]string{"order_overdue fresh"}},
		"provisioning for too long": {
			`UPDATE orders SET state_since = now() - interval '61 minutes' WHERE id = 'work'`,
			[]string{"order_overdue work"}},
		"undone for too long": {
			`UPDATE orders SET state_since = now() - interval '61 minutes' WHERE id = 'undo'`,
			[]string{"order_overdue undo"}},
		"waiting past the deadline": {
			`UPDATE pools SET wait_deadline = '2 hours'; UPDATE orders SET created_at = now() - interval '181 minutes' WHERE id = 'waits'`,
			[]string{"order_overdue waits"}},
		"asking past the deadline": {
			`UPDATE orders SET state_since = now() - interval '14 days 61 minutes' WHERE id = 'asked'`,
			[]string{"order_overdue asked"}},
		"a password of a failed order": {
			`UPDATE order_passwords SET sealed = 'x' WHERE order_id = 'gone'`,
			[]string{"password_kept gone"}},
		"a password of a cancelled order": {
			`UPDATE orders SET state = 'cancelled' WHERE id = 'gone';
			 INSERT INTO order_history (provider, order_id, marketplace, environment, actor, to_state)
			 SELECT provider, id, marketplace, environment, 'test', 'cancelled' FROM orders WHERE id = 'gone';
			 UPDATE order_passwords SET sealed = 'x' WHERE order_id = 'gone'`,
			[]string{"password_kept gone"}},
		"a step that is done after its order ended": {
			`INSERT INTO order_steps (provider, order_id, account_id, step, state, attempt, finished_at)
			 VALUES ('acme', 'gone', '000000000001', 'account_alias', 'done', 2, now() + interval '1 second')`,
			[]string{"step_of_ended_order gone"}},
		"a step that begins after its order ended": {
			`INSERT INTO order_steps (provider, order_id, account_id, step, state, attempt, started_at)
			 VALUES ('acme', 'gone', '000000000001', 'iam_user', 'running', 2, now() + interval '1 second')`,
			[]string{"step_of_ended_order gone"}},
		"two orders at one place": {
			`DROP INDEX orders_queue_position;
			 UPDATE orders SET queue_position = (SELECT queue_position FROM orders WHERE id = 'work') WHERE id = 'asked'`,
			[]string{"queue_position_twice asked", "queue_position_twice work"}},
		"another request": {
			`UPDATE orders SET request = request || '{"iam_user_name": "intruder"}' WHERE id = 'work'`,
			[]string{"request_hash_differs work"}},
		"another first request": {
			`UPDATE orders SET earlier_requests = jsonb_build_array(request || '{"iam_user_name": "intruder"}') WHERE id = 'asked'`,
			[]string{"request_hash_differs asked"}},
		"another request of an order that ended long ago": {
			`UPDATE orders SET request = request || '{"iam_user_name": "intruder"}', state_since = now() - interval '1 year'
			 WHERE id = 'gone'`,
			[]string{"request_hash_differs gone"}},
		"stock next to an order that waits for it": {
			`UPDATE orders SET model = NULL, state_since = now() - interval '2 minutes' WHERE id = 'waits';
			 UPDATE accounts SET status_since = now() - interval '2 minutes' WHERE id = '000000000005'`,
			[]string{"stock_not_given_out waits"}},
		"a new password that does not end": {
			`INSERT INTO order_passwords (provider, order_id, account_id, request, created_at)
			 VALUES ('acme', 'done', '000000000001', 'r1', now() - interval '3 hours')`,
			[]string{"password_overdue done"}},
		"a removal that does not end": {
			`UPDATE accounts SET removing_since = now() - interval '3 hours' WHERE id = '000000000005'`,
			[]string{"removal_overdue 000000000005"}},
		"a pool that gives out nothing": {
			`UPDATE pools SET claims_suspended_at = now() - interval '2 minutes', claims_suspended_because = 'x';
			 UPDATE orders SET model = NULL, state_since = now() - interval '2 minutes' WHERE id = 'waits';
			 UPDATE accounts SET status_since = now() - interval '2 minutes' WHERE id = '000000000005'`,
			[]string{"claims_suspended "}},
		"an order that has not heard that its account may be entered again": {
			`UPDATE pools SET claims_resumed_at = now() - interval '2 minutes';
			 UPDATE orders SET state_since = now() - interval '3 minutes', failure = '{"code": "AccountCannotBeReentered"}'
			 WHERE id = 'asked'`,
			[]string{"order_not_woken asked"}},
		"an order that was stopped and does not know it": {
			`UPDATE order_steps SET started_at = now() - interval '3 minutes' WHERE order_id = 'undo';
			 UPDATE orders SET state_since = now() - interval '2 minutes' WHERE id = 'undo'`,
			[]string{"stop_not_heard undo"}},
		"an order that does not know of its account": {
			`DELETE FROM order_steps WHERE order_id = 'work';
			 UPDATE orders SET state_since = now() - interval '2 minutes' WHERE id = 'work'`,
			[]string{"order_not_woken work"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.violate(c.violate)
			require.Equal(t, c.found, w.found())
		})
	}
}

func TestNothingIsFoundWithinTheBounds(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.violate(`
		UPDATE pools SET wait_deadline = '2 hours';
		UPDATE orders SET created_at = now() - interval '179 minutes', state_since = now() - interval '179 minutes' WHERE id = 'waits';
		UPDATE orders SET state_since = now() - interval '4 minutes' WHERE id = 'fresh';
		UPDATE orders SET state_since = now() - interval '59 minutes' WHERE id IN ('work', 'undo');
		UPDATE orders SET state_since = now() - interval '14 days', failure = '{"code": "AccountCannotBeReentered"}' WHERE id = 'asked';
		UPDATE pools SET claims_suspended_at = now() - interval '50 seconds', claims_suspended_because = 'x',
			claims_resumed_at = now() - interval '1 hour';
		UPDATE accounts SET status_since = now() - interval '50 seconds' WHERE id = '000000000005'`)
	require.Empty(t, w.found())
}

// An order that has asked since its pool's claims were resumed has tried its account again: no one needs to wake it.
func TestAnOrderThatHasTriedItsAccountAgainIsNotFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.violate(`
		UPDATE pools SET claims_resumed_at = now() - interval '3 minutes';
		UPDATE orders SET state_since = now() - interval '2 minutes', failure = '{"code": "AccountCannotBeEntered"}' WHERE id = 'asked'`)
	require.Empty(t, w.found())
}

// What an order that ended leaves behind in its records is no contradiction: steps that only read, steps of accounts that did
// not go back clean, and steps that were taken back.
func TestStepsThatEndedWithTheirOrderAreNoFinding(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.violate(`
		INSERT INTO order_steps (provider, order_id, account_id, step, state, attempt, finished_at) VALUES
			('acme', 'gone', '000000000001', 'inspect_account', 'done', 1, now() + interval '1 second'),
			('acme', 'gone', '000000000001', 'compare_with_journal', 'done', 1, now() + interval '1 second'),
			('acme', 'gone', '000000000001', 'iam_user', 'failed', 1, now() + interval '1 second'),
			('acme', 'gone', '000000000001', 'contacts', 'running', 1, NULL),
			('acme', 'gone', '000000000005', 'account_alias', 'done', 1, now() + interval '1 second');
		INSERT INTO order_steps (provider, order_id, account_id, step, state, attempt, finished_at, fenced_at) VALUES
			('acme', 'gone', '000000000001', 'account_alias', 'undone', 1, now() + interval '1 second', now());
		UPDATE order_steps SET started_at = now() - interval '1 hour' WHERE step = 'contacts'`)
	require.Empty(t, w.found())
}

func TestTheScheduleDoesNotCheckOldRequests(t *testing.T) {
	t.Parallel()
	w := setup(t)
	now := time.Now()
	w.All, w.Now = false, func() time.Time { return now } // every check takes no time, so the next one reads every row too
	w.violate(`UPDATE orders SET request = request || '{"iam_user_name": "intruder"}', state_since = now() - interval '25 hours'
		WHERE id = 'gone'`)
	require.Empty(t, w.found())
	w.violate(`UPDATE orders SET request = request || '{"iam_user_name": "intruder"}' WHERE id = 'done'`)
	require.Equal(t, []string{"request_hash_differs done"}, w.found())
}

func TestOrdersThatNoWorkflowWorksOnAreFound(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"Terminated", "Failed", "TimedOut", "Canceled"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.closed("work", how, 2*time.Minute)
			w.closed("waits", how, 2*time.Minute)
			require.Equal(t, []string{
				"account_without_workflow work",
				"order_without_workflow waits",
				"order_without_workflow work",
			}, w.found())
		})
	}
	t.Run("gone", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.forgotten("fresh")
		require.Empty(t, w.found(), "a row that was written a moment ago")
		w.violate(`UPDATE orders SET state_since = now() - interval '2 minutes' WHERE id = 'fresh'`)
		require.Equal(t, []string{"order_without_workflow fresh"}, w.found())
	})
	t.Run("a moment ago", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.closed("work", "Terminated", 30*time.Second)
		require.Empty(t, w.found())
	})
}

func TestVisibilityThatLagsCausesNoFinding(t *testing.T) {
	t.Parallel()
	w := setup(t)
	delete(w.temporal.open, key("work"))        // runs, but is not listed yet
	w.temporal.open[key("gone")] = time.Now()   // is closed, but still listed
	w.temporal.open[key("unseen")] = time.Now() // has just been started and has no row yet
	w.temporal.runs[key("unseen")] = reconcile.Run{ID: "r", Open: true, Started: time.Now()}
	require.Empty(t, w.found())
}

func TestAnOrderThatEndsDuringTheCheckIsNoFinding(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.closed("undo", "Failed", 2*time.Minute)
	require.Equal(t, []string{"account_without_workflow undo", "order_without_workflow undo"}, w.found())
	w.temporal.looking = func(k provision.OrderKey) {
		_, err := w.store.Orders.Close(t.Context(), provision.OrderClosing{Order: k, State: provision.Failed,
			Failure: provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}, AccountID: account(4)})
		require.NoError(t, err)
	}
	require.Empty(t, w.found(), "the row is read again after its workflow")
}

func TestWorkflowsThatShouldHaveEndedAreFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.runs("done")
	require.Empty(t, w.found(), "a workflow closes a moment after its row")
	w.violate(`UPDATE orders SET state_since = now() - interval '2 minutes' WHERE id = 'done'`)
	require.Equal(t, []string{"workflow_of_ended_order done"}, w.found())
}

func TestAFailedCheckDoesNotHideOtherFindings(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.temporal.down = errors.New("no route")
	w.violate(`UPDATE order_passwords SET sealed = 'x' WHERE order_id = 'gone'`)
	findings, err := w.Find(t.Context())
	require.ErrorIs(t, err, w.temporal.down)
	require.ErrorContains(t, err, "comparing the database with Temporal")
	require.Equal(t, []string{"password_kept gone"}, shorten(t, findings))
}

// One workflow that Temporal does not answer about hides no other.
func TestAWorkflowThatCannotBeReadDoesNotHideOthers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, id := range []string{"fresh", "waits", "work"} {
		w.closed(id, "Terminated", time.Hour)
	}
	w.temporal.unread[key("work")] = errors.New("no answer")
	findings, err := w.Find(t.Context())
	require.ErrorIs(t, err, w.temporal.unread[key("work")])
	require.Equal(t, []string{"order_without_workflow fresh", "order_without_workflow waits"}, shorten(t, findings))
}

func TestAFindingIsOneLineThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.violate(`UPDATE order_passwords SET sealed = 'x' WHERE order_id = 'gone';
		UPDATE orders SET state_since = '2026-11-22 10:00:00Z' WHERE id = 'gone'`)
	findings, err := w.Find(t.Context())
	require.NoError(t, err)
	require.Len(t, findings, 1)
	require.Equal(t, "password_kept [broken] order acme/gone account 000000000001: "+
		"the order is failed, but a password for account 000000000001 is kept, since 2026-11-22T10:00:00Z -- "+
		"check whether the account still has the order's IAM user; then set sealed to NULL in order_passwords", findings[0].String())
}

// TestTheFindingOfAnOverdueOrderStatesItsAge: how long it is in its state, and a waiting one since it was accepted.
func TestTheFindingOfAnOverdueOrderStatesItsAge(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.violate(`
UPDATE pools SET wait_deadline = '2 hours';
UPDATE orders SET created_at = now() - interval '1 day 1 minute' WHERE id = 'waits';
UPDATE orders SET state_since = now() - interval '1 day 2 minutes' WHERE id = 'work';
UPDATE orders SET state_since = now() - interval '1 day 3 minutes' WHERE id = 'undo';
UPDATE orders SET state_since = now() - interval '1 day 4 minutes' WHERE id = 'fresh';
UPDATE orders SET state_since = now() - interval '20 days 5 minutes' WHERE id = 'asked'`)
	findings, err := w.Find(t.Context())
	require.NoError(t, err)
	tells := map[string]string{
		"waits": "since it was accepted 1 day 00:01:0",
		"work":  "has been provisioning for 1 day 00:02:0",
		"undo":  "has been compensating for 1 day 00:03:0",
		"fresh": "has been accepted for 1 day 00:04:0",
		"asked": "has been action_required for 20 days 00:05:0",
	}
	for _, f := range findings {
		if f.Kind == reconcile.KindOrderOverdue {
			require.Contains(t, f.String(), tells[f.Order.ID])
			require.Contains(t, f.String(), ", since ")
			delete(tells, f.Order.ID)
		}
	}
	require.Empty(t, tells)
}

func TestWrongCountsAreFoundAndRepaired(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.violateCounts(`UPDATE accounts SET status = 'invalid', reason = 'around the triggers' WHERE id = '000000000005';
		UPDATE account_history SET to_status = 'invalid' WHERE account_id = '000000000005';
		DELETE FROM pool_counts WHERE kind = 'order' AND status = 'completed'`)
	report, err := w.FindAndRepair(t.Context())
	require.NoError(t, err)
	require.Len(t, report.Findings, 1)
	require.Equal(t, reconcile.KindCountsDiffer, report.Findings[0].Kind)
	require.Equal(t, "they were counted again", report.Findings[0].Repaired)
	for _, named := range []string{
		"invalid SPAM account of pool acme/north/production: 1, counted as 0",
		"ready SPAM account of pool acme/north/production: 0, counted as 1",
		"completed order of pool acme/north/production: 1, counted as 0",
	} {
		require.Contains(t, report.Findings[0].What, named)
	}
	require.Empty(t, w.found())
}

// The rows that are not in progress are read again when that costs little of the time; until then the findings about them hold.
func TestEveryRowIsCheckedAsOftenAsItCostsLittle(t *testing.T) {
	t.Parallel()
	w := setup(t)
	slow := &slowRows{Reconciliation: w.store.Reconciliation, now: time.Now()}
	w.All, w.Reconciliation, w.Now = false, slow, func() time.Time { return slow.now }
	w.violate(`UPDATE orders SET request = request || '{"iam_user_name": "intruder"}' WHERE id = 'done'`)
	wrong := []string{"request_hash_differs done"}
	require.Equal(t, wrong, w.found())
	for range 5 {
		require.Equal(t, wrong, w.found())
	}
	require.Equal(t, 1, slow.reads)
	slow.now = slow.now.Add(99 * time.Second)
	require.Equal(t, wrong, w.found())
	require.Equal(t, 2, slow.reads, "it took a second, so the next one is due after a hundred")
}

// slowRows needs a second to check every row.
type slowRows struct {
	reconcile.Reconciliation
	now   time.Time
	reads int
}

func (s *slowRows) ContradictionsOfEveryRow(ctx context.Context, endedSince time.Time) ([]reconcile.Finding, error) {
	s.reads++
	s.now = s.now.Add(time.Second)
	return s.Reconciliation.ContradictionsOfEveryRow(ctx, endedSince)
}

func TestTenThousandOrdersInProgressCostTwoListsAndNoDescription(t *testing.T) {
	t.Parallel()
	w := setup(t)
	now := time.Now()
	w.All, w.Now = false, func() time.Time { return now }
	w.violate(`INSERT INTO orders (provider, id, marketplace, environment, request, settings, request_sha256, created_at, state,
		queue_position)
		SELECT 'acme', 'many-' || i, 'north', 'production', '{}', '{}', '', now(), 'waiting_for_account', 1000000 + i
		FROM generate_series(1, 10000) i;
		INSERT INTO order_history (provider, order_id, marketplace, environment, actor, to_state)
		SELECT 'acme', 'many-' || i, 'north', 'production', 'test', 'waiting_for_account' FROM generate_series(1, 10000) i`)
	w.Reconciliation = &agreeing{w.store.Reconciliation}
	for i := 1; i <= 10_000; i++ {
		w.runs(fmt.Sprintf("many-%d", i))
	}
	check := func(wrong ...string) (listed []time.Time, described int) {
		w.temporal.listed, w.temporal.described = nil, 0
		require.Equal(t, wrong, w.found())
		return w.temporal.listed, w.temporal.described
	}
	listed, described := check()
	require.Equal(t, []time.Time{{}, {}}, listed, "the first check lists all open and all closed runs")
	require.Zero(t, described)

	now = now.Add(5 * time.Minute)
	w.closed("many-7", "Terminated", -5*time.Minute) // just now, so it is no finding yet
	w.temporal.open[key("many-8")] = now             // it was started again
	listed, described = check()
	changed := now.Add(-20 * time.Minute)
	require.Equal(t, []time.Time{changed, changed}, listed, "what started or closed since the last check")
	require.Equal(t, 1, described, "the order whose run has closed")

	delete(w.temporal.open, key("many-9")) // someone has deleted the run
	now = now.Add(time.Hour)
	listed, described = check("order_without_workflow many-7")
	require.Equal(t, []time.Time{{}, now.Add(-24 * time.Hour)}, listed, "all open runs")
	require.Equal(t, 2, described)
}

// agreeing finds nothing wrong within the database.
type agreeing struct{ reconcile.Reconciliation }

func (agreeing) Contradictions(context.Context, reconcile.Bounds) ([]reconcile.Finding, error) {
	return nil, nil
}

func (agreeing) ContradictionsOfEveryRow(context.Context, time.Time) ([]reconcile.Finding, error) {
	return nil, nil
}

func TestWhatIsWrongIsFoundUntilItIsRight(t *testing.T) {
	t.Parallel()
	w := setup(t)
	now := time.Now()
	w.All, w.Now = false, func() time.Time { return now }
	w.closed("done", "Terminated", 2*time.Hour)
	wrong := []string{"workflow_ended_otherwise done"}
	require.Equal(t, wrong, w.found())
	for range 10 { // the run is no longer among those that closed lately
		now = now.Add(5 * time.Minute)
		require.Equal(t, wrong, w.found())
	}
	w.closed("done", "Completed", 2*time.Hour)
	require.Empty(t, w.found())
}
