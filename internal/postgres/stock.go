package postgres

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// Stock is how many accounts the pools have, and the alerts about it.
type Stock struct{ db *database }

const stockPoolsSQL = `
SELECT p.provider, p.marketplace, p.environment, p.stock_threshold, p.model_thresholds, p.verification_suspended_at,
       p.claims_suspended_at, p.claims_suspended_because,
       EXTRACT(EPOCH FROM p.renotify_every)::bigint AS renotify_seconds, now() AS now
FROM pools p WHERE ($1 = '' OR p.provider = $1) AND ($2 = '' OR p.marketplace = $2) AND ($3 = '' OR p.environment = $3)
ORDER BY p.provider, p.marketplace, p.environment`

// stockFactsSQL reads the counts of accounts and counts the waiting orders in one statement, at one moment, so that
// an account which an order is just getting is counted exactly once. $4 is the window of the forecast, $5 its
// half-life, both in seconds.
const stockFactsSQL = `
SELECT provider, marketplace, environment, model,
       COALESCE(sum(n) FILTER (WHERE status = 'ready'), 0) AS ready,
       COALESCE(sum(n) FILTER (WHERE status = 'provisioning'), 0) AS in_progress,
       COALESCE(sum(n) FILTER (WHERE status = 'allocated'), 0) AS allocated,
       COALESCE(sum(n) FILTER (WHERE status = 'provisioning_failed'), 0) AS failed,
       COALESCE(sum(n) FILTER (WHERE status = 'invalid' AND NOT coming), 0) AS invalid,
       COALESCE(sum(n) FILTER (WHERE coming), 0) AS waiting_for_verification,
       COALESCE(sum(n) FILTER (WHERE allocated_at > now() - $4 * interval '1 second'), 0) AS recent,
       COALESCE(sum(n * power(0.5::float8, EXTRACT(EPOCH FROM now() - allocated_at)::float8 / $5::float8))
           FILTER (WHERE allocated_at > now() - $4 * interval '1 second'), 0) AS weight,
       min(first_allocated_at) AS first_allocated,
       0 AS orders_waiting
FROM pool_counts
WHERE kind = 'account' AND ($1 = '' OR provider = $1) AND ($2 = '' OR marketplace = $2) AND ($3 = '' OR environment = $3)
GROUP BY provider, marketplace, environment, model HAVING sum(n) > 0
UNION ALL
SELECT provider, marketplace, environment, COALESCE(model, ''), 0, 0, 0, 0, 0, 0, 0, 0, NULL, count(*)
FROM orders
WHERE state = 'waiting_for_account' AND ($1 = '' OR provider = $1) AND ($2 = '' OR marketplace = $2) AND ($3 = '' OR environment = $3)
GROUP BY provider, marketplace, environment, model`

type stockFact struct {
	provision.Pool
	provision.StockCount
	provision.Allocations
	Model         provision.Model `db:"model"` // empty: orders that accept any model
	OrdersWaiting int             `db:"orders_waiting"`
}

const alertColumns = `id, seq, provider, marketplace, environment, kind, reason, ready, orders_waiting,
    opened_at, kind_since, notified_at, notifications,
	not_empty_since, not_low_since, acknowledged_at, acknowledged_by, note, closed_at`

const openAlertsSQL = `
SELECT ` + alertColumns + ` FROM stock_alerts
WHERE closed_at IS NULL AND ($1 = '' OR provider = $1) AND ($2 = '' OR marketplace = $2) AND ($3 = '' OR environment = $3)`

// Count counts the stock of every pool of a provider. An empty provider means all of them.
func (s Stock) Count(ctx context.Context, provider string) ([]provision.PoolStock, error) {
	stock, _, err := readStock(ctx, s.db, provision.Pool{Provider: provider})
	return stock, err
}

// readStock counts the stock of the pools that match: an empty part of the pool matches all. It returns the time
// of the database too.
func readStock(ctx context.Context, q queryer, of provision.Pool) (stock []provision.PoolStock, now time.Time, err error) {
	var pools []struct {
		provision.Pool
		StockThreshold         *int       `db:"stock_threshold"`
		ModelThresholds        []byte     `db:"model_thresholds"`
		SuspendedAt            *time.Time `db:"verification_suspended_at"`
		ClaimsSuspendedAt      *time.Time `db:"claims_suspended_at"`
		ClaimsSuspendedBecause string     `db:"claims_suspended_because"`
		RenotifySeconds        int64      `db:"renotify_seconds"`
		Now                    time.Time  `db:"now"`
	}
	if err := q.SelectContext(ctx, &pools, stockPoolsSQL, of.Provider, of.Marketplace, of.Environment); err != nil {
		return nil, now, err
	}
	var facts []stockFact
	err = q.SelectContext(ctx, &facts, stockFactsSQL, of.Provider, of.Marketplace, of.Environment, provision.ForecastWindow.Seconds(),
		provision.ForecastHalfLife.Seconds())
	if err != nil {
		return nil, now, err
	}
	factsOf := map[provision.Pool][]stockFact{}
	for _, f := range facts {
		factsOf[f.Pool] = append(factsOf[f.Pool], f)
	}
	var alerts []provision.StockAlert
	if err := q.SelectContext(ctx, &alerts, openAlertsSQL, of.Provider, of.Marketplace, of.Environment); err != nil {
		return nil, now, err
	}
	alertOf := map[provision.Pool]*provision.StockAlert{}
	for i := range alerts {
		alertOf[alerts[i].Pool] = &alerts[i]
	}
	for _, p := range pools {
		now = p.Now
		thresholds, err := byModel[int](p.ModelThresholds)
		if err != nil {
			return nil, now, err
		}
		one := provision.PoolStock{Pool: p.Pool, Threshold: p.StockThreshold, RenotifyEvery: time.Duration(p.RenotifySeconds) * time.Second,
			Alert: alertOf[p.Pool], SuspendedAt: p.SuspendedAt,
			ClaimsSuspendedAt: p.ClaimsSuspendedAt, ClaimsSuspendedBecause: p.ClaimsSuspendedBecause}
		fill(&one, factsOf[p.Pool], thresholds, now)
		stock = append(stock, one)
	}
	return stock, now, nil
}

// fill adds the counts, forecasts and thresholds of a pool.
func fill(stock *provision.PoolStock, facts []stockFact, thresholds map[provision.Model]int, now time.Time) {
	models := map[provision.Model]*provision.ModelStock{}
	allocations := map[provision.Model]provision.Allocations{}
	model := func(id provision.Model) *provision.ModelStock {
		if models[id] == nil {
			models[id] = &provision.ModelStock{Model: id}
		}
		return models[id]
	}
	var all provision.Allocations
	for _, f := range facts {
		stock.StockCount = stock.Plus(f.StockCount)
		stock.OrdersWaiting += f.OrdersWaiting
		all = all.Plus(f.Allocations)
		if f.Model != "" {
			m := model(f.Model)
			m.StockCount = m.Plus(f.StockCount)
			m.OrdersWaiting += f.OrdersWaiting
			allocations[f.Model] = allocations[f.Model].Plus(f.Allocations)
		}
	}
	for id, threshold := range thresholds {
		model(id).Threshold = &threshold
	}
	for id, m := range models {
		m.Forecast = allocations[id].Forecast(m.Ready, now)
		stock.Models = append(stock.Models, *m)
	}
	slices.SortFunc(stock.Models, func(a, b provision.ModelStock) int { return cmp.Compare(a.Model, b.Model) })
	stock.Forecast = all.Forecast(stock.Ready, now)
}

// Watch looks at the stock of all pools, keeps it in the history, and opens, raises, repeats, lowers and closes their alerts. It writes the
// event about an alert in the same transaction as the alert, so a repeat causes no second event.
func (s Stock) Watch(ctx context.Context) (watch provision.StockWatch, err error) {
	if err := foldCounts(ctx, s.db); err != nil {
		return watch, err
	}
	stock, err := s.Count(ctx, "")
	if err != nil {
		return watch, err
	}
	if err := s.keepHistory(ctx, stock); err != nil {
		return watch, err
	}
	watch.Pools = len(stock)
	for _, pool := range stock {
		if kind, _ := pool.Condition(); kind == "" && pool.Alert == nil {
			continue
		}
		alert, event, err := s.watchPool(ctx, pool.Pool)
		if err != nil {
			return watch, err
		}
		if alert != nil && alert.ClosedAt == nil {
			watch.Open++
		}
		if event != "" {
			watch.Events = append(watch.Events, provision.StockEvent{Pool: pool.Pool, Type: event, Reason: alert.Reason})
		}
	}
	return watch, nil
}

const saveAlertSQL = `
UPDATE stock_alerts SET kind = $2, reason = $3, ready = $4, orders_waiting = $5, kind_since = $6, notified_at = $7, notifications = $8,
    not_empty_since = $9,
    not_low_since = $10, acknowledged_at = $11, acknowledged_by = $12, note = $13, closed_at = $14
WHERE id = $1`

const openAlertSQL = `
INSERT INTO stock_alerts (provider, marketplace, environment, kind, reason, ready, orders_waiting, opened_at, kind_since, notified_at,
    notifications, not_empty_since, not_low_since)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING ` + alertColumns

// watchPool updates the alert of one pool. Only one transaction at a time does so.
func (s Stock) watchPool(ctx context.Context, pool provision.Pool) (alert *provision.StockAlert, event string, err error) {
	err = s.db.tx(ctx, "stock watch", func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('stock alert ' || $1, 0))`, pool.String())
		if err != nil {
			return err
		}
		stock, now, err := readStock(ctx, tx, pool)
		if err != nil || len(stock) == 0 {
			return err
		}
		alert, event = provision.NextAlert(stock[0].Alert, stock[0], now)
		if alert == nil {
			return nil
		}
		if a := alert; a.ID == "" {
			err = tx.GetContext(ctx, alert, openAlertSQL, a.Provider, a.Marketplace, a.Environment, a.Kind, a.Reason, a.Ready,
				a.OrdersWaiting, a.OpenedAt, a.KindSince, a.NotifiedAt, a.Notifications, a.NotEmptySince, a.NotLowSince)
		} else {
			_, err = tx.ExecContext(ctx, saveAlertSQL, a.ID, a.Kind, a.Reason, a.Ready, a.OrdersWaiting, a.KindSince,
				a.NotifiedAt, a.Notifications, a.NotEmptySince, a.NotLowSince,
				a.AcknowledgedAt, a.AcknowledgedBy, a.Note, a.ClosedAt)
		}
		if err != nil || event == "" {
			return err
		}
		return emitStock(ctx, tx, *alert, event)
	})
	return alert, event, err
}

func emitStock(ctx context.Context, tx *sqlx.Tx, a provision.StockAlert, event string) error {
	data := map[string]any{"alert_id": a.ID, "marketplace": a.Marketplace, "environment": a.Environment, "kind": a.Kind, "reason": a.Reason,
		"ready":          a.Ready,
		"orders_waiting": a.OrdersWaiting, "opened_at": a.OpenedAt, "notifications": a.Notifications}
	if a.AcknowledgedBy != "" { // the note stays out of the event: it is free text, which may name people
		data["acknowledged_by"] = a.AcknowledgedBy
	}
	_, err := tx.ExecContext(ctx, `SELECT emit_event($1, $2, $3, $4)`, a.Provider, event, a.Marketplace+"/"+string(a.Environment),
		asJSON(data))
	return err
}

const acknowledgeSQL = `
UPDATE stock_alerts SET acknowledged_at = now(), acknowledged_by = $2, note = $3 WHERE id = $1 RETURNING ` + alertColumns

// AcknowledgeAlert records that an operator takes care of an open alert, which then raises no event until it
// rises. An acknowledged alert stays as it is. Errors: provision.ErrNotFound; a *provision.StateError when the
// alert is closed.
func (s Stock) AcknowledgeAlert(ctx context.Context, actor, provider, id, note string) (alert provision.StockAlert, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		err := tx.GetContext(ctx, &alert,
			`SELECT `+alertColumns+` FROM stock_alerts WHERE provider = $1 AND id = $2 FOR UPDATE`, provider, id)
		switch {
		case err != nil:
			return notFound(err, "stock alert %s", id)
		case alert.ClosedAt != nil:
			return &provision.StateError{Reason: "alert " + id + " is closed already: there is nothing to acknowledge"}
		case alert.AcknowledgedAt != nil:
			return nil
		}
		if err := tx.GetContext(ctx, &alert, acknowledgeSQL, id, actor, note); err != nil {
			return err
		}
		return emitStock(ctx, tx, alert, provision.EventStockAcknowledged)
	})
	return alert, err
}

// Alerts lists the alerts of a provider, newest first.
func (s Stock) Alerts(ctx context.Context, provider string, f provision.AlertFilter) (alerts []provision.StockAlert, err error) {
	var w where
	w.and("provider = ?", provider)
	if f.Open != nil {
		w.and("(closed_at IS NULL) = ?", *f.Open)
	}
	w.andIf(f.Marketplace != "", "marketplace = ?", f.Marketplace)
	w.andIf(f.Environment != "", "environment = ?", f.Environment)
	w.andIf(f.Before != 0, "seq < ?", f.Before)
	err = s.db.SelectContext(ctx, &alerts,
		strings.Join([]string{
			"SELECT", alertColumns, "FROM stock_alerts", w.sql(), "ORDER BY seq DESC LIMIT", w.arg(f.Limit),
		}, " "), w.args...)
	return alerts, err
}
