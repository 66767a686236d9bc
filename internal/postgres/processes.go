package postgres

import (
	"context"
	"time"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Rows of dead processes are kept for a day, for people who ask what ran.
const announceSQL = `
WITH me AS (
    INSERT INTO processes AS p (id, kind, host, pid, version, key_names, seals_with) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO UPDATE SET seals_with = EXCLUDED.seals_with, seen_at = clock_timestamp()
), used AS (
    INSERT INTO seal_keys AS k (key_id, last_used_at)
    SELECT u.key_id, clock_timestamp() - u.seconds * interval '1 second' FROM unnest($8::text[], $9::float8[]) AS u (key_id, seconds) ORDER BY u.key_id
    ON CONFLICT (key_id) DO UPDATE SET last_used_at = GREATEST(k.last_used_at, EXCLUDED.last_used_at)
)
DELETE FROM processes WHERE id <> $1 AND seen_at < clock_timestamp() - interval '1 day'`

const processColumns = `id, kind, host, pid, version, key_names, seals_with, started_at, seen_at`

const liveProcessesSQL = `
SELECT ` + processColumns + ` FROM processes WHERE seen_at > clock_timestamp() - $1 * interval '1 second' ORDER BY kind, host, started_at, id`

// AnnounceProcess notes that the process lives, with which key it seals, and how long ago each of its keys was used; it returns
// the other live processes. What is noted is committed before the others are read: of two processes that announce themselves at
// the same moment, at least one sees the other.
func (s *Store) AnnounceProcess(ctx context.Context, p provision.Process, used map[string]time.Duration) (others []provision.Process, err error) {
	ids, seconds := make([]string, 0, len(used)), make([]float64, 0, len(used))
	for id, ago := range used {
		ids, seconds = append(ids, id), append(seconds, ago.Seconds())
	}
	if _, err := s.db.ExecContext(ctx, announceSQL, p.ID, p.Kind, p.Host, p.PID, p.Version, textArray(p.Keys), p.SealsWith, pq.Array(ids), pq.Array(seconds)); err != nil {
		return nil, err
	}
	live, err := s.LiveProcesses(ctx)
	for _, other := range live {
		if other.ID != p.ID {
			others = append(others, other)
		}
	}
	return others, err
}

// RemoveProcess forgets a process that has stopped.
func (s *Store) RemoveProcess(ctx context.Context, id string) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM processes WHERE id = $1`, id)
	return err
}

// LiveProcesses lists the processes that run.
func (s *Store) LiveProcesses(ctx context.Context) (live []provision.Process, err error) {
	var rows []struct {
		provision.Process
		Names pq.StringArray `db:"key_names"`
	}
	if err := s.db.SelectContext(ctx, &rows, liveProcessesSQL, provision.ProcessLifetime.Seconds()); err != nil {
		return nil, err
	}
	for _, row := range rows {
		row.Keys = row.Names
		live = append(live, row.Process)
	}
	return live, nil
}

// Sealed bytes begin with the id of the key and NUL. When a key was used last is noted some seconds late; an order that was
// accepted in the minute after that may need it.
const sealKeysSQL = `
WITH at_rest AS (
    SELECT sealed, true AS password FROM order_passwords WHERE sealed IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
    UNION ALL
    SELECT sealed, false FROM webhook_secrets WHERE expires_at IS NULL OR expires_at > now()
    UNION ALL
    SELECT sealed, NULL FROM kept_undos
), counted AS (
    SELECT encode(substring(sealed FROM 1 FOR position('\x00'::bytea IN sealed) - 1), 'escape') AS key_id,
           count(*) FILTER (WHERE password) AS passwords, count(*) FILTER (WHERE NOT password) AS webhook_secrets, count(*) FILTER (WHERE password IS NULL) AS kept_undos
    FROM at_rest WHERE position('\x00'::bytea IN sealed) > 1 GROUP BY 1
)
SELECT key_id AS id, k.last_used_at, COALESCE(c.passwords, 0) AS passwords, COALESCE(c.webhook_secrets, 0) AS webhook_secrets,
       COALESCE(c.kept_undos, 0) AS kept_undos,
       (SELECT count(*) FROM orders o WHERE o.state NOT IN ('completed', 'failed', 'cancelled') AND o.created_at < k.last_used_at + interval '1 minute') AS open_orders
FROM seal_keys k FULL JOIN counted c USING (key_id) ORDER BY key_id`

// SealKeys lists the keys that have sealed something, and what of it is still there.
func (s *Store) SealKeys(ctx context.Context) (keys []provision.SealKeyUse, err error) {
	err = s.db.SelectContext(ctx, &keys, sealKeysSQL)
	return keys, err
}

// sealedRow is something sealed, at rest.
type sealedRow struct {
	ID        string  `db:"id"`
	Provider  string  `db:"provider"`
	OrderID   string  `db:"order_id"`
	AccountID string  `db:"account_id"`
	WebhookID *string `db:"webhook_id"`
	Sealed    []byte  `db:"sealed"`
}

// sealedTables are the tables that hold something sealed: what of it is under another key than $1, after the id $2.
var sealedTables = []struct {
	others  string
	replace string
	purpose func(sealedRow) string
}{
	{
		others: `SELECT id, provider, order_id, account_id, sealed FROM order_passwords
WHERE sealed IS NOT NULL AND (expires_at IS NULL OR expires_at > now()) AND substring(sealed FROM 1 FOR length($1::bytea)) <> $1::bytea AND id > $2 ORDER BY id LIMIT 100`,
		replace: `UPDATE order_passwords SET sealed = $3 WHERE id = $1 AND sealed = $2`,
		purpose: func(r sealedRow) string {
			return provision.PasswordPurpose(provision.OrderKey{Provider: r.Provider, ID: r.OrderID}, r.AccountID)
		},
	},
	{
		others: `SELECT id, provider, webhook_id, sealed FROM webhook_secrets
WHERE (expires_at IS NULL OR expires_at > now()) AND substring(sealed FROM 1 FOR length($1::bytea)) <> $1::bytea AND id > $2 ORDER BY id LIMIT 100`,
		replace: `UPDATE webhook_secrets SET sealed = $3 WHERE id = $1 AND sealed = $2`,
		purpose: func(r sealedRow) string {
			key := provision.WebhookKey{Provider: r.Provider, ID: provision.WebhookCallbacks}
			if r.WebhookID != nil {
				key.ID = *r.WebhookID
			}
			return provision.WebhookSecretPurpose(key)
		},
	},
	{
		others: `SELECT id, provider, order_id, account_id, sealed FROM kept_undos
WHERE substring(sealed FROM 1 FOR length($1::bytea)) <> $1::bytea AND id > $2 ORDER BY id LIMIT 100`,
		replace: `UPDATE kept_undos SET sealed = $3 WHERE id = $1 AND sealed = $2`,
		purpose: func(r sealedRow) string {
			return provision.KeptUndoPurpose(provision.OrderKey{Provider: r.Provider, ID: r.OrderID}, r.AccountID)
		},
	},
}

// Reseal has again seal everything at rest that is under another key than keyID, and returns how many it
// replaced. It stops at the first error. What changes at the same moment is left as it then is.
func (s *Store) Reseal(ctx context.Context, keyID string, again func(sealed []byte, purpose string) ([]byte, error)) (replaced int, err error) {
	for _, table := range sealedTables {
		for after := "00000000-0000-0000-0000-000000000000"; ; {
			var rows []sealedRow
			if err := s.db.SelectContext(ctx, &rows, table.others, append([]byte(keyID), 0), after); err != nil {
				return replaced, err
			}
			if len(rows) == 0 {
				break
			}
			after = rows[len(rows)-1].ID
			for _, row := range rows {
				sealed, err := again(row.Sealed, table.purpose(row))
				if err != nil {
					return replaced, err
				}
				result, err := s.db.ExecContext(ctx, table.replace, row.ID, row.Sealed, sealed)
				if err != nil {
					return replaced, err
				}
				if n, err := result.RowsAffected(); err == nil {
					replaced += int(n)
				}
			}
		}
	}
	return replaced, nil
}
