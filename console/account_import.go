package console

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// An import without a script: the file is chosen once. The page that shows its dry run carries the file, packed, in its form, and
// sends it again when the person confirms. So nothing is kept that the API does not keep, and any process can answer.

// Times of a dry run.
const (
	dryRunWait = 5 * time.Second // how long the page waits for it; a longer one is looked at again
	dryRunPoll = 100 * time.Millisecond
)

// How much the pages of imports show.
const (
	importsShown = 10
	faultsShown  = 100
)

// importsData is what the page with the upload shows.
type importsData struct {
	Form    *form
	Imports []openapi.AccountImport
}

// importPage answers GET /{provider}/accounts/import.
func importPage(p *page) error { return p.showImports(p.newForm(nil)) }

func (p *page) showImports(f *form) error {
	found, err := read[openapi.AccountImportPage](p.API.ListAccountImports(p.ctx(),
		&openapi.ListAccountImportsParams{Limit: new(importsShown)}))
	if err != nil {
		return err
	}
	data := importsData{f, found.Items}
	if f.Refused != "" {
		return p.again(f, "imports", "Import accounts", data)
	}
	p.Live = "10"
	return p.show("imports", "Import accounts", data)
}

// importTemplate answers GET /{provider}/accounts/import/template.
func importTemplate(p *page) error { return p.download(p.API.GetAccountImportTemplate(p.ctx())) }

// checkImport answers POST /{provider}/accounts/import: a dry run of the file.
func checkImport(p *page) error {
	f := &form{}
	name, file, err := p.uploaded()
	if err != nil {
		return err
	}
	if len(file) == 0 {
		f.wrong("file", "Choose a file that has a header and at least one row")
		return p.showImports(f)
	}
	checked, err := p.importFile(file, true)
	if err != nil {
		return p.refuseFile(f, err)
	}
	return p.reviewImport(checked.ID, name, packed(file))
}

// uploaded reads the file that was chosen, and its name.
func (p *page) uploaded() (name string, file []byte, err error) {
	tooLarge := &problem{status: http.StatusRequestEntityTooLarge, title: "The file is too large",
		detail: "An account file may have at most 5 MiB and 10 000 rows. Nothing was done. Split the file."}
	p.r.Body = http.MaxBytesReader(p.w, p.r.Body, maxUpload)
	part, header, err := p.r.FormFile("file")
	switch {
	case errors.Is(err, http.ErrMissingFile), errors.Is(err, http.ErrNotMultipart):
		return "", nil, nil
	case err != nil:
		return "", nil, tooLarge
	}
	defer func() { _ = part.Close() }()
	if file, err = io.ReadAll(part); err != nil {
		return "", nil, tooLarge
	}
	return header.Filename, file, nil
}

// importFile sends a file to the API.
func (p *page) importFile(file []byte, dryRun bool) (openapi.AccountImport, error) {
	return read[openapi.AccountImport](p.API.ImportAccountsWithBody(p.ctx(), &openapi.ImportAccountsParams{DryRun: &dryRun}, "text/csv",
		bytes.NewReader(file)))
}

// refuseFile shows the upload again with what is wrong with the file as a whole.
func (p *page) refuseFile(f *form, err error) error {
	if !f.refuse(err, nil) {
		return err
	}
	for i := range f.Listed {
		f.Listed[i].Field = "file"
	}
	return p.showImports(f)
}

// importReview is what the page of a dry run shows.
type importReview struct {
	Import openapi.AccountImport
	Faults []openapi.RowResult
	Name   string // of the file
	Packed string // the file
}

// reviewImport shows a dry run, once it is complete or takes too long to wait for.
func (p *page) reviewImport(id, name, file string) error {
	checked, err := p.awaitImport(id)
	if err != nil {
		return err
	}
	faults, err := read[openapi.RowResultPage](p.API.ListAccountImportResults(p.ctx(), id, &openapi.ListAccountImportResultsParams{
		Outcome: &[]openapi.RowOutcome{provision.RowFaulty}, Limit: new(faultsShown)}))
	if err != nil {
		return err
	}
	return p.show("import-review", "Check of "+name, importReview{checked, faults.Items, name, file})
}

// awaitImport reads an import until it has ended, or dryRunWait is over.
func (p *page) awaitImport(id string) (openapi.AccountImport, error) {
	ctx, cancel := context.WithTimeout(p.ctx(), dryRunWait)
	defer cancel()
	tick := time.NewTicker(dryRunPoll)
	defer tick.Stop()
	for {
		now, err := read[openapi.AccountImport](p.API.GetAccountImport(p.ctx(), id))
		if err != nil || now.State != provision.ImportRunning {
			return now, err
		}
		select {
		case <-ctx.Done():
			return now, nil
		case <-tick.C:
		}
	}
}

// startPage answers GET /{provider}/accounts/import/start, where a form was interrupted by the sign-in; without one there is no file.
func startPage(p *page) error {
	f := p.newForm(nil)
	if f.Value("file") == "" || f.Value("check") == "" {
		return p.redirect(p.URL("accounts", "import"), "")
	}
	return p.reviewImport(f.Value("check"), f.Value("name"), f.Value("file"))
}

// startImport answers POST /{provider}/accounts/import/start: it imports the file that was checked.
func startImport(p *page) error {
	f, err := p.sentUpTo(maxUpload)
	if err != nil {
		return err
	}
	if f.Value("again") != "" {
		return p.reviewImport(f.Value("check"), f.Value("name"), f.Value("file"))
	}
	file, err := unpacked(f.Value("file"))
	if err != nil || len(file) == 0 {
		f.wrong("file", "The page did not send the file any more. Choose it again")
		return p.showImports(f)
	}
	started, err := p.importFile(file, false)
	if err != nil {
		return p.refuseFile(f, err)
	}
	return p.redirect(p.URL("accounts", "import", started.ID), "The import has started. You may leave this page: it goes on.")
}

// packed makes a file small enough for a form.
func packed(file []byte) string {
	var text strings.Builder
	encode := base64.NewEncoder(base64.RawURLEncoding, &text)
	zip := gzip.NewWriter(encode)
	_, _ = zip.Write(file) // a strings.Builder takes everything
	_ = zip.Close()
	_ = encode.Close()
	return text.String()
}

// unpacked returns the file that packed made small. It reads a byte more than the API allows, so that the API refuses what is too large.
func unpacked(text string) ([]byte, error) {
	const most = 5<<20 + 1
	zip, err := gzip.NewReader(base64.NewDecoder(base64.RawURLEncoding, strings.NewReader(text)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(zip, most))
}

// importData is what the page of an import shows.
type importData struct {
	Import  openapi.AccountImport
	Results []openapi.RowResult
	Tabs    []tab
	Next    string
	Shown   int
}

// showImport answers GET /{provider}/accounts/import/{import}: its progress and its results.
func showImport(p *page) error {
	id := p.r.PathValue("import")
	of, err := read[openapi.AccountImport](p.API.GetAccountImport(p.ctx(), id))
	if err != nil {
		return err
	}
	params := &openapi.ListAccountImportResultsParams{Limit: new(faultsShown), Cursor: p.cursor()}
	if outcome := p.Query("outcome"); outcome != "" {
		params.Outcome = &[]openapi.RowOutcome{provision.RowOutcome(outcome)}
	}
	results, err := read[openapi.RowResultPage](p.API.ListAccountImportResults(p.ctx(), id, params))
	if err != nil {
		return err
	}
	data := importData{Import: of, Results: results.Items, Next: p.nextPage(results.NextCursor), Shown: len(results.Items)}
	for _, t := range []struct {
		name, outcome string
		n             int
	}{{"All", "", of.RowsDone}, {rowOutcome(provision.RowAdded, of.DryRun).Word, "added", of.Added}, {"Unchanged", "unchanged", of.Unchanged},
		{"Faulty", "faulty", of.Faulty}} {
		data.Tabs = append(data.Tabs, tab{Name: t.name, URL: p.With("outcome", t.outcome, "cursor", ""), N: t.n, Known: true,
			Current: p.Query("outcome") == t.outcome})
	}
	p.Live = "10"
	title := "Import"
	if of.DryRun {
		title = "Check of a file"
	}
	return p.show("import", title, data)
}
