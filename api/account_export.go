package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

// exportPage is how many accounts an export reads at once.
const exportPage = 500

// ExportAccounts answers GET /v1/accounts/export. It reads the first page before the answer starts, so that an unreachable
// database results in a problem and not in half a file.
func (s *service) ExportAccounts(ctx context.Context, in server.ExportAccountsRequestObject) (server.ExportAccountsResponseObject, error) {
	e := &accountExport{ctx: ctx, service: s, provider: callerOf(ctx).Provider, filter: provision.AccountFilter{
		Statuses: value(in.Params.Status), Marketplace: value(in.Params.Marketplace), Environment: value(in.Params.Environment),
		Model: value(in.Params.Model), Search: value(in.Params.Search), Awaiting: in.Params.WaitingForVerification,
		HasFinding: in.Params.HasFinding, Limit: exportPage,
	}}
	if err := e.read(); err != nil {
		return nil, err
	}
	return e, nil
}

// accountExport is the answer of ExportAccounts. It holds one page at a time.
type accountExport struct {
	ctx      context.Context //nolint:containedctx // of the request, which the answer belongs to
	service  *service
	provider string
	filter   provision.AccountFilter
	page     []provision.Account
}

// read reads the next page.
func (e *accountExport) read() (err error) {
	e.page, err = e.service.Accounts.List(e.ctx, e.provider, e.filter)
	return err
}

// VisitExportAccountsResponse writes the accounts page by page. An error after the first page aborts the connection, because
// half a file that ends properly would look complete.
func (e *accountExport) VisitExportAccountsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="accounts.csv"`)
	w.WriteHeader(http.StatusOK)
	if wantsNoBody(e.ctx) {
		return nil
	}
	out := stockcsv.NewWriter(w)
	for {
		for _, account := range e.page {
			out.Write(account)
		}
		if err := out.Flush(); err != nil {
			e.abort(slog.LevelInfo, err) // the caller has hung up, or reads too slowly
		}
		if len(e.page) < e.filter.Limit {
			return nil
		}
		last := e.page[len(e.page)-1]
		e.filter.After = &provision.AccountCursor{AddedAt: last.AddedAt, ID: last.ID}
		if err := e.read(); err != nil {
			level := slog.LevelError
			if errors.Is(err, context.Canceled) {
				level = slog.LevelInfo // as above
			}
			e.abort(level, err)
		}
	}
}

// abort breaks the connection.
func (e *accountExport) abort(level slog.Level, err error) {
	e.service.Log.Log(context.WithoutCancel(e.ctx), level, "an export was aborted", "error", err)
	panic(http.ErrAbortHandler)
}
