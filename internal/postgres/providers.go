package postgres

import (
	"context"
	"fmt"

	"quartermaster/internal/provision"
)

// Providers are the tenants.
type Providers struct{ db *database }

// Create adds a provider, or changes its name.
func (s Providers) Create(ctx context.Context, id, name string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO providers (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name`,
		id, name)
	if violates(err, "providers_id_is_a_slug") {
		return fmt.Errorf("provider id %q: use lower-case letters, digits and single hyphens, at most 40", id)
	}
	return err
}

// List returns all providers, sorted by id.
func (s Providers) List(ctx context.Context) (providers []provision.Provider, err error) {
	err = s.db.SelectContext(ctx, &providers, `SELECT id, name, created_at FROM providers ORDER BY id`)
	return providers, err
}
