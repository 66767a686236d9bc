package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

const importsPath = "/v1/account-imports"

// csvLine is a valid row of a file.
func csvLine(id string) string {
	return fmt.Sprintf("%s,nordic,production,SPAM,Pool %s,aws+%s@provider.example,arn:aws:iam::%s:role/Quartermaster\r\n", id, id, id, id)
}

func csvFile(ids ...string) string {
	file := stockcsv.Template()
	for _, id := range ids {
		file += csvLine(id)
	}
	return file
}

func (w *testAPI) upload(key, query, file string) *httptest.ResponseRecorder {
	return w.send(key, http.MethodPost, importsPath+query, file, "Content-Type", "text/csv")
}

// results are those of an import on every page, as line:column:position outcome account: message.
func (w *testAPI) results(t *testing.T, id, query string) (lines []string) {
	t.Helper()
	for cursor := ""; ; {
		page := read[openapi.RowResultPage](t, w.get(importsPath+"/"+id+"/results?limit=2"+query+cursor), http.StatusOK)
		for _, r := range page.Items {
			lines = append(lines, fmt.Sprintf("%d:%s:%d %s %s %s", r.Line, value(r.Column), value(r.ColumnPosition), r.Outcome,
				value(r.AccountID), value(r.Message)))
		}
		if page.NextCursor == nil {
			return lines
		}
		cursor = "&cursor=" + *page.NextCursor
	}
}

func TestImportingAFile(t *testing.T) {
	t.Parallel()
	w := setup(t)
	answer := w.upload(w.key, "", csvFile("444455556666", "444455556667")+"12,nordic,production,SPAM,x,y,z\n"+csvLine("999999999999"))
	begun := read[openapi.AccountImport](t, answer, http.StatusAccepted)
	require.Equal(t, "/qm"+importsPath+"/"+begun.ID, answer.Header().Get("Location"))
	require.Equal(t, provision.ImportRunning, begun.State)
	require.Equal(t, 4, begun.RowsTotal)
	require.Equal(t, "key "+w.keyID(), begun.By)
	require.Equal(t, []provision.ImportKey{{Provider: "acme", ID: begun.ID}}, w.workflows.imports)

	ended := read[openapi.AccountImport](t, w.get(importsPath+"/"+begun.ID), http.StatusOK)
	require.Equal(t, provision.ImportCompleted, ended.State)
	require.Equal(t, []int{4, 2, 0, 2, 4}, []int{ended.RowsDone, ended.Added, ended.Unchanged, ended.Faulty, ended.Messages})
	require.NotNil(t, ended.FinishedAt)
	require.Equal(t, []string{
		"2::0 added 444455556666 ", "3::0 added 444455556667 ",
		`4:account_id:1 faulty  "12" is not an AWS account id: it has exactly 12 digits; ` +
			`a spreadsheet has made a number of it, and digits may be lost: format the column as text and enter the id again`,
		"4:root_email:6 faulty  not an e-mail address that AWS accepts for a root user: write it as " +
			"name@domain.tld, 6 to 64 ASCII characters; the name has no spaces, none of \" ' ( ) < > [ ] : ; , \\ | % & and no dot at its beginning",
		`4:role_arn:7 faulty  "z" is not a role ARN: write it as arn:aws:iam::<account id>:role/<name>`,
		"5:account_id:1 faulty 999999999999 account 999999999999 is protected: " +
			"a payer account or one of the provider's own accounts cannot be in a pool; remove the row",
	}, w.results(t, begun.ID, ""))
	require.Len(t, w.results(t, begun.ID, "&outcome=added"), 2)
	require.Len(t, w.results(t, begun.ID, "&outcome=added&outcome=faulty"), 6)
	require.Empty(t, w.results(t, begun.ID, "&outcome=unchanged"))

	added, err := w.store.Accounts.Get(t.Context(), "acme", "444455556666")
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, added.Status)
	events, err := w.store.Accounts.History(t.Context(), "acme", added.ID, 0, 5)
	require.NoError(t, err)
	require.Equal(t, "key "+w.keyID()+", import "+begun.ID, events[0].Actor)

	again := read[openapi.AccountImport](t, w.upload(w.key, "", csvFile("444455556666", "444455556667")), http.StatusAccepted)
	ended = read[openapi.AccountImport](t, w.get(importsPath+"/"+again.ID), http.StatusOK)
	require.Equal(t, []int{0, 2, 0}, []int{ended.Added, ended.Unchanged, ended.Faulty})

	list := read[openapi.AccountImportPage](t, w.get(importsPath+"?limit=1"), http.StatusOK)
	require.Equal(t, again.ID, list.Items[0].ID, "newest first")
	list = read[openapi.AccountImportPage](t, w.get(importsPath+"?limit=1&cursor="+*list.NextCursor), http.StatusOK)
	require.Equal(t, begun.ID, list.Items[0].ID)
	require.Nil(t, list.NextCursor)
}

func TestProgressShowsWhileAnImportRuns(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.workflows.holdImports = true
	file := stockcsv.Template()
	for i := range 700 {
		file += csvLine(fmt.Sprintf("5555%08d", i))
	}
	begun := read[openapi.AccountImport](t, w.upload(w.key, "", file), http.StatusAccepted)
	_, _, err := w.store.Imports.RunBatch(t.Context(), provision.ImportKey{Provider: "acme", ID: begun.ID}, nil)
	require.NoError(t, err)
	half := read[openapi.AccountImport](t, w.get(importsPath+"/"+begun.ID), http.StatusOK)
	require.Equal(t, provision.ImportRunning, half.State)
	require.Equal(t, []int{700, 500, 500}, []int{half.RowsTotal, half.RowsDone, half.Added})
	require.Nil(t, half.FinishedAt)
	require.Len(t, read[openapi.RowResultPage](t, w.get(importsPath+"/"+begun.ID+"/results?limit=200"), http.StatusOK).Items, 200)
}

func TestADryRunOfAnImportAddsNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	begun := read[openapi.AccountImport](t, w.upload(w.key, "?dry_run=true", csvFile("444455556666")+"x\n"), http.StatusAccepted)
	ended := read[openapi.AccountImport](t, w.get(importsPath+"/"+begun.ID), http.StatusOK)
	require.True(t, ended.DryRun)
	require.Equal(t, []int{1, 1}, []int{ended.Added, ended.Faulty})
	_, err := w.store.Accounts.Get(t.Context(), "acme", "444455556666")
	require.ErrorIs(t, err, provision.ErrNotFound)
}

func TestAFileThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for name, c := range map[string]struct{ file, field, message string }{
		"empty": {"", "", "line 1: the file is empty"},
		"JSON":  {`{"id":1}`, "", "line 1: the header has a broken quote"},
		"a misspelled column": {strings.Replace(csvFile("444455556666"), "role_arn", "role", 1), "role",
			`unknown: "role" (column 7); missing: role_arn`},
		"no text":       {"\x7fELF\x02\x01\x00\x00", "", "line 1: the header has NUL bytes"},
		"too many rows": {stockcsv.Template() + strings.Repeat("x\n", 10_001), "", "line 10002: the file has more than 10000 rows"},
	} {
		p := readProblem(t, w.upload(w.key, "", c.file), http.StatusUnprocessableEntity, codeInvalid)
		require.Len(t, *p.Errors, 1, name)
		require.Contains(t, (*p.Errors)[0].Message, c.message, name)
		require.Nil(t, (*p.Errors)[0].Pointer, name)
		require.Equal(t, c.field, value((*p.Errors)[0].Field), name)
	}
	for _, contentType := range []string{"application/json", "text/plain", "", "text/csv; charset=iso-8859-1", "text/csv;;"} {
		p := readProblem(t, w.send(w.key, http.MethodPost, importsPath, csvFile("444455556666"), "Content-Type", contentType),
			http.StatusUnsupportedMediaType, codeUnsupportedMediaType)
		require.Contains(t, p.Detail, "send ", contentType)
	}
	readProblem(t, w.upload(w.key, "?dry_run=perhaps", csvFile()), http.StatusBadRequest, codeInvalidParameter)
	readProblem(t, w.upload(w.key, "?dryrun=true", csvFile()), http.StatusBadRequest, codeInvalidParameter)
	require.Empty(t, w.workflows.imports)
	require.Empty(t, read[openapi.AccountImportPage](t, w.get(importsPath), http.StatusOK).Items)
}

func TestAFileOfASpreadsheetIsImported(t *testing.T) {
	t.Parallel()
	w := setup(t)
	text := "sep=;\r\n" + strings.ReplaceAll(csvFile("444455556666")+strings.Repeat(",,,,,,\n", stockcsv.MaxRows+1), ",", "\t")
	text = strings.Replace(text, "\n444455556666\t", "\n4444-5555-6666\t", 1)
	file, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(text) // "Unicode text"
	require.NoError(t, err)
	begun := read[openapi.AccountImport](t, w.upload(w.key, "", file), http.StatusAccepted)
	ended := read[openapi.AccountImport](t, w.get(importsPath+"/"+begun.ID), http.StatusOK)
	require.Equal(t, []int{1, 1}, []int{ended.RowsTotal, ended.Added}, "%+v", ended)
	a, err := w.store.Accounts.Get(t.Context(), "acme", "444455556666")
	require.NoError(t, err)
	require.Equal(t, "acme", a.Provider)
}

func TestAFileHasItsOwnSizeLimit(t *testing.T) {
	t.Parallel()
	w := setup(t)
	large := csvFile("444455556666") + strings.Repeat("\n", 1<<20) // more than other bodies may have
	read[openapi.AccountImport](t, w.send(w.key, http.MethodPost, importsPath, large, "Content-Type", "text/csv; charset=UTF-8"),
		http.StatusAccepted)
	tooLarge := []byte(csvFile() + strings.Repeat("\n", stockcsv.MaxBytes))
	for _, r := range []*http.Request{httptest.NewRequest(http.MethodPost, importsPath, bytes.NewReader(tooLarge)),
		newChunked(http.MethodPost, importsPath, tooLarge)} {
		r.Header.Set("Content-Type", "text/csv")
		r.Header.Set("Authorization", "Bearer "+w.key)
		require.Contains(t, readProblem(t, serve(w.handler, r), http.StatusRequestEntityTooLarge, codeBodyTooLarge).Detail,
			"at most 5242880 bytes")
	}
	require.Equal(t, float64(stockcsv.MaxBytes),
		w.service.contract.operations["POST "+importsPath].RequestBody.Value.Extensions["x-max-bytes"])
	r := newChunked(http.MethodPost, importsPath, nil)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("account_id"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	r.Header.Set("Content-Type", "text/csv")
	r.Header.Set("Authorization", "Bearer "+w.key)
	require.Contains(t, readProblem(t, serve(w.handler, r), http.StatusBadRequest, codeBadRequest).Detail, "the body is incomplete")
	p := readProblem(t, w.send(w.key, http.MethodPost, "/v1/accounts", strings.Repeat(" ", 70<<10)),
		http.StatusRequestEntityTooLarge, codeBodyTooLarge)
	require.Contains(t, p.Detail, "64 KiB", "the others keep theirs")
	readProblem(t, w.upload("", "", "x"), http.StatusUnauthorized, codeUnauthorized)
}

func TestAnImportIsNotStoredWhenTemporalIsDown(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.workflows.fail = fmt.Errorf("no Temporal: %w", provision.ErrUnavailable)
	readProblem(t, w.upload(w.key, "", csvFile("444455556666")), http.StatusServiceUnavailable, codeUnavailable)
	require.Empty(t, read[openapi.AccountImportPage](t, w.get(importsPath), http.StatusOK).Items)
}

func TestImportsOfOtherProvidersAreNotFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	mine := read[openapi.AccountImport](t, w.upload(w.key, "", csvFile("444455556666")), http.StatusAccepted)
	for _, id := range []string{mine.ID, "00000000-0000-0000-0000-000000000000"} {
		for _, target := range []string{"", "/results"} {
			p := readProblem(t, w.send(w.otherKey, http.MethodGet, importsPath+"/"+id+target, ""), http.StatusNotFound, codeNotFound)
			require.Equal(t, "import "+id+" not found", p.Detail)
		}
	}
	require.Empty(t, read[openapi.AccountImportPage](t, w.send(w.otherKey, http.MethodGet, importsPath, ""), http.StatusOK).Items)
	theirs := read[openapi.AccountImport](t, w.upload(w.otherKey, "", csvFile("444455556666")), http.StatusAccepted)
	result := read[openapi.RowResultPage](t, w.send(w.otherKey, http.MethodGet, importsPath+"/"+theirs.ID+"/results", ""),
		http.StatusOK).Items[0]
	require.NotContains(t, *result.Message, "acme", "whose it is stays unsaid")
	require.Contains(t, *result.Message, "is in a pool already")
	for _, bad := range []string{"/x", "/" + strings.ToUpper("6f0a9a0e-5f0c-4a43-9a53-0d5b0b7d3c1f"),
		"/" + mine.ID + "/results?cursor=x", "?cursor=x"} {
		readProblem(t, w.get(importsPath+bad), http.StatusBadRequest, codeInvalidParameter)
	}
}

func TestTheTemplateIsTheHeader(t *testing.T) {
	t.Parallel()
	w := setup(t)
	answer := w.get(importsPath + "/template")
	require.Equal(t, http.StatusOK, answer.Code)
	require.Equal(t, "account_id,marketplace,environment,model,name,root_email,role_arn\r\n", answer.Body.String())
	require.Contains(t, answer.Header().Get("Content-Disposition"), "attachment")
	require.Equal(t, "text/csv", answer.Header().Get("Content-Type"))
}

func TestAnExportHasEveryMatchingAccountAndImportsUnchanged(t *testing.T) {
	t.Parallel()
	w := setup(t)
	file := stockcsv.Template()
	for i := range 1203 { // three pages
		file += strings.Replace(csvLine(fmt.Sprintf("5555%08d", i)), "Pool", "'=Pool", 1)
	}
	read[openapi.AccountImport](t, w.upload(w.key, "", file), http.StatusAccepted)
	read[openapi.AccountImport](t, w.upload(w.otherKey, "", csvFile("666600000001")), http.StatusAccepted)
	w.change(func(c *Config) { c.PublicURL, c.Now = "https://a.example", nil })

	answer := w.get("/v1/accounts/export")
	require.Equal(t, http.StatusOK, answer.Code)
	require.Equal(t, `attachment; filename="accounts.csv"`, answer.Header().Get("Content-Disposition"))
	lines := strings.Split(answer.Body.String(), "\r\n")
	require.Len(t, lines, 1+1203+1)
	require.Contains(t, lines[1], "555500000000,nordic,production,SPAM,'=Pool 555500000000,")
	stored, err := w.store.Accounts.Get(t.Context(), "acme", "555500000000")
	require.NoError(t, err)
	require.Contains(t, lines[1], ","+stored.ExternalID+",invalid,waits for its verification,")
	require.NotContains(t, answer.Body.String(), "666600000001")

	again := read[openapi.AccountImport](t, w.upload(w.key, "", answer.Body.String()), http.StatusAccepted)
	ended := read[openapi.AccountImport](t, w.get(importsPath+"/"+again.ID), http.StatusOK)
	require.Equal(t, []int{0, 1203, 0}, []int{ended.Added, ended.Unchanged, ended.Faulty}, w.results(t, again.ID, "&outcome=faulty"))

	require.Len(t, strings.Split(w.get("/v1/accounts/export?status=ready").Body.String(), "\r\n"), 2, "the header alone")
	every := w.get("/v1/accounts/export?model=SPAM&environment=production&marketplace=nordic&status=invalid")
	require.Len(t, strings.Split(every.Body.String(), "\r\n"), 1205)
	readProblem(t, w.get("/v1/accounts/export?status=old"), http.StatusBadRequest, codeInvalidParameter)
}

func TestAnExportThatFailsAbortsTheConnection(t *testing.T) {
	t.Parallel()
	w := setup(t)
	file := stockcsv.Template()
	for i := range 501 {
		file += csvLine(fmt.Sprintf("5555%08d", i))
	}
	read[openapi.AccountImport](t, w.upload(w.key, "", file), http.StatusAccepted)
	cfg := w.service.Config
	accounts := &accountsThatFail{Accounts: cfg.Accounts}
	cfg.Accounts = accounts
	w.serve(t, cfg)
	accounts.failing.Store(true)
	readProblem(t, w.get("/v1/accounts/export"), http.StatusInternalServerError, provision.CodeInternal)
	accounts.failing.Store(false)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.handler.ServeHTTP(&afterFirstPage{rw, accounts}, r)
	}))
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/accounts/export", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+w.key)
	answer, err := server.Client().Do(request)
	if err == nil {
		_, err = io.ReadAll(answer.Body)
		_ = answer.Body.Close()
	}
	require.Error(t, err, "the connection ends without an end of the answer")
	require.Contains(t, w.log.String(), "an export was aborted")
}

// accountsThatFail are accounts that cannot be listed while failing is set.
type accountsThatFail struct {
	Accounts
	failing atomic.Bool
}

func (a *accountsThatFail) List(ctx context.Context, provider string, filter provision.AccountFilter) ([]provision.Account, error) {
	if a.failing.Load() {
		return nil, errors.New("connection lost")
	}
	return a.Accounts.List(ctx, provider, filter)
}

// afterFirstPage makes the accounts fail when the first page is written.
type afterFirstPage struct {
	http.ResponseWriter
	accounts *accountsThatFail
}

func (w *afterFirstPage) Write(p []byte) (int, error) {
	w.accounts.failing.Store(true)
	return w.ResponseWriter.Write(p)
}
