package provision

import (
	"encoding/json"
	"time"
)

// Event is something that happened, as webhooks and streams tell it.
type Event struct {
	Seq      int64           `db:"seq"`
	ID       string          `db:"id"` // what a receiver de-duplicates by
	Provider string          `db:"provider"`
	Type     string          `db:"type"`
	Subject  string          `db:"subject"`
	At       time.Time       `db:"at"`
	Data     json.RawMessage `db:"data"`
}

// Body is the event as it goes over the wire. Source: Standard Webhooks 1.0.0, "Payload structure".
func (e Event) Body() ([]byte, error) {
	return json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{e.Type, e.At.UTC(), e.Data})
}

// EventFilter selects events of a provider, oldest first. Zero fields do not filter.
type EventFilter struct {
	After      int64  // the last event that the reader has
	OrderID    string // only of this order
	Type       string // a type, or a family such as order.*
	OrdersOnly bool   // only of orders
	Limit      int
}

// Types of events about webhooks themselves.
const (
	EventWebhookTest     = "webhook.test"     // goes to the endpoint that it names and to no other
	EventWebhookDisabled = "webhook.disabled" // an endpoint was disabled because it does not take what is sent
)

// The kinds of webhooks.
const (
	WebhookEndpoint = "endpoint" // made by the API
	WebhookCallback = "callback" // the callback_url of orders: hears of those orders only
)

// Webhook is an address that is told what happens.
type Webhook struct {
	ID              string     `db:"id"`
	Provider        string     `db:"provider"`
	Kind            string     `db:"kind"`
	URL             string     `db:"url"`
	EventTypes      []string   `db:"-"`
	Description     string     `db:"description"`
	Enabled         bool       `db:"enabled"`
	DisabledBy      string     `db:"disabled_by"`
	DisabledBecause string     `db:"disabled_because"`
	DisabledAt      *time.Time `db:"disabled_at"`
	FailingSince    *time.Time `db:"failing_since"`
	Version         int64      `db:"version"` // counts what an editor sees of it
	CreatedAt       time.Time  `db:"created_at"`
}

// WebhookUpdate are the fields of an endpoint that may be changed; nil leaves one as it is.
type WebhookUpdate struct {
	URL         *string
	EventTypes  *[]string
	Description *string
	Enabled     *bool
	Reason      string // why it is disabled
}

// WebhookCursor is a place in the list of webhooks.
type WebhookCursor struct {
	CreatedAt time.Time `json:"c"`
	ID        string    `json:"w"`
}

// WebhookKey names a webhook.
type WebhookKey struct {
	Provider string `json:"provider" db:"provider"`
	ID       string `json:"id"       db:"id"`
}

// String is the key as ids and logs have it.
func (k WebhookKey) String() string { return k.Provider + "/" + k.ID }

// WebhookCallbacks stands for the id of a webhook where the secret of all callbacks of a provider is meant.
const WebhookCallbacks = "callbacks"

// WebhookSecretPurpose is what a secret of webhooks is sealed for: it opens for this endpoint only.
func WebhookSecretPurpose(key WebhookKey) string { return "webhook-secret/" + key.String() }

// WebhookSecretView is what is known of a secret without opening it.
type WebhookSecretView struct {
	CreatedAt    *time.Time `db:"created_at"`    // of the newest; nil: there is none yet
	OlderExpires *time.Time `db:"older_expires"` // until when the one before signs too; nil: it does not
	Held         int64      `db:"held"`          // callbacks that wait for the first secret
}

// DeliveryState is where the delivery of an event to an endpoint stands.
type DeliveryState string

// The states of deliveries.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed" // it is not tried any more by itself
)

// Delivery is an event on its way to an endpoint.
type Delivery struct {
	ID            string        `db:"id"`
	WebhookID     string        `db:"webhook_id"`
	EventSeq      int64         `db:"event_seq"`
	EventID       string        `db:"event_id"`
	EventType     string        `db:"event_type"`
	Subject       string        `db:"subject"`
	EventAt       time.Time     `db:"event_at"`
	State         DeliveryState `db:"state"`
	Attempts      int           `db:"attempts"` // of this round
	NextAttemptAt *time.Time    `db:"next_attempt_at"`
	EndedAt       *time.Time    `db:"ended_at"`
	CreatedAt     time.Time     `db:"created_at"`
}

// DeliveryFilter selects deliveries of an endpoint, newest event first. Zero fields do not filter.
type DeliveryFilter struct {
	State  DeliveryState
	Before int64 // seq of the last one of the page before
	Limit  int
}

// Attempt is one try to deliver an event.
type Attempt struct {
	At         time.Time `db:"at"`
	StatusCode int       `db:"status_code"` // 0: there was no answer
	Error      string    `db:"error"`       // empty: it was taken
	Answer     string    `db:"answer"`      // how the body of the answer began
	TookMS     int       `db:"took_ms"`
}

// Sending is what an attempt needs: where to, what, and the secrets that sign it, still sealed.
type Sending struct {
	Webhook  Webhook
	Event    Event
	Attempts int // that were made in this round
	Sealed   [][]byte
}

// AttemptOutcome is what follows from an attempt.
type AttemptOutcome struct {
	Attempt
	// RetryIn is how long to wait before the next attempt; nil: there is none.
	RetryIn *time.Duration
	// Gone says that the receiver wants nothing any more (410): the endpoint is disabled.
	Gone bool
}

// NextDelivery is what an endpoint has to send next.
type NextDelivery struct {
	ID   string        `json:"id,omitempty"`   // empty: nothing
	Wait time.Duration `json:"wait,omitempty"` // before it is due
}

// Times of webhooks.
const (
	WebhookOverlap      = 24 * time.Hour      // how long the older secret signs too, unless the rotation says otherwise
	WebhookDisableAfter = 5 * 24 * time.Hour  // an endpoint at which every attempt of this time failed is disabled
	DeliveredKeptFor    = 30 * 24 * time.Hour // a delivered delivery and its attempts
	FailedKeptFor       = 90 * 24 * time.Hour // a failed one, which may be sent again
	EventsKeptFor       = 90 * 24 * time.Hour // events, as long as no delivery holds them
)

// WebhookSchedule is how long to wait before each attempt after the first, since the one before. Source: Standard Webhooks 1.0.0, "Retries".
func WebhookSchedule() []time.Duration {
	return []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}
}
