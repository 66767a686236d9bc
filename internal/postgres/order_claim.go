package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// mineSQL selects the account that the order holds. It is touched unless its steps only read or were undone.
const mineSQL = `
SELECT ` + accountColumns + `,
       EXISTS (SELECT 1 FROM order_steps s WHERE s.provider = $1 AND s.order_id = $2 AND s.account_id = a.id
               AND s.step NOT IN ('claim_account', 'inspect_account', 'compare_with_journal') AND s.state <> 'undone') AS touched
FROM accounts a
WHERE a.provider = $1 AND a.order_id = $2 AND a.status = 'provisioning'`

const enqueueSQL = `
UPDATE orders SET state = 'waiting_for_account', step = 'claim_account', queue_position = nextval('orders_queue')
WHERE provider = $1 AND id = $2 AND state = 'accepted'`

// Claim assigns the oldest Ready account of the pool that fits to the order, unless an older order waits for it. A
// repeat returns the same account. Without stock the order keeps its place in the queue, and Claim.Account is nil.
// An order that has ended gets no account (CodeOrderNotInProgress), so a late attempt cannot take one. An order
// that is being undone still gets the account that it holds, because a run that does not know the account must
// give it back.
//
// A claim without stock costs the same however many orders wait, and does not wait for other claims of the pool.
func (s Orders) Claim(ctx context.Context, key provision.OrderKey) (claim provision.Claim, err error) {
	var o queuedOrder
	if err := s.db.GetContext(ctx, &o, queuedOrderSQL, key.Provider, key.ID); err != nil {
		return claim, notFound(err, "order %s", key)
	}
	switch o.State {
	case provision.Accepted:
		if err := s.enqueue(ctx, o.Pool, key); err != nil {
			return claim, err
		}
	case provision.WaitingForAccount, provision.Provisioning, provision.ActionRequired, provision.Compensating:
	default:
		return claim, noClaim(o.State)
	}
	if claim.Woken, err = s.matchStock(ctx, o.Pool, key); err != nil {
		return claim, err
	}
	var mine struct {
		provision.Account
		Touched bool `db:"touched"`
	}
	switch err := s.db.GetContext(ctx, &mine, mineSQL, key.Provider, key.ID); {
	case err == nil:
		claim.Account, claim.Touched = &mine.Account, mine.Touched
	case !errors.Is(err, sql.ErrNoRows):
		return claim, err
	case o.State == provision.Compensating:
		return claim, noClaim(o.State)
	}
	return claim, nil
}

func noClaim(state provision.OrderState) error {
	return &provision.Failure{Code: provision.CodeOrderNotInProgress, Step: provision.StepClaim,
		Reason: fmt.Sprintf("the order is %s and cannot claim an account", state)}
}

// enqueue gives an accepted order its place in the queue. Orders that arrive at the same time do not wait for each
// other. But the stock is matched before or after all of them, so no earlier place becomes visible after a later
// one was served.
func (s Orders) enqueue(ctx context.Context, pool provision.Pool, key provision.OrderKey) error {
	return s.db.sharedPoolTx(ctx, orderActor(key), pool, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, enqueueSQL, key.Provider, key.ID)
		return err
	})
}

// queueHeadSQL selects the order that has waited longest among those that some Ready account of the pool fits. It
// selects none while the claims of the pool are suspended. For each model with a Ready account it looks only at
// the oldest order, and at the oldest order that accepts any model (model ”), so orders for other models cost
// nothing.
const queueHeadSQL = `
WITH ready AS (
    SELECT m.id AS model FROM account_models m CROSS JOIN LATERAL (
        SELECT 1 FROM accounts a
        WHERE a.provider = $1 AND a.marketplace = $2 AND a.environment = $3 AND a.status = 'ready' AND a.model = m.id
        ORDER BY a.added_at NULLS FIRST, a.added_seq LIMIT 1
    ) stock
    WHERE NOT EXISTS (SELECT 1 FROM pools p WHERE p.provider = $1 AND p.marketplace = $2 AND p.environment = $3
        AND p.claims_suspended_at IS NOT NULL)
), served AS (
    SELECT model FROM ready UNION ALL SELECT '' WHERE EXISTS (SELECT 1 FROM ready)
)
SELECT oldest.id, served.model
FROM served CROSS JOIN LATERAL (
    SELECT o.id, o.queue_position FROM orders o
    WHERE o.provider = $1 AND o.marketplace = $2 AND o.environment = $3 AND o.state = 'waiting_for_account' AND COALESCE(o.model,
        '') = served.model
    ORDER BY o.queue_position LIMIT 1
) oldest
ORDER BY oldest.queue_position LIMIT 1`

// serveSQL assigns the oldest account that fits to the order $4, if that order still waits: one of the model $5,
// or of any model when $5 is empty. SKIP LOCKED passes over an account that an operator is changing. If the order
// held the account before and gave it back, the records of those steps are deleted, because they would prevent the
// order from taking the steps again.
const serveSQL = `
WITH head AS (
    SELECT o.provider, o.id FROM orders o
    WHERE o.provider = $1 AND o.id = $4 AND o.state = 'waiting_for_account' FOR NO KEY UPDATE
), oldest AS (
    SELECT a.id FROM accounts a JOIN head USING (provider)
    WHERE a.provider = $1 AND a.marketplace = $2 AND a.environment = $3 AND a.status = 'ready' AND ($5 = '' OR a.model = $5)
    ORDER BY a.added_at NULLS FIRST, a.added_seq LIMIT 1 FOR UPDATE OF a SKIP LOCKED
), claimed AS (
    UPDATE accounts a SET status = 'provisioning', order_id = head.id, reason = ''
    FROM oldest, head WHERE a.id = oldest.id
    RETURNING a.id
), forgotten AS (
    DELETE FROM order_steps s USING head, claimed
    WHERE s.provider = head.provider AND s.order_id = head.id AND s.account_id = claimed.id
), served AS (
    UPDATE orders o SET state = 'provisioning', step = 'inspect_account'
    FROM head, claimed WHERE o.provider = head.provider AND o.id = head.id
    RETURNING o.id
)
SELECT EXISTS (SELECT 1 FROM head) AS waited, EXISTS (SELECT 1 FROM served) AS served`

// matchStock matches the stock of the pool to its queue. It takes a lock only when there is something to match. It
// returns the orders that got an account, except the caller's own.
func (s Orders) matchStock(ctx context.Context, pool provision.Pool, self provision.OrderKey) (woken []provision.OrderKey, err error) {
	switch head, err := headOf(ctx, s.db, pool); {
	case err != nil:
		return nil, err
	case head == nil:
		return nil, nil
	}
	err = s.db.poolTx(ctx, orderActor(self), pool, func(tx *sqlx.Tx) (err error) {
		woken, err = match(ctx, tx, pool, self)
		return err
	})
	return woken, err
}

// match assigns Ready accounts to waiting orders, first come, first served, until there are no more of one or the
// other. It returns the orders that got one, except the caller's own. The pool must be locked.
func match(ctx context.Context, tx *sqlx.Tx, pool provision.Pool, self provision.OrderKey) (woken []provision.OrderKey, err error) {
	for {
		head, err := headOf(ctx, tx, pool)
		if err != nil || head == nil {
			return woken, err
		}
		var now struct{ Waited, Served bool }
		if err := tx.GetContext(ctx, &now, serveSQL, pool.Provider, pool.Marketplace, pool.Environment, head.ID, head.Model); err != nil {
			return nil, fmt.Errorf("matching the stock of pool %s: %w", pool, err)
		}
		served := provision.OrderKey{Provider: pool.Provider, ID: head.ID}
		switch {
		case now.Served && served != self:
			woken = append(woken, served)
		case now.Waited && !now.Served:
			return woken, nil // other transactions are changing the remaining accounts
		}
	}
}

// queueHead is the order that gets the next account, and the model that it accepts; empty means any.
type queueHead struct {
	ID    string          `db:"id"`
	Model provision.Model `db:"model"`
}

// headOf returns nil when no Ready account of the pool fits an order that waits.
func headOf(ctx context.Context, q queryer, pool provision.Pool) (*queueHead, error) {
	var head queueHead
	switch err := q.GetContext(ctx, &head, queueHeadSQL, pool.Provider, pool.Marketplace, pool.Environment); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the queue of pool %s: %w", pool, err)
	}
	return &head, nil
}
