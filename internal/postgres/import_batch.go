package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

// importBatch is how many rows one transaction imports. It takes a fraction of a second.
const importBatch = 500

// importTries is how often a batch is tried when another transaction adds or protects one of its accounts at the
// same time.
const importTries = 5

// RunBatch imports the next rows of an import in one transaction. It returns the progress of the import and the
// faults of those rows. The same transaction stores the position in the file, so a caller that repeats RunBatch
// until the import has ended imports every row once, even after a crash. protected are the AWS account ids that
// enter no pool of any provider; each provider protects more. Errors: provision.ErrNotFound.
func (s Imports) RunBatch(ctx context.Context, key provision.ImportKey,
	protected []string) (now provision.AccountImport, faults []provision.RowResult, err error) {
	for range importTries {
		now, faults, err = s.importBatch(ctx, key, protected)
		if !violates(err, "accounts_pkey") && !violates(err, "accounts_root_email_unique") &&
			!violates(err, "accounts_provider_marketplace_environment_fkey") &&
			!violates(err, "accounts_not_protected") && !deadlocked(err) {
			break
		}
	}
	return now, faults, err
}

func deadlocked(err error) bool {
	pqErr := pq.As(err)
	return pqErr != nil && pqErr.Code == "40P01"
}

const lockImportSQL = `
SELECT ` + importColumns + `, i.next_offset, i.next_line FROM account_imports i WHERE i.provider = $1 AND i.id = $2 FOR UPDATE`

const importedSQL = `
UPDATE account_imports AS i SET rows_done = rows_done + $2 + $3 + $4, added = added + $2, unchanged = unchanged + $3,
    faulty = faulty + $4, messages = messages + $5,
    next_offset = $6, next_line = $7, progressed_at = clock_timestamp(),
    state = CASE WHEN $8 THEN 'completed' ELSE state END, finished_at = CASE WHEN $8 THEN clock_timestamp() END, file = CASE WHEN $8
        THEN NULL ELSE file END
WHERE i.id = $1
RETURNING ` + importColumns

const emitImportSQL = `
SELECT emit_event($1, 'account_import.completed', $2, jsonb_build_object('import_id', $2::text, 'rows', $3::int, 'added', $4::int,
    'unchanged', $5::int, 'faulty', $6::int))`

func (s Imports) importBatch(ctx context.Context, key provision.ImportKey,
	protected []string) (now provision.AccountImport, faults []provision.RowResult, err error) {
	err = s.db.tx(ctx, "import "+key.ID, func(tx *sqlx.Tx) error {
		var state struct {
			provision.AccountImport
			Offset int64 `db:"next_offset"`
			Line   int   `db:"next_line"`
		}
		if err := tx.GetContext(ctx, &state, lockImportSQL, key.Provider, key.ID); err != nil {
			return notFound(err, "import %s", key)
		}
		if now = state.AccountImport; now.State != provision.ImportRunning {
			return nil
		}
		if _, err := tx.ExecContext(ctx, `SELECT set_config('qm.actor', $1, true)`, now.Actor+", import "+key.ID); err != nil {
			return err
		}
		header, err := stockcsv.NewReader(&keptFile{ctx: ctx, tx: tx, id: key.ID})
		if err != nil {
			return fmt.Errorf("import %s: %w", key, err)
		}
		rest := header.Continue(&keptFile{ctx: ctx, tx: tx, id: key.ID, next: state.Offset},
			stockcsv.Place{Offset: state.Offset, Line: state.Line})
		b := &batch{ctx: ctx, tx: tx, key: key, reader: rest, protected: protected}
		last, err := b.read(now.RowsTotal - now.RowsDone)
		if err == nil {
			err = b.protect()
		}
		if err == nil {
			err = b.judge()
		}
		if err == nil && !now.DryRun {
			err = b.add()
		}
		if err == nil {
			faults, err = b.write()
		}
		if err != nil {
			return err
		}
		place, count := rest.Place(), b.count()
		if err := tx.GetContext(ctx, &now, importedSQL, key.ID, count[provision.RowAdded], count[provision.RowUnchanged],
			count[provision.RowFaulty], len(faults),
			place.Offset, place.Line, last); err != nil {
			return err
		}
		if last && !now.DryRun {
			_, err = tx.ExecContext(ctx, emitImportSQL, now.Provider, now.ID, now.RowsTotal, now.Added, now.Unchanged, now.Faulty)
		}
		return err
	})
	return now, faults, err
}

// keptFile reads the file of an import a part at a time.
type keptFile struct {
	ctx  context.Context //nolint:containedctx // an io.Reader has no other way to get it
	tx   *sqlx.Tx
	id   string
	next int64
	part []byte
}

const filePart = 128 << 10

// Read reads from the current part, and loads the next part when it is used up.
func (f *keptFile) Read(p []byte) (int, error) {
	if len(f.part) == 0 {
		const partSQL = `SELECT substring(file FROM $2::int + 1 FOR $3) FROM account_imports WHERE id = $1`
		if err := f.tx.GetContext(f.ctx, &f.part, partSQL, f.id, f.next, filePart); err != nil {
			return 0, err
		}
		if len(f.part) == 0 {
			return 0, io.EOF
		}
		f.next += int64(len(f.part))
	}
	n := copy(p, f.part)
	f.part = f.part[n:]
	return n, nil
}

// batch is the rows of one transaction.
type batch struct {
	ctx       context.Context //nolint:containedctx // it lives as long as the call
	tx        *sqlx.Tx
	key       provision.ImportKey
	reader    *stockcsv.Reader
	protected []string
	rows      []stockcsv.Row
	ids       []string               // the account id of each row; empty: the row has no valid one
	emails    []string               // the root e-mail of each row in lower case; empty: the row has no valid one
	outcomes  []provision.RowOutcome // of each row
}

// read reads the next rows and returns whether they are the last. left is how many rows the file still has.
func (b *batch) read(left int) (last bool, err error) {
	for range min(left, importBatch) {
		row, err := b.reader.Next()
		if err != nil { // io.EOF too, because the rows were counted before the file was stored
			return false, err
		}
		row.Account.Provider = b.key.Provider
		b.rows, b.ids, b.emails = append(b.rows, row), append(b.ids, accountNamed(row)), append(b.emails, emailNamed(row))
	}
	return left <= importBatch, nil
}

func (b *batch) fault(i int, column, format string, args ...any) {
	b.rows[i].Faults = append(b.rows[i].Faults, b.reader.Fault(b.rows[i], column, format, args...))
}

const earlierLinesSQL = `
SELECT account_id, min(line) AS line FROM account_import_results
WHERE import_id = $1 AND account_id = ANY($2) GROUP BY account_id`

// earlierEmailsSQL finds earlier rows with the same root e-mail. A second row of the same account is reported as a
// repeated account, not as a repeated e-mail.
const earlierEmailsSQL = `
SELECT DISTINCT ON (root_email) root_email, account_id, line FROM account_import_results WHERE import_id = $1 AND root_email = ANY($2)
    ORDER BY root_email, line`

const emailsInStockSQL = `
SELECT lower(root_email) AS root_email, id AS account_id, 0 AS line FROM accounts WHERE lower(root_email) = ANY($1)`

// emailUse is an earlier use of a root e-mail: in a line of the file, or by an account in stock (line 0).
type emailUse struct {
	Email     string `db:"root_email"`
	AccountID string `db:"account_id"`
	Line      int    `db:"line"`
}

// judge decides the outcome of every row, from the faults that the file itself shows and from the database.
func (b *batch) judge() error {
	var earlier []struct {
		ID   string `db:"account_id"`
		Line int    `db:"line"`
	}
	var existing []provision.Account
	var pools []provision.Pool
	var inFile, inStock []emailUse
	err := errors.Join(
		b.tx.SelectContext(b.ctx, &inFile, earlierEmailsSQL, b.key.ID, pq.Array(b.emails)),
		b.tx.SelectContext(b.ctx, &inStock, emailsInStockSQL, pq.Array(b.emails)),
		b.tx.SelectContext(b.ctx, &earlier, earlierLinesSQL, b.key.ID, pq.Array(b.ids)),
		b.tx.SelectContext(b.ctx, &existing, `SELECT `+accountColumns+` FROM accounts a WHERE a.id = ANY($1)`, pq.Array(b.ids)),
		b.tx.SelectContext(b.ctx, &pools, `SELECT provider, marketplace, environment FROM pools WHERE provider = $1`, b.key.Provider))
	if err != nil {
		return err
	}
	models, err := readModels(b.ctx, b.tx)
	if err != nil {
		return err
	}
	lineOf := map[string]int{}
	for _, e := range earlier {
		lineOf[e.ID] = e.Line
	}
	known := map[string]provision.Account{}
	for _, a := range existing {
		known[a.ID] = a
	}
	usedBy := map[string]emailUse{}
	for _, use := range append(inStock, inFile...) { // a line of the file is more helpful to the reader
		usedBy[use.Email] = use
	}
	for i := range b.rows {
		b.judgeEmail(i, usedBy)
		b.outcomes = append(b.outcomes, b.judgeRow(i, lineOf, known, pools, provision.ModelIDs(models)))
		if id := b.ids[i]; id != "" && lineOf[id] == 0 {
			lineOf[id] = b.rows[i].Line
		}
	}
	return nil
}

// judgeEmail finds a root e-mail that another account uses, in the file or in stock. The fault does not reveal
// which provider's account uses it.
func (b *batch) judgeEmail(i int, usedBy map[string]emailUse) {
	email := b.emails[i]
	if email == "" {
		return
	}
	use, used := usedBy[email]
	switch {
	case !used:
		usedBy[email] = emailUse{email, b.ids[i], b.rows[i].Line}
	case use.AccountID == b.ids[i] && use.AccountID != "":
	case use.Line > 0:
		b.fault(i, stockcsv.RootEmail,
			"this root e-mail is in line %d of this file already: AWS uses an address for the root user of one account only, "+
				"regardless of case; correct one of the two rows", use.Line)
	default:
		b.fault(i, stockcsv.RootEmail, "%s", provision.RootEmailTaken)
	}
}

func (b *batch) judgeRow(i int, lineOf map[string]int, known map[string]provision.Account, pools []provision.Pool,
	models []provision.Model) provision.RowOutcome {
	row := &b.rows[i]
	if row.Broken {
		return provision.RowFaulty
	}
	a, id := row.Account, b.ids[i]
	wrong := func(column string) bool {
		return slices.ContainsFunc(row.Faults, func(f provision.RowFault) bool { return f.Column == column })
	}
	switch {
	case id == "":
	case lineOf[id] > 0:
		b.fault(i, stockcsv.AccountID, "account %s is in line %d of this file already: keep one of the two rows", id, lineOf[id])
	case b.neverStocked(id):
		b.fault(i, stockcsv.AccountID, "%s; remove the row", provision.ProtectedMessage(id))
	}
	if !wrong(stockcsv.Marketplace) && !wrong(stockcsv.Environment) && !slices.Contains(pools, a.Pool) {
		b.fault(i, stockcsv.Marketplace,
			"there is no pool for marketplace %q in environment %q: correct one of them, or ask for that pool first",
			a.Marketplace, a.Environment)
	}
	if !wrong(stockcsv.Model) && !slices.Contains(models, a.Model) {
		b.fault(i, stockcsv.Model, "%s", provision.UnknownModelMessage(a.Model, models))
	}
	if len(row.Faults) > 0 {
		slices.SortStableFunc(row.Faults, func(x, y provision.RowFault) int { return x.Position - y.Position })
		return provision.RowFaulty
	}
	is, stocked := known[id]
	switch {
	case !stocked && a.ExternalID != "":
		b.fault(i, stockcsv.ExternalID,
			"Quartermaster makes the external id when it adds the account: leave the cell empty, and read the new id in an export")
	case !stocked:
		return provision.RowAdded
	case is.Provider != a.Provider: // the fault does not reveal which provider's account it is
		b.fault(i, stockcsv.AccountID,
			"account %s is in a pool already and cannot be added: an AWS account can be in only one pool; remove the row", id)
	default:
		differing := differences(is, a)
		if len(differing) == 0 {
			return provision.RowUnchanged
		}
		b.fault(i, differing[0], "account %s is in the pool with a different %s: an import never updates accounts; "+
			"update the account itself, or correct the row", id, strings.Join(differing, ", "))
	}
	return provision.RowFaulty
}

// protect adds the accounts of the batch that the provider protects.
func (b *batch) protect() error {
	const protectedSQL = `SELECT account_id FROM protected_accounts WHERE provider = $1 AND account_id = ANY($2)`
	var more []string
	err := b.tx.SelectContext(b.ctx, &more, protectedSQL, b.key.Provider, textArray(b.ids))
	b.protected = slices.Concat(b.protected, more)
	return err
}

// neverStocked reports whether an import refuses the account because it is protected.
func (b *batch) neverStocked(id string) bool { return slices.Contains(b.protected, id) }

// accountNamed is the account id that the row names; empty when it is none.
func accountNamed(row stockcsv.Row) string {
	if len(row.Account.ID) != 12 ||
		slices.ContainsFunc(row.Faults, func(f provision.RowFault) bool { return f.Column == stockcsv.AccountID }) {
		return ""
	}
	return row.Account.ID
}

// emailNamed is the root e-mail of the row in lower case; empty when it is none.
func emailNamed(row stockcsv.Row) string {
	if row.Broken || slices.ContainsFunc(row.Faults, func(f provision.RowFault) bool { return f.Column == stockcsv.RootEmail }) {
		return ""
	}
	return strings.ToLower(row.Account.RootEmail)
}

// differences are the columns in which a row is not as the account is. An external id that the row leaves out does not differ.
func differences(is, row provision.Account) (columns []string) {
	for _, c := range []struct{ column, is, row string }{
		{stockcsv.Marketplace, is.Marketplace, row.Marketplace},
		{stockcsv.Environment, string(is.Environment), string(row.Environment)},
		{stockcsv.Model, string(is.Model), string(row.Model)},
		{stockcsv.Name, is.Name, row.Name},
		{stockcsv.RootEmail, is.RootEmail, row.RootEmail},
		{stockcsv.RoleARN, is.RoleARN, row.RoleARN},
		{stockcsv.ExternalID, is.ExternalID, row.ExternalID},
	} {
		if c.is != c.row && (c.column != stockcsv.ExternalID || c.row != "") {
			columns = append(columns, c.column)
		}
	}
	return columns
}

// The order of the file is the order of age: the claim takes the oldest first.
const createAccountsSQL = `
INSERT INTO accounts (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, status, reason, ready_because)
SELECT id, $1, marketplace, environment, model, name, root_email, role_arn, external_id, 'invalid', $2, 'added by ' || qm_actor()
FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
    WITH ORDINALITY AS new (id, marketplace, environment, model, name, root_email, role_arn, external_id, n)
ORDER BY n`

// add adds the accounts of the rows with the outcome RowAdded. They are Invalid until their verification passes,
// so no order gets one yet.
func (b *batch) add() error {
	columns := make([][]string, 8)
	for i, row := range b.rows {
		if b.outcomes[i] != provision.RowAdded {
			continue
		}
		a := row.Account
		for c, cell := range []string{a.ID, a.Marketplace, string(a.Environment), string(a.Model), a.Name, a.RootEmail, a.RoleARN,
			provision.NewExternalID()} {
			columns[c] = append(columns[c], cell)
		}
	}
	if len(columns[0]) == 0 {
		return nil
	}
	args := []any{b.key.Provider, provision.AwaitsVerification}
	for _, column := range columns {
		args = append(args, pq.Array(column))
	}
	_, err := b.tx.ExecContext(b.ctx, createAccountsSQL, args...)
	return err
}

const writeResultsSQL = `
INSERT INTO account_import_results (import_id, line, nth, outcome, account_id, column_name, column_position, message, root_email)
SELECT $1, * FROM unnest($2::int[], $3::int[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::text[])`

// write stores the result of every row, and returns the faults.
func (b *batch) write() (faults []provision.RowResult, err error) {
	var lines, nths, positions []int64
	var outcomes, ids, names, messages, emails []string
	keep := func(r provision.RowResult, email string) {
		emails = append(emails, email)
		lines, nths, positions = append(lines, int64(r.Line)), append(nths, int64(r.Nth)), append(positions, int64(r.Position))
		outcomes, ids = append(outcomes, string(r.Outcome)), append(ids, r.AccountID)
		names, messages = append(names, r.Column), append(messages, r.Message)
	}
	for i, row := range b.rows {
		r := provision.RowResult{Line: row.Line, Outcome: b.outcomes[i], AccountID: b.ids[i]}
		if len(row.Faults) == 0 {
			keep(r, b.emails[i])
		}
		for nth, f := range row.Faults {
			r.Nth, r.Column, r.Position, r.Message = nth, f.Column, f.Position, f.Message
			keep(r, b.emails[i])
			faults = append(faults, r)
		}
	}
	_, err = b.tx.ExecContext(b.ctx, writeResultsSQL, b.key.ID, pq.Array(lines), pq.Array(nths), pq.Array(outcomes), pq.Array(ids),
		pq.Array(names), pq.Array(positions), pq.Array(messages), pq.Array(emails))
	return faults, err
}

func (b *batch) count() map[provision.RowOutcome]int {
	count := map[provision.RowOutcome]int{}
	for _, outcome := range b.outcomes {
		count[outcome]++
	}
	return count
}
