package provision

import "time"

// The kinds of webhooks.
const (
	WebhookEndpoint = "endpoint" // created through the API
	WebhookCallback = "callback" // the callback_url of orders: receives events of those orders only
)

// Webhook is an address that events are sent to.
type Webhook struct {
	ID              string     `db:"id"`
	Provider        string     `db:"provider"`
	Kind            string     `db:"kind"`
	URL             string     `db:"url"`
	EventTypes      []string   `db:"-"`
	Marketplaces    []string   `db:"-"` // of the orders whose events it receives; nil: all events
	Description     string     `db:"description"`
	Enabled         bool       `db:"enabled"`
	DisabledBy      string     `db:"disabled_by"`
	DisabledBecause string     `db:"disabled_because"`
	DisabledAt      *time.Time `db:"disabled_at"`
	FailingSince    *time.Time `db:"failing_since"`
	LastAttemptAt   *time.Time `db:"last_attempt_at"`  // tests are no attempts; nil: there was none
	LastStatusCode  int        `db:"last_status_code"` // of the response to that attempt; 0: there was none
	LastError       string     `db:"last_error"`       // of that attempt; empty: the receiver accepted the event
	Version         int64      `db:"version"`          // counts the changes that an editor can see
	CreatedAt       time.Time  `db:"created_at"`
	CreatedBy       string     `db:"created_by"`
	// Blocked is the message that the messages of the endpoint wait for; nil: none.
	Blocked *BlockedDelivery `db:"-"`
	Queue   WebhookQueue     `db:"-"`
}

// WebhookQueue is how many messages wait for an endpoint.
type WebhookQueue struct {
	Messages int        `db:"messages"` // at most MostCounted
	More     bool       `db:"more"`     // there may be more of them
	OldestAt *time.Time `db:"oldest_at"`
}

// MostCounted is how far the messages that wait for an endpoint are counted.
const MostCounted = 1000

// WebhookUpdate holds the fields of an endpoint that may change; nil leaves a field as it is.
type WebhookUpdate struct {
	URL          *string
	EventTypes   *[]string
	Marketplaces *[]string // a nil slice: all
	Description  *string
	Enabled      *bool
	Reason       string // why it is disabled
}

// WebhookCursor is a position in the list of webhooks.
type WebhookCursor struct {
	CreatedAt time.Time `json:"c"`
	ID        string    `json:"w"`
}

// WebhookKey names a webhook.
type WebhookKey struct {
	Provider string `json:"provider" db:"provider"`
	ID       string `json:"id"       db:"id"`
}

// String returns the key as ids and logs contain it: provider/id.
func (k WebhookKey) String() string { return k.Provider + "/" + k.ID }

// WebhookCallbacks takes the place of a webhook's id where the secret of all callbacks of a provider is meant.
const WebhookCallbacks = "callbacks"

// WebhookSecretPurpose binds a sealed webhook secret to its endpoint: it cannot be opened for another one.
func WebhookSecretPurpose(key WebhookKey) string { return "webhook-secret/" + key.String() }

// WebhookSecretView describes an endpoint's secret without opening it.
type WebhookSecretView struct {
	CreatedAt    *time.Time `db:"created_at"`    // of the newest secret; nil: there is none yet
	OlderExpires *time.Time `db:"older_expires"` // until when previous secrets sign too; nil: none does
	Held         int64      `db:"held"`          // callbacks that wait for the first secret
}

// Times and limits of webhooks.
const (
	WebhookOverlap      = 24 * time.Hour     // how long the previous secret signs too, unless the rotation says otherwise
	WebhookSecrets      = 10                 // how many secrets of an endpoint sign at a time, at most
	WebhookDisableAfter = 5 * 24 * time.Hour // an endpoint is disabled when all its attempts have failed for this long
)
