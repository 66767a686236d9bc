package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quartermaster/internal/provision"
)

const accountCountsSQL = `
SELECT COALESCE(sum(n) FILTER (WHERE status = 'ready'), 0) AS ready,
       COALESCE(sum(n) FILTER (WHERE status = 'provisioning'), 0) AS provisioning,
       COALESCE(sum(n) FILTER (WHERE status = 'allocated'), 0) AS allocated,
       COALESCE(sum(n) FILTER (WHERE status = 'provisioning_failed'), 0) AS provisioning_failed,
       COALESCE(sum(n) FILTER (WHERE status = 'invalid'), 0) AS invalid,
       COALESCE(sum(n) FILTER (WHERE coming), 0) AS awaiting,
       (SELECT count(*) FROM accounts WHERE finding <> '' AND provider = $1 AND ($2 = '' OR marketplace = $2)
            AND ($3 = '' OR environment = $3) AND ($4 = '' OR model = $4)) AS has_finding
FROM pool_counts WHERE kind = 'account' AND provider = $1 AND ($2 = '' OR marketplace = $2)
    AND ($3 = '' OR environment = $3) AND ($4 = '' OR model = $4)`

// Counts counts the accounts of a provider by status. Of the filter it uses the pool and the model.
func (s Accounts) Counts(ctx context.Context, provider string, f provision.AccountFilter) (counts provision.AccountCounts, err error) {
	err = s.db.GetContext(ctx, &counts, accountCountsSQL, provider, f.Marketplace, f.Environment, f.Model)
	return counts, err
}

// accountPlaceSQL reads the index accounts_oldest_ready up to the account.
const accountPlaceSQL = `
SELECT (SELECT count(*) + 1 FROM accounts b
        WHERE b.provider = a.provider AND b.marketplace = a.marketplace AND b.environment = a.environment AND b.model = a.model
          AND b.status = 'ready' AND (b.added_at, b.added_seq) < (a.added_at, a.added_seq)) AS place
FROM accounts a WHERE a.provider = $1 AND a.id = $2 AND a.status = 'ready'`

// Place returns the place in line of an account among the Ready ones of its pool and model: orders take the one in place 1 next.
// It returns 0 when the account is not Ready.
func (s Accounts) Place(ctx context.Context, provider, id string) (place int, err error) {
	err = s.db.GetContext(ctx, &place, accountPlaceSQL, provider, id)
	return place, ignoreNotFound(notFound(err, "account %s", id))
}

const accountChecksSQL = `
SELECT c.checked_at, COALESCE(c.passed, false) AS passed, c.checks
FROM accounts a LEFT JOIN account_checks c ON c.account_id = a.id WHERE a.provider = $1 AND a.id = $2`

// Checks reads the checks of the account's last verification that had a clear answer. Errors: provision.ErrNotFound.
func (s Accounts) Checks(ctx context.Context, provider, id string) (found provision.AccountChecks, err error) {
	var row struct {
		CheckedAt *time.Time `db:"checked_at"`
		Passed    bool       `db:"passed"`
		Checks    []byte     `db:"checks"`
	}
	if err := s.db.GetContext(ctx, &row, accountChecksSQL, provider, id); err != nil {
		return found, notFound(err, "account %s", id)
	}
	found = provision.AccountChecks{CheckedAt: row.CheckedAt, Passed: row.Passed}
	return found, decode(row.Checks, &found.Checks)
}

const keepChecksSQL = `
INSERT INTO account_checks AS c (account_id, provider, checked_at, passed, checks) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id) DO UPDATE SET checked_at = EXCLUDED.checked_at, passed = EXCLUDED.passed, checks = EXCLUDED.checks`

// accountChangesSQL finds the orders by the account's history, which names each order that held it.
const accountChangesSQL = `
SELECT s.started_at, s.order_id, s.step, s.state, CASE s.state WHEN 'undone' THEN s.finished_at END AS put_back_at, s.problem,
       o.request, o.settings, o.result, i.seen
FROM (SELECT DISTINCT order_id FROM account_history WHERE provider = $1 AND account_id = $2 AND order_id IS NOT NULL) h
JOIN order_steps s ON s.provider = $1 AND s.order_id = h.order_id AND s.account_id = $2
JOIN orders o ON o.provider = $1 AND o.id = h.order_id
LEFT JOIN order_steps i ON i.provider = $1 AND i.order_id = h.order_id AND i.account_id = $2 AND i.step = 'inspect_account'
WHERE s.step IN ('iam_user', 'contacts', 'account_alias', 'cost_report', 'sign_in') AND s.attempt > 0
  AND NOT (s.step = 'cost_report' AND COALESCE(o.request ->> 'use_existing_cur', '') <> '')
  AND ($3::timestamptz IS NULL OR (s.started_at, s.order_id, s.step) < ($3, $4, $5))
ORDER BY s.started_at DESC, s.order_id DESC, s.step DESC LIMIT $6`

const accountKnownSQL = `SELECT EXISTS (SELECT 1 FROM account_history WHERE provider = $1 AND account_id = $2)`

// Changes reads what orders changed in a provider's account, the newest change first, after the given one. The changes in a deleted
// account stay readable. Errors: provision.ErrNotFound when the account never existed.
func (s Accounts) Changes(ctx context.Context, provider, id string, after *provision.AccountChangeCursor,
	limit int) ([]provision.AccountChange, error) {
	var at *time.Time
	var place provision.AccountChangeCursor
	if after != nil {
		at, place = &after.ChangedAt, *after
	}
	var rows []accountChangeRow
	if err := s.db.SelectContext(ctx, &rows, accountChangesSQL, provider, id, at, place.OrderID, place.Step, limit); err != nil {
		return nil, err
	}
	if len(rows) == 0 && after == nil {
		var known bool
		if err := s.db.GetContext(ctx, &known, accountKnownSQL, provider, id); err != nil || !known {
			return nil, errors.Join(err, fmt.Errorf("account %s: %w", id, provision.ErrNotFound))
		}
	}
	changes := make([]provision.AccountChange, len(rows))
	for i, row := range rows {
		var err error
		if changes[i], err = row.change(); err != nil {
			return nil, fmt.Errorf("order %s/%s holds JSON that cannot be read: %w", provider, row.OrderID, err)
		}
	}
	return changes, nil
}

type accountChangeRow struct {
	provision.AccountChangeCursor
	State     provision.StepState `db:"state"`
	PutBackAt *time.Time          `db:"put_back_at"`
	Problem   string              `db:"problem"`
	Request   []byte              `db:"request"`
	Settings  []byte              `db:"settings"`
	Result    []byte              `db:"result"`
	Seen      []byte              `db:"seen"`
}

func (r accountChangeRow) change() (provision.AccountChange, error) {
	change := provision.AccountChange{AccountChangeCursor: r.AccountChangeCursor, State: r.State, PutBackAt: r.PutBackAt, Problem: r.Problem}
	var (
		request  provision.Request
		settings provision.PoolSettings
		result   *provision.Result
		seen     *provision.AccountSeen
	)
	err := errors.Join(decode(r.Request, &request), decode(r.Settings, &settings), decode(r.Result, &result), decode(r.Seen, &seen))
	var report *provision.Report
	if result != nil && result.Report.Name != "" {
		report = &result.Report
	}
	change.Describe(seen, request, settings, report)
	return change, err
}
