package api

import (
	"context"
	"errors"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// ListOrderHistory answers GET /v1/orders/{order_id}/history.
func (s *service) ListOrderHistory(
	ctx context.Context, in server.ListOrderHistoryRequestObject,
) (server.ListOrderHistoryResponseObject, error) {
	entries, next, err := list[seqCursor, provision.OrderHistoryEntry, openapi.OrderHistoryEntry]{
		valid: seqCursor.valid,
		read: func(after *seqCursor, limit int) ([]provision.OrderHistoryEntry, error) {
			found, err := s.Orders.History(ctx, callerOf(ctx).Tenant, in.OrderID, value(after).Seq, limit)
			if errors.Is(err, provision.ErrNotFound) { // it may have been accepted a moment ago, and have no row yet
				_, err = s.order(ctx, in.OrderID)
			}
			return found, err
		},
		show: func(e provision.OrderHistoryEntry) openapi.OrderHistoryEntry {
			return openapi.OrderHistoryEntry{
				At: e.At.UTC(), Actor: e.Actor, FromState: resource.Optional(string(e.FromState)), ToState: string(e.ToState),
				Code: resource.Optional(e.Code), Fields: resource.OptionalSlice(e.Fields), Refused: resource.Optional(string(e.Refused)),
				Reason: resource.Optional(e.Reason),
			}
		},
		place: func(e provision.OrderHistoryEntry) seqCursor { return seqCursor{e.Seq} },
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListOrderHistory200JSONResponse{Items: entries, NextCursor: next}, nil
}
