package postgres

import (
	"context"
	"fmt"
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
	entersSQL  = `UPDATE orders SET refused_at = NULL, refused_by = NULL WHERE provider = $1 AND id = $2`
	refusedSQL = `UPDATE orders SET refused_at = clock_timestamp(), refused_by = $3 WHERE provider = $1 AND id = $2`
	anyDueSQL  = `
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

// refusalsSQL counts the accounts of the pool that orders tried lately and those that refused, and names the
// account that refused the order $4 before the account $5. An account in which an order is still trying to open a
// session does not count yet. What was tried before claims were last resumed does not count either.
const refusalsSQL = `
WITH pool AS (
    SELECT claims_suspended_at IS NOT NULL AS suspended, COALESCE(claims_resumed_at, '-infinity') AS resumed_at
    FROM pools WHERE provider = $1 AND marketplace = $2 AND environment = $3
), tried AS (
    SELECT COALESCE(a.set_aside_at >= a.claimed_at, false) AS refused
    FROM pool JOIN accounts a ON a.claimed_at > GREATEST(pool.resumed_at, now() - $6 * interval '1 second')
    WHERE a.provider = $1 AND a.marketplace = $2 AND a.environment = $3
      AND (a.status <> 'provisioning' OR EXISTS (SELECT 1 FROM order_steps s
          WHERE s.provider = a.provider AND s.order_id = a.order_id AND s.account_id = a.id AND s.step = 'inspect_account'
              AND s.state = 'done'))
)
SELECT pool.suspended, (SELECT count(*) FROM tried) AS tried, (SELECT count(*) FROM tried WHERE refused) AS refused,
       COALESCE((SELECT o.refused_by FROM orders o WHERE o.provider = $1 AND o.id = $4 AND o.refused_at > pool.resumed_at
           AND o.refused_by <> $5), '') AS before
FROM pool`

type refusals struct {
	Suspended bool   `db:"suspended"`
	Tried     int    `db:"tried"`
	Refused   int    `db:"refused"`
	Before    string `db:"before"` // the account that refused the same order just before; empty: none
}

// because returns why the claims must be suspended, or an empty string.
func (r refusals) because(key provision.OrderKey, accountID string, why provision.Failure) (reason string) {
	switch {
	case r.Suspended:
		return ""
	case r.Before != "":
		reason = fmt.Sprintf("order %s could enter neither account %s nor account %s", key.ID, r.Before, accountID)
	case r.Refused >= provision.ClaimsRefusals && 2*r.Refused >= r.Tried:
		reason = fmt.Sprintf("%d of the %d accounts that orders tried within %d minutes could not be entered, account %s the last",
			r.Refused, r.Tried, int(provision.ClaimsWindow.Minutes()), accountID)
	default:
		return ""
	}
	return reason + strings.TrimPrefix(why.Cause(), why.Reason) // what AWS answered
}

const suspendClaimsSQL = `
UPDATE pools SET claims_suspended_at = clock_timestamp(), claims_suspended_because = $4 WHERE provider = $1 AND marketplace = $2
    AND environment = $3`

const emitSuspendedSQL = `
SELECT emit_event($1, 'pool.claims_suspended', $2 || '/' || $3, jsonb_build_object('marketplace', $2::text, 'environment', $3::text,
    'reason', $4::text, 'refused', $5::int, 'tried', $6::int))`

// verifySetAsideSQL verifies the accounts that were set aside at once. An account that refused orders although its
// verification passed keeps its longer wait, up to the limit during a suspension.
const verifySetAsideSQL = `
UPDATE accounts SET verify_at = CASE WHEN set_aside_count > 1 THEN LEAST(verify_at, now() + $4 * interval '1 second') ELSE now() END
WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND status = 'invalid' AND ready_when_verified AND set_aside_at IS NOT NULL`

// doubt records that an account refused the order. It suspends the claims of the pool when this is the second
// refusal of the order in a row, or when at least two, and at least half, of the accounts that were tried lately
// refused. Then the cause is more likely our own identity than the accounts. To find out, the accounts that were
// set aside and some Ready accounts are verified at once. doubt returns why it suspended the claims; empty when it
// did not, or when they already were.
func doubt(ctx context.Context, tx *sqlx.Tx, pool provision.Pool, key provision.OrderKey, accountID string,
	why provision.Failure) (because string, err error) {
	var seen refusals
	err = tx.GetContext(ctx, &seen, refusalsSQL, pool.Provider, pool.Marketplace, pool.Environment, key.ID, accountID,
		provision.ClaimsWindow.Seconds())
	if err != nil {
		return "", err
	}
	if _, err := tx.ExecContext(ctx, refusedSQL, key.Provider, key.ID, accountID); err != nil {
		return "", err
	}
	because = seen.because(key, accountID, why)
	if because == "" {
		return "", nil
	}
	return because, suspendClaims(ctx, tx, pool, because, seen.Refused, seen.Tried)
}

const cannotReenterSQL = `
SELECT (SELECT count(*) FROM orders o WHERE o.provider = p.provider AND o.marketplace = p.marketplace AND o.environment = p.environment
            AND o.state = 'action_required' AND o.failure ->> 'code' = $4) AS refused, p.claims_suspended_at IS NOT NULL AS suspended
FROM pools p WHERE p.provider = $1 AND p.marketplace = $2 AND p.environment = $3`

// doubtReentry suspends the claims of the pool when several of its orders can no longer open a session in their
// accounts.
func doubtReentry(ctx context.Context, tx *sqlx.Tx, pool provision.Pool) error {
	var now struct {
		Refused   int  `db:"refused"`
		Suspended bool `db:"suspended"`
	}
	err := tx.GetContext(ctx, &now, cannotReenterSQL, pool.Provider, pool.Marketplace, pool.Environment,
		provision.CodeAccountCannotBeReentered)
	if err != nil || now.Suspended || now.Refused < provision.ClaimsRefusals {
		return err
	}
	because := fmt.Sprintf("%d orders cannot enter the accounts any more in which they have worked", now.Refused)
	return suspendClaims(ctx, tx, pool, because, now.Refused, now.Refused)
}

// suspendClaims suspends the claims of the pool, and makes the verification of its set-aside accounts and of some
// Ready accounts due at once. An account that passes resumes the claims.
func suspendClaims(ctx context.Context, tx *sqlx.Tx, pool provision.Pool, because string, refused, tried int) error {
	of := []any{pool.Provider, pool.Marketplace, pool.Environment}
	for _, then := range []struct {
		statement string
		args      []any
	}{
		{suspendClaimsSQL, []any{because}},
		{emitSuspendedSQL, []any{because, refused, tried}},
		{verifySetAsideSQL, []any{provision.VerifySuspended.Seconds()}},
		{verifyNeighborsSQL, []any{provision.VerifyNeighbors}},
	} {
		if _, err := tx.ExecContext(ctx, then.statement, append(of[:len(of):len(of)], then.args...)...); err != nil {
			return err
		}
	}
	return nil
}
