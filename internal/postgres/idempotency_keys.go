package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// IdempotencyKeys are the requests that take effect only once.
type IdempotencyKeys struct{ db *database }

// lockOnceSQL does not wait for a request of the same key that is running.
const lockOnceSQL = `SELECT pg_try_advisory_xact_lock(hashtextextended(jsonb_build_array('once', $1::text, $2::text, $3::text)::text, 0))`

// recordOnceSQL writes over a record that is too old and has not been purged yet.
const recordOnceSQL = `
INSERT INTO idempotency_keys AS k (provider, caller, key, request_sha256, made) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (provider, caller, key) DO UPDATE SET request_sha256 = EXCLUDED.request_sha256, made = EXCLUDED.made, at = EXCLUDED.at
WHERE k.at <= now() - $6 * interval '1 second'`

const onceSQL = `
SELECT request_sha256, made, at FROM idempotency_keys
WHERE provider = $1 AND caller = $2 AND key = $3 AND at > now() - $4 * interval '1 second'`

// recordOnce records the request in the transaction that does what it asks for. It does nothing for nil. Errors: a
// *provision.RepeatError when there was a request with the same key.
func recordOnce(ctx context.Context, tx *sqlx.Tx, once *provision.Once) error {
	if once == nil {
		return nil
	}
	var free bool
	if err := tx.GetContext(ctx, &free, lockOnceSQL, once.Provider, once.Caller, once.Key); err != nil {
		return err
	}
	if !free {
		return &provision.RepeatError{Running: true}
	}
	recorded, err := affected(tx.ExecContext(ctx, recordOnceSQL, once.Provider, once.Caller, once.Key, once.SHA256, once.Makes,
		provision.OnceKeptFor.Seconds()))
	if err != nil || recorded {
		return err
	}
	return findOnce(ctx, tx, *once)
}

// findOnce returns a *provision.RepeatError when there was a request with the same key.
func findOnce(ctx context.Context, q queryer, once provision.Once) error {
	var earlier struct {
		SHA256 []byte `db:"request_sha256"`
		Made   string
		At     time.Time
	}
	err := q.GetContext(ctx, &earlier, onceSQL, once.Provider, once.Caller, once.Key, provision.OnceKeptFor.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return &provision.RepeatError{Differs: !bytes.Equal(earlier.SHA256, once.SHA256), Made: earlier.Made, At: earlier.At}
}

// Check returns a *provision.RepeatError when the caller has sent a request with the same key within provision.OnceKeptFor.
func (s IdempotencyKeys) Check(ctx context.Context, once provision.Once) error {
	return findOnce(ctx, s.db, once)
}

const purgeOnceSQL = `
DELETE FROM idempotency_keys WHERE (provider, caller, key) IN
    (SELECT provider, caller, key FROM idempotency_keys WHERE at <= now() - $1 * interval '1 second' ORDER BY at LIMIT $2)`
