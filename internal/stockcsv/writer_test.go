package stockcsv_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"

	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

func export(t require.TestingT, accounts ...provision.Account) string {
	var out bytes.Buffer
	w := stockcsv.NewWriter(&out)
	for _, a := range accounts {
		w.Write(a)
	}
	require.NoError(t, w.Flush())
	return out.String()
}

// validAccounts draws any account that provision allows, names that look like formulas included.
func validAccounts() *rapid.Generator[provision.Account] {
	return rapid.Custom(func(t *rapid.T) provision.Account {
		id := rapid.StringMatching(`[0-9]{12}`).Draw(t, "id")
		name := rapid.OneOf(
			rapid.StringMatching(`'{0,3}[=+@＝＋－＠-][^\pC\pZ]{0,20}`),
			rapid.StringMatching(`[",;' a-z\t]{1,20}`),
			rapid.StringN(1, 100, -1),
		)
		faultsOf := func(name string) int { return len(provision.ValidateAccount(provision.Account{ID: id, Name: name})) }
		environment := rapid.SampledFrom([]provision.Environment{provision.Production, provision.Test})
		a := provision.Account{
			ID:   id,
			Name: name.Filter(func(s string) bool { return faultsOf(s) == faultsOf("x") }).Draw(t, "name"),
			Pool: provision.Pool{
				Marketplace: rapid.StringMatching(`[a-z0-9]{1,20}`).Draw(t, "marketplace"),
				Environment: environment.Draw(t, "environment"),
			},
			Model:      rapid.SampledFrom([]provision.Model{provision.ModelSPAM, provision.ModelECAM}).Draw(t, "model"),
			RootEmail:  rapid.StringMatching(`[+=-]?[a-z0-9]{1,20}@[a-z]{1,10}\.example`).Draw(t, "root_email"),
			RoleARN:    "arn:aws:iam::" + id + ":role/" + rapid.StringMatching(`[A-Za-z0-9+=,.@/_-]{1,60}`).Draw(t, "role"),
			ExternalID: provision.NewExternalID(),
			AddedAt:    time.Unix(1.7e9, 0),
			Status:     provision.AccountInvalid,
			Reason:     rapid.String().Draw(t, "reason"),
			OrderID:    rapid.StringMatching(`[-A-Za-z0-9._:]{0,20}`).Draw(t, "order"),
		}
		a.Finding = rapid.StringN(0, 2000, -1).Draw(t, "finding")
		return a
	})
}

func TestWhatIsExportedCanBeImportedAsItWas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		accounts := rapid.SliceOfN(validAccounts(), 0, 5).Draw(t, "accounts")
		text := export(t, accounts...)
		rows := read(t, text)
		require.Empty(t, faults(rows), text)
		require.Len(t, rows, len(accounts))
		for i, a := range accounts {
			require.Equal(t, provision.Account{
				ID: a.ID, Pool: a.Pool, Model: a.Model, Name: a.Name,
				RootEmail: a.RootEmail, RoleARN: a.RoleARN, ExternalID: a.ExternalID,
			}, rows[i].Account)
		}
		cells, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		require.NoError(t, err)
		for _, row := range cells[1:] {
			for _, cell := range row {
				require.NotEqual(t, 0, strings.IndexAny(cell, "=+-@\t\r\n＝＋－＠"), "a spreadsheet calculates %q", cell)
			}
		}
	})
}

// rewritten is a text as a spreadsheet saves it that opened the file and kept every cell as text.
func rewritten(t *rapid.T, text string) string {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	order := make([]int, len(rows[0]))
	for i := range order {
		order[i] = i
	}
	order = rapid.Permutation(order).Draw(t, "columns")
	columns := len(order) + rapid.IntRange(0, 3).Draw(t, "columns without a name")
	separator := rapid.SampledFrom([]string{",", ";", "\t", "|"}).Draw(t, "separator")
	quoteAll := rapid.Bool().Draw(t, "quotes everywhere")
	var out strings.Builder
	if rapid.Bool().Draw(t, "names the separator") {
		out.WriteString("sep=" + separator + "\n")
	}
	for n, row := range append(rows, make([][]string, rapid.IntRange(0, 20).Draw(t, "ghost rows"))...) {
		cells := make([]string, columns)
		for i, from := range order {
			if row != nil {
				cells[i] = row[from]
			}
			if n == 0 && rapid.Bool().Draw(t, "capitals") {
				cells[i] = strings.ToUpper(strings.ReplaceAll(cells[i], "_", " "))
			}
		}
		for i, cell := range cells {
			if quoteAll || strings.ContainsAny(cell, separator+"\"\r\n") {
				cells[i] = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
			}
		}
		out.WriteString(strings.Join(cells, separator) + "\n")
	}
	written := out.String()
	if !strings.Contains(strings.ReplaceAll(written, "\r\n", ""), "\r") {
		written = strings.ReplaceAll(written, "\n", rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "line ends"))
	}
	return rapid.SampledFrom([]func(string) string{
		func(s string) string { return s }, func(s string) string { return "\ufeff" + s },
		func(s string) string { return inUTF16(t, unicode.LittleEndian, unicode.UseBOM, s) },
		func(s string) string { return inUTF16(t, unicode.BigEndian, unicode.UseBOM, s) },
		func(s string) string { return inUTF16(t, unicode.LittleEndian, unicode.IgnoreBOM, s) },
	}).Draw(t, "encoding")(written)
}

func inUTF16(t require.TestingT, order unicode.Endianness, mark unicode.BOMPolicy, text string) string {
	text, err := unicode.UTF16(order, mark).NewEncoder().String(text)
	require.NoError(t, err)
	return text
}

func TestAnExportThatASpreadsheetRewroteIsImportedAsItWas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		accounts := rapid.SliceOfN(validAccounts(), 1, 5).Draw(t, "accounts")
		text := rewritten(t, export(t, accounts...))
		rows := read(t, text)
		require.Empty(t, faults(rows), "%q", text)
		require.Len(t, rows, len(accounts))
		for i, a := range accounts {
			require.Equal(t, provision.Account{
				ID: a.ID, Pool: a.Pool, Model: a.Model, Name: a.Name,
				RootEmail: a.RootEmail, RoleARN: a.RoleARN, ExternalID: a.ExternalID,
			}, rows[i].Account)
		}
	})
}

func TestAnExportIsRFC4180(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC)
	text := export(t, provision.Account{
		ID: id(1), Pool: pool, Model: "SPAM", Name: `=HYPERLINK("http://x","y")`, RootEmail: "+a@b.example",
		RoleARN: "arn:aws:iam::" + id(1) + ":role/q", ExternalID: "qm-1", Status: provision.AccountAllocated, OrderID: "-1",
		AddedAt: at, Reason: strings.Repeat("ä", 600),
	})
	require.Equal(t, "account_id,marketplace,environment,model,name,root_email,role_arn,external_id,"+
		"status,reason,finding,order_id,added_at,verified_at\r\n"+
		id(1)+`,nordic,production,SPAM,"'=HYPERLINK(""http://x"",""y"")",'+a@b.example,arn:aws:iam::`+id(1)+`:role/q,qm-1,`+
		"allocated,"+strings.Repeat("ä", 499)+"…,,'-1,2026-11-25T02:00:00Z,\r\n", text)
	template, err := stockcsv.Scan([]byte(stockcsv.Template()))
	require.NoError(t, err)
	require.Zero(t, template.Rows)
}

var pool = provision.Pool{Marketplace: "nordic", Environment: provision.Production}
