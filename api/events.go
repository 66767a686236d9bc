package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
)

// EventHints reports that a provider may have new events.
type EventHints interface {
	Subscribe(provider string) (hints <-chan string, cancel func())
}

// streamPosition is a position in the events of a provider.
type streamPosition struct {
	Seq int64 `json:"e"`
}

func plausiblePosition(p streamPosition) bool { return p.Seq >= 0 }

// seesOnlyOrders reports whether a caller may see only the events of orders.
func seesOnlyOrders(who caller) bool { return !who.May(provision.ScopeStockRead) }

func eventFilter(ctx context.Context, orderID, eventType *string, after int64, limit int) provision.EventFilter {
	return provision.EventFilter{After: after, OrderID: value(orderID), Type: value(eventType),
		OrdersOnly: seesOnlyOrders(callerOf(ctx)), Limit: limit}
}

// eventsProblem turns an error about events into what the caller is told.
func eventsProblem(err error) error {
	if errors.Is(err, provision.ErrGone) {
		return problem(codeEventsGone,
			"events after that position are no longer kept, or the position never existed: "+
				"read the orders themselves, and then continue without it").because(err)
	}
	return err
}

// ListEvents answers GET /v1/events.
func (s *service) ListEvents(ctx context.Context, in server.ListEventsRequestObject) (server.ListEventsResponseObject, error) {
	after, err := decodeCursor(in.Params.Cursor, plausiblePosition)
	if err != nil {
		return nil, err
	}
	events, upTo, err := s.Events.List(ctx, callerOf(ctx).Tenant, eventFilter(ctx, in.Params.OrderID, in.Params.Type,
		value(after).Seq, pageSize(in.Params.Limit)))
	if err != nil {
		return nil, eventsProblem(err)
	}
	answer := server.ListEvents200JSONResponse{Items: make([]openapi.Event, len(events)), NextCursor: *encodeCursor(streamPosition{upTo})}
	for i, e := range events {
		answer.Items[i] = openapi.Event{ID: e.ID, Type: e.Type, Timestamp: e.At.UTC()}
		if err := json.Unmarshal(e.Data, &answer.Items[i].Data); err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
	}
	return answer, nil
}
