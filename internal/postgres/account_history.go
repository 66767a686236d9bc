package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

const accountHistorySQL = `
SELECT seq, at, actor, COALESCE(from_status, '') AS from_status, to_status, code, fields, refused, reason,
    COALESCE(order_id, '') AS order_id
FROM account_history WHERE provider = $1 AND account_id = $2 AND seq > $3 ORDER BY seq LIMIT $4`

// History reads the history of a provider's account, oldest first, after the given row, at most limit rows. The
// history of a deleted account stays readable. Errors: provision.ErrNotFound when the account never existed.
func (s Accounts) History(ctx context.Context, provider, id string, after int64, limit int) ([]provision.AccountHistoryEntry, error) {
	var rows []struct {
		provision.AccountHistoryEntry
		FieldNames pq.StringArray `db:"fields"`
	}
	if err := s.db.SelectContext(ctx, &rows, accountHistorySQL, provider, id, after, limit); err != nil {
		return nil, err
	}
	if len(rows) == 0 && after == 0 {
		return nil, fmt.Errorf("account %s: %w", id, provision.ErrNotFound)
	}
	entries := make([]provision.AccountHistoryEntry, len(rows))
	for i, row := range rows {
		entries[i] = row.AccountHistoryEntry
		entries[i].Fields = orNil(row.FieldNames)
	}
	return entries, nil
}

// accountNote is a history row that the program writes, because the status does not change.
type accountNote struct {
	code   string   // what was done
	fields []string // that an update changed
	reason string
}

const noteAccountSQL = `
INSERT INTO account_history (provider, account_id, marketplace, environment, actor, from_status, to_status, code, fields, reason, order_id)
VALUES ($1, $2, $3, $4, qm_actor(), $5, $6, $7, $8, $9, NULLIF($10, ''))`

// noteAccount adds a row to the history of an account for a change that leaves its status as it is, or deletes the account. The
// trigger of the table writes a row only when the status changes.
func noteAccount(ctx context.Context, tx *sqlx.Tx, a provision.Account, to provision.AccountStatus, n accountNote) error {
	_, err := tx.ExecContext(ctx, noteAccountSQL, a.Provider, a.ID, a.Marketplace, a.Environment, a.Status, to, n.code, textArray(n.fields),
		n.reason, a.OrderID)
	return err
}

// noteAccountRefusalSQL leaves a refusal out that the history shows within the last hour in the same status, as noteRefusalSQL
// does. It locks the account, so that the row shows its status.
const noteAccountRefusalSQL = `
INSERT INTO account_history (provider, account_id, marketplace, environment, actor, from_status, to_status, code, refused, reason, order_id)
SELECT a.provider, a.id, a.marketplace, a.environment, $3, a.status, a.status, $4, $5, $6, a.order_id
FROM (SELECT * FROM accounts WHERE provider = $1 AND id = $2 FOR NO KEY UPDATE) a
WHERE NOT EXISTS (SELECT 1 FROM account_history e
    WHERE e.account_id = a.id AND e.provider = a.provider AND (e.actor, e.code, e.refused, e.to_status) = ($3, $4, $5, a.status)
      AND e.at > now() - interval '1 hour')`

// noteRefusal records that a change was refused because of the account's status. It returns the error of the change.
func noteRefusal(ctx context.Context, db *database, c accountChange, refused error) error {
	if _, ok := errors.AsType[*provision.StateError](refused); !ok {
		return refused
	}
	err := db.tx(ctx, c.actor, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, noteAccountRefusalSQL, c.provider, c.id, c.actor, c.verb, provision.CodeConflict, c.reason)
		return err
	})
	if err != nil {
		return errors.Join(refused, err)
	}
	return refused
}
