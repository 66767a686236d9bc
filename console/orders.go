package console

import (
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// orderRoutes are the pages of orders.
func orderRoutes(with func(scope provision.Scope, pattern string, handle handler)) {
	with(provision.ScopeOrdersRead, "GET /{provider}/orders", orders)
	with(provision.ScopeOrdersRead, "GET /{provider}/orders/{id}", order)
	with(provision.ScopeOrdersWrite, "GET /{provider}/orders/{id}/correct", order)
	with(provision.ScopeOrdersWrite, "POST /{provider}/orders/{id}/correct", correctOrder)
	with(provision.ScopeOrdersWrite, "GET /{provider}/orders/{id}/check", order)
	with(provision.ScopeOrdersWrite, "POST /{provider}/orders/{id}/check", checkOrder)
	with(provision.ScopeOrdersOperate, "GET /{provider}/orders/{id}/manual-steps/{number}", order)
	with(provision.ScopeOrdersOperate, "POST /{provider}/orders/{id}/manual-steps/{number}", tick)
	with(provision.ScopeOrdersPassword, "GET /{provider}/orders/{id}/link", fresh(link))
	for _, v := range orderVerbs {
		show, do := review(v), act(v)
		if v.Name == "password" {
			show, do = fresh(show), fresh(do)
		}
		with(v.scope, "GET /{provider}/orders/{id}/"+v.Name, show)
		with(v.scope, "POST /{provider}/orders/{id}/"+v.Name, do)
	}
}

// orders answers GET /{provider}/orders.
func orders(p *page) error {
	found, err := read[openapi.OrderPage](p.API.ListOrders(p.ctx(), &openapi.ListOrdersParams{Limit: new(50)}))
	if err != nil {
		return err
	}
	return p.show("orders", "Orders", found)
}
