package postgres

import (
	"context"
	"fmt"

	"quartermaster/internal/provision"
)

const orderHistorySQL = `
SELECT h.seq, h.at, h.actor, COALESCE(h.from_state, '') AS from_state, h.to_state, h.code, h.reason
FROM order_history h JOIN orders o ON o.provider = h.provider AND o.id = h.order_id`

// History returns at most limit rows of an order's history that follow the given row, oldest first. Errors:
// provision.ErrNotFound when the tenant has no row of that order.
func (s Orders) History(
	ctx context.Context, of provision.Tenant, id string, after int64, limit int,
) (entries []provision.OrderHistoryEntry, err error) {
	var w where
	w.ofTenant(of)
	w.and("h.order_id = ? AND h.seq > ?", id, after)
	err = s.db.SelectContext(ctx, &entries, orderHistorySQL+w.sql()+` ORDER BY h.seq LIMIT `+w.arg(limit), w.args...)
	if err == nil && len(entries) == 0 && after == 0 {
		err = fmt.Errorf("order %s/%s: %w", of.Provider, id, provision.ErrNotFound)
	}
	return entries, err
}
