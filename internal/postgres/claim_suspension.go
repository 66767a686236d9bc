package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

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
      AND (a.status <> 'provisioning' OR (SELECT s.state = 'done' FROM order_steps s
          WHERE s.provider = a.provider AND s.order_id = a.order_id AND s.account_id = a.id AND s.step = 'inspect_account'))
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

const refusedSQL = `UPDATE orders SET refused_at = clock_timestamp(), refused_by = $3 WHERE provider = $1 AND id = $2`

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
	} {
		if _, err := tx.ExecContext(ctx, then.statement, append(of[:len(of):len(of)], then.args...)...); err != nil {
			return err
		}
	}
	return verifyNeighbors(ctx, tx, pool)
}

const resumeClaimsSQL = `
UPDATE pools SET claims_suspended_at = NULL, claims_suspended_because = '', claims_resumed_at = clock_timestamp()
WHERE provider = $1 AND marketplace = $2 AND environment = $3`

const emitResumedSQL = `
SELECT emit_event($1, 'pool.claims_resumed', $2 || '/' || $3, jsonb_build_object('marketplace', $2::text, 'environment', $3::text,
    'aws_account_id', $4::text))`

// cannotEnterSQL selects the orders that hold an account in which they cannot open a session.
const cannotEnterSQL = `
SELECT provider, id FROM orders
WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND state = 'action_required' AND failure ->> 'code' = $4
    ORDER BY state_since`

// resumeClaims lets the pool serve orders again, because a session could be opened in the account. It returns the
// orders that hold an account in which they could not open a session, so that they try again.
func resumeClaims(ctx context.Context, tx *sqlx.Tx, pool provision.Pool, entered string) (woken []provision.OrderKey, err error) {
	if _, err := tx.ExecContext(ctx, resumeClaimsSQL, pool.Provider, pool.Marketplace, pool.Environment); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, emitResumedSQL, pool.Provider, pool.Marketplace, pool.Environment, entered); err != nil {
		return nil, err
	}
	err = tx.SelectContext(ctx, &woken, cannotEnterSQL, pool.Provider, pool.Marketplace, pool.Environment,
		provision.CodeAccountCannotBeReentered)
	return woken, err
}
