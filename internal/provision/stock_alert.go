package provision

import "time"

// AlertKind says how bad the stock is.
type AlertKind string

// The kinds of alerts.
const (
	AlertLow   AlertKind = "low"
	AlertEmpty AlertKind = "empty"
)

// Types of the events about stock.
const (
	EventStockLow          = "stock.low"
	EventStockEmpty        = "stock.empty"
	EventStockReminder     = "stock.reminder"
	EventStockRestocked    = "stock.restocked"
	EventStockAcknowledged = "stock.acknowledged"
)

// StockSettles is how long the stock must be better without a break before an alert believes it.
const StockSettles = 10 * time.Minute

// StockAlert says that the stock of a pool needs somebody. A pool has one open at most.
type StockAlert struct {
	ID  string `db:"id"` // uuid
	Seq int64  `db:"seq"`
	Pool
	Kind           AlertKind  `db:"kind"`
	Reason         string     `db:"reason"`
	Ready          int        `db:"ready"`          // when it was last looked at
	OrdersWaiting  int        `db:"orders_waiting"` // likewise
	OpenedAt       time.Time  `db:"opened_at"`
	KindSince      time.Time  `db:"kind_since"`
	NotifiedAt     time.Time  `db:"notified_at"`
	Notifications  int        `db:"notifications"`
	NotEmptySince  *time.Time `db:"not_empty_since"` // nil: it is empty
	NotLowSince    *time.Time `db:"not_low_since"`   // nil: it is low or empty
	AcknowledgedAt *time.Time `db:"acknowledged_at"`
	AcknowledgedBy string     `db:"acknowledged_by"`
	Note           string     `db:"note"`
	ClosedAt       *time.Time `db:"closed_at"`
}

// NextAlert says what becomes of a pool's open alert (nil: there is none) when the stock is looked at, and which event that is
// (empty: none). An alert opens and rises at once; it falls and closes only when the stock was better for StockSettles without
// a break, so that stock which moves around a threshold is one alert.
func NextAlert(open *StockAlert, stock PoolStock, now time.Time) (next *StockAlert, event string) {
	kind, reason := stock.Condition()
	if open == nil {
		if kind == "" {
			return nil, ""
		}
		open = &StockAlert{Pool: stock.Pool, Kind: kind, OpenedAt: now, KindSince: now}
		event = eventOf(kind)
	}
	a := *open
	a.Ready, a.OrdersWaiting = stock.Ready, stock.OrdersWaiting
	a.NotEmptySince = since(a.NotEmptySince, kind != AlertEmpty, now)
	a.NotLowSince = since(a.NotLowSince, kind == "", now)
	if kind != "" {
		a.Reason = reason
	}
	switch {
	case event != "": // it opens
	case settled(a.NotLowSince, now):
		a.ClosedAt, a.Reason = &now, "restocked"
		return &a, EventStockRestocked
	case kind == AlertEmpty && a.Kind == AlertLow:
		a.Kind, a.KindSince = AlertEmpty, now
		a.AcknowledgedAt, a.AcknowledgedBy, a.Note = nil, "", "" // that was of something better
		event = EventStockEmpty
	case a.Kind == AlertEmpty && settled(a.NotEmptySince, now):
		a.Kind, a.KindSince = AlertLow, now
	case kind != "" && a.AcknowledgedAt == nil && now.Sub(a.NotifiedAt) >= stock.RenotifyEvery:
		event = EventStockReminder
	}
	if event != "" {
		a.NotifiedAt, a.Notifications = now, a.Notifications+1
	}
	return &a, event
}

func eventOf(kind AlertKind) string {
	if kind == AlertEmpty {
		return EventStockEmpty
	}
	return EventStockLow
}

// since is since when something holds.
func since(before *time.Time, holds bool, now time.Time) *time.Time {
	switch {
	case !holds:
		return nil
	case before == nil:
		return &now
	}
	return before
}

func settled(since *time.Time, now time.Time) bool {
	return since != nil && now.Sub(*since) >= StockSettles
}

// AlertFilter selects alerts of a provider, newest first. Zero fields do not filter.
type AlertFilter struct {
	Open        *bool
	Marketplace string
	Environment Environment
	Limit       int
	Before      int64 // only those before this Seq; 0: from the newest
}
