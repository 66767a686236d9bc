package provision

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func TestAForecastReckonsWithTheAllocationsOfThirtyDays(t *testing.T) {
	t.Parallel()
	first := noon.Add(-365 * 24 * time.Hour)
	weight := 0.0 // of two a day, every day
	for day := range 30 {
		age := float64(day) + 0.5
		weight += 2 * math.Exp2(-age/7)
	}
	steady := Allocations{Recent: 60, Weight: weight, First: &first}.Forecast(10, noon)
	require.InDelta(t, 2.0, *steady.PerDay, 0.01, "a steady rate is the rate")
	require.InDelta(t, 5.0, *steady.Days, 0.1)

	burst := Allocations{Recent: 10, Weight: 10, First: &first}.Forecast(10, noon)
	waned := Allocations{Recent: 10, Weight: 10 * math.Exp2(-3), First: &first}.Forecast(10, noon)
	require.Greater(t, *waned.Days, *burst.Days*7, "what was three weeks ago says little")

	require.Zero(t, *Allocations{}.Forecast(0, noon).Days, "nothing lasts no time")
	yesterday := noon.Add(-24 * time.Hour)
	for reason, little := range map[string]Allocations{
		"no account was allocated in the last 30 days":                 {First: &first},
		"only 2 of the 3 allocations in 30 days that a forecast needs": {Recent: 2, Weight: 2, First: &first},
		"the first allocation is less than 3 days ago":                 {Recent: 50, Weight: 50, First: &yesterday},
	} {
		forecast := little.Forecast(10, noon)
		require.Nil(t, forecast.Days)
		require.Equal(t, reason, forecast.Reason)
	}
}

func TestTheConditionOfStock(t *testing.T) {
	t.Parallel()
	two, none := 2, 0
	model := func(m Model, ready int, threshold *int) ModelStock {
		return ModelStock{Model: m, StockCount: StockCount{Ready: ready}, Threshold: threshold}
	}
	for name, c := range map[string]struct {
		stock  PoolStock
		kind   AlertKind
		reason string
	}{
		"never used":             {stock: PoolStock{}},
		"used up":                {PoolStock{StockCount: StockCount{Allocated: 3}}, AlertEmpty, "no account is Ready"},
		"never used, to be kept": {PoolStock{Threshold: &none}, AlertEmpty, "no account is Ready"},
		"an order waits":         {PoolStock{OrdersWaiting: 2}, AlertEmpty, "2 orders wait"},
		"no threshold":           {stock: PoolStock{StockCount: StockCount{Ready: 1}}},
		"at the threshold":       {PoolStock{StockCount: StockCount{Ready: 2}, Threshold: &two}, AlertLow, "2 accounts are Ready, the threshold is 2"},
		"above the threshold":    {stock: PoolStock{StockCount: StockCount{Ready: 3}, Threshold: &two}},
		"a model is low": {PoolStock{StockCount: StockCount{Ready: 9}, Models: []ModelStock{model("ECAM", 1, &two), model("SPAM", 8, &two)}},
			AlertLow, "1 ECAM account is Ready, the threshold is 2"},
		"a model is empty": {PoolStock{StockCount: StockCount{Ready: 2}, Models: []ModelStock{model("ECAM", 0, &none), model("SPAM", 2, &two)}},
			AlertEmpty, "no ECAM account is Ready; 2 SPAM accounts are Ready, the threshold is 2"},
		"a model that does not count": {stock: PoolStock{StockCount: StockCount{Ready: 8}, Models: []ModelStock{model("ECAM", 0, nil), model("SPAM", 8, &two)}}},
	} {
		kind, reason := c.stock.Condition()
		require.Equal(t, c.kind, kind, name)
		require.Equal(t, c.reason, reason, name)
	}
}

// A day of stock that comes and goes, looked at every minute, twice: one alert, told of when it opens and when it closes.
func TestAnAlertFallsAndClosesOnlyOnStockThatStayedBetter(t *testing.T) {
	t.Parallel()
	two := 2
	var alert *StockAlert
	told := map[string]int{}
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
		told[event]++
		if event == EventStockRestocked {
			require.GreaterOrEqual(t, now.Sub(lastBad), StockSettles)
			next = nil
		}
		again, repeated := NextAlert(next, stock, now)
		require.Empty(t, repeated)
		require.Equal(t, next, again, "a repeat changes nothing")
		alert = next
	}
	require.Nil(t, alert)
	delete(told, "")
	require.Equal(t, map[string]int{EventStockLow: 1, EventStockRestocked: 1}, told)
}
