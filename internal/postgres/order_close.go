package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

const releaseAccountSQL = `
UPDATE accounts SET status = $3, reason = $4, order_id = CASE $3 WHEN 'ready' THEN NULL ELSE order_id END
WHERE provider = $1 AND order_id = $2 AND status = 'provisioning'`

const closeOrderSQL = `
UPDATE orders SET state = $3, failure = $4, leftovers = $5, notes = $6 WHERE provider = $1 AND id = $2`

// Close ends an order that did not complete and releases its account in the same transaction. An account that was
// verified to be clean goes back to Ready and keeps its age. Any other account becomes Provisioning failed, with a
// list of what is left. An order that has ended stays as it is. Afterwards, Close matches the stock to the queue,
// also when it is repeated.
func (s Orders) Close(ctx context.Context, c provision.OrderClosing) (woken []provision.OrderKey, err error) {
	key := c.Order
	status, reason := provision.AccountReady, "returned clean by order "+key.ID
	switch {
	case len(c.Leftovers) > 0:
		status, reason = provision.AccountProvisioningFailed, "left by order "+key.ID+": "+joinSentences(c.Leftovers)
	case c.OnFailure == provision.OnFailurePark:
		status, reason = provision.AccountProvisioningFailed, "clean, but the pool parks the accounts of failed orders (order "+key.ID+")"
	}
	var pool provision.Pool
	err = s.db.tx(ctx, orderActor(key), func(tx *sqlx.Tx) error {
		o, err := lockOrder(ctx, tx, key)
		pool = o.Pool
		if err != nil || o.State.Ended() {
			return err
		}
		if o.State == provision.Provisioning || o.State == provision.ActionRequired {
			if _, err := tx.ExecContext(ctx, beginUndoSQL, key.Provider, key.ID, asJSON(c.Failure)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, releaseAccountSQL, key.Provider, key.ID, status, reason); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, closeOrderSQL, key.Provider, key.ID, c.State, asJSON(c.Failure), textArray(c.Leftovers),
			textArray(c.Notes)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, withdrawPasswordsSQL, key.Provider, key.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.matchStock(ctx, pool, key)
}

const allocatedSQL = `
SELECT EXISTS (SELECT 1 FROM accounts WHERE id = $3 AND provider = $1 AND order_id = $2 AND status = 'allocated')`

const allocateAccountSQL = `
UPDATE accounts SET status = 'allocated', reason = ''
WHERE id = $3 AND provider = $1 AND order_id = $2 AND status = 'provisioning'`

// completeOrderSQL also ends the steps whose end was lost: the workflow has their results.
const completeOrderSQL = `
WITH ended AS (
    UPDATE order_steps SET state = 'done', finished_at = now(), attempts_open = 0
    WHERE provider = $1 AND order_id = $2 AND account_id = $4 AND state IN ('running', 'retrying', 'stopped')
)
UPDATE orders SET state = 'completed', step = 'allocate', failure = NULL, result = $3 WHERE provider = $1 AND id = $2`

// Allocate hands the account to the customer. Account and order change in one transaction, which cannot be undone.
// A repeat changes nothing. Errors: a *provision.Failure OrderNotInProgress when the order has ended otherwise, is
// being undone, requires an action, or does not hold the account.
func (s Orders) Allocate(ctx context.Context, key provision.OrderKey, accountID string, result provision.Result) error {
	return s.db.tx(ctx, orderActor(key), func(tx *sqlx.Tx) error {
		o, err := lockOrder(ctx, tx, key)
		if err != nil {
			return err
		}
		if o.State == provision.Completed {
			var same bool
			if err := tx.GetContext(ctx, &same, allocatedSQL, key.Provider, key.ID, accountID); err != nil || same {
				return err
			}
		}
		allocated, err := affected(tx.ExecContext(ctx, allocateAccountSQL, key.Provider, key.ID, accountID))
		if err != nil {
			return err
		}
		if !allocated || o.State != provision.Provisioning {
			return &provision.Failure{Code: provision.CodeOrderNotInProgress, Step: provision.StepAllocate,
				Reason: fmt.Sprintf("the order is %s and cannot be completed with account %s", o.State, accountID)}
		}
		if _, err := tx.ExecContext(ctx, completeOrderSQL, key.Provider, key.ID, asJSON(result), accountID); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, startPasswordClockSQL, key.Provider, key.ID, accountID, provision.PasswordLifetime.Seconds())
		return err
	})
}
