package console

import (
	"quartermaster/api/openapi"
)

// orders answers GET /{provider}/orders.
func orders(p *page) error {
	found, err := read[openapi.OrderPage](p.API.ListOrders(p.ctx(), &openapi.ListOrdersParams{Limit: new(50)}))
	if err != nil {
		return err
	}
	return p.show("orders", "Orders", found)
}
