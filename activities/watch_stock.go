package activities

import (
	"context"

	"quartermaster/internal/provision"
)

// WatchStock checks the stock of all pools and updates their alerts. It uses only the database, which writes an alert and its event in
// one transaction, so a repeat emits no event twice.
func (a *Activities) WatchStock(ctx context.Context) (provision.StockWatch, error) {
	watch, err := a.Stock.Watch(ctx)
	return watch, conclude(ctx, err, provision.StepClaim)
}
