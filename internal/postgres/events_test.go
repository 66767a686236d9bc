package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

func emit(t *testing.T, db sqlx.Execer, provider, eventType, subject string) {
	t.Helper()
	_, err := db.Exec(`SELECT emit_event($1, $2, $3, '{"marketplace": "north"}')`, provider, eventType, subject)
	require.NoError(t, err)
}

// follow reads on from a place, and returns what came and the new place.
func follow(t *testing.T, store *postgres.DB, after int64) (subjects []string, upTo int64) {
	t.Helper()
	events, upTo, err := store.Events.List(t.Context(), provision.Tenant{Provider: "acme"}, provision.EventFilter{After: after, Limit: 100})
	require.NoError(t, err)
	for _, e := range events {
		subjects = append(subjects, e.Subject)
	}
	return subjects, upTo
}

// Two transactions are open; the one with the later seq commits first. In the second case the one with the later
// seq also has the lower transaction number, so that comparing numbers alone loses an event too.
func TestEventsOfTransactionsThatCommitOutOfOrderAreNotLost(t *testing.T) {
	t.Parallel()
	for name, numbers := range map[string][2]string{"in the order of their numbers": {"first", "second"},
		"against the order of their numbers": {"second", "first"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, store, db := setup(t)
			open := map[string]*sqlx.Tx{}
			for _, who := range numbers { // who gets the lower number
				tx, err := db.BeginTxx(t.Context(), nil)
				require.NoError(t, err)
				_, err = tx.Exec(`SELECT pg_current_xact_id()`)
				require.NoError(t, err)
				open[who] = tx
			}
			emit(t, open["first"], "acme", "stock.low", "first")
			emit(t, open["second"], "acme", "stock.low", "second")
			require.NoError(t, open["second"].Commit())

			subjects, at := follow(t, store, 0)
			require.Empty(t, subjects, "nothing is told while a predecessor may still appear")
			naive := func(condition string, after int64) (subjects []string, last int64) {
				var rows []struct {
					Seq     int64
					Subject string
				}
				require.NoError(t, db.Select(&rows,
					`SELECT seq, subject FROM events WHERE provider = 'acme' AND seq > $1 `+condition+` ORDER BY seq`, after))
				last = after
				for _, row := range rows {
					subjects, last = append(subjects, row.Subject), row.Seq
				}
				return subjects, last
			}
			byNumber := `AND tx < pg_snapshot_xmin(pg_current_snapshot())`
			seen, naiveAt := naive("", 0)
			var seenByNumber []string
			var numberAt int64
			if numbers[0] == "second" {
				require.Eventually(t, func() bool { // numbers are the whole server's, and other tests have transactions too
					seenByNumber, numberAt = naive(byNumber, 0)
					return len(seenByNumber) > 0
				}, 2*time.Minute, 5*time.Millisecond)
			}
			require.NoError(t, open["first"].Commit())

			subjects, _ = follow(t, store, at)
			require.Equal(t, []string{"first", "second"}, subjects)
			// The negative controls: readers that go by seq alone, or by seq and the number of the transaction, lose the first
			// event.
			later, _ := naive("", naiveAt)
			require.Equal(t, []string{"second"}, append(seen, later...))
			later, _ = naive(byNumber, numberAt)
			if numbers[0] == "second" {
				require.Equal(t, []string{"second"}, append(seenByNumber, later...))
			}
		})
	}
}

func TestEventsThatRolledBackHoldNoReaderUp(t *testing.T) {
	t.Parallel()
	_, store, db := setup(t)
	tx, err := db.BeginTxx(t.Context(), nil)
	require.NoError(t, err)
	emit(t, tx, "acme", "stock.low", "never")
	emit(t, db, "acme", "stock.low", "there")
	emit(t, db, "other", "stock.low", "not theirs")
	require.NoError(t, tx.Rollback())
	subjects, _ := follow(t, store, 0)
	require.Equal(t, []string{"there"}, subjects)
}

func TestEventsAreFiltered(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	open(t, store, "o-1", "")
	open(t, store, "o-2", "")
	emit(t, db, "acme", "stock.low", "o-1")
	for wanted, filter := range map[string]provision.EventFilter{
		"[order.accepted o-1 order.accepted o-2 stock.low o-1]": {},
		"[order.accepted o-1]":                    {OrderID: "o-1"},
		"[order.accepted o-1 order.accepted o-2]": {OrdersOnly: true},
		"[stock.low o-1]":                         {Type: "stock.*"},
		"[]":                                      {Type: "order.accepted.*"},
	} {
		filter.Limit = 10
		events, _, err := store.Events.List(ctx, provision.Tenant{Provider: "acme"}, filter)
		require.NoError(t, err)
		got := []string{}
		for _, e := range events {
			got = append(got, e.Type, e.Subject)
		}
		require.Equal(t, wanted, fmt.Sprint(got), "%+v", filter)
	}
}

func TestWhoWasAwayForTooLongIsTold(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	for i := range 3 {
		emit(t, db, "acme", "stock.low", fmt.Sprint(i))
	}
	first, _, err := store.Events.List(ctx, provision.Tenant{Provider: "acme"}, provision.EventFilter{Limit: 1})
	require.NoError(t, err)
	// Two of them are old; nothing but a test turns back a clock.
	db.MustExec(`ALTER TABLE events DISABLE TRIGGER events_append_only`)
	db.MustExec(`UPDATE events SET at = at - interval '91 days' WHERE subject < '2'`)
	more, err := store.Events.Purge(ctx, 1)
	require.NoError(t, err)
	require.True(t, more, "a purge is bounded")
	more, err = store.Events.Purge(ctx, 2)
	require.NoError(t, err)
	require.False(t, more)
	subjects, upTo := follow(t, store, 0)
	require.Equal(t, []string{"2"}, subjects)
	for _, after := range []int64{first[0].Seq, upTo + 1} {
		_, _, err = store.Events.List(ctx, provision.Tenant{Provider: "acme"}, provision.EventFilter{After: after, Limit: 1})
		require.ErrorIs(t, err, provision.ErrGone)
	}
	_, _, err = store.Events.List(ctx, provision.Tenant{Provider: "acme"}, provision.EventFilter{After: first[0].Seq + 1, Limit: 1})
	require.NoError(t, err, "who has the last one that was purged has missed nothing")
}

// What people write freely may name a customer. Histories show it to those who may read them; events go to other systems.
func TestEventsNeverHoldWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	store, db := watched(t, 2)
	ctx := t.Context()
	const written = "Jane Roe of Acme called"
	endState := []provision.OrderState{provision.Cancelled, provision.Failed}
	for i, why := range []provision.Failure{cancelled, ended} {
		key := open(t, store, fmt.Sprintf("stopped-%d", i), "")
		claim(t, store, key)
		why.Comment = written
		require.NoError(t, store.Orders.Stop(ctx, key, "stop", why, provision.Intervention{Actor: "key store", Reason: written}))
		_, err := store.Orders.Close(ctx, provision.OrderClosing{Order: key, State: endState[i], Failure: why})
		require.NoError(t, err)
		view, err := store.Orders.Get(ctx, key.Tenant(), key.ID)
		require.NoError(t, err)
		require.Equal(t, written, view.Failure.Comment, "readers of the order see it")
	}
	key := open(t, store, "swapped", "")
	account := claim(t, store, key).Account.ID
	swapped := provision.Failure{Code: provision.CodeAccountSwappedByOperator, Reason: "an operator swapped the account", Comment: written}
	_, err := store.Orders.RejectAccount(ctx, key, account, swapped, false)
	require.NoError(t, err)
	rejected, err := store.Accounts.Get(ctx, "acme", account)
	require.NoError(t, err)
	require.Contains(t, rejected.Reason, written, "readers of the account see it")
	require.Equal(t, []string{"stock.empty"}, watch(t, store), "the order has the last account")
	_, err = store.Stock.AcknowledgeAlert(ctx, "key abc", "acme", alerts(t, store)[0].ID, written)
	require.NoError(t, err)

	var events []string
	require.NoError(t, db.SelectContext(ctx, &events, `SELECT type || ' ' || data FROM events`))
	all := strings.Join(events, "\n")
	for _, emitted := range []string{"order.cancelled", "order.failed", "stock.acknowledged"} {
		require.Contains(t, all, emitted)
	}
	require.NotContains(t, all, written)
}

func TestAFilterSelectsTheSameEventsInMemory(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	for _, e := range [][3]string{
		{"order.accepted", "1", "north"}, {"order.completed", "1", "north"}, {"order.accepted", "2", "south"},
		{"stock.low", "1", ""}, {"orders_like.x", "1", ""}, {"webhook.test", "w", ""},
	} {
		db.MustExec(`SELECT emit_event('acme', $1, $2, jsonb_strip_nulls(jsonb_build_object('marketplace', NULLIF($3, ''))))`, e[0], e[1], e[2])
	}
	everything, _, err := store.Events.List(ctx, provision.Tenant{Provider: "acme"}, provision.EventFilter{Limit: 100})
	require.NoError(t, err)
	require.Len(t, everything, 6)
	for _, marketplaces := range [][]string{nil, {}, {"north"}, {"north", "south"}, {"other"}} {
		of := provision.Tenant{Provider: "acme", Marketplaces: marketplaces}
		for _, order := range []string{"", "1", "3"} {
			for _, kind := range []string{"", "order.*", "order.accepted", "order*", "*", ".*", "stock.*", "stock.low", "or.*"} {
				for _, ordersOnly := range []bool{false, true} {
					filter := provision.EventFilter{OrderID: order, Type: kind, OrdersOnly: ordersOnly, Limit: 100}
					listed, _, err := store.Events.List(ctx, of, filter)
					require.NoError(t, err)
					var selected []provision.Event
					for _, e := range everything {
						if filter.Selects(of, e) {
							selected = append(selected, e)
						}
					}
					require.Equal(t, listed, selected, "%+v %+v", of, filter)
				}
			}
		}
	}
}
