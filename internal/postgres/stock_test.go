package postgres_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// watched is a pool with a threshold of two and so many Ready accounts.
func watched(t *testing.T, ready int) (*postgres.DB, *sqlx.DB) {
	t.Helper()
	_, store, db := setup(t)
	threshold := 2
	_, err := store.Pools.Update(t.Context(), "test", pool, 0, func(c *provision.PoolConfig) { c.StockThreshold = &threshold })
	require.NoError(t, err)
	createAccounts(t, store, provision.ModelSPAM, 1, ready)
	return store, db
}

// ready makes so many of the accounts Ready and the others Invalid.
func ready(t *testing.T, db *sqlx.DB, count int) {
	t.Helper()
	actor := `SELECT set_config('qm.actor', 'test', true); `
	_, err := db.ExecContext(t.Context(), `BEGIN; `+actor+`UPDATE accounts SET status = 'invalid', reason = 'test' WHERE status = 'ready';
		UPDATE accounts SET ready_when_verified = true WHERE status = 'invalid'; COMMIT`)
	require.NoError(t, err)
	tx := db.MustBeginTx(t.Context(), nil)
	tx.MustExec(`SELECT set_config('qm.actor', 'test', true)`)
	tx.MustExec(`UPDATE accounts SET status = 'ready', verified_at = clock_timestamp()
		WHERE id IN (SELECT id FROM accounts WHERE status = 'invalid' ORDER BY id LIMIT $1)`, count)
	require.NoError(t, tx.Commit())
}

// watch looks at the stock and returns the types of the events that this wrote.
func watch(t *testing.T, store *postgres.DB) (types []string) {
	t.Helper()
	seen, err := store.Stock.Watch(t.Context())
	require.NoError(t, err)
	for _, e := range seen.Events {
		types = append(types, e.Type)
	}
	return types
}

// pass moves the clock of the pool's open alert by so much.
func pass(t *testing.T, db *sqlx.DB, d time.Duration) {
	t.Helper()
	_, err := db.ExecContext(t.Context(),
		`UPDATE stock_alerts SET opened_at = opened_at - $1 * interval '1 second', kind_since = kind_since - $1 * interval '1 second',
		notified_at = notified_at - $1 * interval '1 second', not_empty_since = not_empty_since - $1 * interval '1 second',
    not_low_since = not_low_since - $1 * interval '1 second'
		WHERE closed_at IS NULL`, d.Seconds())
	require.NoError(t, err)
}

func stockEvents(t *testing.T, db *sqlx.DB) (types []string) {
	t.Helper()
	require.NoError(t, db.Select(&types, `SELECT type FROM events WHERE type LIKE 'stock.%' ORDER BY seq`))
	return types
}

func alerts(t *testing.T, store *postgres.DB) []provision.StockAlert {
	t.Helper()
	found, err := store.Stock.Alerts(t.Context(), "acme", provision.AlertFilter{Limit: 100})
	require.NoError(t, err)
	return found
}

func TestStockThatMovesAroundTheThresholdIsOneAlert(t *testing.T) {
	t.Parallel()
	store, db := watched(t, 4)
	require.Empty(t, watch(t, store), "4 is above 2")
	ready(t, db, 2)
	require.Equal(t, []string{"stock.low"}, watch(t, store))
	for range 5 {
		ready(t, db, 3)
		require.Empty(t, watch(t, store))
		pass(t, db, provision.StockSettles-time.Second)
		ready(t, db, 2)
		require.Empty(t, watch(t, store), "a break, so the time above starts again")
		pass(t, db, time.Minute)
	}
	require.Len(t, alerts(t, store), 1)
	require.Equal(t, []string{"stock.low"}, stockEvents(t, db))

	ready(t, db, 3)
	require.Empty(t, watch(t, store))
	pass(t, db, provision.StockSettles)
	require.Equal(t, []string{"stock.restocked"}, watch(t, store))
	require.Empty(t, watch(t, store), "once")
	closed := alerts(t, store)
	require.Len(t, closed, 1)
	require.NotNil(t, closed[0].ClosedAt)
	ready(t, db, 1)
	require.Equal(t, []string{"stock.low"}, watch(t, store), "that is another one")
	require.Len(t, alerts(t, store), 2)
}

func TestARepeatedLookTellsNothingTwice(t *testing.T) {
	t.Parallel()
	store, db := watched(t, 1)
	require.Equal(t, []string{"stock.low"}, watch(t, store))
	for range 3 { // a worker that was restarted knows no more than the database
		require.Empty(t, watch(t, postgres.New(db)))
	}
	require.Equal(t, []string{"stock.low"}, stockEvents(t, db))
}

func TestManyLooksAtOnceMakeOneAlert(t *testing.T) {
	t.Parallel()
	store, db := watched(t, 0)
	var looks errgroup.Group
	for range 12 {
		looks.Go(func() error { _, err := store.Stock.Watch(t.Context()); return err })
	}
	require.NoError(t, looks.Wait())
	require.Len(t, alerts(t, store), 1)
	require.Equal(t, []string{"stock.empty"}, stockEvents(t, db))
	_, err := db.ExecContext(t.Context(),
		`INSERT INTO stock_alerts (provider, marketplace, environment, kind, reason, ready, orders_waiting,
			opened_at, kind_since, notified_at, notifications)
		SELECT provider, marketplace, environment, kind, reason, ready, orders_waiting, opened_at, kind_since, notified_at, notifications
    FROM stock_alerts`)
	require.ErrorContains(t, err, "stock_alerts_one_open", "the schema says so too")
}

func TestAnAlertIsRepeatedAtTheIntervalOfThePool(t *testing.T) {
	t.Parallel()
	store, db := watched(t, 1)
	watch(t, store)
	_, err := store.Pools.Update(t.Context(), "test", pool, 0, func(c *provision.PoolConfig) { c.RenotifyEvery = time.Hour })
	require.NoError(t, err)
	pass(t, db, time.Hour-time.Minute)
	require.Empty(t, watch(t, store))
	pass(t, db, time.Minute)
	require.Equal(t, []string{"stock.reminder"}, watch(t, store))
	require.Empty(t, watch(t, store), "the next one in an hour")
	pass(t, db, time.Hour)
	require.Equal(t, []string{"stock.reminder"}, watch(t, store))
	require.Equal(t, 3, alerts(t, store)[0].Notifications)
}

func TestAnAcknowledgedAlertIsSilentUntilItRises(t *testing.T) {
	t.Parallel()
	store, db := watched(t, 4)
	ready(t, db, 1)
	watch(t, store)
	id := alerts(t, store)[0].ID
	_, err := store.Stock.AcknowledgeAlert(t.Context(), "key abc", "other", id, "not mine")
	require.ErrorIs(t, err, provision.ErrNotFound)
	acknowledged, err := store.Stock.AcknowledgeAlert(t.Context(), "key abc", "acme", id, "ten are ordered")
	require.NoError(t, err)
	require.Equal(t, "key abc", acknowledged.AcknowledgedBy)
	again, err := store.Stock.AcknowledgeAlert(t.Context(), "key def", "acme", id, "me too")
	require.NoError(t, err)
	require.Equal(t, "ten are ordered", again.Note, "a repeat changes nothing")
	require.Equal(t, []string{"stock.low", "stock.acknowledged"}, stockEvents(t, db))
	pass(t, db, 1000*time.Hour)
	require.Empty(t, watch(t, store))

	ready(t, db, 0)
	require.Equal(t, []string{"stock.empty"}, watch(t, store))
	require.Empty(t, watch(t, store), "it rises once")
	risen := alerts(t, store)
	require.Len(t, risen, 1, "the same alert")
	require.Equal(t, provision.AlertEmpty, risen[0].Kind)
	require.Nil(t, risen[0].AcknowledgedAt)
	pass(t, db, 24*time.Hour)
	require.Equal(t, []string{"stock.reminder"}, watch(t, store))

	ready(t, db, 1)
	require.Empty(t, watch(t, store))
	require.Equal(t, provision.AlertEmpty, alerts(t, store)[0].Kind, "not believed yet")
	pass(t, db, provision.StockSettles)
	require.Empty(t, watch(t, store))
	require.Equal(t, provision.AlertLow, alerts(t, store)[0].Kind)
	ready(t, db, 3)
	watch(t, store)
	pass(t, db, provision.StockSettles)
	require.Equal(t, []string{"stock.restocked"}, watch(t, store))
	_, err = store.Stock.AcknowledgeAlert(t.Context(), "key abc", "acme", id, "too late")
	var refused *provision.StateError
	require.ErrorAs(t, err, &refused)
}

func TestAPoolWithoutAThresholdIsOnlyEverEmpty(t *testing.T) {
	t.Parallel()
	_, store, db := setup(t)
	require.Empty(t, watch(t, store), "it never held an account: not in use yet")
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	require.Empty(t, watch(t, store))
	key := open(t, store, "wants-ecam", provision.ModelECAM)
	require.Nil(t, claim(t, store, key).Account)
	require.Equal(t, []string{"stock.empty"}, watch(t, store))
	found := alerts(t, store)[0]
	require.Equal(t, "1 order waits", found.Reason)
	require.Equal(t, 1, found.OrdersWaiting)
	require.Equal(t, 1, found.Ready)

	var event struct {
		Provider, Subject string
		Data              []byte
	}
	require.NoError(t, db.Get(&event, `SELECT provider, subject, data FROM events WHERE type = 'stock.empty'`))
	require.Equal(t, "acme", event.Provider)
	require.Equal(t, "north/production", event.Subject)
	var data map[string]any
	require.NoError(t, json.Unmarshal(event.Data, &data))
	require.Equal(t, found.ID, data["alert_id"])
	require.Equal(t, "1 order waits", data["reason"])
}

func TestStockIsCountedByModelAndStatus(t *testing.T) {
	t.Parallel()
	_, store, db := setup(t)
	_, err := store.Pools.Update(t.Context(), "test", pool, 0,
		func(c *provision.PoolConfig) { c.ModelThresholds = map[provision.Model]int{provision.ModelECAM: 1} })
	require.NoError(t, err)
	createAccounts(t, store, provision.ModelSPAM, 1, 6)
	unverified := account(9, provision.ModelSPAM)
	unverified.Status = ""
	_, _, err = store.Accounts.Create(t.Context(), unverified, "test")
	require.NoError(t, err)
	_, _, err = store.Accounts.Invalidate(t.Context(), "test", "acme", "000000000006", 0, "test")
	require.NoError(t, err)
	for _, id := range []string{"a", "b", "c", "d"} {
		key := open(t, store, id, provision.ModelSPAM)
		held := claim(t, store, key).Account.ID
		if id != "d" {
			require.NoError(t, store.Orders.Allocate(t.Context(), key, held, provision.Result{AccountID: held}))
		}
	}
	require.Nil(t, claim(t, store, open(t, store, "e", provision.ModelECAM)).Account)

	stock, err := store.Stock.Count(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, stock, 1)
	got := stock[0]
	require.Equal(t, provision.StockCount{Ready: 1, InProgress: 1, Allocated: 3, Invalid: 1, WaitingForVerification: 1}, got.StockCount)
	require.Equal(t, 1, got.OrdersWaiting)
	require.Len(t, got.Models, 2)
	require.Equal(t, provision.ModelECAM, got.Models[0].Model)
	require.Equal(t, 1, got.Models[0].OrdersWaiting)
	require.Equal(t, 1, *got.Models[0].Threshold)
	require.Equal(t, got.StockCount, got.Models[1].StockCount)
	require.Equal(t, "the first allocation is less than 3 days ago", got.Forecast.Reason)
	kind, reason := got.Condition()
	require.Equal(t, provision.AlertEmpty, kind)
	require.Equal(t, "1 order waits; no ECAM account is Ready", reason)

	_, err = db.ExecContext(t.Context(), `UPDATE accounts SET status_since = now() - interval '7 days' WHERE status = 'allocated'`)
	require.NoError(t, err)
	stock, err = store.Stock.Count(t.Context(), "acme")
	require.NoError(t, err)
	// Three allocations that weigh a half each, in a time that weighs (7 days / ln 2)·½.
	require.InDelta(t, 0.297, *stock[0].Forecast.PerDay, 0.001)
	require.InDelta(t, 3.4, *stock[0].Forecast.Days, 0.01)
	none, err := store.Stock.Count(t.Context(), "other")
	require.NoError(t, err)
	require.Empty(t, none)
}
