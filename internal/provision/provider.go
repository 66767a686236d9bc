package provision

import "time"

// Provider is a tenant: it owns pools, accounts, orders and keys.
type Provider struct {
	ID        string    `db:"id"         json:"id"`
	Name      string    `db:"name"       json:"name"`
	CreatedAt time.Time `db:"created_at" json:"created_at"`
}
