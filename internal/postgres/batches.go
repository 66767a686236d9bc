package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Batches are verbs for many orders or accounts, and the outcome of each.
type Batches struct{ db *database }

const batchColumns = `b.provider, b.id, b.marketplaces, b.actor, b.verb, b.targets, b.reason, b.request_sha256, b.state, b.stopped_because,
    b.started_at, b.finished_at, b.total, b.done, b.refused, b.failed`

type batchRow struct {
	provision.Batch
	BoundTo pq.StringArray `db:"marketplaces"`
}

func (r batchRow) batch() provision.Batch {
	r.Tenant = provision.Tenant{Provider: r.Provider, Marketplaces: r.BoundTo}
	return r.Batch
}

// seenBy selects the batches b that touch nothing outside of the tenant.
func (w *where) seenBy(of provision.Tenant) {
	w.and("b.provider = ?", of.Provider)
	w.andIf(of.Marketplaces != nil, "b.marketplaces <@ ?", pq.Array(of.Marketplaces))
}

const (
	// abandonBatchesSQL stops batches whose workflow was terminated. Every new batch runs it.
	abandonBatchesSQL = `
UPDATE batches SET state = 'stopped', finished_at = clock_timestamp(), stopped_because = 'it made no progress for 24 hours'
WHERE state = 'running' AND progressed_at < now() - interval '24 hours'`

	forgetBatchesSQL = `
DELETE FROM batches WHERE provider = $1 AND id IN (
    SELECT id FROM batches WHERE provider = $1 AND finished_at < now() - $2 * interval '1 second' ORDER BY started_at LIMIT 10)`

	createBatchSQL = `
INSERT INTO batches AS b (provider, id, marketplaces, actor, verb, targets, reason, request_sha256, total)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING ` + batchColumns

	createBatchRowsSQL = `
INSERT INTO batch_rows (provider, batch_id, n, target_id, account_id)
SELECT $1, $2, n, target.id, COALESCE((SELECT a.id FROM accounts a
    WHERE $4 AND a.provider = $1 AND a.order_id = target.id AND a.status = 'provisioning'), '')
FROM unnest($3::text[]) WITH ORDINALITY AS target (id, n)`
)

// batchesKept is how long a batch and its results can be read.
const batchesKept = 90 * 24 * time.Hour

// Create keeps a batch with the ids of everything that it will act on, in the order of its list. Errors: provision.ErrConflict when there
// is a batch of that id, provision.ErrNotFound when there is no such provider, a *provision.CountChangedError.
func (s Batches) Create(ctx context.Context, n provision.NewBatch) (provision.Batch, error) {
	var row batchRow
	err := s.db.tx(ctx, n.Actor, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, abandonBatchesSQL); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, forgetBatchesSQL, n.Provider, batchesKept.Seconds()); err != nil {
			return err
		}
		ids, err := selected(ctx, tx, n.Tenant, n.Selection)
		if err != nil {
			return err
		}
		if len(ids) != n.Expected {
			return &provision.CountChangedError{Expected: n.Expected, Found: len(ids)}
		}
		if err := tx.GetContext(ctx, &row, createBatchSQL, n.Provider, n.ID, pq.Array(n.Tenant.Marketplaces), n.Actor, n.Selection.Verb,
			n.Selection.Verb.Targets(), n.Reason, n.RequestHash, len(ids)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, createBatchRowsSQL, n.Provider, n.ID, pq.Array(ids), n.Selection.Verb == provision.BatchSwap)
		return err
	})
	switch {
	case violates(err, "batches_pkey"):
		err = fmt.Errorf("batch %s exists already: %w", n.BatchKey, provision.ErrConflict)
	case violates(err, "batches_provider_fkey"):
		err = fmt.Errorf("provider %q: %w: add it first", n.Provider, provision.ErrNotFound)
	}
	return row.batch(), err
}

// selected returns the ids of what the batch will act on, at most one more than a batch may have.
func selected(ctx context.Context, q queryer, of provision.Tenant, selection provision.BatchSelection) (ids []string, err error) {
	if selection.IDs != nil {
		return selection.IDs, nil
	}
	if selection.Verb.Targets() == provision.BatchOrders {
		selection.Orders.Limit = provision.MaxBatch + 1
		return orderIDs(ctx, q, of, selection.Orders)
	}
	selection.Accounts.Limit = provision.MaxBatch + 1
	query, args := accountPage(of.Provider, selection.Accounts)
	err = q.SelectContext(ctx, &ids, query, args...)
	return ids, err
}

// Count counts what a batch would act on. It stops at one more than a batch may have.
func (s Batches) Count(ctx context.Context, of provision.Tenant, selection provision.BatchSelection) (int, error) {
	ids, err := selected(ctx, s.db, of, selection)
	return len(ids), err
}

const (
	candidateOrdersSQL = `
SELECT target.id, COALESCE(o.state, '') AS state
FROM unnest($3::text[]) WITH ORDINALITY AS target (id, n)
LEFT JOIN orders o ON o.provider = $1 AND o.id = target.id AND ($2::text[] IS NULL OR o.marketplace = ANY($2))
ORDER BY n`

	candidateAccountsSQL = `
SELECT ` + accountColumns + `
FROM unnest($2::text[]) WITH ORDINALITY AS target (id, n) CROSS JOIN LATERAL (
    SELECT * FROM accounts a WHERE a.provider = $1 AND a.id = target.id LIMIT 1) a
ORDER BY n`
)

// Candidates returns what a batch would act on, in the order of its list, at most one more than a batch may have.
func (s Batches) Candidates(
	ctx context.Context, of provision.Tenant, selection provision.BatchSelection,
) ([]provision.BatchCandidate, error) {
	ids, err := selected(ctx, s.db, of, selection)
	if err != nil {
		return nil, err
	}
	if selection.Verb.Targets() == provision.BatchOrders {
		return s.candidateOrders(ctx, of, selection.Verb, ids)
	}
	return s.candidateAccounts(ctx, of.Provider, selection.Verb, ids)
}

func (s Batches) candidateOrders(ctx context.Context, of provision.Tenant, verb provision.BatchVerb,
	ids []string) ([]provision.BatchCandidate, error) {
	var rows []struct {
		ID    string               `db:"id"`
		State provision.OrderState `db:"state"`
	}
	if err := s.db.SelectContext(ctx, &rows, candidateOrdersSQL, of.Provider, pq.Array(of.Marketplaces), pq.Array(ids)); err != nil {
		return nil, err
	}
	candidates := make([]provision.BatchCandidate, len(rows))
	for i, row := range rows {
		err := provision.ErrNotFound
		if row.State != "" {
			view := provision.OrderView{Order: provision.Order{OrderKey: provision.OrderKey{Provider: of.Provider, ID: row.ID}}, State: row.State}
			err = view.Foresees(verb.Action())
		}
		candidates[i] = provision.NewBatchCandidate(verb, row.ID, string(row.State), err)
	}
	return candidates, nil
}

func (s Batches) candidateAccounts(ctx context.Context, provider string, verb provision.BatchVerb,
	ids []string) ([]provision.BatchCandidate, error) {
	var rows []provision.Account
	if err := s.db.SelectContext(ctx, &rows, candidateAccountsSQL, provider, pq.Array(ids)); err != nil {
		return nil, err
	}
	found := make(map[string]provision.Account, len(rows))
	for _, a := range rows {
		found[a.ID] = a
	}
	candidates := make([]provision.BatchCandidate, len(ids))
	for i, id := range ids {
		a, exists := found[id]
		err := provision.ErrNotFound
		if exists {
			err = a.Forbids(verb.Action())
		}
		candidates[i] = provision.NewBatchCandidate(verb, id, string(a.Status), err)
	}
	return candidates, nil
}

// Get reads one batch of the tenant. Errors: provision.ErrNotFound.
func (s Batches) Get(ctx context.Context, of provision.Tenant, id string) (provision.Batch, error) {
	var w where
	w.seenBy(of)
	w.and("b.id = ?", id)
	var row batchRow
	err := s.db.GetContext(ctx, &row, `SELECT `+batchColumns+` FROM batches b`+w.sql(), w.args...)
	return row.batch(), notFound(err, "batch %s/%s", of.Provider, id)
}

// List lists at most f.Limit batches of the tenant, newest first.
func (s Batches) List(ctx context.Context, of provision.Tenant, f provision.BatchFilter) ([]provision.Batch, error) {
	var w where
	w.seenBy(of)
	w.andIf(f.Targets != nil, "b.targets = ANY(?)", pq.Array(f.Targets))
	if f.After != nil {
		w.and("(b.started_at, b.id) < (?, ?)", f.After.StartedAt, f.After.ID)
	}
	var rows []batchRow
	if err := s.db.SelectContext(ctx, &rows,
		`SELECT `+batchColumns+` FROM batches b`+w.sql()+` ORDER BY b.started_at DESC, b.id DESC LIMIT `+w.arg(f.Limit), w.args...); err != nil {
		return nil, err
	}
	batches := make([]provision.Batch, len(rows))
	for i, row := range rows {
		batches[i] = row.batch()
	}
	return batches, nil
}

// Rows lists at most f.Limit rows of a batch, in their order.
func (s Batches) Rows(ctx context.Context, key provision.BatchKey, f provision.BatchRowFilter) (rows []provision.BatchRow, err error) {
	var w where
	w.and("r.provider = ? AND r.batch_id = ? AND r.n > ?", key.Provider, key.ID, f.After)
	w.andIf(len(f.Outcomes) > 0, "r.outcome = ANY(?)", pq.Array(f.Outcomes))
	err = s.db.SelectContext(ctx, &rows,
		`SELECT r.n, r.target_id, r.account_id, r.outcome, r.code, r.message, r.ended_at FROM batch_rows r`+w.sql()+` ORDER BY r.n LIMIT `+w.arg(f.Limit),
		w.args...)
	return rows, err
}

const stopBatchSQL = `
UPDATE batches SET state = 'stopped', stopped_because = $3, finished_at = clock_timestamp()
WHERE provider = $1 AND id = $2 AND state = 'running'`

// Stop ends a batch that is running. Its rows that are in progress still end; the others keep waiting. Stop returns false for a batch that
// does not run.
func (s Batches) Stop(ctx context.Context, key provision.BatchKey, because string) (stopped bool, err error) {
	return affected(s.db.ExecContext(ctx, stopBatchSQL, key.Provider, key.ID, because))
}
