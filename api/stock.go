package api

import (
	"context"
	"errors"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
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
		if in.Params.Marketplace != nil && *in.Params.Marketplace != pool.Marketplace || in.Params.Environment != nil &&
			*in.Params.Environment != pool.Environment {
			continue
		}
		answer.Items = append(answer.Items, resource.PoolStock(pool))
	}
	return answer, nil
}

// GetStockHistory answers GET /v1/stock/history.
func (s *service) GetStockHistory(
	ctx context.Context, in server.GetStockHistoryRequestObject,
) (server.GetStockHistoryResponseObject, error) {
	hours, err := s.Stock.History(ctx, callerOf(ctx).Provider, provision.StockHistoryFilter{
		Marketplace: value(in.Params.Marketplace), Environment: value(in.Params.Environment), Model: value(in.Params.Model),
		Since: value(in.Params.Since),
	})
	if err != nil {
		return nil, err
	}
	answer := server.GetStockHistory200JSONResponse{Items: []openapi.PoolStockHistory{}}
	var pool provision.Pool
	for _, h := range hours { // those of one pool follow each other
		if h.Pool != pool {
			pool = h.Pool
			answer.Items = append(answer.Items, openapi.PoolStockHistory{Marketplace: pool.Marketplace, Environment: pool.Environment})
		}
		last := &answer.Items[len(answer.Items)-1]
		last.Hours = append(last.Hours, openapi.StockHour{
			At: h.Hour.UTC(), Ready: h.Ready, OrdersWaiting: h.OrdersWaiting, Allocations: h.Allocations,
		})
	}
	return answer, nil
}

// ListStockAlerts answers GET /v1/stock-alerts.
func (s *service) ListStockAlerts(
	ctx context.Context, in server.ListStockAlertsRequestObject,
) (server.ListStockAlertsResponseObject, error) {
	filter := provision.AlertFilter{Marketplace: value(in.Params.Marketplace), Environment: value(in.Params.Environment)}
	if in.Params.State != nil {
		open := string(*in.Params.State) == resource.AlertOpen
		filter.Open = &open
	}
	alerts, next, err := list[seqCursor, provision.StockAlert, openapi.StockAlert]{
		valid: seqCursor.valid,
		read: func(after *seqCursor, limit int) ([]provision.StockAlert, error) {
			filter.Before, filter.Limit = value(after).Seq, limit
			return s.Stock.Alerts(ctx, callerOf(ctx).Provider, filter)
		},
		show:  resource.StockAlert,
		place: func(a provision.StockAlert) seqCursor { return seqCursor{a.Seq} },
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListStockAlerts200JSONResponse{Items: alerts, NextCursor: next}, nil
}

// AcknowledgeStockAlert answers POST /v1/stock-alerts/{alert_id}/acknowledge.
func (s *service) AcknowledgeStockAlert(
	ctx context.Context, in server.AcknowledgeStockAlertRequestObject,
) (server.AcknowledgeStockAlertResponseObject, error) {
	who := callerOf(ctx)
	alert, err := s.Stock.AcknowledgeAlert(ctx, who.Actor(), who.Provider, in.AlertID, in.Body.Note)
	switch {
	case errors.Is(err, provision.ErrNotFound):
		return nil, notFound("alert "+in.AlertID, err)
	case err != nil:
		return nil, err
	}
	return server.AcknowledgeStockAlert200JSONResponse(resource.StockAlert(alert)), nil
}
