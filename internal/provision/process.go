package provision

import (
	"fmt"
	"time"
)

// Process is a running API or worker, as the others see it.
type Process struct {
	ID        string      `json:"id" db:"id"`
	Kind      ProcessKind `json:"kind" db:"kind"`
	Host      string      `json:"host" db:"host"`
	PID       int         `json:"pid" db:"pid"`
	Version   string      `json:"version,omitempty" db:"version"`
	Keys      []string    `json:"keys" db:"-"`                // names of the keys that seal: the preferred one first
	SealsWith string      `json:"seals_with" db:"seals_with"` // the name of one of them
	StartedAt time.Time   `json:"started_at" db:"started_at"`
	SeenAt    time.Time   `json:"seen_at" db:"seen_at"`
}

// ProcessKind says what a process does.
type ProcessKind string

// The kinds of process.
const (
	ProcessAPI    ProcessKind = "api"
	ProcessWorker ProcessKind = "worker"
)

// ProcessLifetime is for how long a process counts as live after it was seen.
const ProcessLifetime = 30 * time.Second

// String says which process it is.
func (p Process) String() string { return fmt.Sprintf("%s %s/%d", p.Kind, p.Host, p.PID) }

// SealKeyUse is what the database knows of a key that seals.
type SealKeyUse struct {
	ID             string     `json:"id" db:"id"`
	LastUsedAt     *time.Time `json:"last_used_at,omitempty" db:"last_used_at"` // when it sealed or signed last; nil: not that anyone noted
	Passwords      int        `json:"passwords" db:"passwords"`                 // sealed with it, whose links still work
	WebhookSecrets int        `json:"webhook_secrets" db:"webhook_secrets"`     // sealed with it
	KeptUndos      int        `json:"kept_undos" db:"kept_undos"`               // sealed with it: what orders have left may be removed later
	OpenOrders     int        `json:"open_orders" db:"open_orders"`             // accepted before it was used last
}
