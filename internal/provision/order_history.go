package provision

import "time"

// OrderHistoryEntry is one row of an order's history: a change of its state, or what someone asked of it.
type OrderHistoryEntry struct {
	Seq       int64      `db:"seq"`
	At        time.Time  `db:"at"`
	Actor     string     `db:"actor"`
	FromState OrderState `db:"from_state"` // empty: the order was accepted
	ToState   OrderState `db:"to_state"`   // the same as FromState: someone asked something of the order
	Code      string     `db:"code"`       // of the failure, or what was asked: correct, retry, cancel, fail, swap …
	Reason    string     `db:"reason"`
}
