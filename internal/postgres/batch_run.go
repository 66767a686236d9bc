package postgres

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

const nextBatchRowsSQL = `
SELECT n, target_id, account_id, outcome, code, message, ended_at FROM batch_rows
WHERE provider = $1 AND batch_id = $2 AND outcome = 'waiting'
ORDER BY n LIMIT $3`

// Next returns a batch and, while it is running, at most limit rows that wait. Errors: provision.ErrNotFound.
func (s Batches) Next(ctx context.Context, key provision.BatchKey, limit int) (b provision.Batch, rows []provision.BatchRow, err error) {
	b, err = s.Get(ctx, provision.Tenant{Provider: key.Provider}, key.ID)
	if err != nil || b.State != provision.BatchRunning {
		return b, nil, err
	}
	err = s.db.SelectContext(ctx, &rows, nextBatchRowsSQL, key.Provider, key.ID, limit)
	return b, rows, err
}

const advanceBatchSQL = `
UPDATE batches AS b SET done = c.done, refused = c.refused, failed = c.failed, progressed_at = clock_timestamp(),
    state = CASE WHEN c.ends THEN 'completed' ELSE b.state END, finished_at = CASE WHEN c.ends THEN clock_timestamp() ELSE b.finished_at END
FROM (
    SELECT r.done, r.refused, r.failed, now.state = 'running' AND r.done + r.refused + r.failed = now.total AS ends
    FROM (SELECT * FROM batches WHERE provider = $1 AND id = $2 FOR UPDATE) now CROSS JOIN (
        SELECT count(*) FILTER (WHERE outcome = 'done') AS done, count(*) FILTER (WHERE outcome = 'refused') AS refused,
            count(*) FILTER (WHERE outcome = 'failed') AS failed
        FROM batch_rows WHERE provider = $1 AND batch_id = $2) r
) c
WHERE b.provider = $1 AND b.id = $2 RETURNING ` + batchColumns

// Advance counts the outcomes of the batch's rows, and completes it when no row waits. Errors: provision.ErrNotFound.
func (s Batches) Advance(ctx context.Context, key provision.BatchKey) (provision.Batch, error) {
	var row batchRow
	err := s.db.GetContext(ctx, &row, advanceBatchSQL, key.Provider, key.ID)
	return row.batch(), notFound(err, "batch %s", key)
}

const endBatchRowSQL = `
UPDATE batch_rows SET outcome = $4, code = $5, message = $6, ended_at = clock_timestamp()
WHERE provider = $1 AND batch_id = $2 AND n = $3 AND outcome = 'waiting'`

// EndRow records what became of a row. A row that has an outcome keeps it.
func (s Batches) EndRow(ctx context.Context, key provision.BatchKey, n int, outcome provision.BatchOutcome, why provision.Refusal) error {
	_, err := s.db.ExecContext(ctx, endBatchRowSQL, key.Provider, key.ID, n, outcome, why.Code, why.Message)
	return err
}

// errRowEnded rolls back the repeat of a row that has an outcome.
var errRowEnded = errors.New("the row of the batch has an outcome already")

// ChangeAccount does the verb of the batch to the account of a row, and records that in the same transaction: a repeat changes nothing. It
// returns the orders that got an account because of that. Errors: as Accounts.Update.
func (s Batches) ChangeAccount(ctx context.Context, b provision.Batch, row provision.BatchRow) (woken []provision.OrderKey, err error) {
	c := accountChange{actor: b.Actor, provider: b.Provider, id: row.ID, verb: b.Verb.Action(), reason: b.Reason}
	_, woken, err = act(ctx, s.db, c, func(tx *sqlx.Tx) error {
		waited, err := affected(tx.ExecContext(ctx, endBatchRowSQL, b.Provider, b.ID, row.N, provision.RowDone, "", ""))
		if err == nil && !waited {
			err = errRowEnded
		}
		return err
	})
	if errors.Is(err, errRowEnded) {
		return nil, nil
	}
	return woken, err
}
