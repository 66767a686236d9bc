package provision

import "time"

// How long the stock of the past is kept, and how much of it is read unless someone asks for another part.
const (
	StockHistoryKept = 90 * 24 * time.Hour
	StockHistoryRead = 30 * 24 * time.Hour
)

// StockHour is the stock of a pool when it was last checked in one hour.
type StockHour struct {
	Pool
	Hour          time.Time `db:"hour"`
	Ready         int       `db:"ready"`
	OrdersWaiting int       `db:"orders_waiting"`
	Allocations   *int      `db:"allocations"` // since the hour before that has an entry; nil: there is none
}

// StockHistoryFilter selects hours. Zero fields do not filter; without a model, the hours are those of whole pools.
type StockHistoryFilter struct {
	Marketplace string
	Environment Environment
	Model       Model
	Since       time.Time
}
