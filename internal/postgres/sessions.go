package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Sessions are the browsers that are signed in to the console.
type Sessions struct{ db *database }

type sessionRow struct {
	provision.Session
	GrantsJSON []byte `db:"grants"`
}

const sessionColumns = `token_sha256, COALESCE(key_id, '') AS key_id, issuer, subject, name, grants, signed_in_at, seen_at, ends_at`

// Start stores a new session, which no one has used since its SeenAt, or, without one, since its SignedInAt. In the same transaction it
// deletes the sessions that ran out: those past their end, and those that no one has used since idleBefore. Errors:
// provision.ErrNotFound when the session's key does not exist.
func (s Sessions) Start(ctx context.Context, session provision.Session, idleBefore time.Time) error {
	grants, err := json.Marshal(session.Grants)
	if err != nil {
		return err
	}
	providers := make([]string, len(session.Grants))
	for i, g := range session.Grants {
		providers[i] = g.Provider
	}
	seen := session.SeenAt
	if seen.IsZero() {
		seen = session.SignedInAt
	}
	return s.db.tx(ctx, session.Actor(), func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
INSERT INTO sessions (token_sha256, key_id, issuer, subject, name, grants, providers, signed_in_at, seen_at, ends_at)
VALUES ($1, NULLIF($2, ''), $3, $4, $5, $6, $7, $8, $9, $10)`,
			session.Hash, session.KeyID, session.Issuer, session.Subject, session.Name, grants, pq.Array(providers),
			session.SignedInAt, seen, session.EndsAt)
		if violates(err, "sessions_key_id_fkey") {
			return provision.ErrNotFound
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `
WITH unseen AS (SELECT set_config('qm.actor', '', true))
DELETE FROM sessions USING unseen WHERE ends_at < now() OR seen_at < $1`, idleBefore)
		return err
	})
}

// Find reads the session of the token. Errors: provision.ErrNotFound when it has ended.
func (s Sessions) Find(ctx context.Context, hash []byte) (provision.Session, error) {
	var row sessionRow
	err := s.db.GetContext(ctx, &row, `SELECT `+sessionColumns+` FROM sessions WHERE token_sha256 = $1 AND ends_at > now()`, hash)
	if err != nil {
		return provision.Session{}, notFound(err, "session")
	}
	return row.session()
}

func (r sessionRow) session() (provision.Session, error) {
	err := json.Unmarshal(r.GrantsJSON, &r.Grants)
	return r.Session, err
}

// NoteUse records that a person used the session, at most once a minute.
func (s Sessions) NoteUse(ctx context.Context, hash []byte, at time.Time) error {
	_, err := s.db.ExecContext(ctx, `
UPDATE sessions SET seen_at = $2 WHERE token_sha256 = $1 AND seen_at <= $2::timestamptz - interval '1 minute'`,
		hash, at)
	return err
}

// End ends the session because its owner signed out. It succeeds if there is none.
func (s Sessions) End(ctx context.Context, actor string, hash []byte) error {
	return s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE token_sha256 = $1`, hash)
		return err
	})
}

// List lists the sessions that may work at the provider, the latest sign-in first.
func (s Sessions) List(ctx context.Context, provider string) ([]provision.Session, error) {
	var rows []sessionRow
	err := s.db.SelectContext(ctx, &rows, `SELECT `+sessionColumns+` FROM sessions
WHERE providers @> ARRAY[$1] AND ends_at > now() ORDER BY signed_in_at DESC LIMIT 1000`, provider)
	if err != nil {
		return nil, err
	}
	sessions := make([]provision.Session, len(rows))
	for i, row := range rows {
		if sessions[i], err = row.session(); err != nil {
			return nil, err
		}
	}
	return sessions, nil
}

// EndAll ends all sessions that may work at the provider, the caller's own included, and returns their number.
func (s Sessions) EndAll(ctx context.Context, actor, provider, reason string) (ended int, err error) {
	err = s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, &ended, `WITH ended AS (DELETE FROM sessions WHERE providers @> ARRAY[$1] RETURNING 1)
SELECT count(*) FROM ended`, provider); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO access_history (provider, actor, what, key_id, detail)
VALUES ($1, qm_actor(), 'sessions_ended', '', $2)`, provider, reason)
		return err
	})
	return ended, err
}
