package console

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

const importHeader = "account_id,marketplace,environment,model,name,root_email,role_arn\n"

// importRow is a row of a good account.
func importRow(id string) string {
	return fmt.Sprintf("%s,nordic,production,SPAM,\"Pool\n%s\",aws+%s@acme.example,arn:aws:iam::%s:role/Quartermaster\n", id, id[8:], id, id)
}

func TestAnImportIsCheckedAndConfirmed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	const path, start = "/console/acme/accounts/import", "/console/acme/accounts/import/start"
	require.Contains(t, b.page(path).words(".empty"), "No file has been imported or checked")

	for name, text := range map[string]string{"nothing": "", "no header": "a;b\n1;2\n", "an image": "\x89PNG\x00\xff"} {
		refused := b.upload(path, "accounts.csv", text)
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, name)
		require.Equal(t, 1, refused.Find("#f-file-bad").Length(), name)
	}
	require.Equal(t, http.StatusUnprocessableEntity, b.post(path, "file", "x").status, "a form without a file")

	row := strings.ReplaceAll(importRow("111122220001"), "Pool\n0001", "Pool 1")
	file := importHeader + row + strings.ReplaceAll(importRow("111122220002"), "\"Pool\n0002\"", "Pool 2") +
		"12,nordic,production,SPAM,x,none,role\n"
	checked := b.upload(path, `<b>accounts.csv`, file)
	require.Equal(t, http.StatusOK, checked.status)
	require.Equal(t, "Rows 3 Can be added 2 Unchanged 0 Faulty 1", checked.words(".counters"))
	require.Contains(t, checked.words("tbody"), "4 Faulty none account_id")
	require.Contains(t, checked.words("tbody"), "role_arn")
	require.Contains(t, checked.words(`form[action="`+start+`"]`), "The 1 faulty row is left out")
	require.Equal(t, "Import 2 accounts", checked.words(`form[action="`+start+`"] button`))
	require.Contains(t, checked.words("h1"), "<b>accounts.csv")
	_, err := w.DB.Accounts.Get(t.Context(), "acme", "111122220001")
	require.ErrorIs(t, err, provision.ErrNotFound, "a check changes nothing")

	led := b.post(start, checked.fields(start)...)
	require.Equal(t, http.StatusSeeOther, led.status, led.text)
	var done answer
	require.Eventually(t, func() bool {
		done = b.page(led.location)
		return strings.Contains(done.words("#import-status"), "Completed")
	}, 20*time.Second, 50*time.Millisecond)
	require.Contains(t, done.words("#import-status"), "Completed, with faults")
	require.Equal(t, "All 3 Added 2 Unchanged 0 Faulty 1", done.words(".tabs"))
	require.Contains(t, done.words("#live"), "Next: put the trust policy on each role.")
	require.Equal(t, 2, b.page(led.location+"?outcome=added").Find("tbody tr").Length())
	account, err := w.DB.Accounts.Get(t.Context(), "acme", "111122220001")
	require.NoError(t, err)
	require.Equal(t, "Pool 1", account.Name)

	again := b.upload(path, "accounts.csv", file)
	require.Contains(t, again.words("main"), "There is nothing to add. Correct the file")
	require.Zero(t, again.Find(`form[action="`+start+`"] button`).Length())
	require.Equal(t, 3, b.page(path).Find("tbody tr").Length(), "the latest imports")
}

func TestAnImportOfTheLargestFile(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	const path, start = "/console/acme/accounts/import", "/console/acme/accounts/import/start"
	file := importHeader + strings.Repeat(strings.Repeat("x", 400)+"\n", 9_999)
	checked := b.upload(path, "large.csv", file)
	require.Equal(t, http.StatusOK, checked.status, "a file of 4 MiB")
	require.Less(t, len(checked.text), 1<<20, "the page carries the file packed")
	packed := checked.Find(`input[name=file]`).AttrOr("value", "")
	kept, err := unpacked(packed)
	require.NoError(t, err)
	require.Equal(t, file, string(kept), "byte by byte")
	require.Equal(t, http.StatusRequestEntityTooLarge, b.upload(path, "l.csv", importHeader+strings.Repeat("x", 6<<20)).status)
	require.Equal(t, http.StatusRequestEntityTooLarge, b.upload(path, "l.csv", importHeader+strings.Repeat("x", 9<<20)).status)
	require.Equal(t, http.StatusUnprocessableEntity, b.post(start, "file", "nonsense").status)
	require.Equal(t, path, b.get(start).location, "there is no file in an address")
}

func TestTheTemplateAndTheRightsOfImports(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const path = "/console/acme/accounts/import"
	viewer := w.as(t, provision.RoleViewer)
	require.Equal(t, importHeader, strings.ReplaceAll(viewer.get(path+"/template").text, "\r\n", "\n"))
	require.Zero(t, viewer.page(path).Find("main form").Length())
	require.Equal(t, http.StatusForbidden, viewer.upload(path, "a.csv", importHeader).status)
	require.Equal(t, http.StatusNotFound, viewer.get(path+"/0b9a1d1e-6c0b-4a5e-9e0f-3f2b8f1f9c11").status)
	lost := w.visitor(t).upload(path, "a.csv", importHeader)
	require.Equal(t, http.StatusUnauthorized, lost.status)
	require.NotContains(t, lost.text, "The form is kept", "a file is not")
}
