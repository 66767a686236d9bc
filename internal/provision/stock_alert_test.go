package provision

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The stock moves around its threshold for a day and is checked twice a minute: that is one alert, with one event when it opens and
// one when it closes.
func TestAlertsCloseOnlyAfterStockStayedBetter(t *testing.T) {
	t.Parallel()
	two := 2
	var alert *StockAlert
	events := map[string]int{}
	lastBad := noon
	for minute := range 24 * 60 {
		now := noon.Add(time.Duration(minute) * time.Minute)
		ready := []int{2, 3, 1, 3, 2, 3, 1}[minute/7%7]
		if minute > 1200 {
			ready = 3
		}
		if ready <= two {
			lastBad = now
		}
		stock := PoolStock{StockCount: StockCount{Ready: ready, Allocated: 1}, Threshold: &two, RenotifyEvery: 24 * time.Hour}
		next, event := NextAlert(alert, stock, now)
		events[event]++
		if event == EventStockRestocked {
			require.GreaterOrEqual(t, now.Sub(lastBad), StockSettles)
			next = nil
		}
		again, repeated := NextAlert(next, stock, now)
		require.Empty(t, repeated)
		require.Equal(t, next, again, "a repeated check changes nothing")
		alert = next
	}
	require.Nil(t, alert)
	delete(events, "")
	require.Equal(t, map[string]int{EventStockLow: 1, EventStockRestocked: 1}, events)
}
