package provision

import "time"

// DeliveryState is the state of the delivery of an event to an endpoint.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed" // there are no more automatic attempts
)

// Delivery is the delivery of one event to one endpoint.
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
	// LastAttempt is the newest of all attempts; nil: there was none.
	LastAttempt *DeliveryAttempt `db:"-"`
}

// BlockedDelivery is the oldest message of an endpoint, when the receiver has not accepted it yet. Those behind it wait.
type BlockedDelivery struct {
	DeliveryID    string    `db:"delivery_id"`
	EventID       string    `db:"event_id"`
	EventType     string    `db:"event_type"`
	Subject       string    `db:"subject"`
	Since         time.Time `db:"since"` // of the first attempt of this round
	Attempts      int       `db:"attempts"`
	Error         string    `db:"error"` // of the last attempt
	NextAttemptAt time.Time `db:"next_attempt_at"`
}

// DeliveryFilter selects deliveries of an endpoint, newest event first. Zero fields do not filter.
type DeliveryFilter struct {
	State  DeliveryState
	Before int64 // seq of the last event of the previous page
	Limit  int
}

// NextDelivery is what an endpoint receives next.
type NextDelivery struct {
	ID   string        `json:"id,omitempty"`   // empty: nothing
	Wait time.Duration `json:"wait,omitempty"` // until it is due
}

// DeliveryJob is the input of an attempt: the address, the event, and the secrets that sign it, still sealed.
type DeliveryJob struct {
	Webhook  Webhook
	Event    Event
	Attempts int // already made in this round
	Sealed   [][]byte
}

// DeliveryAttempt is one attempt to deliver an event.
type DeliveryAttempt struct {
	At         time.Time `db:"at"`
	StatusCode int       `db:"status_code"` // 0: there was no response
	Error      string    `db:"error"`       // empty: the receiver accepted the event
	Answer     string    `db:"answer"`      // the beginning of the response's body
	TookMS     int       `db:"took_ms"`
}

// DeliveryOutcome is an attempt and what follows from it.
type DeliveryOutcome struct {
	DeliveryAttempt
	// RetryAfter is how long the receiver asks to wait; 0: it does not say.
	RetryAfter time.Duration
	// RetryIn is how long to wait before the next attempt; nil: there is no next attempt.
	RetryIn *time.Duration
	// Gone says that the receiver wants no more events (410): the endpoint is disabled.
	Gone bool
}

// How long deliveries and their attempts are kept.
const (
	DeliveredKeptFor = 30 * 24 * time.Hour
	FailedKeptFor    = 90 * 24 * time.Hour // an operator may have a failed delivery sent again
)

// WebhookSchedule returns how long to wait before each attempt after the first, counted from the previous attempt.
// Source: Standard Webhooks 1.0.0, "Retries".
func WebhookSchedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}
