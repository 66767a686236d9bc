package api

import (
	"context"
	"net/http"

	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

// exportPage is how many accounts an export reads at once.
const exportPage = 500

// ExportAccounts answers GET /v1/accounts/export: the first page is read before the answer begins, so that a database that does
// not answer is a problem and not half a file.
func (s *service) ExportAccounts(ctx context.Context, in server.ExportAccountsRequestObject) (server.ExportAccountsResponseObject, error) {
	e := &accountExport{ctx: ctx, service: s, provider: callerOf(ctx).Provider, filter: provision.AccountFilter{
		Statuses: value(in.Params.Status), Marketplace: value(in.Params.Marketplace), Environment: value(in.Params.Environment), Model: value(in.Params.Model), Limit: exportPage,
	}}
	if err := e.read(); err != nil {
		return nil, err
	}
	return e, nil
}

// accountExport is an answer of ExportAccounts that holds one page at a time.
type accountExport struct {
	ctx      context.Context //nolint:containedctx // of the request, which the answer belongs to
	service  *service
	provider string
	filter   provision.AccountFilter
	page     []provision.Account
}

// read gets the next page.
func (e *accountExport) read() (err error) {
	e.page, err = e.service.Accounts.List(e.ctx, e.provider, e.filter)
	return err
}

// VisitExportAccountsResponse writes the accounts page by page. What goes wrong after the first one breaks the connection:
// ended properly, half a file would look like a whole one.
func (e *accountExport) VisitExportAccountsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="accounts.csv"`)
	w.WriteHeader(http.StatusOK)
	out := stockcsv.NewWriter(w)
	for {
		for _, account := range e.page {
			out.Write(account)
		}
		err := out.Flush()
		if err == nil && len(e.page) < e.filter.Limit {
			return nil
		}
		if err == nil {
			last := e.page[len(e.page)-1]
			e.filter.After = &provision.AccountCursor{AddedAt: last.AddedAt, ID: last.ID}
			err = e.read()
		}
		if err != nil {
			e.service.Log.ErrorContext(context.WithoutCancel(e.ctx), "an export was cut off", "error", err)
			panic(http.ErrAbortHandler)
		}
	}
}
