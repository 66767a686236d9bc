package api

import (
	"context"
	"slices"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// ListHistory answers GET /v1/history.
func (s *service) ListHistory(ctx context.Context, in server.ListHistoryRequestObject) (server.ListHistoryResponseObject, error) {
	filter, err := historyFilter(callerOf(ctx), in.Params)
	if err != nil {
		return nil, err
	}
	entries, next, err := list[provision.HistoryCursor, provision.HistoryEntry, openapi.HistoryEntry]{
		valid: func(c provision.HistoryCursor) bool { return plausible(c.At) && c.Source > 0 && c.Seq > 0 },
		read: func(after *provision.HistoryCursor, limit int) ([]provision.HistoryEntry, error) {
			filter.After, filter.Limit = after, limit
			return s.History.List(ctx, callerOf(ctx).Tenant, filter)
		},
		show:  historyEntry,
		place: func(e provision.HistoryEntry) provision.HistoryCursor { e.At = e.At.UTC(); return e.HistoryCursor },
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListHistory200JSONResponse{Items: entries, NextCursor: next}, nil
}

// historyFilter returns the filter that the parameters ask for, out of what the caller may read.
func historyFilter(who caller, params openapi.ListHistoryParams) (provision.HistoryFilter, error) {
	kinds, err := historyKinds(who, value(params.Kind))
	return provision.HistoryFilter{
		Kinds:       kinds,
		Actor:       value(params.Actor),
		Marketplace: value(params.Marketplace),
		Environment: value(params.Environment),
		OrderID:     value(params.OrderID),
		AccountID:   value(params.AccountID),
		KeyID:       value(params.KeyID),
		Since:       value(params.Since),
		Until:       value(params.Until),
	}, err
}

// historyKinds returns the kinds of entries that the caller wants, all that his key may read if he names none. It refuses a kind that
// the key may not read.
func historyKinds(who caller, wanted []provision.HistoryKind) (kinds []provision.HistoryKind, err error) {
	for _, of := range provision.HistoryKinds {
		switch named := slices.Contains(wanted, of.Kind); {
		case who.May(of.Scope) && (named || len(wanted) == 0):
			kinds = append(kinds, of.Kind)
		case named && !who.May(of.Scope):
			return nil, forbidden(who, of.Scope)
		}
	}
	return kinds, nil
}

func historyEntry(e provision.HistoryEntry) openapi.HistoryEntry {
	return openapi.HistoryEntry{
		At: e.At.UTC(), Kind: e.Kind, Actor: e.Actor,
		OrderID: resource.Optional(e.OrderID), AccountID: resource.Optional(e.AccountID), KeyID: resource.Optional(e.KeyID),
		WebhookID:   resource.Optional(e.WebhookID),
		Marketplace: resource.Optional(e.Marketplace), Environment: resource.Optional(e.Environment),
		From: rawJSON(e.From), To: rawJSON(e.To), Code: resource.Optional(e.Code), Fields: resource.OptionalSlice(e.Fields),
		Refused: resource.Optional(string(e.Refused)), Reason: resource.Optional(e.Reason),
	}
}
