package api

import (
	"context"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
)

// GetOrderForm answers GET /v1/order-form.
func (s *service) GetOrderForm(ctx context.Context, _ server.GetOrderFormRequestObject) (server.GetOrderFormResponseObject, error) {
	of := callerOf(ctx).Tenant
	models, err := s.knownModels(ctx)
	if err != nil {
		return nil, err
	}
	stock, err := s.Stock.Count(ctx, of.Provider)
	if err != nil {
		return nil, err
	}
	form := server.GetOrderForm200JSONResponse{Pools: []openapi.OrderFormPool{}, Models: make([]openapi.OrderFormModel, len(models))}
	for i, model := range models {
		form.Models[i] = openapi.OrderFormModel{ID: model.ID, Title: model.Title, CustomerOwnsRoot: model.RootAccess}
	}
	for _, pool := range stock {
		if of.Includes(pool.Marketplace) {
			form.Pools = append(form.Pools, offer(pool))
		}
	}
	return form, nil
}

// offer is what a form for new orders says about a pool.
func offer(pool provision.PoolStock) openapi.OrderFormPool {
	shown := openapi.OrderFormPool{
		Marketplace: pool.Marketplace, Environment: pool.Environment, Ready: pool.Ready, ReadyByModel: map[string]int{},
		OrdersWaiting: pool.OrdersWaiting, Suspended: pool.ClaimsSuspendedAt != nil,
	}
	for _, model := range pool.Models {
		if model.Ready > 0 {
			shown.ReadyByModel[string(model.Model)] = model.Ready
		}
	}
	return shown
}
