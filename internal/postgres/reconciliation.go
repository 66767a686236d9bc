package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

// Reconciliation is what the reconciler reads and repairs.
type Reconciliation struct{ db *database }

// invariant is a query that finds violations. One statement sees one moment, and the invariants hold whenever a
// transaction commits, so the query finds nothing that is merely in progress.
type invariant struct {
	kind     reconcile.Kind
	query    string
	args     func(reconcile.Bounds) []any
	everyRow bool // it reads every account or order; the others read those that are in progress
}

type violation struct {
	provision.OrderKey
	Account string    `db:"account"`
	Since   time.Time `db:"since"`
	What    string    `db:"what"`
}

// invariants check what the schema guarantees, without trusting the schema, and what the schema cannot guarantee:
// that orders make progress.
var invariants = []invariant{
	// An order that is being undone may have found its account unusable: then it holds none until it is closed.
	// An order that was stopped while its account was being rejected has none until its workflow closes it.
	{kind: reconcile.KindOrderWithoutAccount, query: `
SELECT o.provider, o.id, '' AS account, o.state_since AS since, format('the order is %s, but no account is in progress for it',
    o.state) AS what
FROM orders o
WHERE o.state IN ('provisioning', 'action_required', 'compensating')
  AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.provider = o.provider AND a.order_id = o.id AND a.status = 'provisioning')
  AND NOT (o.state = 'compensating' AND EXISTS (SELECT 1 FROM account_history e
      WHERE e.provider = o.provider AND e.order_id = o.id AND e.from_status = 'provisioning' AND e.to_status = 'invalid'
          AND e.at >= o.state_since))`},

	{kind: reconcile.KindOrderHoldsTwo, everyRow: true, query: `
SELECT a.provider, a.order_id AS id, min(a.id) AS account, max(a.status_since) AS since,
       format('the order holds %s accounts: %s', count(*), string_agg(a.id, ', ' ORDER BY a.id)) AS what
FROM accounts a WHERE a.status IN ('provisioning', 'allocated') GROUP BY a.provider, a.order_id HAVING count(*) > 1`},

	{kind: reconcile.KindHeldWrongly, everyRow: true, query: `
SELECT a.provider, COALESCE(a.order_id, '') AS id, a.id AS account, a.status_since AS since,
       format('the account is %s, but its order is %s', a.status, COALESCE(o.state, 'missing')) AS what
FROM accounts a LEFT JOIN orders o ON o.provider = a.provider AND o.id = a.order_id
WHERE a.status = 'provisioning' AND COALESCE(o.state, '') NOT IN ('provisioning', 'action_required', 'compensating')
   OR a.status = 'allocated' AND COALESCE(o.state, '') <> 'completed'`},

	{kind: reconcile.KindAccountOfOtherPool, everyRow: true, query: `
SELECT a.provider, o.id, a.id AS account, a.status_since AS since,
       format('the account is of pool %s/%s and model %s, the order of pool %s/%s and %s',
              a.marketplace, a.environment, a.model, o.marketplace, o.environment, COALESCE('model ' || o.model, 'any model')) AS what
FROM accounts a JOIN orders o ON o.provider = a.provider AND o.id = a.order_id
WHERE a.status IN ('provisioning', 'allocated')
  AND ((a.marketplace, a.environment) <> (o.marketplace, o.environment) OR o.model <> a.model)`},

	{kind: reconcile.KindCompletedWithout, everyRow: true, query: `
SELECT o.provider, o.id, COALESCE(o.result ->> 'account_id', '') AS account, o.state_since AS since,
       'the order is completed, but the account of its result is not allocated to it' AS what
FROM orders o
WHERE o.state = 'completed' AND NOT EXISTS (
    SELECT 1 FROM accounts a WHERE a.provider = o.provider AND a.order_id = o.id AND a.status = 'allocated'
        AND a.id = o.result ->> 'account_id')`},

	{kind: reconcile.KindAccountHistory, everyRow: true, query: `
SELECT a.provider, COALESCE(a.order_id, '') AS id, a.id AS account, a.status_since AS since,
       format('the account is %s, but its last history row says %s', a.status, COALESCE(last.to_status, 'nothing')) AS what
FROM accounts a
LEFT JOIN LATERAL (SELECT e.to_status FROM account_history e WHERE e.account_id = a.id ORDER BY e.seq DESC LIMIT 1) last ON true
WHERE last.to_status IS DISTINCT FROM a.status`},

	{kind: reconcile.KindOrderHistory, everyRow: true, query: `
SELECT o.provider, o.id, '' AS account, o.state_since AS since,
       format('the order is %s, but its last history row says %s', o.state, COALESCE(last.to_state, 'nothing')) AS what
FROM orders o
LEFT JOIN LATERAL (SELECT e.to_state FROM order_history e WHERE e.provider = o.provider AND e.order_id = o.id
    ORDER BY e.seq DESC LIMIT 1) last ON true
WHERE last.to_state IS DISTINCT FROM o.state`},

	// The deadline of a wait counts from the acceptance of the order, that of a correction from the question.
	{kind: reconcile.KindOrderOverdue, args: func(b reconcile.Bounds) []any {
		return []any{b.Accepted.Seconds(), b.Provisioning.Seconds(), b.Compensating.Seconds(), b.Deadlines.Seconds()}
	}, query: `
SELECT o.provider, o.id, COALESCE(a.id, '') AS account, o.state_since AS since,
       CASE o.state WHEN 'waiting_for_account' THEN
           format('the order waits for an account since it was accepted %s ago, longer than it may',
               date_trunc('second', now() - o.created_at))
                    ELSE format('the order has been %s for %s, longer than it should be', o.state, date_trunc('second',
                        now() - o.state_since)) END AS what
FROM orders o
JOIN pools p USING (provider, marketplace, environment)
LEFT JOIN accounts a ON a.provider = o.provider AND a.order_id = o.id AND a.status = 'provisioning'
WHERE o.state NOT IN ('completed', 'failed', 'cancelled') AND now() > CASE o.state
    WHEN 'accepted' THEN o.state_since + $1 * interval '1 second'
    WHEN 'provisioning' THEN o.state_since + $2 * interval '1 second'
    WHEN 'compensating' THEN o.state_since + $3 * interval '1 second'
    WHEN 'waiting_for_account' THEN o.created_at + p.wait_deadline + $4 * interval '1 second'
    WHEN 'action_required' THEN o.state_since + p.action_deadline + $4 * interval '1 second'
END`},

	{kind: reconcile.KindPasswordKept, query: `
SELECT o.provider, o.id, p.account_id AS account, o.state_since AS since,
       format('the order is %s, but a password for account %s is kept', o.state, p.account_id) AS what
FROM order_passwords p JOIN orders o ON o.provider = p.provider AND o.id = p.order_id
WHERE p.sealed IS NOT NULL
  AND (o.state IN ('failed', 'cancelled') OR o.state = 'completed' AND p.account_id IS DISTINCT FROM o.result ->> 'account_id')`},

	// A record of a step that is newer than the end of its order, in an account that was clean then: a late attempt
	// has changed it.
	{kind: reconcile.KindStepOfEndedOrder, everyRow: true, query: `
SELECT o.provider, o.id, s.account_id AS account, GREATEST(s.started_at, s.finished_at) AS since,
       format('the order is %s and account %s went back clean, but its step %s was %s after that', o.state, s.account_id, s.step,
           s.state) AS what
FROM order_steps s
JOIN orders o ON o.provider = s.provider AND o.id = s.order_id
JOIN account_history back ON back.account_id = s.account_id AND back.provider = s.provider AND back.order_id = s.order_id
                        AND back.from_status = 'provisioning' AND back.to_status = 'ready'
WHERE o.state IN ('failed', 'cancelled') AND s.state IN ('running', 'retrying', 'done')
  AND s.step NOT IN ('inspect_account', 'compare_with_journal') AND GREATEST(s.started_at, s.finished_at) > back.at`},

	{kind: reconcile.KindQueuePositionTwice, everyRow: true, query: `
SELECT o.provider, o.id, '' AS account, o.state_since AS since, format('place %s of the queue is taken %s times', o.queue_position,
    o.times) AS what
FROM (SELECT *, count(*) OVER (PARTITION BY queue_position) AS times FROM orders WHERE queue_position IS NOT NULL) o
WHERE o.times > 1`},

	// One order a pool: when it looks, the whole queue is matched to the stock.
	{kind: reconcile.KindStockNotGiven, args: func(b reconcile.Bounds) []any { return []any{b.Grace.Seconds()} }, query: `
SELECT DISTINCT ON (o.provider, o.marketplace, o.environment) o.provider, o.id, '' AS account, o.state_since AS since,
       'the order waits, but its pool has a Ready account that fits' AS what
FROM orders o
JOIN accounts a ON a.provider = o.provider AND a.marketplace = o.marketplace AND a.environment = o.environment
               AND a.status = 'ready' AND (o.model IS NULL OR a.model = o.model)
JOIN pools p ON p.provider = o.provider AND p.marketplace = o.marketplace AND p.environment = o.environment
WHERE o.state = 'waiting_for_account' AND p.claims_suspended_at IS NULL
  AND GREATEST(o.state_since, a.status_since, p.claims_resumed_at) < now() - $1 * interval '1 second'
ORDER BY o.provider, o.marketplace, o.environment, o.queue_position`},

	{kind: reconcile.KindOrderNotWoken, args: func(b reconcile.Bounds) []any { return []any{b.Grace.Seconds()} }, query: `
SELECT o.provider, o.id, a.id AS account, o.state_since AS since, 'the order got its account, but has not begun with it' AS what
FROM orders o JOIN accounts a ON a.provider = o.provider AND a.order_id = o.id AND a.status = 'provisioning'
WHERE o.state = 'provisioning' AND o.state_since < now() - $1 * interval '1 second'
  AND NOT EXISTS (SELECT 1 FROM order_steps s WHERE s.provider = o.provider AND s.order_id = o.id AND s.account_id = a.id)`},

	// The signal with which the pool woke the order when its claims were resumed may have been lost.
	{kind: reconcile.KindOrderNotWoken, args: func(b reconcile.Bounds) []any {
		return []any{b.Grace.Seconds(), string(provision.CodeAccountCannotBeReentered)}
	}, query: `
SELECT o.provider, o.id, COALESCE(a.id, '') AS account, o.state_since AS since,
    'sessions can be opened in accounts of its pool again, but the order has not tried its own account again' AS what
FROM orders o
JOIN pools p USING (provider, marketplace, environment)
LEFT JOIN accounts a ON a.provider = o.provider AND a.order_id = o.id AND a.status = 'provisioning'
WHERE o.state = 'action_required' AND o.failure ->> 'code' = $2
  AND p.claims_suspended_at IS NULL AND p.claims_resumed_at > o.state_since AND p.claims_resumed_at < now() - $1 * interval '1 second'`},

	// The suspension ends automatically when a session can be opened in an account. Until then an operator must find
	// out why it cannot.
	{kind: reconcile.KindClaimsSuspended, args: func(b reconcile.Bounds) []any { return []any{b.Grace.Seconds()} }, query: `
SELECT p.provider, '' AS id, '' AS account, p.claims_suspended_at AS since,
       format('no order gets an account of pool %s/%s/%s, because %s', p.provider, p.marketplace, p.environment,
           p.claims_suspended_because) AS what
FROM pools p WHERE p.claims_suspended_at < now() - $1 * interval '1 second'`},

	// An undo takes an hour at most, but for an outage of AWS. The workflow may never have been started.
	{kind: reconcile.KindRemovalOverdue, everyRow: true, query: `
SELECT a.provider, COALESCE(a.order_id, '') AS id, a.id AS account, a.removing_since AS since,
    'the removal of the leftovers of the order has not ended' AS what
FROM accounts a WHERE a.removing_since < now() - interval '2 hours'`},

	// AWS may be down. If the workflow was terminated, no one ends its request.
	{kind: reconcile.KindPasswordOverdue, query: `
SELECT p.provider, p.order_id AS id, p.account_id AS account, p.created_at AS since,
    'a new password was requested and has neither been set nor refused' AS what
FROM order_passwords p
WHERE p.request <> '' AND p.expires_at IS NULL AND p.failure IS NULL AND p.created_at < now() - interval '2 hours'`},

	// The worker that wrote the stop may have died before it signaled the workflow.
	{kind: reconcile.KindStopNotHeard, args: func(b reconcile.Bounds) []any { return []any{b.Grace.Seconds()} }, query: `
SELECT o.provider, o.id, COALESCE(a.id, '') AS account, o.state_since AS since, 'the order was stopped, but its undo has not begun' AS what
FROM orders o LEFT JOIN accounts a ON a.provider = o.provider AND a.order_id = o.id AND a.status = 'provisioning'
WHERE o.state = 'compensating' AND o.state_since < now() - $1 * interval '1 second'
  AND NOT EXISTS (SELECT 1 FROM order_steps s WHERE s.provider = o.provider AND s.order_id = o.id
                  AND GREATEST(s.started_at, s.finished_at, s.fenced_at) > o.state_since)`},
}

// Contradictions lists what is wrong with the orders and accounts that are in progress.
func (s Reconciliation) Contradictions(ctx context.Context, bounds reconcile.Bounds) ([]reconcile.Finding, error) {
	found, err := s.violations(ctx, bounds, false)
	if err != nil {
		return found, err
	}
	wrong, err := s.requestsThatDiffer(ctx, requestsSQL)
	return append(found, wrong...), err
}

// ContradictionsOfEveryRow lists what is wrong with any order or account, however long ago it ended. It compares the
// requests of ended orders with their hashes only if they ended after the given time.
func (s Reconciliation) ContradictionsOfEveryRow(ctx context.Context, endedSince time.Time) ([]reconcile.Finding, error) {
	found, err := s.violations(ctx, reconcile.Bounds{}, true)
	if err != nil {
		return found, err
	}
	counts, err := s.countDifferences(ctx)
	if err != nil {
		return found, fmt.Errorf("%s: %w", reconcile.KindCountsDiffer, err)
	}
	wrong, err := s.requestsThatDiffer(ctx, endedRequestsSQL, endedSince)
	return slices.Concat(found, counts, wrong), err
}

func (s Reconciliation) violations(ctx context.Context, bounds reconcile.Bounds, everyRow bool) (found []reconcile.Finding, err error) {
	for _, check := range invariants {
		if check.everyRow != everyRow {
			continue
		}
		var args []any
		if check.args != nil {
			args = check.args(bounds)
		}
		var violations []violation
		if err := s.db.SelectContext(ctx, &violations, check.query, args...); err != nil {
			return found, fmt.Errorf("%s: %w", check.kind, err)
		}
		for _, v := range violations {
			found = append(found, reconcile.New(check.kind, v.key(), v.Account, v.Since, v.What))
		}
	}
	return found, nil
}

// key returns the key of the order, if there is one.
func (v violation) key() provision.OrderKey {
	if v.ID == "" {
		return provision.OrderKey{}
	}
	return v.OrderKey
}

// requestsPage is how many requests are read at once. Their hash is that of the JSON that Go encodes, so it is
// computed here and not in SQL.
const requestsPage = 1000

const requestColumns = `provider, id, state_since, COALESCE(earlier_requests -> 0, request) AS request, request_sha256`

const requestsSQL = `
SELECT ` + requestColumns + ` FROM orders
WHERE (provider, id) > ($1, $2) AND state NOT IN ('completed', 'failed', 'cancelled') ORDER BY provider, id LIMIT $3`

const endedRequestsSQL = `
SELECT ` + requestColumns + ` FROM orders
WHERE (provider, id) > ($1, $2) AND state IN ('completed', 'failed', 'cancelled') AND state_since >= $4 ORDER BY provider, id LIMIT $3`

func (s Reconciliation) requestsThatDiffer(ctx context.Context, query string, of ...any) (found []reconcile.Finding, err error) {
	args := append([]any{"", "", requestsPage}, of...)
	for {
		var rows []struct {
			provision.OrderKey
			Since   time.Time `db:"state_since"`
			Request []byte    `db:"request"`
			Hash    []byte    `db:"request_sha256"`
		}
		if err := s.db.SelectContext(ctx, &rows, query, args...); err != nil {
			return found, fmt.Errorf("%s: %w", reconcile.KindRequestHash, err)
		}
		for _, row := range rows {
			var request provision.Request
			if err := json.Unmarshal(row.Request, &request); err != nil || !bytes.Equal(request.Hash(), row.Hash) {
				found = append(found, reconcile.New(reconcile.KindRequestHash, row.OrderKey, "", row.Since,
					"the request of the order is not the one that was accepted"))
			}
		}
		if len(rows) < requestsPage {
			return found, nil
		}
		last := rows[len(rows)-1]
		args[0], args[1] = last.Provider, last.ID
	}
}

// reconciledOrderSQL: a step that only reads does not touch the account.
const reconciledOrderSQL = `
SELECT o.provider, o.id, o.state, o.state_since, COALESCE(a.id, '') AS account,
       EXISTS (SELECT 1 FROM order_steps s WHERE s.provider = o.provider AND s.order_id = o.id AND s.account_id = a.id
           AND s.step <> 'inspect_account') AS touched,
       GREATEST(o.state_since, (SELECT max(GREATEST(s.started_at, s.finished_at)) FROM order_steps s WHERE s.provider = o.provider
           AND s.order_id = o.id)) AS active
FROM orders o
LEFT JOIN LATERAL (
    SELECT id FROM accounts WHERE provider = o.provider AND order_id = o.id AND status IN ('provisioning', 'allocated') ORDER BY id LIMIT 1
) a ON true`

type reconciledOrder struct {
	provision.OrderKey
	State   provision.OrderState `db:"state"`
	Since   time.Time            `db:"state_since"`
	Account string               `db:"account"`
	Touched bool                 `db:"touched"`
	Active  time.Time            `db:"active"`
}

const ordersInProgressSQL = `SELECT provider, id FROM orders WHERE state NOT IN ('completed', 'failed', 'cancelled')`

// OrdersInProgress lists the orders that have not ended, for the reconciler.
func (s Reconciliation) OrdersInProgress(ctx context.Context) (keys []provision.OrderKey, err error) {
	err = s.db.SelectContext(ctx, &keys, ordersInProgressSQL)
	return keys, err
}

// OrdersNow reads the given orders again. Orders without a row are missing from the result.
func (s Reconciliation) OrdersNow(ctx context.Context, keys []provision.OrderKey) (map[provision.OrderKey]reconcile.Order, error) {
	found := make(map[provision.OrderKey]reconcile.Order, len(keys))
	for some := range slices.Chunk(keys, requestsPage) {
		var providers, ids []string
		for _, key := range some {
			providers, ids = append(providers, key.Provider), append(ids, key.ID)
		}
		orders, err := reconciledOrders(ctx, s.db, reconciledOrderSQL+`
WHERE (o.provider, o.id) IN (SELECT * FROM unnest($1::text[], $2::text[]))`, pq.Array(providers), pq.Array(ids))
		if err != nil {
			return nil, err
		}
		for _, order := range orders {
			found[order.OrderKey] = order
		}
	}
	return found, nil
}

func reconciledOrders(ctx context.Context, db queryer, query string, args ...any) ([]reconcile.Order, error) {
	var rows []reconciledOrder
	if err := db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, err
	}
	orders := make([]reconcile.Order, len(rows))
	for i, row := range rows {
		orders[i] = reconcile.Order(row)
	}
	return orders, nil
}

// An Allocated account has the user of its order, and the alias and contacts that the order wrote. A Ready account that an
// order held before has no user of it: the account's history says which orders those were. Which alternate contacts an order
// wrote is known from the settings that it kept.
const expectedUsersSQL = `
SELECT ` + accountColumns + `, o.id AS holder, o.nonce, true AS present, ARRAY[o.result ->> 'iam_user_name'] AS user_names,
       o.result ->> 'account_alias' AS alias, o.request ->> 'aws_contact_name' AS contact_name,
           o.request -> 'aws_alternate_contact' AS alternate,
       ARRAY(SELECT jsonb_array_elements_text(NULLIF(o.settings -> 'alternate_contact_types', 'null'))) AS alternate_types
FROM accounts a JOIN orders o ON o.provider = a.provider AND o.id = a.order_id
WHERE a.status = 'allocated' AND o.state = 'completed' AND (a.id, o.id) > ($1, $2)
UNION ALL
SELECT ` + accountColumns + `, o.id AS holder, o.nonce, false AS present,
       ARRAY(SELECT r ->> 'iam_user_name' FROM jsonb_array_elements(o.earlier_requests || jsonb_build_array(o.request)) r) AS user_names,
       NULL, NULL, NULL, NULL
FROM accounts a
JOIN (SELECT DISTINCT account_id, provider, order_id FROM account_history WHERE order_id IS NOT NULL) e ON e.account_id = a.id
JOIN orders o ON o.provider = e.provider AND o.id = e.order_id
WHERE a.status = 'ready' AND (a.id, o.id) > ($1, $2)
ORDER BY id, holder LIMIT $3`

// ExpectedUsers lists which IAM users of ours must or must not be in AWS, by account and order, after the given ones.
func (s Reconciliation) ExpectedUsers(ctx context.Context, afterAccount, afterOrder string, limit int) ([]reconcile.ExpectedUser, error) {
	var rows []struct {
		provision.Account
		Holder         string         `db:"holder"`
		Nonce          string         `db:"nonce"`
		Present        bool           `db:"present"`
		UserNames      pq.StringArray `db:"user_names"`
		Alias          sql.NullString `db:"alias"`
		ContactName    sql.NullString `db:"contact_name"`
		Alternate      []byte         `db:"alternate"`
		AlternateTypes pq.StringArray `db:"alternate_types"`
	}
	if err := s.db.SelectContext(ctx, &rows, expectedUsersSQL, afterAccount, afterOrder, limit); err != nil {
		return nil, err
	}
	users := make([]reconcile.ExpectedUser, len(rows))
	for i, row := range rows {
		names := slices.Compact(slices.Sorted(slices.Values(row.UserNames)))
		wrote := reconcile.Written{Alias: row.Alias.String, ContactName: row.ContactName.String}
		if row.Alternate != nil {
			var contact provision.AlternateContact
			if err := json.Unmarshal(row.Alternate, &contact); err != nil {
				return nil, fmt.Errorf("the alternate contact of order %s/%s: %w", row.Provider, row.Holder, err)
			}
			wrote.Alternates = map[string]provision.AlternateContact{}
			for _, kind := range row.AlternateTypes {
				wrote.Alternates[kind] = contact
			}
		}
		users[i] = reconcile.ExpectedUser{Account: row.Account, Order: provision.OrderKey{Provider: row.Provider, ID: row.Holder},
			Nonce: row.Nonce,
			Names: names, Present: row.Present, Wrote: wrote}
	}
	return users, nil
}
