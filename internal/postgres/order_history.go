package postgres

import (
	"context"
	"fmt"

	"quartermaster/internal/provision"
)

const orderHistorySQL = `
SELECT seq, at, actor, COALESCE(from_state, '') AS from_state, to_state, code, reason
FROM order_history WHERE provider = $1 AND order_id = $2 AND seq > $3 ORDER BY seq LIMIT $4`

// History returns at most limit rows of an order's history that follow the given row, oldest first. Errors:
// provision.ErrNotFound when the order has no row.
func (s Orders) History(
	ctx context.Context, key provision.OrderKey, after int64, limit int,
) (entries []provision.OrderHistoryEntry, err error) {
	err = s.db.SelectContext(ctx, &entries, orderHistorySQL, key.Provider, key.ID, after, limit)
	if err == nil && len(entries) == 0 && after == 0 {
		err = fmt.Errorf("order %s: %w", key, provision.ErrNotFound)
	}
	return entries, err
}
