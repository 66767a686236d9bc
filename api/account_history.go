package api

import (
	"context"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// ListAccountHistory answers GET /v1/accounts/{account_id}/history.
func (s *service) ListAccountHistory(
	ctx context.Context, in server.ListAccountHistoryRequestObject,
) (server.ListAccountHistoryResponseObject, error) {
	entries, next, err := list[seqCursor, provision.AccountHistoryEntry, openapi.AccountHistoryEntry]{
		valid: seqCursor.valid,
		read: func(after *seqCursor, limit int) ([]provision.AccountHistoryEntry, error) {
			found, err := s.Accounts.History(ctx, callerOf(ctx).Provider, in.AccountID, value(after).Seq, limit)
			return found, accountProblem(in.AccountID, err)
		},
		show: func(e provision.AccountHistoryEntry) openapi.AccountHistoryEntry {
			return openapi.AccountHistoryEntry{
				At: e.At.UTC(), Actor: e.Actor, FromStatus: resource.Optional(string(e.FromStatus)), ToStatus: string(e.ToStatus),
				Code: resource.Optional(e.Code), Fields: resource.OptionalSlice(e.Fields), Refused: resource.Optional(string(e.Refused)),
				Reason: resource.Optional(e.Reason), OrderID: resource.Optional(e.OrderID),
			}
		},
		place: func(e provision.AccountHistoryEntry) seqCursor { return seqCursor{e.Seq} },
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListAccountHistory200JSONResponse{Items: entries, NextCursor: next}, nil
}
