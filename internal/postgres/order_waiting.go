package postgres

import (
	"context"
	"fmt"

	"quartermaster/internal/provision"
)

// unmatchedSQL selects the pools in which a Ready account fits an order that waits.
const unmatchedSQL = `SELECT DISTINCT p.provider, p.marketplace, p.environment` + waitingSQL

// notBegunSQL selects orders that got an account $1 seconds ago or earlier and have taken no step in it.
const notBegunSQL = `
SELECT o.provider, o.id
FROM orders o JOIN accounts a ON a.provider = o.provider AND a.order_id = o.id AND a.status IN ('provisioning', 'allocated')
WHERE o.state = 'provisioning' AND o.state_since < now() - $1 * interval '1 second'
  AND NOT EXISTS (SELECT 1 FROM order_steps s WHERE s.provider = o.provider AND s.order_id = o.id AND s.account_id = a.id)
ORDER BY o.state_since LIMIT $2`

const (
	begunWithin = 15 // seconds: by then a signal has arrived, unless it was lost or all workers are busy
	mostWoken   = 1000
)

// MatchStock matches the stock of every pool to its queue, where that was not done, and returns the orders that have an
// account and have not begun with it. It costs the same however many orders wait.
func (s Orders) MatchStock(ctx context.Context) ([]provision.OrderKey, error) {
	var pools []provision.Pool
	if err := s.db.SelectContext(ctx, &pools, unmatchedSQL); err != nil {
		return nil, fmt.Errorf("looking for stock that no one has matched: %w", err)
	}
	var woken []provision.OrderKey
	for _, pool := range pools {
		served, err := s.matchStock(ctx, pool, provision.OrderKey{Provider: pool.Provider})
		if err != nil {
			return nil, err
		}
		woken = append(woken, served...)
	}
	var late []provision.OrderKey
	if err := s.db.SelectContext(ctx, &late, notBegunSQL, begunWithin, mostWoken); err != nil {
		return nil, fmt.Errorf("looking for orders that have not begun with their account: %w", err)
	}
	return append(woken, late...), nil
}
