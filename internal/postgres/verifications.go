package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// Verifications are the checks whether accounts are fit to be drawn.
type Verifications struct{ db *database }

// verifiable is true for the statuses in which an account may be verified: no order holds it.
const verifiable = `a.status IN ('ready', 'invalid', 'provisioning_failed')`

const dueAccountsSQL = `
SELECT a.id FROM accounts a WHERE a.verify_at <= now() AND ` + verifiable + `
ORDER BY a.ready_when_verified DESC, a.added_at, a.added_seq LIMIT $1`

// Due lists at most limit accounts of all pools whose verification is due. Accounts for which an order may be
// waiting come first, the oldest of them first.
func (s Verifications) Due(ctx context.Context, limit int) (ids []string, err error) {
	err = s.db.SelectContext(ctx, &ids, dueAccountsSQL, limit)
	return ids, err
}

// Account reads an account by its AWS id alone, and the time of the database. Errors: provision.ErrNotFound when
// the account is gone or an order holds it.
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

// Apply records the results of verifications and changes the statuses of the accounts. An account that passes
// becomes or stays Ready. A Ready account that fails twice becomes Invalid.
//
// When at least half of the accounts checked in a pool failed together, or no other account of the pool could be
// checked, no account of it becomes Invalid, because that points to AWS or to us. No account becomes Invalid
// either while the claims of the pool are suspended; an account that was checked since then and passes resumes
// them.
//
// Apply returns the orders that got an account, or that may try theirs again. A repeat changes nothing, because a
// result counts only for an account that is due and has not changed since it was checked.
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
SELECT ` + accountColumns + `, a.strikes,
    COALESCE((SELECT e.code = '` + provision.ActionVerify + `' AND e.refused = '' FROM account_history e
        WHERE e.account_id = a.id ORDER BY e.seq DESC LIMIT 1), false) AS asked
FROM accounts a
WHERE a.id = $1 AND a.provider = $2 AND a.marketplace = $3 AND a.environment = $4 AND a.verify_at <= COALESCE($5::timestamptz, now())
    AND $6::bigint IN (0, a.version)
  AND ` + verifiable + ` FOR UPDATE OF a`

const inconclusiveSQL = `UPDATE accounts SET finding = $2, verify_at = now() + $3 * interval '1 second' WHERE id = $1`

// passedSQL varies the time of the next verification by a tenth, so that accounts which were added together are
// not always verified together.
const passedSQL = `
UPDATE accounts SET finding = '', strikes = 0, verified_at = clock_timestamp(), checked_at = now(),
    verify_at = CASE WHEN status = 'ready' OR ready_when_verified THEN now() + $2 * (0.9 + random() * 0.2) * interval '1 second' END,
    reason = CASE WHEN ready_when_verified THEN concat_ws('; ', 'verified', NULLIF(ready_because, '')) ELSE reason END,
    order_id = CASE WHEN ready_when_verified THEN NULL ELSE order_id END,
    status = CASE WHEN ready_when_verified THEN 'ready' ELSE status END
WHERE id = $1`

const notPassedSQL = `
UPDATE accounts SET finding = $2, strikes = strikes + 1, checked_at = now(), verify_at = now() + $3 * interval '1 second' WHERE id = $1`

// evidenceSinceSQL selects when the failures began. Accounts that passed before say nothing about them.
const evidenceSinceSQL = `
SELECT COALESCE(min(checked_at), now()) FROM accounts
WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND status = 'ready' AND strikes > 0
    AND checked_at > now() - $4 * interval '1 second'`

// evidenceSQL counts the Ready accounts only as far as evidence compares their number: up to one more than the failing
// ones, and up to $5.
const evidenceSQL = `
WITH since AS (
    SELECT count(*) FILTER (WHERE strikes > 0) AS failing, count(*) AS checked FROM accounts
    WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND status = 'ready' AND checked_at >= $4
)
SELECT failing, checked, (SELECT count(*) FROM (
    SELECT 1 FROM accounts WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND status = 'ready'
    LIMIT GREATEST(since.failing + 1, $5)) counted) AS ready
FROM since`

const invalidateTwiceFailedSQL = `
UPDATE accounts SET status = 'invalid', reason = 'verification failed ' || strikes || ' times: ' || finding WHERE id = $1
    AND status = 'ready'`

const claimsSuspendedSQL = `SELECT claims_suspended_at FROM pools WHERE provider = $1 AND marketplace = $2 AND environment = $3`

// verifySoonSQL brings the next verification of waiting accounts forward while claims are suspended, because an
// account that passes resumes them.
const verifySoonSQL = `
UPDATE accounts SET verify_at = now() + $4 * interval '1 second'
WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND status = 'invalid' AND ready_when_verified
    AND verify_at > now() + $4 * interval '1 second'`

// applyToPool applies the results that are about accounts of the pool, and returns the orders that got an account.
func applyToPool(ctx context.Context, tx *sqlx.Tx, pool provision.Pool,
	results []provision.VerificationResult) ([]provision.OrderKey, error) {
	var since time.Time
	if err := tx.GetContext(ctx, &since, evidenceSinceSQL, pool.Provider, pool.Marketplace, pool.Environment,
		provision.VerifyWindow.Seconds()); err != nil {
		return nil, err
	}
	a := applied{pool: pool}
	if err := tx.GetContext(ctx, &a.suspended, claimsSuspendedSQL, pool.Provider, pool.Marketplace, pool.Environment); err != nil {
		return nil, err
	}
	for _, r := range results {
		if r.LookedAt == nil && !r.Inconclusive {
			continue // it was not checked, because it was gone or an order held it
		}
		if err := a.apply(ctx, tx, r); err != nil {
			return nil, err
		}
	}
	if err := a.invalidate(ctx, tx, since); err != nil {
		return nil, err
	}
	var woken []provision.OrderKey
	var err error
	switch {
	case a.suspended == nil:
	case a.entered != "":
		woken, err = resumeClaims(ctx, tx, pool, a.entered)
	default:
		_, err = tx.ExecContext(ctx, verifySoonSQL, pool.Provider, pool.Marketplace, pool.Environment, provision.VerifySuspended.Seconds())
	}
	if err != nil {
		return nil, err
	}
	served, err := match(ctx, tx, pool, provision.OrderKey{})
	return append(woken, served...), err
}

// applied is what the results of a sweep have shown about a pool.
type applied struct {
	pool      provision.Pool
	suspended *time.Time // since when the claims of the pool are suspended; nil: they are not
	failed    []string   // Ready accounts that did not pass
	again     []string   // those of them that had not passed the last time either
	entered   string     // an account that passed while claims were suspended
}

// apply records the result of one account, unless the account is of another pool, held by an order, deleted, changed since,
// judged by another sweep, or due for another check.
func (a *applied) apply(ctx context.Context, tx *sqlx.Tx, r provision.VerificationResult) error {
	var now judged
	err := tx.GetContext(ctx, &now, accountToJudgeSQL, r.AccountID, a.pool.Provider, a.pool.Marketplace, a.pool.Environment, r.LookedAt,
		r.Version)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	if err := now.record(ctx, tx, r); err != nil {
		return err
	}
	if len(r.Checks) > 0 && !r.Inconclusive {
		if _, err := tx.ExecContext(ctx, keepChecksSQL, r.AccountID, a.pool.Provider, r.LookedAt, r.Failure == nil,
			asJSON(r.Checks)); err != nil {
			return err
		}
	}
	switch {
	case r.Inconclusive:
		_, err = tx.ExecContext(ctx, inconclusiveSQL, r.AccountID, finding(r.Failure), provision.VerifyAgainAfter.Seconds())
	case r.Failure == nil:
		if a.suspended != nil && !r.LookedAt.Before(*a.suspended) {
			a.entered = r.AccountID
		}
		_, err = tx.ExecContext(ctx, passedSQL, r.AccountID, provision.VerifyEvery.Seconds())
	case now.Status == provision.AccountReady:
		if now.Strikes > 0 {
			a.again = append(a.again, r.AccountID)
		}
		a.failed = append(a.failed, r.AccountID)
		_, err = tx.ExecContext(ctx, notPassedSQL, r.AccountID, finding(r.Failure), provision.VerifyAgainAfter.Seconds())
	case now.ReadyWhenVerified:
		patience := min(provision.VerifyFirstRetry<<min(now.Strikes, 16), provision.VerifyLongestRetry)
		_, err = tx.ExecContext(ctx, notPassedSQL, r.AccountID, finding(r.Failure), patience.Seconds())
	default: // an operator asked for a verification; its result changes no status
		_, err = tx.ExecContext(ctx, notPassedSQL, r.AccountID, finding(r.Failure), nil)
	}
	return err
}

// judged is an account before the result of its verification changes it.
type judged struct {
	provision.Account
	Strikes int  `db:"strikes"`
	Asked   bool `db:"asked"` // someone asked for this verification
}

// record adds the result to the account's history when someone asked for it, or when it is not that of the last verification. A
// result that makes the account Ready has a row of its own, because the status changes.
func (j judged) record(ctx context.Context, tx *sqlx.Tx, r provision.VerificationResult) error {
	switch {
	case r.Inconclusive, r.Failure == nil && j.ReadyWhenVerified:
		return nil
	case r.Failure == nil && (j.Asked || j.Strikes > 0):
		return noteAccount(ctx, tx, j.Account, j.Status, accountNote{code: "verified", reason: "its verification passed"})
	case r.Failure != nil && (j.Asked || j.Strikes == 0 || !strings.HasPrefix(j.Finding, r.Failure.Error())):
		return noteAccount(ctx, tx, j.Account, j.Status, accountNote{code: "not-verified", reason: finding(r.Failure)})
	}
	return nil
}

// invalidate makes the accounts Invalid that failed twice in a row, unless the evidence since then points to AWS or to us. The
// neighbors of the other accounts that failed are verified soon, because they show whether the account or AWS is the cause.
func (a *applied) invalidate(ctx context.Context, tx *sqlx.Tx, since time.Time) error {
	seen, err := judge(ctx, tx, a.pool, since)
	if err != nil {
		return err
	}
	if seen.suspicious() || !seen.comparable() || a.suspended != nil {
		a.again = nil
	}
	for _, id := range a.again {
		if _, err := tx.ExecContext(ctx, invalidateTwiceFailedSQL, id); err != nil {
			return err
		}
	}
	if len(a.failed) > len(a.again) {
		return verifyNeighbors(ctx, tx, a.pool)
	}
	return nil
}

const verifyNeighborsSQL = `
UPDATE accounts SET verify_at = now()
WHERE id = ANY(ARRAY(
    SELECT id FROM accounts WHERE provider = $1 AND marketplace = $2 AND environment = $3 AND status = 'ready' AND strikes = 0
        AND (checked_at IS NULL OR checked_at < now()) ORDER BY checked_at NULLS FIRST, added_seq LIMIT $4))`

// verifyNeighbors makes the verification of some other Ready accounts of the pool due at once.
func verifyNeighbors(ctx context.Context, tx *sqlx.Tx, pool provision.Pool) error {
	_, err := tx.ExecContext(ctx, verifyNeighborsSQL, pool.Provider, pool.Marketplace, pool.Environment, provision.VerifyNeighbors)
	return err
}

// finding returns a failure as the row of the account shows it.
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
SELECT emit_event($1, $2, $3 || '/' || $4, jsonb_build_object('marketplace', $3::text, 'environment', $4::text, 'failing', $5::int,
    'checked', $6::int))`

// evidence counts the Ready accounts of a pool that were checked since its failures began.
type evidence struct {
	Failing int `db:"failing"`
	Checked int `db:"checked"`
	Ready   int `db:"ready"` // looked at or not, see evidenceSQL
}

// suspicious reports whether so many accounts fail together that the accounts are unlikely to be the cause.
func (e evidence) suspicious() bool { return e.Failing >= 2 && 2*e.Failing >= e.Checked }

// comparable reports whether another account passed while these failed, or there is no other account.
func (e evidence) comparable() bool { return e.Checked > e.Failing || e.Ready == e.Failing }

// enough reports whether as many accounts were checked as a failure makes due.
func (e evidence) enough() bool { return e.Checked >= min(e.Ready, enoughChecked) }

const enoughChecked = 1 + provision.VerifyNeighbors

// judge reads the evidence. It emits an event when the evidence becomes suspicious, and when it ceases to be.
func judge(ctx context.Context, tx *sqlx.Tx, pool provision.Pool, since time.Time) (seen evidence, err error) {
	err = tx.GetContext(ctx, &seen, evidenceSQL, pool.Provider, pool.Marketplace, pool.Environment, since, enoughChecked)
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
