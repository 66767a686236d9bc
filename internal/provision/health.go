package provision

import "time"

// KeyExpiresSoon is how long before its expiry a key should be rotated.
const KeyExpiresSoon = 30 * 24 * time.Hour

// Concerns are what needs someone among the pools, webhooks and API keys of a provider.
type Concerns struct {
	ClaimsSuspended        []string   // pools, as marketplace/environment
	VerificationSuspended  []string   // pools, too
	WebhooksDisabled       int        // because deliveries failed for too long
	WebhooksDisabledByHand int        // because someone disabled them
	KeysExpiring           int        // within KeyExpiresSoon, not rotated
	FirstExpiry            *time.Time // of these keys; nil: there is none
}

// ScheduleState is what Temporal reports about one schedule of the product.
type ScheduleState struct {
	ID         string
	Exists     bool
	Paused     bool
	Every      time.Duration
	CreatedAt  *time.Time
	LastRun    *time.Time // when the newest run began; nil: none has
	NextRun    *time.Time
	LastResult string // how the newest run ended, or RunRunning; empty: not known
}

// Results of the run of a schedule.
const (
	RunRunning   = "running"
	RunCompleted = "completed"
)

// Reconciliation is the result of one run of the reconciler.
type Reconciliation struct {
	At       time.Time
	Repaired int // findings that were repaired
	Raised   int // findings that need an operator
}
