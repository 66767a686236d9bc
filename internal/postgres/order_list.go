package postgres

import (
	"context"
	"slices"

	"quartermaster/internal/provision"
)

var orderList = listed{table: "orders", status: "state", model: "COALESCE(t.model, '')", time: "created_at", direction: "DESC"}

// List lists the orders of the tenant, newest first. It reads nothing about their passwords.
func (s Orders) List(ctx context.Context, of provision.Tenant, f provision.OrderFilter) ([]provision.OrderView, error) {
	query, args := orderListQuery(of, f)
	return s.orderViews(ctx, of.Provider, query, args...)
}

func orderListQuery(of provision.Tenant, f provision.OrderFilter) (query string, args []any) {
	page, args := orderPage(of, f)
	return orderViewSQL(page), args
}

// orderPage returns the query for the ids of the orders.
func orderPage(of provision.Tenant, f provision.OrderFilter) (query string, args []any) {
	var w where
	w.and("t.provider = ?", of.Provider)
	w.andIf(f.CreatedAfter != nil, "t.created_at >= ?", f.CreatedAfter)
	w.andIf(f.CreatedBefore != nil, "t.created_at < ?", f.CreatedBefore)
	if f.After != nil {
		w.and("(t.created_at, t.id) < (?, ?)", f.After.CreatedAt, f.After.ID)
	}
	w.andIf(f.CustomerID != "", "t.request #>> '{customer,id}' = ?", f.CustomerID)
	w.andIf(f.AccountID != "", "t.id = (SELECT a.order_id FROM accounts a WHERE a.provider = $1 AND a.id = ? AND "+held+")", f.AccountID)
	in := poolFilter[provision.OrderState]{provider: of.Provider, marketplaces: of.Marketplaces, environment: f.Environment,
		statuses: f.States, model: f.Model}
	if f.Marketplace != "" {
		in.marketplaces = slices.DeleteFunc([]string{f.Marketplace}, func(m string) bool { return !of.Includes(m) })
	}
	if in.empty() || f.CustomerID != "" || f.AccountID != "" {
		query = scan(orderList, &w, in, f.Limit)
	} else {
		query = merge(orderList, &w, in, provision.OrderStates, f.Limit)
	}
	return query, w.args
}
