package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

const orderHistorySQL = `
SELECT h.seq, h.at, h.actor, COALESCE(h.from_state, '') AS from_state, h.to_state, h.code, h.fields, h.refused, h.reason
FROM order_history h JOIN orders o ON o.provider = h.provider AND o.id = h.order_id`

// History returns at most limit rows of an order's history that follow the given row, oldest first. Errors:
// provision.ErrNotFound when the tenant has no row of that order.
func (s Orders) History(
	ctx context.Context, of provision.Tenant, id string, after int64, limit int,
) ([]provision.OrderHistoryEntry, error) {
	var rows []struct {
		provision.OrderHistoryEntry
		FieldNames pq.StringArray `db:"fields"`
	}
	var w where
	w.ofTenant(of)
	w.and("h.order_id = ? AND h.seq > ?", id, after)
	if err := s.db.SelectContext(ctx, &rows, orderHistorySQL+w.sql()+` ORDER BY h.seq LIMIT `+w.arg(limit), w.args...); err != nil {
		return nil, err
	}
	if len(rows) == 0 && after == 0 {
		return nil, fmt.Errorf("order %s/%s: %w", of.Provider, id, provision.ErrNotFound)
	}
	entries := make([]provision.OrderHistoryEntry, len(rows))
	for i, row := range rows {
		entries[i] = row.OrderHistoryEntry
		entries[i].Fields = orNil(row.FieldNames)
	}
	return entries, nil
}

const noteActionSQL = `
INSERT INTO order_history (provider, order_id, marketplace, environment, actor, from_state, to_state, code, fields, reason, action_id)
SELECT provider, id, marketplace, environment, $3, state, state, $4, $5, $6, $7 FROM orders WHERE provider = $1 AND id = $2
ON CONFLICT (provider, order_id, action_id) WHERE action_id <> '' DO NOTHING`

// noteAction records an action on an order, and the fields that it corrected. The transaction has locked the order, so the row of
// the action shows the state in which it was taken. noteAction returns false when the action (by.ID) is recorded already.
func noteAction(ctx context.Context, tx *sqlx.Tx, key provision.OrderKey, action string, by provision.Intervention,
	fields ...string) (noted bool, err error) {
	return affected(tx.ExecContext(ctx, noteActionSQL, key.Provider, key.ID, by.Actor, action, textArray(fields), by.Reason, by.ID))
}

// NoteAction records an action on an order, with its actor and reason. A repeat of the same action (by.ID) records
// nothing, and neither does an action on an order that has no row yet.
func (s Orders) NoteAction(ctx context.Context, key provision.OrderKey, action string, by provision.Intervention) error {
	return s.noted(ctx, key, by.Actor, func(tx *sqlx.Tx) error {
		_, err := noteAction(ctx, tx, key, action, by)
		return err
	})
}

// noteRefusalSQL leaves a refusal out that the history shows within the last hour in the same state, so that a client which
// repeats a hopeless request does not fill the history.
const noteRefusalSQL = `
INSERT INTO order_history (provider, order_id, marketplace, environment, actor, from_state, to_state, code, fields, refused, reason)
SELECT o.provider, o.id, o.marketplace, o.environment, $3, o.state, o.state, $4, $5, $6, $7 FROM orders o
WHERE o.provider = $1 AND o.id = $2 AND NOT EXISTS (SELECT 1 FROM order_history e
    WHERE e.provider = o.provider AND e.order_id = o.id AND (e.actor, e.code, e.refused, e.to_state) = ($3, $4, $6, o.state)
      AND e.at > now() - interval '1 hour')`

// NoteRefusal records an action on an order that was refused with that code, and the fields that it would have corrected. It
// records nothing for an order that has no row yet.
func (s Orders) NoteRefusal(ctx context.Context, key provision.OrderKey, action string, fields []string, refused provision.Code,
	by provision.Intervention) error {
	return s.noted(ctx, key, by.Actor, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, noteRefusalSQL, key.Provider, key.ID, by.Actor, action, textArray(fields), refused, by.Reason)
		return err
	})
}

// noted runs work with the order locked, so that what it records shows the state of the order. It does nothing for an order that
// has no row yet.
func (s Orders) noted(ctx context.Context, key provision.OrderKey, actor string, work func(*sqlx.Tx) error) error {
	return s.db.tx(ctx, actor, func(tx *sqlx.Tx) error {
		if _, err := lockOrder(ctx, tx, key); err != nil {
			return ignoreNotFound(err)
		}
		return work(tx)
	})
}

const actionNotedSQL = `SELECT EXISTS (SELECT 1 FROM order_history WHERE provider = $1 AND order_id = $2 AND action_id = $3)`

// ActionNoted reports whether the order's history contains the action with that id.
func (s Orders) ActionNoted(ctx context.Context, key provision.OrderKey, actionID string) (noted bool, err error) {
	if actionID == "" {
		return false, nil
	}
	err = s.db.GetContext(ctx, &noted, actionNotedSQL, key.Provider, key.ID, actionID)
	return noted, err
}
