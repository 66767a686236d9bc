package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// APIKeys are the keys of the API.
type APIKeys struct{ db *database }

const apiKeyColumns = `id, provider, name, secret_sha256, role, scopes, marketplaces, requests_per_second, created_at,
    created_by, expires_at, revoked_at, last_used_at, COALESCE(replaced_by, '') AS replaced_by`

type apiKeyRow struct {
	provision.APIKey
	ScopeNames pq.StringArray `db:"scopes"`
	BoundTo    pq.StringArray `db:"marketplaces"`
}

func (r apiKeyRow) key() provision.APIKey {
	for _, name := range r.ScopeNames {
		r.Scopes = append(r.Scopes, provision.Scope(name))
	}
	r.Marketplaces = r.BoundTo
	return r.APIKey
}

// Find reads keys of any provider by their public ids. It leaves out the ids of which there is no key.
func (s APIKeys) Find(ctx context.Context, ids ...string) ([]provision.APIKey, error) {
	var rows []apiKeyRow
	err := s.db.SelectContext(ctx, &rows, `SELECT `+apiKeyColumns+` FROM api_keys WHERE id = ANY($1)`, pq.Array(ids))
	return keysOf(rows), err
}

func keysOf(rows []apiKeyRow) []provision.APIKey {
	keys := make([]provision.APIKey, len(rows))
	for i, row := range rows {
		keys[i] = row.key()
	}
	return keys
}

const apiKeyUsedSQL = `
UPDATE api_keys SET last_used_at = now() WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= now() - interval '1 minute')`

// NoteUse records that the key was used, at most once a minute.
func (s APIKeys) NoteUse(ctx context.Context, id string) error {
	_, err := s.db.ExecContext(ctx, apiKeyUsedSQL, id)
	return err
}

// Get reads a key of the provider. Errors: provision.ErrNotFound.
func (s APIKeys) Get(ctx context.Context, provider, id string) (provision.APIKey, error) {
	return providerKey(ctx, s.db, provider, id, "")
}

func providerKey(ctx context.Context, q queryer, provider, id, lock string) (provision.APIKey, error) {
	var row apiKeyRow
	err := q.GetContext(ctx, &row, `SELECT `+apiKeyColumns+` FROM api_keys WHERE provider = $1 AND id = $2`+lock, provider, id)
	return row.key(), notFound(err, "API key %s", id)
}

// List lists at most limit keys of the provider, newest first, after the given one.
func (s APIKeys) List(ctx context.Context, provider string, limit int, after *provision.KeyCursor) ([]provision.APIKey, error) {
	var w where
	w.and("provider = ?", provider)
	if after != nil {
		w.and("(created_at, id) < (?, ?)", after.CreatedAt, after.ID)
	}
	var rows []apiKeyRow
	err := s.db.SelectContext(ctx, &rows,
		`SELECT `+apiKeyColumns+` FROM api_keys`+w.sql()+` ORDER BY created_at DESC, id DESC LIMIT `+w.arg(limit), w.args...)
	return keysOf(rows), err
}

const createAPIKeySQL = `
INSERT INTO api_keys (id, provider, name, secret_sha256, role, scopes, marketplaces, requests_per_second, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING ` + apiKeyColumns

// Create adds a key of a provider and returns it as it was stored. Errors: provision.ErrNotFound when there is no
// such provider.
func (s APIKeys) Create(ctx context.Context, actor string, key provision.APIKey) (added provision.APIKey, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		added, err = createKey(ctx, tx, key)
		return err
	})
	if violates(err, "api_keys_provider_fkey") {
		return added, fmt.Errorf("provider %q: %w: add it first", key.Provider, provision.ErrNotFound)
	}
	return added, err
}

func createKey(ctx context.Context, tx *sqlx.Tx, key provision.APIKey) (provision.APIKey, error) {
	var scopes pq.StringArray // nil is NULL
	for _, scope := range key.Scopes {
		scopes = append(scopes, string(scope))
	}
	var row apiKeyRow
	err := tx.GetContext(ctx, &row, createAPIKeySQL, key.ID, key.Provider, key.Name, key.SecretSHA256, key.Role, scopes,
		pq.Array(key.Marketplaces), key.RateLimit, key.ExpiresAt)
	return row.key(), err
}

const rotateAPIKeySQL = `
UPDATE api_keys SET replaced_by = $2, expires_at = LEAST(expires_at, $3) WHERE id = $1
RETURNING ` + apiKeyColumns

// Rotate replaces the key of the provider by a successor. The old key keeps working until the given time, or until
// its own expiry if that comes first. The successor inherits the saved filters. Rotate returns both keys as they are stored. Errors:
// provision.ErrNotFound;
// a *provision.StateError when the key was rotated before, is revoked or has expired.
func (s APIKeys) Rotate(ctx context.Context, actor, provider, id string, successor provision.APIKey,
	until time.Time) (added, old provision.APIKey, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		var now time.Time
		if old, err = providerKey(ctx, tx, provider, id, ` FOR UPDATE`); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &now, `SELECT now()`); err != nil {
			return err
		}
		switch {
		case old.RevokedAt != nil:
			return &provision.StateError{Reason: "API key " + id + " is revoked: create a new one instead"}
		case !old.Live(now):
			return &provision.StateError{Reason: "API key " + id + " has expired: create a new one instead"}
		case old.ReplacedBy != "":
			return &provision.StateError{Reason: "API key " + id + " was rotated already; its successor is " + old.ReplacedBy +
				": rotate that one, also if its text is lost; the overlap of this one stays as it is"}
		}
		if added, err = createKey(ctx, tx, successor); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, inheritFiltersSQL, provider, id, successor.ID); err != nil {
			return err
		}
		var row apiKeyRow
		err := tx.GetContext(ctx, &row, rotateAPIKeySQL, id, successor.ID, until)
		old = row.key()
		return err
	})
	return added, old, err
}

const liveKeysSQL = `
SELECT ` + apiKeyColumns + ` FROM api_keys
WHERE provider = $1 AND id <> $2 AND revoked_at IS NULL AND replaced_by IS NULL AND (expires_at IS NULL OR expires_at > now())`

// Revoke ends a key of the provider at once. A revoked key stays as it is. With keepOne it refuses to end the
// provider's last live key that may create keys, with a *provision.StateError. A rotated key does not count as
// one, because it ends soon. The reason may be empty. Errors: provision.ErrNotFound.
func (s APIKeys) Revoke(ctx context.Context, actor, provider, id, reason string, keepOne bool) (key provision.APIKey, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		if err := setReason(ctx, tx, reason); err != nil {
			return err
		}
		// Lock the provider, so that two transactions cannot revoke its last two keys at the same time.
		if _, err := tx.ExecContext(ctx, `SELECT FROM providers WHERE id = $1 FOR NO KEY UPDATE`, provider); err != nil {
			return err
		}
		if key, err = providerKey(ctx, tx, provider, id, ` FOR UPDATE`); err != nil || key.RevokedAt != nil {
			return err
		}
		if keepOne && key.Grant().May(provision.ScopeKeysWrite) {
			last, err := isLastThatCreatesKeys(ctx, tx, key)
			if err != nil {
				return err
			}
			if last {
				return &provision.StateError{Reason: "API key " + id +
					" is the provider's last live key that may create keys: create another key of role " +
					string(provision.RoleAdmin) + " first, and use it to revoke this one"}
			}
		}
		var row apiKeyRow
		err := tx.GetContext(ctx, &row, `UPDATE api_keys SET revoked_at = now() WHERE id = $1 RETURNING `+apiKeyColumns, id)
		key = row.key()
		return err
	})
	return key, err
}

func isLastThatCreatesKeys(ctx context.Context, tx *sqlx.Tx, key provision.APIKey) (bool, error) {
	var others []apiKeyRow
	if err := tx.SelectContext(ctx, &others, liveKeysSQL, key.Provider, key.ID); err != nil {
		return false, err
	}
	for _, other := range others {
		if other.key().Grant().May(provision.ScopeKeysWrite) {
			return false, nil
		}
	}
	return true, nil
}
