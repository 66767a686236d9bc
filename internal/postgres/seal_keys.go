package postgres

import (
	"context"

	"quartermaster/internal/provision"
)

// SealKeys are the keys that sealed what the database keeps.
type SealKeys struct{ db *database }

// Sealed bytes begin with the id of the key and NUL. The last use of a key is recorded some seconds late, so an
// order that was accepted up to a minute later may need the key.
const sealKeysSQL = `
WITH at_rest AS (
    SELECT sealed, true AS password FROM order_passwords WHERE sealed IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
    UNION ALL
    SELECT sealed, false FROM webhook_secrets WHERE expires_at IS NULL OR expires_at > now()
    UNION ALL
    SELECT sealed, NULL FROM kept_undos
), counted AS (
    SELECT encode(substring(sealed FROM 1 FOR position('\x00'::bytea IN sealed) - 1), 'escape') AS key_id,
           count(*) FILTER (WHERE password) AS passwords, count(*) FILTER (WHERE NOT password) AS webhook_secrets,
               count(*) FILTER (WHERE password IS NULL) AS kept_undos
    FROM at_rest WHERE position('\x00'::bytea IN sealed) > 1 GROUP BY 1
)
SELECT key_id AS id, k.last_used_at, COALESCE(c.passwords, 0) AS passwords, COALESCE(c.webhook_secrets, 0) AS webhook_secrets,
       COALESCE(c.kept_undos, 0) AS kept_undos,
       (SELECT count(*) FROM orders o WHERE o.state NOT IN ('completed', 'failed', 'cancelled')
           AND o.created_at < k.last_used_at + interval '1 minute') AS open_orders
FROM seal_keys k FULL JOIN counted c USING (key_id) ORDER BY key_id`

// List lists the keys that have sealed something, with the number of passwords, secrets, kept undos and open
// orders that need each.
func (s SealKeys) List(ctx context.Context) (keys []provision.SealKeyUse, err error) {
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

// sealedTables are the tables with sealed columns. others selects the rows after the id $2 that another key than
// $1 sealed.
var sealedTables = []struct {
	others  string
	replace string
	purpose func(sealedRow) string
}{
	{
		others: `SELECT id, provider, order_id, account_id, sealed FROM order_passwords
WHERE sealed IS NOT NULL AND (expires_at IS NULL OR expires_at > now()) AND substring(sealed FROM 1 FOR length($1::bytea)) <> $1::bytea
    AND id > $2 ORDER BY id LIMIT 100`,
		replace: `UPDATE order_passwords SET sealed = $3 WHERE id = $1 AND sealed = $2`,
		purpose: func(r sealedRow) string {
			return provision.PasswordPurpose(provision.OrderKey{Provider: r.Provider, ID: r.OrderID}, r.AccountID)
		},
	},
	{
		others: `SELECT id, provider, webhook_id, sealed FROM webhook_secrets
WHERE (expires_at IS NULL OR expires_at > now()) AND substring(sealed FROM 1 FOR length($1::bytea)) <> $1::bytea AND id > $2
    ORDER BY id LIMIT 100`,
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

// Reseal seals everything at rest that another key than keyID sealed with again, and returns how many values it
// replaced. It stops at the first error. A value that changes at the same moment stays as it then is.
func (s SealKeys) Reseal(ctx context.Context, keyID string,
	again func(sealed []byte, purpose string) ([]byte, error)) (replaced int, err error) {
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
