package provision

import (
	"encoding/json"
	"strings"
	"time"
)

// Event is something that happened, as webhooks and event streams report it.
type Event struct {
	Seq      int64           `db:"seq"`
	ID       string          `db:"id"` // receivers use it to drop duplicates
	Provider string          `db:"provider"`
	Type     string          `db:"type"`
	Subject  string          `db:"subject"`
	At       time.Time       `db:"at"`
	Data     json.RawMessage `db:"data"`
	// Of an event about an order: the marketplace of the order; nil: it is about something else.
	Marketplace *string `db:"marketplace"`
}

// Types of events about stock.
const (
	EventStockLow          = "stock.low"
	EventStockEmpty        = "stock.empty"
	EventStockReminder     = "stock.reminder"
	EventStockRestocked    = "stock.restocked"
	EventStockAcknowledged = "stock.acknowledged"
)

// EventPasswordIssued is the type of the event that a new password was set for a customer. The event contains no link.
const EventPasswordIssued = "order.password_issued"

// Types of events about webhooks themselves.
const (
	EventWebhookTest     = "webhook.test"     // sent only to the endpoint that it names
	EventWebhookDisabled = "webhook.disabled" // an endpoint was disabled because it does not accept its deliveries
)

// EventsKeptFor is how long events are kept; an event that an existing delivery refers to is kept longer.
const EventsKeptFor = 90 * 24 * time.Hour

// Body returns the event as it is sent. Source: Standard Webhooks 1.0.0, "Payload structure".
func (e Event) Body() ([]byte, error) {
	return json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{e.Type, e.At.UTC(), e.Data})
}

// EventFilter selects events of a provider, oldest first. Zero fields do not filter.
type EventFilter struct {
	After      int64  // the seq of the last event that the reader has
	OrderID    string // only of this order
	Type       string // a type, or a family such as order.*
	OrdersOnly bool   // only events about orders
	Limit      int
}

// Selects reports whether the filter selects an event of the tenant's provider for the tenant, wherever the event is.
func (f EventFilter) Selects(of Tenant, e Event) bool {
	family, ofFamily := strings.CutSuffix(f.Type, "*")
	aboutOrder := strings.HasPrefix(e.Type, "order.")
	return (f.OrderID == "" || aboutOrder && e.Subject == f.OrderID) &&
		(f.Type == "" || e.Type == f.Type || ofFamily && strings.HasSuffix(family, ".") && strings.HasPrefix(e.Type, family)) &&
		(!f.OrdersOnly || aboutOrder) &&
		(of.Marketplaces == nil || e.Marketplace != nil && of.Includes(*e.Marketplace))
}
