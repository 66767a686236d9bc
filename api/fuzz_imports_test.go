package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

// fuzzedImport is an import that the requests hit.
var fuzzedImport = provision.ImportKey{Provider: "acme", ID: "6f0a9a0e-5f0c-4a43-9a53-0d5b0b7d3c11"}

// keepFuzzedImport makes that import, once in a database.
func keepFuzzedImport(t require.TestingT, w *testAPI) {
	ctx := context.Background()
	if _, err := w.store.db.Imports.Get(ctx, fuzzedImport); !errors.Is(err, provision.ErrNotFound) {
		require.NoError(t, err)
		return
	}
	file := csvFile("777788880001", "777788880002") + "x\n"
	_, err := w.store.db.Imports.Create(ctx, provision.NewImport{ImportKey: fuzzedImport, Actor: "test", File: []byte(file),
		Rows: 3, NextOffset: int64(len(stockcsv.Template())), NextLine: 2})
	require.NoError(t, err)
	require.NoError(t, w.workflows.ImportKept(ctx, fuzzedImport))
}

// file draws a CSV file of accounts: good rows, rows of junk, and now and then a header of junk.
func (f *fuzzer) file(t *rapid.T) []byte {
	var text bytes.Buffer
	out := csv.NewWriter(&text)
	out.Comma = rapid.SampledFrom([]rune{',', ',', ';', '\t'}).Draw(t, "separator")
	header := rapid.Permutation(stockcsv.Required).Draw(t, "header")
	if oneIn(t, 8, "a spoilt header") {
		header = append(header[rapid.IntRange(0, 2).Draw(t, "columns less"):], rapid.SampledFrom(append(stockcsv.Exported,
			"junk")).Draw(t, "a column more"))
	}
	_ = out.Write(header) // to memory
	schema := f.contract.doc.Components.Schemas["NewAccount"].Value
	for range rapid.IntRange(0, 5).Draw(t, "rows") {
		row := make([]string, len(header))
		for i, column := range header {
			property := schema.Properties[cmp.Or(map[string]string{stockcsv.AccountID: "id"}[column], column)]
			if property == nil || oneIn(t, 20, "a cell of junk") {
				row[i] = rapid.String().Draw(t, "cell")
			} else {
				row[i] = fmt.Sprint(f.value(t, column, property.Value))
			}
		}
		_ = out.Write(row) // as above
	}
	out.Flush()
	if oneIn(t, 8, "a raw line") {
		text.WriteString(rapid.StringMatching(`[",;a\n\r]{0,20}`).Draw(t, "line"))
	}
	return text.Bytes()
}
