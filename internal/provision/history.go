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
	Fields    []string   `db:"-"`          // that a correction replaced
	Refused   Code       `db:"refused"`    // why what was asked was refused; empty: it was not
	Reason    string     `db:"reason"`
}

// HistoryKind says what an entry of the history is about.
type HistoryKind string

// The kinds of entries.
const (
	HistoryOfOrders   HistoryKind = "order"
	HistoryOfAccounts HistoryKind = "account" // the protection of accounts included
	HistoryOfPools    HistoryKind = "pool"
	HistoryOfAccess   HistoryKind = "access" // API keys and webhook endpoints
)

// HistoryKinds lists the kinds, each with the scope of those who may read its entries.
var HistoryKinds = []struct {
	Kind  HistoryKind
	Scope Scope
}{
	{HistoryOfOrders, ScopeOrdersRead},
	{HistoryOfAccounts, ScopeAccountsRead},
	{HistoryOfPools, ScopePoolsRead},
	{HistoryOfAccess, ScopeKeysRead},
}

// HistoryEntry is an entry of any kind. Fields that do not apply to its kind are empty.
type HistoryEntry struct {
	HistoryCursor
	Kind        HistoryKind `db:"kind"`
	Actor       string      `db:"actor"`
	Marketplace string      `db:"marketplace"`
	Environment Environment `db:"environment"`
	OrderID     string      `db:"order_id"`   // what an order's entry is about, or the order that held the account
	AccountID   string      `db:"account_id"` // what an account's entry is about
	KeyID       string      `db:"key_id"`     // what an entry about access is about
	WebhookID   string      `db:"webhook_id"` // the same, if it is about an endpoint
	From        []byte      `db:"from_value"` // JSON: state, status or setting before; nil: there was none
	To          []byte      `db:"to_value"`
	Code        string      `db:"code"`
	Fields      []string    `db:"-"`
	Refused     Code        `db:"refused"`
	Reason      string      `db:"reason"`
}

// HistoryCursor is the place of an entry among all entries of a provider, which are sorted by time, then by source, then by number.
type HistoryCursor struct {
	At     time.Time `json:"a" db:"at"`
	Source int       `json:"t" db:"source"` // the table of the entry
	Seq    int64     `json:"s" db:"seq"`    // its number in that table
}

// HistoryFilter selects entries, newest first. Zero fields do not filter.
type HistoryFilter struct {
	Kinds       []HistoryKind // none: nothing is selected
	Actor       string
	Marketplace string
	Environment Environment
	OrderID     string    // entries of the order, and those of accounts that it held
	AccountID   string    // entries of the account
	KeyID       string    // entries of the API key
	Since       time.Time // inclusive
	Until       time.Time // exclusive
	Limit       int
	After       *HistoryCursor // the last entry of the previous page
}
