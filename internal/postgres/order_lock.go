package postgres

import (
	"context"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// queuedOrder is an order in the queue of a pool.
type queuedOrder struct {
	provision.Pool
	State provision.OrderState `db:"state"`
}

const queuedOrderSQL = `SELECT provider, marketplace, environment, state FROM orders WHERE provider = $1 AND id = $2`

// NO KEY UPDATE is the lock that an update of the state takes. FOR UPDATE would also block inserts that refer to
// the order, and would deadlock with those that have locked the account.
const lockOrderSQL = queuedOrderSQL + ` FOR NO KEY UPDATE`

// lockOrder locks the order until the transaction ends. A transaction that needs several locks takes them in this
// sequence: pool, order, account.
func lockOrder(ctx context.Context, tx *sqlx.Tx, key provision.OrderKey) (o queuedOrder, err error) {
	err = tx.GetContext(ctx, &o, lockOrderSQL, key.Provider, key.ID)
	return o, notFound(err, "order %s", key)
}

// orderActor returns the actor of history rows that an order causes.
func orderActor(key provision.OrderKey) string { return "order " + key.String() }
