package provision

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func TestForecastWeighsTheAllocationsOfThirtyDays(t *testing.T) {
	t.Parallel()
	first := noon.Add(-365 * 24 * time.Hour)
	weight := 0.0 // of two a day, every day
	for day := range 30 {
		age := float64(day) + 0.5
		weight += 2 * math.Exp2(-age/7)
	}
	steady := Allocations{Recent: 60, Weight: weight, First: &first}.Forecast(10, noon)
	require.InDelta(t, 2.0, *steady.PerDay, 0.01, "a steady rate is forecast to go on")
	require.InDelta(t, 5.0, *steady.Days, 0.1)

	burst := Allocations{Recent: 10, Weight: 10, First: &first}.Forecast(10, noon)
	waned := Allocations{Recent: 10, Weight: 10 * math.Exp2(-3), First: &first}.Forecast(10, noon)
	require.Greater(t, *waned.Days, *burst.Days*7, "allocations of three weeks ago weigh little")

	require.Zero(t, *Allocations{}.Forecast(0, noon).Days, "no accounts last no time")
	yesterday := noon.Add(-24 * time.Hour)
	for reason, little := range map[string]Allocations{
		"no account was allocated in the last 30 days":                   {First: &first},
		"2 allocations in the last 30 days; a forecast needs at least 3": {Recent: 2, Weight: 2, First: &first},
		"the first allocation is less than 3 days ago":                   {Recent: 50, Weight: 50, First: &yesterday},
	} {
		forecast := little.Forecast(10, noon)
		require.Nil(t, forecast.Days)
		require.Equal(t, reason, forecast.Reason)
	}
}
