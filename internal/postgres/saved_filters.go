package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// SavedFilters are the filters of lists that people and API keys saved for themselves.
type SavedFilters struct{ db *database }

const savedFilterColumns = `name, page, query, saved_at`

// List lists the filters of the owner by their names.
func (s SavedFilters) List(ctx context.Context, of provision.FilterOwner) (found []provision.SavedFilter, err error) {
	err = s.db.SelectContext(ctx, &found,
		`SELECT `+savedFilterColumns+` FROM saved_filters WHERE provider = $1 AND owner = $2 ORDER BY name`, of.Provider, of.Caller)
	return found, err
}

const (
	lockFiltersSQL = `SELECT pg_advisory_xact_lock(hashtextextended(jsonb_build_array('filters', $1::text, $2::text)::text, 0))`

	otherFiltersSQL = `SELECT count(*) FROM saved_filters WHERE provider = $1 AND owner = $2 AND name <> $3`

	saveFilterSQL = `
INSERT INTO saved_filters (provider, owner, name, page, query) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (provider, owner, name) DO UPDATE SET page = EXCLUDED.page, query = EXCLUDED.query, saved_at = EXCLUDED.saved_at
RETURNING ` + savedFilterColumns
)

// Save saves a filter of the owner, in place of one of that name. Errors: a *provision.StateError when the owner has too many.
func (s SavedFilters) Save(ctx context.Context, of provision.FilterOwner, f provision.SavedFilter) (saved provision.SavedFilter,
	err error) {
	err = s.db.tx(ctx, of.Caller, func(tx *sqlx.Tx) error {
		// The lock keeps two new filters from both being the last one that fits.
		if _, err := tx.ExecContext(ctx, lockFiltersSQL, of.Provider, of.Caller); err != nil {
			return err
		}
		var others int
		if err := tx.GetContext(ctx, &others, otherFiltersSQL, of.Provider, of.Caller, f.Name); err != nil {
			return err
		}
		if others >= provision.MostSavedFilters {
			return &provision.StateError{Reason: fmt.Sprintf("you have %d saved filters, and no more are allowed: delete one of them first", others)}
		}
		return tx.GetContext(ctx, &saved, saveFilterSQL, of.Provider, of.Caller, f.Name, f.Page, f.Query)
	})
	return saved, err
}

// Delete deletes a filter of the owner. Errors: provision.ErrNotFound.
func (s SavedFilters) Delete(ctx context.Context, of provision.FilterOwner, name string) error {
	deleted, err := affected(s.db.ExecContext(ctx, `DELETE FROM saved_filters WHERE provider = $1 AND owner = $2 AND name = $3`,
		of.Provider, of.Caller, name))
	if err == nil && !deleted {
		return fmt.Errorf("saved filter %q: %w", name, provision.ErrNotFound)
	}
	return err
}

// inheritFiltersSQL copies the filters of a key to its successor.
const inheritFiltersSQL = `
INSERT INTO saved_filters (provider, owner, name, page, query, saved_at)
SELECT provider, 'key ' || $3::text, name, page, query, saved_at FROM saved_filters WHERE provider = $1 AND owner = 'key ' || $2::text`
