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

// fits is true when the claims of the pool p are not suspended and a Ready account fits its order o.
const fits = `(p.claims_suspended_at IS NULL AND EXISTS (
    SELECT 1 FROM account_models m CROSS JOIN LATERAL (
        SELECT 1 FROM accounts a
        WHERE a.provider = p.provider AND a.marketplace = p.marketplace AND a.environment = p.environment AND a.status = 'ready'
          AND a.model = m.id
        ORDER BY a.added_at NULLS FIRST, a.added_seq LIMIT 1
    ) ready WHERE m.id = COALESCE(o.model, m.id)))`

const claimingSQL = `
SELECT o.provider, o.marketplace, o.environment, o.state, o.state = 'accepted' AND ` + fits + ` AS fits
FROM orders o JOIN pools p USING (provider, marketplace, environment) WHERE o.provider = $1 AND o.id = $2`

// Claim assigns the oldest Ready account of the pool that fits to the order, unless an older order waits for it. A
// repeat returns the same account. Without stock the order keeps its place in the queue, and Claim.Account is nil.
// An order that has ended gets no account (CodeOrderNotInProgress), so a late attempt cannot take one. An order
// that is being undone still gets the account that it holds, because a run that does not know the account must
// give it back.
//
// A claim without stock costs the same however many orders wait, and does not wait for other claims of the pool.
func (s Orders) Claim(ctx context.Context, key provision.OrderKey) (claim provision.Claim, err error) {
	var o struct {
		queuedOrder
		Fits bool `db:"fits"` // it has no place in the queue yet, and a Ready account fits it
	}
	if err := s.db.GetContext(ctx, &o, claimingSQL, key.Provider, key.ID); err != nil {
		return claim, notFound(err, "order %s", key)
	}
	switch {
	case o.Fits:
		claim.Woken, err = s.enqueueAndMatch(ctx, o.Pool, key)
	case o.State == provision.Accepted:
		claim.Woken, err = s.enqueue(ctx, o.Pool, key)
	case o.State == provision.WaitingForAccount:
		claim.Woken, err = s.matchStock(ctx, o.Pool, key)
	case o.State.Ended():
		err = noClaim(o.State)
	}
	if err != nil {
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

// enqueueAndMatch gives an accepted order its place in the queue and matches the stock, in one transaction.
func (s Orders) enqueueAndMatch(ctx context.Context, pool provision.Pool, key provision.OrderKey) (woken []provision.OrderKey, err error) {
	err = s.db.poolTx(ctx, orderActor(key), pool, func(tx *sqlx.Tx) (err error) {
		if _, err := tx.ExecContext(ctx, enqueueSQL, key.Provider, key.ID); err != nil {
			return err
		}
		woken, err = match(ctx, tx, pool, key)
		return err
	})
	return woken, err
}

// enqueue gives an accepted order its place in the queue. Orders that arrive at the same time do not wait for each
// other. But the stock is matched before or after all of them, so no earlier place becomes visible after a later
// one was served. The order may get stock that arrived just before its place became visible.
func (s Orders) enqueue(ctx context.Context, pool provision.Pool, key provision.OrderKey) (woken []provision.OrderKey, err error) {
	err = s.db.sharedPoolTx(ctx, orderActor(key), pool, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, enqueueSQL, key.Provider, key.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.matchStock(ctx, pool, key)
}

// matchStock matches the stock of the pool to its queue. It takes a lock only when there is something to match. It
// returns the orders that got an account, except the caller's own.
func (s Orders) matchStock(ctx context.Context, pool provision.Pool, self provision.OrderKey) (woken []provision.OrderKey, err error) {
	var head provision.OrderKey
	switch err := s.db.GetContext(ctx, &head, queueHeadSQL, pool.Provider, pool.Marketplace, pool.Environment); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the queue of pool %s: %w", pool, err)
	}
	err = s.db.poolTx(ctx, orderActor(self), pool, func(tx *sqlx.Tx) (err error) {
		woken, err = match(ctx, tx, pool, self)
		return err
	})
	return woken, err
}

// waitingSQL has, for each pool p, the orders o that are first to get one of its Ready accounts. It has none while the claims of
// the pool are suspended. It looks only at the oldest order for each model, and at the oldest order that accepts any model, so
// orders for other models cost nothing.
const waitingSQL = `
FROM pools p CROSS JOIN (SELECT id FROM account_models UNION ALL SELECT '') wanted (model) CROSS JOIN LATERAL (
    SELECT o.provider, o.id, o.model, o.queue_position FROM orders o
    WHERE o.provider = p.provider AND o.marketplace = p.marketplace AND o.environment = p.environment AND o.state = 'waiting_for_account'
      AND COALESCE(o.model, '') = wanted.model
    ORDER BY o.queue_position NULLS FIRST LIMIT 1
) o
WHERE ` + fits

// queueHeadSQL selects the order that has waited longest among those that a Ready account of the pool fits.
const queueHeadSQL = `
SELECT o.provider, o.id` + waitingSQL + ` AND p.provider = $1 AND p.marketplace = $2 AND p.environment = $3
ORDER BY o.queue_position LIMIT 1`

// serveHeadSQL assigns the oldest account that fits to the head of the queue, if that order still waits. The oldest account is
// the oldest among those of each model. SKIP LOCKED passes over an account that an operator is changing. If the order held the
// account before and gave it back, the records of those steps are deleted, because they would prevent the order from taking
// the steps again.
const serveHeadSQL = `
WITH head AS (` + queueHeadSQL + `
), waiting AS (
    SELECT o.* FROM head CROSS JOIN LATERAL (
        SELECT o.provider, o.id, o.marketplace, o.environment, o.model, o.state FROM orders o
        WHERE o.provider = head.provider AND o.id = head.id LIMIT 1 FOR NO KEY UPDATE
    ) o WHERE o.state = 'waiting_for_account'
), oldest AS (
    SELECT a.id FROM waiting w CROSS JOIN account_models m CROSS JOIN LATERAL (
        SELECT a.id, a.added_at, a.added_seq FROM accounts a
        WHERE a.provider = w.provider AND a.marketplace = w.marketplace AND a.environment = w.environment AND a.status = 'ready'
          AND a.model = m.id
        ORDER BY a.added_at NULLS FIRST, a.added_seq LIMIT 1 FOR UPDATE SKIP LOCKED
    ) a
    WHERE m.id = COALESCE(w.model, m.id)
    ORDER BY a.added_at, a.added_seq LIMIT 1
), claimed AS (
    UPDATE accounts a SET status = 'provisioning', order_id = w.id, reason = '' FROM oldest, waiting w WHERE a.id = oldest.id
    RETURNING a.id
), forgotten AS (
    DELETE FROM order_steps s USING waiting w, claimed
    WHERE s.provider = w.provider AND s.order_id = w.id AND s.account_id = claimed.id
), served AS (
    UPDATE orders o SET state = 'provisioning', step = 'inspect_account'
    FROM waiting w, claimed WHERE o.provider = w.provider AND o.id = w.id
    RETURNING o.id
)
SELECT head.id, EXISTS (SELECT 1 FROM waiting) AS waited, EXISTS (SELECT 1 FROM served) AS served FROM head`

// match assigns Ready accounts to waiting orders, first come, first served, until the caller's own order has one, or there are
// no more accounts or orders. The orders that are left match themselves when they claim. match returns the orders that got an
// account, except the caller's own. The pool must be locked.
func match(ctx context.Context, tx *sqlx.Tx, pool provision.Pool, self provision.OrderKey) (woken []provision.OrderKey, err error) {
	for {
		var head struct {
			ID             string
			Waited, Served bool
		}
		switch err := tx.GetContext(ctx, &head, serveHeadSQL, pool.Provider, pool.Marketplace, pool.Environment); {
		case errors.Is(err, sql.ErrNoRows):
			return woken, nil
		case err != nil:
			return nil, fmt.Errorf("matching the stock of pool %s: %w", pool, err)
		}
		served := provision.OrderKey{Provider: pool.Provider, ID: head.ID}
		switch {
		case head.Served && served == self:
			return woken, nil
		case head.Served:
			woken = append(woken, served)
		case head.Waited:
			return woken, nil // other transactions are changing the remaining accounts
		}
	}
}
