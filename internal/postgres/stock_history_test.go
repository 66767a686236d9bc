package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestTheStockOfThePastIsKeptByTheHour(t *testing.T) {
	t.Parallel()
	store, db := watched(t, 3)
	ctx := t.Context()
	createAccounts(t, store, provision.ModelECAM, 4, 4)
	hours := func(f provision.StockHistoryFilter) (lines [][4]int) {
		t.Helper()
		found, err := store.Stock.History(ctx, "acme", f)
		require.NoError(t, err)
		for _, h := range found {
			require.Equal(t, pool, h.Pool)
			allocations := -1
			if h.Allocations != nil {
				allocations = *h.Allocations
			}
			lines = append(lines, [4]int{int(time.Since(h.Hour).Hours()), h.Ready, h.OrdersWaiting, allocations})
		}
		return lines
	}
	back := func(hours int) {
		db.MustExec(`UPDATE stock_history SET hour = hour - $1 * interval '1 hour'`, hours)
	}
	require.Empty(t, hours(provision.StockHistoryFilter{}))
	watch(t, store)
	require.Equal(t, [][4]int{{0, 4, 0, -1}}, hours(provision.StockHistoryFilter{}))
	back(2)
	key := open(t, store, "o", provision.ModelSPAM)
	taken := claim(t, store, key)
	require.NoError(t, store.Orders.Allocate(ctx, key, taken.Account.ID, provision.Result{AccountID: taken.Account.ID}))
	watch(t, store)
	watch(t, store)
	require.Equal(t, [][4]int{{2, 4, 0, -1}, {0, 3, 0, 1}}, hours(provision.StockHistoryFilter{}))

	require.Equal(t, [][4]int{{2, 3, 0, -1}, {0, 2, 0, 1}}, hours(provision.StockHistoryFilter{Model: provision.ModelSPAM}))
	require.Equal(t, [][4]int{{2, 1, 0, -1}, {0, 1, 0, 0}}, hours(provision.StockHistoryFilter{Model: provision.ModelECAM,
		Marketplace: "north", Environment: provision.Production}))
	require.Equal(t, [][4]int{{0, 3, 0, 1}}, hours(provision.StockHistoryFilter{Since: time.Now().Add(-90 * time.Minute)}),
		"the hour before the first one counts for its allocations")
	require.Empty(t, hours(provision.StockHistoryFilter{Marketplace: "south"}))
	others, err := store.Stock.History(ctx, "other", provision.StockHistoryFilter{})
	require.NoError(t, err)
	require.Empty(t, others)

	back(91 * 24)
	watch(t, store)
	require.Equal(t, [][4]int{{0, 3, 0, -1}}, hours(provision.StockHistoryFilter{Since: time.Now().Add(-100 * 24 * time.Hour)}))
}
