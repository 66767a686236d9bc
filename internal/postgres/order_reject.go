package postgres

import (
	"context"
	"strings"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

const rejectAccountSQL = `
UPDATE accounts SET status = 'invalid', reason = $3
WHERE id = $4 AND provider = $1 AND order_id = $2 AND status = 'provisioning'`

// setAsideSQL makes the account due for verification at once. An account in which orders cannot open a session
// although its verification passes waits longer each time: $6 seconds, doubled each time up to $7.
const setAsideSQL = `
UPDATE accounts SET status = 'invalid', reason = $3, ready_when_verified = true, ready_because = $5, strikes = 0, finding = '',
    set_aside_at = clock_timestamp(), set_aside_count = LEAST(set_aside_count + 1, 100),
    verify_at = now() + CASE set_aside_count WHEN 0 THEN 0 ELSE LEAST($6 * power(2, LEAST(set_aside_count, 16) - 1),
        $7) END * interval '1 second'
WHERE id = $4 AND provider = $1 AND order_id = $2 AND status = 'provisioning'`

const backToQueueSQL = `
UPDATE orders SET state = 'waiting_for_account', step = 'claim_account', failure = NULL WHERE provider = $1 AND id = $2`

// RejectAccount makes the account that the order holds Invalid and puts the order back into the queue at its old
// place, where it may get the next account at once. An order that is being undone stays so, without an account.
// RejectAccount does nothing when the order does not hold that account.
//
// With setAside the order could not open a session in the account and wrote nothing into it. The cause may be the
// account or our own identity, so the account becomes Ready automatically when its verification passes. When
// several accounts refuse, the claims of the pool are suspended (see doubt), and no order of the pool gets an
// account until a session can be opened in one of them.
func (s Orders) RejectAccount(ctx context.Context, key provision.OrderKey, accountID string, why provision.Failure,
	setAside bool) (rejected provision.Rejection, err error) {
	var of queuedOrder
	if err := s.db.GetContext(ctx, &of, queuedOrderSQL, key.Provider, key.ID); err != nil {
		return rejected, notFound(err, "order %s", key)
	}
	err = s.db.poolTx(ctx, orderActor(key), of.Pool, func(tx *sqlx.Tx) error {
		rejected = provision.Rejection{}
		o, err := lockOrder(ctx, tx, key)
		if err != nil {
			return err
		}
		isNew, err := reject(ctx, tx, key, accountID, why, setAside)
		if err != nil {
			return err
		}
		if isNew && o.State != provision.Compensating { // a stopped order takes no other account
			if err := backToQueue(ctx, tx, key, accountID, why, setAside); err != nil {
				return err
			}
		}
		if isNew && setAside {
			if rejected.Suspended, err = doubt(ctx, tx, o.Pool, key, accountID, why); err != nil {
				return err
			}
		}
		if setAside { // a repeat returns the same, because the first answer may be lost
			if err := tx.GetContext(ctx, &rejected.Verify, anyDueSQL, o.Provider, o.Marketplace, o.Environment); err != nil {
				return err
			}
		}
		rejected.Woken, err = match(ctx, tx, o.Pool, key)
		return err
	})
	return rejected, err
}

// backToQueue puts the order back into the queue. The order's history says which account it lost, and why.
func backToQueue(ctx context.Context, tx *sqlx.Tx, key provision.OrderKey, accountID string, why provision.Failure, setAside bool) error {
	what := "account " + accountID + " is Invalid: "
	if setAside {
		what = "account " + accountID + " was set aside: "
	}
	if _, err := tx.ExecContext(ctx, explainSQL, why.Code, what+why.Commented()); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, backToQueueSQL, key.Provider, key.ID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, explainSQL, "", "") // what follows in the transaction has other reasons
	return err
}

const (
	entersSQL = `UPDATE orders SET refused_at = NULL, refused_by = NULL WHERE provider = $1 AND id = $2`
	anyDueSQL = `
SELECT EXISTS (SELECT 1 FROM accounts a WHERE a.provider = $1 AND a.marketplace = $2 AND a.environment = $3
    AND a.verify_at <= now() AND ` + verifiable + `)`
)

// reject takes the account away from the order. It returns false when the order does not hold the account.
func reject(ctx context.Context, tx *sqlx.Tx, key provision.OrderKey, accountID string, why provision.Failure,
	setAside bool) (isNew bool, err error) {
	reason := why.Commented()
	if setAside {
		isNew, err = affected(tx.ExecContext(ctx, setAsideSQL, key.Provider, key.ID,
			"set aside: "+strings.TrimSuffix(reason, ".")+"; back to Ready when its verification passes",
			accountID, "set aside by order "+key.ID, provision.VerifyFirstRetry.Seconds(), provision.VerifyLongestRetry.Seconds()))
	} else {
		isNew, err = affected(tx.ExecContext(ctx, rejectAccountSQL, key.Provider, key.ID, reason, accountID))
	}
	if err != nil || !isNew {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, withdrawPasswordSQL, key.Provider, key.ID, accountID); err != nil {
		return false, err
	}
	if !setAside {
		_, err = tx.ExecContext(ctx, entersSQL, key.Provider, key.ID)
	}
	return true, err
}
