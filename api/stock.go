package api

import (
	"context"
	"errors"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
)

// GetStock answers GET /v1/stock.
func (s *service) GetStock(ctx context.Context, in server.GetStockRequestObject) (server.GetStockResponseObject, error) {
	stock, err := s.Stock.Count(ctx, callerOf(ctx).Provider)
	if err != nil {
		return nil, err
	}
	answer := server.GetStock200JSONResponse{Items: []openapi.PoolStock{}}
	for _, pool := range stock {
		if in.Params.Marketplace != nil && *in.Params.Marketplace != pool.Marketplace || in.Params.Environment != nil && *in.Params.Environment != pool.Environment {
			continue
		}
		answer.Items = append(answer.Items, stockResource(pool))
	}
	return answer, nil
}

// ListStockAlerts answers GET /v1/stock-alerts.
func (s *service) ListStockAlerts(ctx context.Context, in server.ListStockAlertsRequestObject) (server.ListStockAlertsResponseObject, error) {
	filter := provision.AlertFilter{Marketplace: value(in.Params.Marketplace), Environment: value(in.Params.Environment)}
	if in.Params.State != nil {
		open := string(*in.Params.State) == alertOpen
		filter.Open = &open
	}
	alerts, next, err := list[seqCursor, provision.StockAlert, openapi.StockAlert]{
		valid: seqCursor.valid,
		read: func(after *seqCursor, limit int) ([]provision.StockAlert, error) {
			filter.Before, filter.Limit = value(after).Seq, limit
			return s.Stock.Alerts(ctx, callerOf(ctx).Provider, filter)
		},
		show:  alertResource,
		place: func(a provision.StockAlert) seqCursor { return seqCursor{a.Seq} },
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListStockAlerts200JSONResponse{Items: alerts, NextCursor: next}, nil
}

// AcknowledgeStockAlert answers POST /v1/stock-alerts/{alert_id}/acknowledge.
func (s *service) AcknowledgeStockAlert(ctx context.Context, in server.AcknowledgeStockAlertRequestObject) (server.AcknowledgeStockAlertResponseObject, error) {
	who := callerOf(ctx)
	alert, err := s.Stock.AcknowledgeAlert(ctx, who.Actor(), who.Provider, in.AlertID, in.Body.Note)
	switch {
	case errors.Is(err, provision.ErrNotFound):
		return nil, problem(codeNotFound, "there is no alert %s", in.AlertID).because(err)
	case err != nil:
		return nil, err
	}
	return server.AcknowledgeStockAlert200JSONResponse(alertResource(alert)), nil
}

func stockResource(p provision.PoolStock) openapi.PoolStock {
	stock := openapi.PoolStock{
		Marketplace: p.Marketplace, Environment: p.Environment,
		Ready: p.Ready, InProgress: p.InProgress, Allocated: p.Allocated, Failed: p.Failed, Invalid: p.Invalid, WaitingForVerification: p.WaitingForVerification,
		OrdersWaiting: p.OrdersWaiting, Threshold: p.Threshold, Forecast: forecastResource(p.Forecast), Models: make([]openapi.ModelStock, len(p.Models)),
		ClaimsSuspendedAt: utc(p.ClaimsSuspendedAt), ClaimsSuspendedBecause: optional(p.ClaimsSuspendedBecause),
	}
	for i, m := range p.Models {
		stock.Models[i] = openapi.ModelStock{
			Model: m.Model,
			Ready: m.Ready, InProgress: m.InProgress, Allocated: m.Allocated, Failed: m.Failed, Invalid: m.Invalid, WaitingForVerification: m.WaitingForVerification,
			OrdersWaiting: m.OrdersWaiting, Threshold: m.Threshold, Forecast: forecastResource(m.Forecast),
		}
	}
	if p.Alert != nil {
		alert := alertResource(*p.Alert)
		stock.Alert = &alert
	}
	return stock
}

func forecastResource(f provision.Forecast) openapi.Forecast {
	return openapi.Forecast{Days: f.Days, AllocationsPerDay: f.PerDay, Reason: optional(f.Reason)}
}

// States of an alert.
const (
	alertOpen         = "open"
	alertAcknowledged = "acknowledged"
	alertClosed       = "closed"
)

func alertResource(a provision.StockAlert) openapi.StockAlert {
	state := alertOpen
	switch {
	case a.ClosedAt != nil:
		state = alertClosed
	case a.AcknowledgedAt != nil:
		state = alertAcknowledged
	}
	return openapi.StockAlert{
		ID: a.ID, Marketplace: a.Marketplace, Environment: a.Environment, Kind: a.Kind, State: state, Reason: a.Reason, Ready: a.Ready, OrdersWaiting: a.OrdersWaiting,
		OpenedAt: a.OpenedAt.UTC(), KindSince: a.KindSince.UTC(), NotifiedAt: a.NotifiedAt.UTC(), Notifications: a.Notifications,
		AcknowledgedAt: utc(a.AcknowledgedAt), AcknowledgedBy: optional(a.AcknowledgedBy), Note: optional(a.Note), ClosedAt: utc(a.ClosedAt),
	}
}
