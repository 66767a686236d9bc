package provision

import "time"

// AlertKind is the severity of a stock alert.
type AlertKind string

// The kinds of alerts.
const (
	AlertLow   AlertKind = "low"
	AlertEmpty AlertKind = "empty"
)

// StockSettles is how long the stock must have been better without interruption before an alert falls or closes.
const StockSettles = 10 * time.Minute

// StockAlert says that the stock of a pool needs an operator. A pool has at most one open alert.
type StockAlert struct {
	ID  string `db:"id"` // uuid
	Seq int64  `db:"seq"`
	Pool
	Kind           AlertKind  `db:"kind"`
	Reason         string     `db:"reason"`
	Ready          int        `db:"ready"`          // at the last check
	OrdersWaiting  int        `db:"orders_waiting"` // at the last check
	OpenedAt       time.Time  `db:"opened_at"`
	KindSince      time.Time  `db:"kind_since"`
	NotifiedAt     time.Time  `db:"notified_at"`
	Notifications  int        `db:"notifications"`
	NotEmptySince  *time.Time `db:"not_empty_since"` // nil: the stock is empty
	NotLowSince    *time.Time `db:"not_low_since"`   // nil: the stock is low or empty
	AcknowledgedAt *time.Time `db:"acknowledged_at"`
	AcknowledgedBy string     `db:"acknowledged_by"`
	Note           string     `db:"note"`
	ClosedAt       *time.Time `db:"closed_at"`
}

// NextAlert returns what a check of the stock makes of a pool's open alert (nil: there is none), and the type of the event to
// emit (empty: none). An alert opens and rises immediately; it falls and closes only when the stock has been better for
// StockSettles without interruption, so that stock which moves around a threshold causes one alert.
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
		a.AcknowledgedAt, a.AcknowledgedBy, a.Note = nil, "", "" // the acknowledgment was of a milder alert
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

// since returns since when a condition has held without interruption; nil: it does not hold.
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
	Before      int64 // Seq of the last alert of the previous page
}

// StockWatch is the outcome of one check of the stock of all pools.
type StockWatch struct {
	Pools  int          `json:"pools"`            // number of pools
	Open   int          `json:"open"`             // number of open alerts
	Events []StockEvent `json:"events,omitempty"` // the events that the check emitted
}

// StockEvent is an event about the stock of a pool.
type StockEvent struct {
	Pool   Pool   `json:"pool"`
	Type   string `json:"type"`
	Reason string `json:"reason"`
}
