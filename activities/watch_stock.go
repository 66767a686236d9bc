package activities

import (
	"context"

	"quartermaster/internal/provision"
)

// WatchStock looks at the stock of all pools and keeps their alerts. It touches only our own database, where the alerts and what
// is to be told of them are written together: a repeat tells nothing twice.
func (a *Activities) WatchStock(ctx context.Context) (provision.StockWatch, error) {
	watch, err := a.Stock.Watch(ctx)
	return watch, conclude(ctx, err, provision.StepClaim)
}
