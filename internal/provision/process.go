package provision

import (
	"fmt"
	"time"
)

// Process is a running API or worker as the other processes see it.
type Process struct {
	ID        string      `json:"id" db:"id"`
	Kind      ProcessKind `json:"kind" db:"kind"`
	Host      string      `json:"host" db:"host"`
	PID       int         `json:"pid" db:"pid"`
	Version   string      `json:"version,omitempty" db:"version"`
	Keys      []string    `json:"keys" db:"-"`                // names of its sealing keys, the preferred one first
	SealsWith string      `json:"seals_with" db:"seals_with"` // the name of the key that it seals with
	StartedAt time.Time   `json:"started_at" db:"started_at"`
	SeenAt    time.Time   `json:"seen_at" db:"seen_at"`
}

// ProcessKind is the kind of a process.
type ProcessKind string

// The kinds of process.
const (
	ProcessAPI    ProcessKind = "api"
	ProcessWorker ProcessKind = "worker"
)

// ProcessLifetime is how long a process counts as running after it was last seen.
const ProcessLifetime = 30 * time.Second

// String returns the process as logs show it: kind host/pid.
func (p Process) String() string { return fmt.Sprintf("%s %s/%d", p.Kind, p.Host, p.PID) }

// SealKeyUse is what the database knows about the use of a sealing key.
type SealKeyUse struct {
	ID             string     `json:"id" db:"id"`
	LastUsedAt     *time.Time `json:"last_used_at,omitempty" db:"last_used_at"` // when it last sealed or signed; nil: unknown
	Passwords      int        `json:"passwords" db:"passwords"`                 // sealed with it, with links that still work
	WebhookSecrets int        `json:"webhook_secrets" db:"webhook_secrets"`     // sealed with it
	KeptUndos      int        `json:"kept_undos" db:"kept_undos"`               // sealed with it, for the later removal of leftovers
	OpenOrders     int        `json:"open_orders" db:"open_orders"`             // accepted before it was last used
}
