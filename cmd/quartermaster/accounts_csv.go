package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
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
	apiOptions
	accountFilter
}

// Run prints the accounts as CSV.
func (c *exportAccountsCommand) Run(e *env, api *client.Client) error {
	file, err := client.Body(api.ExportAccounts(e.ctx, &openapi.ExportAccountsParams{
		Status:      namedList(c.Status),
		Marketplace: named(c.Marketplace),
		Environment: named(provision.Environment(c.Environment)),
		Model:       named(provision.Model(c.Model)),
		Search:      named(c.Search),

		WaitingForVerification: named(c.ToVerify),
		HasFinding:             named(c.Finding),
	}))
	if err != nil {
		return err
	}
	_, err = e.out.Write(file)
	return err
}

type importAccountsCommand struct {
	apiOptions
	outputOptions
	File   string        `arg:"" help:"CSV file. -: the standard input." placeholder:"FILE"`
	DryRun bool          `help:"Check every row and change nothing."`
	Poll   time.Duration `help:"How often the import is read while it runs." default:"1s" hidden:""`
}

// Run imports the file and prints every fault. The import goes on when the command is interrupted.
func (c *importAccountsCommand) Run(e *env, api *client.Client) error {
	file, name, err := readFile(e, c.File, stockcsv.MaxBytes)
	if err != nil {
		return err
	}
	ended, raw, err := client.Object[openapi.AccountImport](api.ImportAccountsWithBody(e.ctx,
		&openapi.ImportAccountsParams{DryRun: named(c.DryRun)}, "text/csv", bytes.NewReader(file)))
	if err == nil {
		ended, raw, err = c.wait(e, api, ended, raw)
	}
	if err != nil {
		return err
	}
	faults := c.faults(e, api, ended.ID)
	switch {
	case c.JSON:
		err = errors.Join(writeRaw(e, raw), faults.write(e, c.outputOptions, pageOptions{Limit: 1, All: true}))
	case c.Quiet:
		_, err = fmt.Fprintln(e.out, ended.ID)
	default:
		err = c.print(e, faults, name, ended)
	}
	switch {
	case err != nil:
		return err
	case ended.State == provision.ImportFailed:
		return errors.New("the import was given up: " + or(ended.Reason, "the reason is unknown"))
	case ended.Faulty > 0:
		return fmt.Errorf("%d of %d rows are faulty: correct them and import the file again; accounts that exist stay as they are",
			ended.Faulty, ended.RowsTotal)
	}
	return nil
}

// wait follows the import until it has ended.
func (c *importAccountsCommand) wait(
	e *env, api *client.Client, now openapi.AccountImport, raw []byte,
) (openapi.AccountImport, []byte, error) {
	shown := progress{out: e.logs, live: e.answerable}
	defer shown.clear()
	for now.State == provision.ImportRunning {
		shown.show(now.RowsDone, now.RowsTotal)
		err := pause(e, c.Poll)
		if err != nil {
			fmt.Fprintf(e.logs, "the import %s goes on without this command; importing the file again adds nothing twice\n", now.ID)
			return now, raw, err
		}
		if now, raw, err = client.Object[openapi.AccountImport](api.GetAccountImport(e.ctx, now.ID)); err != nil {
			return now, raw, err
		}
		shown.clear()
	}
	return now, raw, nil
}

// faults returns the list of the faults of an import.
func (c *importAccountsCommand) faults(e *env, api *client.Client, id string) listing[openapi.RowResult] {
	faulty := []openapi.RowOutcome{provision.RowFaulty}
	return listing[openapi.RowResult]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListAccountImportResults(e.ctx, id,
				&openapi.ListAccountImportResultsParams{Outcome: &faulty, Limit: limit, Cursor: cursor})
		},
	}
}

// print prints the faults as compilers do, and a summary.
func (c *importAccountsCommand) print(e *env, faults listing[openapi.RowResult], name string, ended openapi.AccountImport) error {
	for fault, err := range client.List[openapi.RowResult](faults.get) {
		if err != nil {
			return err
		}
		fmt.Fprintln(e.out, compilerStyle(name, fault.Value))
	}
	fmt.Fprintln(e.out, summary(ended))
	if ended.Added > 0 && !ended.DryRun {
		fmt.Fprintln(e.out, "the new accounts are being verified, and become Ready when that passes")
	}
	return nil
}

// summary says in one line what an import did.
func summary(i openapi.AccountImport) string {
	format := "%d rows: %d added, %d unchanged, %d faulty (import %s)"
	if i.DryRun {
		format = "dry run, nothing was changed: of %d rows, %d would be added, %d exist unchanged, and %d are faulty (import %s)"
	}
	return fmt.Sprintf(format, i.RowsDone, i.Added, i.Unchanged, i.Faulty, i.ID)
}

// compilerStyle formats a fault as compilers format errors, so that editors jump to the place.
func compilerStyle(file string, f openapi.RowResult) string {
	column := or(f.Column, "")
	if column == "" {
		column = "column " + numberOrDash(f.ColumnPosition)
	}
	return fmt.Sprintf("%s:%d:%s: %s", file, f.Line, column, or(f.Message, ""))
}

// progress shows how far an import or a batch is: on a terminal one line that changes, otherwise a line each time.
type progress struct {
	out  io.Writer
	live bool
}

func (p progress) show(done, total int) {
	end := "\n"
	if p.live {
		end = ""
	}
	fmt.Fprintf(p.out, "%d of %d rows%s", done, total, end)
}

func (p progress) clear() {
	if p.live {
		_, _ = io.WriteString(p.out, "\r\x1b[K")
	}
}
