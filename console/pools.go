package console

import (
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// poolsData is what the list of pools shows.
type poolsData struct {
	Pools   []openapi.PoolStock
	history loaded[openapi.StockHistory]
}

// pools answers GET /{provider}/pools: how long will the stock last?
func pools(p *page) error {
	var (
		data  poolsData
		stock loaded[openapi.Stock]
		parts errgroup.Group
	)
	ctx := p.ctx()
	load(&parts, &stock, func() (*http.Response, error) { return p.API.GetStock(ctx, &openapi.GetStockParams{}) })
	load(&parts, &data.history, func() (*http.Response, error) {
		return p.API.GetStockHistory(ctx, &openapi.GetStockHistoryParams{Since: p.plotBegin()})
	})
	_ = parts.Wait() // each part has its own error
	if stock.Err != nil {
		return stock.Err
	}
	data.Pools = stock.Value.Items
	p.Live = "events"
	return p.show("pools", "Pools", data)
}

// plotBegin is when plots begin.
func (p *page) plotBegin() *time.Time { return new(p.Now.Add(-plotBack)) }

// Unplotted is why there are no plots; nil: there are.
func (d poolsData) Unplotted() *problem { return d.history.Err }

// Plot is the small plot of a pool.
func (d poolsData) Plot(pool openapi.PoolStock) stockPlot {
	return plotOf(d.history.Value, pool, 128, 28)
}

// plotOf returns the plot of a pool in a drawing of that size.
func plotOf(history openapi.StockHistory, pool openapi.PoolStock, width, height int) stockPlot {
	return stockPlot{
		Hours: hoursOf(history, pool.Marketplace, pool.Environment), Ready: pool.Ready, Threshold: pool.Threshold,
		Forecast: pool.Forecast, Width: width, Height: height,
	}
}

// hoursOf returns the past of a pool.
func hoursOf(history openapi.StockHistory, marketplace string, environment provision.Environment) []openapi.StockHour {
	for _, of := range history.Items {
		if of.Marketplace == marketplace && of.Environment == environment {
			return of.Hours
		}
	}
	return nil
}
