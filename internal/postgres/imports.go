package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Imports are the CSV files that add accounts to the stock, and the result of each row.
type Imports struct{ db *database }

const importColumns = `i.id, i.provider, i.actor, i.dry_run, i.state, i.reason, i.rows_total, i.rows_done, i.added, i.unchanged,
    i.faulty, i.messages, i.started_at, i.finished_at`

const createImportSQL = `
INSERT INTO account_imports AS i (id, provider, actor, dry_run, file, file_sha256, file_bytes, rows_total, next_offset,
    next_line)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING ` + importColumns

// abandonImportsSQL ends imports whose workflow was terminated. Every new import runs it.
const abandonImportsSQL = `
UPDATE account_imports SET state = 'failed', file = NULL, finished_at = clock_timestamp(),
    reason = 'it made no progress any more: import the file again, what was added is not added twice'
WHERE state = 'running' AND progressed_at < now() - interval '24 hours'`

const forgetImportsSQL = `DELETE FROM account_imports WHERE provider = $1 AND finished_at < now() - $2 * interval '1 second'`

// importsKept is how long an import and its results can be read.
const importsKept = 90 * 24 * time.Hour

// Create keeps a file for its import. Errors: provision.ErrNotFound when there is no such provider.
func (s Imports) Create(ctx context.Context, n provision.NewImport) (i provision.AccountImport, err error) {
	sum := sha256.Sum256(n.File)
	err = s.db.tx(ctx, n.Actor, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, abandonImportsSQL); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, forgetImportsSQL, n.Provider, importsKept.Seconds()); err != nil {
			return err
		}
		return tx.GetContext(ctx, &i, createImportSQL, n.ID, n.Provider, n.Actor, n.DryRun,
			n.File, sum[:], len(n.File), n.Rows, n.NextOffset, n.NextLine)
	})
	if violates(err, "account_imports_provider_fkey") {
		err = fmt.Errorf("provider %q: %w: add it first", n.Provider, provision.ErrNotFound)
	}
	return i, err
}

const failImportSQL = `
UPDATE account_imports SET state = 'failed', reason = $3, file = NULL, finished_at = clock_timestamp() WHERE provider = $1 AND id = $2
    AND state = 'running'`

// Fail ends an import that is running. The accounts that it has added stay.
func (s Imports) Fail(ctx context.Context, key provision.ImportKey, reason string) error {
	_, err := s.db.ExecContext(ctx, failImportSQL, key.Provider, key.ID, reason)
	return err
}

// Get reads one import of the provider. Errors: provision.ErrNotFound.
func (s Imports) Get(ctx context.Context, key provision.ImportKey) (i provision.AccountImport, err error) {
	err = s.db.GetContext(ctx, &i,
		`SELECT `+importColumns+` FROM account_imports i WHERE i.provider = $1 AND i.id = $2`, key.Provider, key.ID)
	return i, notFound(err, "import %s", key)
}

// List lists at most limit imports of a provider, newest first, after the given one.
func (s Imports) List(ctx context.Context, provider string, limit int,
	after *provision.ImportCursor) (imports []provision.AccountImport, err error) {
	var w where
	w.and("i.provider = ?", provider)
	if after != nil {
		w.and("(i.started_at, i.id) < (?, ?)", after.StartedAt, after.ID)
	}
	err = s.db.SelectContext(ctx, &imports,
		`SELECT `+importColumns+` FROM account_imports i`+w.sql()+` ORDER BY i.started_at DESC, i.id DESC LIMIT `+w.arg(limit), w.args...)
	return imports, err
}

// Results lists the results of the rows of an import, in the order of the file. Errors: provision.ErrNotFound.
func (s Imports) Results(ctx context.Context, key provision.ImportKey,
	f provision.ImportResultFilter) (results []provision.RowResult, err error) {
	if _, err := s.Get(ctx, key); err != nil {
		return nil, err
	}
	var w where
	w.and("r.import_id = ?", key.ID)
	if len(f.Outcomes) > 0 {
		w.and("r.outcome = ANY(?)", pq.Array(f.Outcomes))
	}
	if f.After != nil {
		w.and("(r.line, r.nth) > (?, ?)", f.After.Line, f.After.Nth)
	}
	err = s.db.SelectContext(ctx, &results,
		`SELECT r.line, r.nth, r.outcome, r.account_id, r.column_name, r.column_position, r.message FROM account_import_results r`+
			w.sql()+` ORDER BY r.line, r.nth LIMIT `+w.arg(f.Limit), w.args...)
	return results, err
}
