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
	"go.temporal.io/sdk/contrib/envconfig"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
	"quartermaster/workflows/control"
)

type templateCommand struct{}

// Run prints the header of an import.
func (c *templateCommand) Run(e *env) error {
	_, err := io.WriteString(e.out, stockcsv.Template())
	return err
}

type exportAccountsCommand struct {
	databaseOptions
	Provider    string                    `help:"Provider id." required:""`
	Marketplace string                    `help:"Only of this marketplace."`
	Environment provision.Environment     `help:"Only of this environment: production or test."`
	Model       provision.Model           `help:"Only of this model."`
	Status      []provision.AccountStatus `help:"Only in these statuses: ready, provisioning, allocated, provisioning_failed, invalid."`
}

// Run prints the accounts as CSV, a page at a time.
func (c *exportAccountsCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	out := stockcsv.NewWriter(e.out)
	filter := provision.AccountFilter{Marketplace: c.Marketplace, Environment: c.Environment, Model: c.Model, Statuses: c.Status, Limit: accountsPage}
	for {
		accounts, err := store.Accounts.List(e.ctx, c.Provider, filter)
		if err != nil {
			return err
		}
		for _, a := range accounts {
			out.Write(a)
		}
		if err := out.Flush(); err != nil || len(accounts) < accountsPage {
			return err
		}
		last := accounts[len(accounts)-1]
		filter.After = &provision.AccountCursor{AddedAt: last.AddedAt, ID: last.ID}
	}
}

type importAccountsCommand struct {
	databaseOptions
	File              string   `arg:"" help:"CSV file; - reads the standard input." placeholder:"FILE"`
	Provider          string   `help:"Provider id." required:""`
	DryRun            bool     `help:"Judge every row and change nothing."`
	ProtectedAccounts []string `help:"AWS account ids that never enter a pool: payers, our own. The same as the API's." env:"QM_PROTECTED_ACCOUNTS" placeholder:"ID"`
}

// Run imports the file as the workflow does, some rows at a time, and prints every fault.
func (c *importAccountsCommand) Run(e *env) error {
	store, db, err := c.open(e.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	file, name, err := c.read()
	if err != nil {
		return err
	}
	rows, first, err := stockcsv.Scan(bytes.NewReader(file))
	var refused *stockcsv.FileError
	if errors.As(err, &refused) {
		fmt.Fprintln(e.out, inEditorsWords(name, refused.RowFault))
		return errors.New("the file cannot be read: nothing was imported")
	}
	if err != nil {
		return err
	}
	now, err := store.Imports.Create(e.ctx, provision.NewImport{ImportKey: provision.ImportKey{Provider: c.Provider, ID: uuid.NewString()}, Actor: cliActor(),
		DryRun: c.DryRun, File: file, Rows: rows, NextOffset: first.Offset, NextLine: first.Line})
	if err != nil {
		return err
	}
	now, err = c.work(e, store, now, name)
	if now.Added > 0 && !c.DryRun { // even when it broke off
		fmt.Fprintln(e.out, verifyDue(e))
	}
	return err
}

// read is the file, which is never larger than an import may be, and its name for people.
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

// work imports the rows. An import that breaks off is given up: the same file can be imported again.
func (c *importAccountsCommand) work(e *env, store *postgres.DB, now provision.AccountImport, name string) (provision.AccountImport, error) {
	shown := progress{out: e.logs, live: isTerminal(e.logs)}
	for now.State == provision.ImportRunning {
		next, faults, err := store.Imports.RunBatch(e.ctx, now.ImportKey, c.ProtectedAccounts)
		if err != nil {
			shown.clear()
			return now, c.giveUp(e, store, now, err)
		}
		now = next
		shown.clear()
		for _, f := range faults {
			fmt.Fprintln(e.out, inEditorsWords(name, provision.RowFault{Line: f.Line, Column: f.Column, Position: f.Position, Message: f.Message}))
		}
		shown.show(now)
	}
	shown.clear()
	fmt.Fprintln(e.out, summary(now))
	switch {
	case now.State == provision.ImportFailed: // somebody else gave it up
		return now, errors.New("the import was given up: " + now.Reason)
	case now.Faulty > 0:
		return now, fmt.Errorf("%d of %d rows are faulty: mend them and import the file again, what is in the pool stays as it is", now.Faulty, now.RowsTotal)
	}
	return now, nil
}

// giveUp ends an import that broke off, and says how to go on.
func (c *importAccountsCommand) giveUp(e *env, store *postgres.DB, now provision.AccountImport, why error) error {
	what := fmt.Sprintf("it broke off after %d of %d rows", now.RowsDone, now.RowsTotal)
	broke := fmt.Errorf("%s; import the file again, nothing is added twice: %w", what, why)
	if e.ctx.Err() != nil {
		broke = fmt.Errorf("%s, because it was interrupted; import the file again, nothing is added twice", what)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 5*time.Second)
	defer cancel()
	return errors.Join(broke, store.Imports.Fail(ctx, now.ImportKey, what))
}

func summary(i provision.AccountImport) string {
	format := "%d rows: %d added, %d unchanged, %d faulty (import %s)"
	if i.DryRun {
		format = "dry run, nothing was changed: of %d rows %d would be added, %d are in the pool as they are, %d are faulty (import %s)"
	}
	return fmt.Sprintf(format, i.RowsDone, i.Added, i.Unchanged, i.Faulty, i.ID)
}

// inEditorsWords is a fault as compilers write theirs, so that editors find the place.
func inEditorsWords(file string, f provision.RowFault) string {
	column := f.Column
	if column == "" {
		column = fmt.Sprintf("column %d", f.Position)
	}
	return fmt.Sprintf("%s:%d:%s: %s", file, f.Line, column, f.Message)
}

// progress shows how far an import is: one line that changes on a terminal, a line each time elsewhere.
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

// verifyDue has the new accounts verified now, when it is known where Temporal is, and says when they will be.
func verifyDue(e *env) string {
	const later = "the new accounts are verified within 5 minutes, while a worker runs"
	if options, err := envconfig.LoadDefaultClientOptions(); err != nil || options.HostPort == "" {
		return later
	}
	if err := tellTemporal(e, func(ctx context.Context, temporal *control.Temporal) error { return temporal.VerifyDue(ctx) }); err != nil {
		e.log.Warn("the verification was not started; the schedule starts it within 5 minutes", "error", err)
		return later
	}
	return "the new accounts are being verified"
}
