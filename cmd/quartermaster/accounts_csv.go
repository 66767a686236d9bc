package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

type accountTemplateCommand struct{}

// Run prints the header of an import.
func (c *accountTemplateCommand) Run(e *env) error {
	_, err := io.WriteString(e.out, stockcsv.Template())
	return err
}

type exportAccountsCommand struct {
	databaseOptions
	Provider    string                    `help:"Provider id." required:""`
	Marketplace string                    `help:"Only accounts of this marketplace."`
	Environment provision.Environment     `help:"Only accounts of this environment: production or test."`
	Model       provision.Model           `help:"Only accounts of this model."`
	Status      []provision.AccountStatus `help:"Only these statuses: ready, provisioning, allocated, provisioning_failed, invalid."`
}

// Run prints the accounts as CSV, one page at a time.
func (c *exportAccountsCommand) Run(e *env, db *postgres.DB) error {
	out := stockcsv.NewWriter(e.out)
	filter := provision.AccountFilter{
		Marketplace: c.Marketplace,
		Environment: c.Environment,
		Model:       c.Model,
		Statuses:    c.Status,
		Limit:       pageSize,
	}
	var last *provision.Account
	for {
		accounts, err := accountsAfter(e, db, c.Provider, filter, last)
		if err != nil {
			return err
		}
		for _, a := range accounts {
			out.Write(a)
		}
		if err := out.Flush(); err != nil || len(accounts) < pageSize {
			return err
		}
		last = &accounts[len(accounts)-1]
	}
}

type importAccountsCommand struct {
	databaseOptions
	protectedOptions
	File     string `arg:"" help:"CSV file. -: the standard input." placeholder:"FILE"`
	Provider string `help:"Provider id." required:""`
	DryRun   bool   `help:"Check every row and change nothing."`
}

// Run imports the file in batches, as the workflow of an import does, and prints every fault.
func (c *importAccountsCommand) Run(e *env, db *postgres.DB) error {
	file, name, err := c.read()
	if err != nil {
		return err
	}
	rows, first, err := stockcsv.Scan(bytes.NewReader(file))
	if refused, ok := errors.AsType[*stockcsv.FileError](err); ok {
		fmt.Fprintln(e.out, compilerStyle(name, refused.RowFault))
		return errors.New("the file cannot be read: nothing was imported")
	}
	if err != nil {
		return err
	}
	started, err := db.Imports.Create(e.ctx, provision.NewImport{
		ImportKey:  provision.ImportKey{Provider: c.Provider, ID: uuid.NewString()},
		Actor:      cliActor(),
		DryRun:     c.DryRun,
		File:       file,
		Rows:       rows,
		NextOffset: first.Offset,
		NextLine:   first.Line,
	})
	if err != nil {
		return err
	}
	ended, err := c.importRows(e, db, started, name)
	if ended.Added > 0 && !c.DryRun { // even when the import was interrupted
		fmt.Fprintln(e.out, verifyDue(e))
	}
	return err
}

// read returns the file, if it is not larger than an import may be, and its name for people.
func (c *importAccountsCommand) read() (file []byte, name string, err error) {
	in, name := os.Stdin, "stdin"
	if c.File != "-" {
		if in, err = os.Open(c.File); err != nil {
			return nil, "", err
		}
		defer func() { _ = in.Close() }()
		name = c.File
	}
	file, err = io.ReadAll(io.LimitReader(in, stockcsv.MaxBytes+1))
	if err == nil && len(file) > stockcsv.MaxBytes {
		err = fmt.Errorf("%s has more than %d bytes: split it", name, stockcsv.MaxBytes)
	}
	return file, name, err
}

// importRows imports the rows in batches. An import that is interrupted is marked as failed: the same file can be imported
// again.
func (c *importAccountsCommand) importRows(
	e *env, db *postgres.DB, now provision.AccountImport, name string,
) (provision.AccountImport, error) {
	shown := progress{out: e.logs, live: isTerminal(e.logs)}
	for now.State == provision.ImportRunning {
		next, faults, err := db.Imports.RunBatch(e.ctx, now.ImportKey, c.ProtectedAccounts)
		if err != nil {
			shown.clear()
			return now, c.giveUp(e, db, now, err)
		}
		now = next
		shown.clear()
		for _, f := range faults {
			fault := provision.RowFault{Line: f.Line, Column: f.Column, Position: f.Position, Message: f.Message}
			fmt.Fprintln(e.out, compilerStyle(name, fault))
		}
		shown.show(now)
	}
	shown.clear()
	fmt.Fprintln(e.out, summary(now))
	switch {
	case now.State == provision.ImportFailed: // another process ended it
		return now, errors.New("the import was given up: " + now.Reason)
	case now.Faulty > 0:
		return now, fmt.Errorf("%d of %d rows are faulty: correct them and import the file again; accounts that exist stay as they are",
			now.Faulty, now.RowsTotal)
	}
	return now, nil
}

// giveUp marks an interrupted import as failed and returns an error that says how to go on.
func (c *importAccountsCommand) giveUp(e *env, db *postgres.DB, now provision.AccountImport, why error) error {
	what := fmt.Sprintf("the import stopped after %d of %d rows", now.RowsDone, now.RowsTotal)
	stopped := fmt.Errorf("%s; import the file again, nothing is added twice: %w", what, why)
	if e.ctx.Err() != nil {
		stopped = fmt.Errorf("%s, because it was interrupted; import the file again, nothing is added twice", what)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 5*time.Second)
	defer cancel()
	return errors.Join(stopped, db.Imports.Fail(ctx, now.ImportKey, what))
}

// summary says in one line what an import did.
func summary(i provision.AccountImport) string {
	format := "%d rows: %d added, %d unchanged, %d faulty (import %s)"
	if i.DryRun {
		format = "dry run, nothing was changed: of %d rows, %d would be added, %d exist unchanged, and %d are faulty (import %s)"
	}
	return fmt.Sprintf(format, i.RowsDone, i.Added, i.Unchanged, i.Faulty, i.ID)
}

// compilerStyle formats a fault as compilers format errors, so that editors jump to the place.
func compilerStyle(file string, f provision.RowFault) string {
	column := f.Column
	if column == "" {
		column = fmt.Sprintf("column %d", f.Position)
	}
	return fmt.Sprintf("%s:%d:%s: %s", file, f.Line, column, f.Message)
}

// progress shows how far an import is: on a terminal one line that changes, otherwise a line each time.
type progress struct {
	out  io.Writer
	live bool
}

func (p progress) show(i provision.AccountImport) {
	end := "\n"
	if p.live {
		end = ""
	}
	fmt.Fprintf(p.out, "%d of %d rows%s", i.RowsDone, i.RowsTotal, end)
}

func (p progress) clear() {
	if p.live {
		_, _ = io.WriteString(p.out, "\r\x1b[K")
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
