package api

import (
	"context"
	"io"
	"net/http"

	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

// ExportAccounts answers GET /v1/accounts/export.
func (s *service) ExportAccounts(ctx context.Context, in server.ExportAccountsRequestObject) (server.ExportAccountsResponseObject, error) {
	provider, filter := callerOf(ctx).Provider, provision.AccountFilter{
		Statuses: value(in.Params.Status), Marketplace: value(in.Params.Marketplace), Environment: value(in.Params.Environment),
		Model: value(in.Params.Model), Search: value(in.Params.Search), Awaiting: in.Params.WaitingForVerification,
		HasFinding: in.Params.HasFinding, Limit: exportPage,
	}
	e := accountExport{export[provision.Account]{
		ctx: ctx, log: s.Log, name: "accounts.csv",
		read: func(after *provision.Account) ([]provision.Account, error) {
			if after != nil {
				filter.After = &provision.AccountCursor{AddedAt: after.AddedAt, ID: after.ID}
			}
			return s.Accounts.List(ctx, provider, filter)
		},
		write: func(out io.Writer) rowWriter[provision.Account] { return stockcsv.NewWriter(out) },
	}}
	if err := e.begin(); err != nil {
		return nil, err
	}
	return e, nil
}

// accountExport is the answer of ExportAccounts.
type accountExport struct{ export[provision.Account] }

// VisitExportAccountsResponse writes the accounts.
func (e accountExport) VisitExportAccountsResponse(w http.ResponseWriter) error { return e.send(w) }
