package api

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

// ExportHistory answers GET /v1/history/export.
func (s *service) ExportHistory(ctx context.Context, in server.ExportHistoryRequestObject) (server.ExportHistoryResponseObject, error) {
	who := callerOf(ctx)
	filter, err := historyFilter(who, openapi.ListHistoryParams{
		Kind: in.Params.Kind, Actor: in.Params.Actor, OrderID: in.Params.OrderID, AccountID: in.Params.AccountID, KeyID: in.Params.KeyID,
		Marketplace: in.Params.Marketplace, Environment: in.Params.Environment, Since: in.Params.Since, Until: in.Params.Until,
	})
	if err != nil {
		return nil, err
	}
	filter.Limit = exportPage
	e := historyExport{export[provision.HistoryEntry]{
		ctx: ctx, log: s.Log, name: "history.csv",
		read: func(after *provision.HistoryEntry) ([]provision.HistoryEntry, error) {
			if after != nil {
				filter.After = &after.HistoryCursor
			}
			return s.History.List(ctx, who.Tenant, filter)
		},
		write: func(out io.Writer) rowWriter[provision.HistoryEntry] { return newHistoryFile(out) },
	}}
	if err := e.begin(); err != nil {
		return nil, err
	}
	return e, nil
}

// historyExport is the answer of ExportHistory.
type historyExport struct{ export[provision.HistoryEntry] }

// VisitExportHistoryResponse writes the entries.
func (e historyExport) VisitExportHistoryResponse(w http.ResponseWriter) error { return e.send(w) }

// historyColumns are the columns of an export of the history.
var historyColumns = []string{"at", "kind", "actor", "order_id", "account_id", "key_id", "webhook_id", "marketplace", "environment",
	"from", "to", "code",
	"fields", "refused", "reason"}

// historyFile writes entries as CSV: RFC 4180, lines end with CR LF, every cell safe to open in a spreadsheet.
type historyFile struct{ csv *csv.Writer }

func newHistoryFile(out io.Writer) historyFile {
	f := historyFile{csv.NewWriter(out)}
	f.csv.UseCRLF = true
	_ = f.csv.Write(historyColumns) // Flush reports it
	return f
}

// Write adds an entry.
func (f historyFile) Write(e provision.HistoryEntry) {
	cells := []string{
		e.At.UTC().Format(time.RFC3339Nano), string(e.Kind), e.Actor, e.OrderID, e.AccountID, e.KeyID, e.WebhookID,
		e.Marketplace, string(e.Environment),
		plainJSON(e.From), plainJSON(e.To), e.Code, strings.Join(e.Fields, " "), string(e.Refused), e.Reason,
	}
	for i, cell := range cells {
		cells[i] = stockcsv.Protect(cell)
	}
	_ = f.csv.Write(cells) // as above
}

// Flush writes what is buffered and returns the first error of all writes.
func (f historyFile) Flush() error {
	f.csv.Flush()
	return f.csv.Error()
}

// plainJSON returns a string without its quotes, and any other JSON as it is.
func plainJSON(text []byte) string {
	var plain string
	if json.Unmarshal(text, &plain) == nil {
		return plain
	}
	return string(text)
}
