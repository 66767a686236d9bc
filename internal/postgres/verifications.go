package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// Verifications are the checks whether accounts are fit to be drawn.
type Verifications struct{ db *database }

// verifiable are the statuses that a verification may look at: nobody else works in the account.
const verifiable = `a.status IN ('ready', 'invalid', 'provisioning_failed')`

const dueAccountsSQL = `
SELECT a.id FROM accounts a WHERE a.verify_at <= now() AND ` + verifiable + `
ORDER BY a.ready_when_verified DESC, a.added_at, a.added_seq LIMIT $1`

// Due lists at most limit accounts, of all pools, whose verification is due: those first that an order may be
// waiting for, the oldest of them first.
func (s Verifications) Due(ctx context.Context, limit int) (ids []string, err error) {
	err = s.db.SelectContext(ctx, &ids, dueAccountsSQL, limit)
	return ids, err
}

// Account reads an account by its AWS id alone, for the verification, and the time by the database's clock. Errors:
// provision.ErrNotFound when it is gone or an order holds it.
func (s Verifications) Account(ctx context.Context, id string) (provision.Account, time.Time, error) {
	var row struct {
		provision.Account
		Now time.Time `db:"now"`
	}
	err := s.db.GetContext(ctx, &row, `SELECT `+accountColumns+`, now() AS now FROM accounts a WHERE a.id = $1 AND `+verifiable, id)
	return row.Account, row.Now, notFound(err, "account %s, not held by an order,", id)
}

const poolsOfAccountsSQL = `
SELECT DISTINCT a.provider, a.marketplace, a.environment FROM accounts a WHERE a.id = ANY($1)`

// Apply draws the consequences of verifications: what passes becomes or stays Ready, a Ready account that does
// not pass twice becomes Invalid. When half of what was looked at in a pool fails at once, or nobody else in it could be
// looked at, nothing in it becomes Invalid: AWS is suspected, or ourselves. Nor does anything while the claims of the pool are suspended; what
// passes then, and was looked at since, resumes them. It returns the orders that got an account, or that may try theirs again. A
// repeat changes nothing, because a result counts only for an account that is due, and only as the account was looked at.
func (s Verifications) Apply(ctx context.Context, results []provision.VerificationResult) (woken []provision.OrderKey, err error) {
	ids := make([]string, len(results))
	for i, r := range results {
		ids[i] = r.AccountID
	}
	var pools []provision.Pool
	if err := s.db.SelectContext(ctx, &pools, poolsOfAccountsSQL, textArray(ids)); err != nil {
		return nil, err
	}
	slices.SortFunc(pools, func(a, b provision.Pool) int { return cmp.Compare(a.String(), b.String()) })
	for _, pool := range pools {
		err := s.db.poolTx(ctx, provision.VerificationActor, pool, func(tx *sqlx.Tx) error {
			more, err := applyToPool(ctx, tx, pool, results)
			woken = append(woken, more...)
			return err
		})
		if err != nil {
			return woken, fmt.Errorf("verifications of pool %s: %w", pool, err)
		}
	}
	return woken, nil
}

const accountToJudgeSQL = `
SELECT a.status, a.strikes, a.ready_when_verified FROM accounts a
WHERE a.id = $1 AND a.provider = $2 AND a.marketplace = $3 AND a.environment = $4 AND a.verify_at <= COALESCE($5::timestamptz, now()) AND $6::bigint IN (0, a.version)
  AND ` + verifiable + ` FOR UPDATE`

const inconclusiveSQL = `UPDATE accounts SET finding = $2, verify_at = now() + $3 * interval '1 second' WHERE id = $1`

// A tenth earlier or later, so that accounts which were added together are not verified together for ever.
const passedSQL = `
UPDATE accounts SET finding = '', strikes = 0, verified_at = clock_timestamp(), checked_at = now(),
    verify_at = CASE WHEN status = 'ready' OR ready_when_verified THEN now() + $2 * (0.9 + random() * 0.2) * interval '1 second' END,
    reason = CASE WHEN ready_when_verified THEN concat_ws('; ', 'verified', NULLIF(ready_because, '')) ELSE reason END,
    order_id = CASE WHEN ready_when_verified THEN NULL ELSE order_id END,
    status = CASE WHEN ready_when_verified THEN 'ready' ELSE status END
WHERE id = $1`

const notPassedSQL = `
UPDATE accounts SET finding = $2, strikes = strikes + 1, checked_at = now(), verify_at = now() + $3 * interval '1 second' WHERE id = $1`

const lookBesideSQL = `
UPDATE accounts SET verify_at = now()
WHERE id IN (SELECT id FROM accounts WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND status = 'ready' AND strikes = 0
             AND (checked_at IS NULL OR checked_at < now()) ORDER BY checked_at NULLS FIRST, added_seq LIMIT $4)`

// What passed before the failures began says nothing about them: evidence is what was looked at since.
const evidenceSinceSQL = `
SELECT COALESCE(min(checked_at), now()) FROM accounts
WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND status = 'ready' AND strikes > 0 AND checked_at > now() - $4 * interval '1 second'`

const evidenceSQL = `
SELECT count(*) FILTER (WHERE strikes > 0 AND checked_at >= $4) AS failing, count(*) FILTER (WHERE checked_at >= $4) AS checked, count(*) AS ready FROM accounts
WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND status = 'ready'`

const invalidateTwiceFailedSQL = `
UPDATE accounts SET status = 'invalid', reason = 'verification failed ' || strikes || ' times: ' || finding WHERE id = $1 AND status = 'ready'`

func applyToPool(ctx context.Context, tx *sqlx.Tx, pool provision.Pool, results []provision.VerificationResult) ([]provision.OrderKey, error) {
	var since time.Time
	if err := tx.GetContext(ctx, &since, evidenceSinceSQL, pool.Provider, pool.Marketplace, pool.Environment, provision.VerifyWindow.Seconds()); err != nil {
		return nil, err
	}
	var suspended *time.Time // since when the claims are
	if err := tx.GetContext(ctx, &suspended, claimsSuspendedSQL, pool.Provider, pool.Marketplace, pool.Environment); err != nil {
		return nil, err
	}
	var struck, condemned []string
	entered := "" // an account that passed since
	for _, r := range results {
		if r.LookedAt == nil && !r.Inconclusive {
			continue // nobody looked: it was gone, or an order held it
		}
		var now []struct {
			Status            provision.AccountStatus `db:"status"`
			Strikes           int                     `db:"strikes"`
			ReadyWhenVerified bool                    `db:"ready_when_verified"`
		}
		if err := tx.SelectContext(ctx, &now, accountToJudgeSQL, r.AccountID, pool.Provider, pool.Marketplace, pool.Environment, r.LookedAt, r.Version); err != nil {
			return nil, err
		}
		if len(now) == 0 {
			continue // of another pool, held by an order, deleted, edited or classify by another sweep meanwhile, or to be looked at again
		}
		var err error
		switch {
		case r.Inconclusive:
			_, err = tx.ExecContext(ctx, inconclusiveSQL, r.AccountID, finding(r.Failure), provision.VerifyAgainAfter.Seconds())
		case r.Failure == nil:
			if suspended != nil && !r.LookedAt.Before(*suspended) {
				entered = r.AccountID
			}
			_, err = tx.ExecContext(ctx, passedSQL, r.AccountID, provision.VerifyEvery.Seconds())
		case now[0].Status == provision.AccountReady:
			if now[0].Strikes > 0 {
				condemned = append(condemned, r.AccountID)
			}
			struck = append(struck, r.AccountID)
			_, err = tx.ExecContext(ctx, notPassedSQL, r.AccountID, finding(r.Failure), provision.VerifyAgainAfter.Seconds())
		case now[0].ReadyWhenVerified:
			patience := min(provision.VerifyFirstRetry<<min(now[0].Strikes, 16), provision.VerifyLongestRetry)
			_, err = tx.ExecContext(ctx, notPassedSQL, r.AccountID, finding(r.Failure), patience.Seconds())
		default: // somebody wanted to know, and nothing more
			_, err = tx.ExecContext(ctx, notPassedSQL, r.AccountID, finding(r.Failure), nil)
		}
		if err != nil {
			return nil, err
		}
	}
	seen, err := judge(ctx, tx, pool, since)
	if err != nil {
		return nil, err
	}
	if seen.suspicious() || !seen.comparable() || suspended != nil {
		condemned = nil
	}
	for _, id := range condemned {
		if _, err := tx.ExecContext(ctx, invalidateTwiceFailedSQL, id); err != nil {
			return nil, err
		}
	}
	if len(struck) > len(condemned) { // is it the account, or AWS? The others will tell
		if _, err := tx.ExecContext(ctx, lookBesideSQL, pool.Provider, pool.Marketplace, pool.Environment, provision.VerifyNeighbors); err != nil {
			return nil, err
		}
	}
	var woken []provision.OrderKey
	switch {
	case suspended == nil:
	case entered != "":
		woken, err = resumeClaims(ctx, tx, pool, entered)
	default:
		_, err = tx.ExecContext(ctx, verifySoonSQL, pool.Provider, pool.Marketplace, pool.Environment, provision.VerifySuspended.Seconds())
	}
	if err != nil {
		return nil, err
	}
	served, err := match(ctx, tx, pool, provision.OrderKey{})
	return append(woken, served...), err
}

const claimsSuspendedSQL = `SELECT claims_suspended_at FROM pools WHERE provider = $1 AND marketplace = $2 AND environment = $3`

// Every account that waits for its verification is looked at soon while claims are suspended: one that passes resumes them.
const verifySoonSQL = `
UPDATE accounts SET verify_at = now() + $4 * interval '1 second'
WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND status = 'invalid' AND ready_when_verified AND verify_at > now() + $4 * interval '1 second'`

const resumeClaimsSQL = `
UPDATE pools SET claims_suspended_at = NULL, claims_suspended_because = '', claims_resumed_at = clock_timestamp()
WHERE provider = $1 AND marketplace = $2 AND environment = $3`

const emitResumedSQL = `
SELECT emit_event($1, 'pool.claims_resumed', $2 || '/' || $3, jsonb_build_object('marketplace', $2::text, 'environment', $3::text, 'aws_account_id', $4::text))`

// These hold an account that they could not enter, and wait for somebody.
const cannotEnterSQL = `
SELECT provider, id FROM orders
WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND state = 'action_required' AND failure ->> 'code' = $4 ORDER BY state_since`

// resumeClaims lets the pool serve orders again, because the account could be entered. It returns the orders that wait because they could not
// enter the account that they hold: they try again.
func resumeClaims(ctx context.Context, tx *sqlx.Tx, pool provision.Pool, entered string) (woken []provision.OrderKey, err error) {
	if _, err := tx.ExecContext(ctx, resumeClaimsSQL, pool.Provider, pool.Marketplace, pool.Environment); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, emitResumedSQL, pool.Provider, pool.Marketplace, pool.Environment, entered); err != nil {
		return nil, err
	}
	err = tx.SelectContext(ctx, &woken, cannotEnterSQL, pool.Provider, pool.Marketplace, pool.Environment, provision.CodeAccountCannotBeReentered)
	return woken, err
}

// finding is a failure as the account's row keeps it.
func finding(f *provision.Failure) string {
	if f == nil {
		return ""
	}
	return f.Explained()
}

const setSuspendedSQL = `
UPDATE pools SET verification_suspended_at = CASE WHEN $4 THEN now() END
WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND (verification_suspended_at IS NULL) = $4`

const emitVerificationSQL = `
SELECT emit_event($1, $2, $3 || '/' || $4, jsonb_build_object('marketplace', $3::text, 'environment', $4::text, 'failing', $5::int, 'checked', $6::int))`

// evidence is what was seen in a pool since its failures began, of accounts that are Ready.
type evidence struct {
	Failing int `db:"failing"`
	Checked int `db:"checked"`
	Ready   int `db:"ready"` // looked at or not
}

// suspicious: so many fail at once that it cannot be the accounts.
func (e evidence) suspicious() bool { return e.Failing >= 2 && 2*e.Failing >= e.Checked }

// comparable: another account passed while these failed, or there is no other.
func (e evidence) comparable() bool { return e.Checked > e.Failing || e.Ready == e.Failing }

// enough: as many were looked at as a strike has looked at.
func (e evidence) enough() bool { return e.Checked >= min(e.Ready, 1+provision.VerifyNeighbors) }

// judge reads the evidence, and says once when it begins or ceases to be suspicious.
func judge(ctx context.Context, tx *sqlx.Tx, pool provision.Pool, since time.Time) (seen evidence, err error) {
	err = tx.GetContext(ctx, &seen, evidenceSQL, pool.Provider, pool.Marketplace, pool.Environment, since)
	if err != nil || !seen.enough() {
		return seen, err
	}
	suspended := seen.suspicious()
	changed, err := affected(tx.ExecContext(ctx, setSuspendedSQL, pool.Provider, pool.Marketplace, pool.Environment, suspended))
	if err != nil || !changed {
		return seen, err
	}
	event := "pool.verification_resumed"
	if suspended {
		event = "pool.verification_suspended"
	}
	_, err = tx.ExecContext(ctx, emitVerificationSQL, pool.Provider, event, pool.Marketplace, pool.Environment, seen.Failing, seen.Checked)
	return seen, err
}
