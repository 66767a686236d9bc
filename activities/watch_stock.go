package activities

import (
	"context"

	"quartermaster/internal/provision"
)

// MatchStock gives accounts to waiting orders in every pool where that is possible and no one has done it. It returns these orders, and
// those that got an account before and have not begun with it.
func (a *Activities) MatchStock(ctx context.Context) (Woken, error) {
	woken, err := a.Orders.MatchStock(ctx)
	return Woken{woken}, conclude(ctx, err, provision.StepClaim)
}

// WatchStock checks the stock of all pools and updates their alerts. It uses only the database, which writes an alert and its event in
// one transaction, so a repeat emits no event twice.
func (a *Activities) WatchStock(ctx context.Context) (provision.StockWatch, error) {
	watch, err := a.Stock.Watch(ctx)
	return watch, conclude(ctx, err, provision.StepClaim)
}
