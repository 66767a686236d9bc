package console

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
)

func TestAPlotSaysWhatItShows(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	l := &look{location: time.UTC, now: now}
	day := func(ago, ready int) openapi.StockHour {
		return openapi.StockHour{At: now.Add(-time.Duration(ago) * 24 * time.Hour), Ready: ready}
	}
	plot := stockPlot{Hours: []openapi.StockHour{day(30, 20), day(15, 20), day(10, 12)}, Ready: 10, Threshold: new(5), Width: 128, Height: 22}

	got := string(l.Plot(plot))
	require.Contains(t, got, `aria-label="Ready accounts since 26 Oct: between 10 and 20, now 10. The threshold is 5."`)
	require.Contains(t, got, `<polyline class="line" points="0,1 64,1 64,9 96,9 96,11"/>`, "steps, and no point where nothing changed")
	require.Contains(t, got, `<line class="limit" x1="0" x2="128" y1="16" y2="16"/>`)
	require.NotContains(t, got, "ahead", "there is no forecast")
	require.Contains(t, got, `class="spark"`)

	plot.Forecast = openapi.Forecast{Days: new(5.0), AllocationsPerDay: new(2.0)}
	got = string(l.Plot(plot))
	require.Contains(t, got, `<polyline class="ahead" points="96,11 112,21"/>`, "it is used up in five of ten days")
	require.Contains(t, got, "At 2.0 accounts a day they last 5 days, until 30 Nov.")

	plot.Forecast = openapi.Forecast{Days: new(20.0), AllocationsPerDay: new(0.5)}
	require.Contains(t, string(l.Plot(plot)), `points="96,11 128,16"`, "half of it is left at the edge")

	plot.Ready, plot.Forecast = 4, openapi.Forecast{}
	require.Contains(t, string(l.Plot(plot)), `class="spark ask"`)
	plot.Ready, plot.Threshold = 0, nil
	got = string(l.Plot(plot))
	require.Contains(t, got, `class="spark bad"`)
	require.NotContains(t, got, "limit")
	require.NotContains(t, strings.ToLower(string(l.Plot(stockPlot{Ready: 3}))), "svg", "without a past there is nothing to draw")
}
