package postgres

import (
	"context"

	"quartermaster/internal/provision"
)

const actionTakenSQL = `SELECT EXISTS (SELECT 1 FROM order_history WHERE provider = $1 AND order_id = $2 AND action_id = $3)`

// ActionTaken reports whether what somebody did to an order was written down: the id is that of the action.
func (s *Store) ActionTaken(ctx context.Context, key provision.OrderKey, actionID string) (taken bool, err error) {
	if actionID == "" {
		return false, nil
	}
	err = s.db.GetContext(ctx, &taken, actionTakenSQL, key.Provider, key.ID, actionID)
	return taken, err
}
