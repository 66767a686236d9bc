package console

import (
	"encoding/json"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
)

// poolData is what the page of a pool shows.
type poolData struct {
	Pool     openapi.Pool
	Stock    loaded[openapi.Stock]
	Changes  loaded[openapi.HistoryPage]
	Settings []settingRow
	history  loaded[openapi.StockHistory]
}

// poolChanges is how many changes of settings the page shows.
const poolChanges = 20

// pool answers GET /{provider}/pools/{marketplace}/{environment}.
func pool(p *page) error {
	marketplace, environment := p.poolPath()
	settings, err := read[openapi.Pool](p.API.GetPool(p.ctx(), marketplace, environment))
	if err != nil {
		return err
	}
	data := poolData{Pool: settings, Settings: settingRows(settings)}
	var parts errgroup.Group
	ctx := p.ctx()
	load(&parts, &data.Stock, func() (*http.Response, error) {
		return p.API.GetStock(ctx, &openapi.GetStockParams{Marketplace: &marketplace, Environment: &environment})
	})
	load(&parts, &data.history, func() (*http.Response, error) {
		return p.API.GetStockHistory(ctx, &openapi.GetStockHistoryParams{
			Marketplace: &marketplace, Environment: &environment, Since: p.plotBegin()})
	})
	load(&parts, &data.Changes, func() (*http.Response, error) {
		return p.API.ListHistory(ctx, &openapi.ListHistoryParams{Kind: &[]openapi.HistoryKind{"pool"}, Marketplace: &marketplace,
			Environment: &environment, Limit: new(poolChanges)})
	})
	_ = parts.Wait() // each part has its own error
	p.Live = "events"
	return p.show("pool", marketplace+" / "+string(environment), data)
}

// Of is the stock of the pool; nil: it could not be read.
func (d poolData) Of() *openapi.PoolStock {
	if d.Stock.Err != nil || len(d.Stock.Value.Items) == 0 {
		return nil
	}
	return &d.Stock.Value.Items[0]
}

// Unplotted is why there is no plot; nil: there is one.
func (d poolData) Unplotted() *problem { return d.history.Err }

// Plot is the plot of the pool.
func (d poolData) Plot() stockPlot { return plotOf(d.history.Value, *d.Of(), 640, 120) }

// Forecast says in a sentence how long the stock lasts, or why no one can say.
func (l *look) Forecast(stock openapi.PoolStock) string {
	switch of := stock.Forecast; {
	case stock.Ready == 0 && stock.OrdersWaiting > 0:
		return "No account is Ready, and " + waiting(stock.OrdersWaiting) + "."
	case stock.Ready == 0:
		return "No account is Ready: the next order has to wait."
	case of.Days != nil && of.AllocationsPerDay != nil:
		return plural(stock.Ready, "account is", "accounts are") + " Ready. " + l.lasts(of)
	case of.Reason != nil:
		return plural(stock.Ready, "account is", "accounts are") + " Ready. There is no forecast: " + *of.Reason + "."
	}
	return plural(stock.Ready, "account is", "accounts are") + " Ready."
}

// waiting says how many orders wait, within a sentence.
func waiting(n int) string { return strings.ToLower(waits(n)) }

// Made reports whether an entry of the history is about the making of the pool, which has no value before.
func (poolData) Made(entry openapi.HistoryEntry) bool {
	return entry.Code != nil && *entry.Code == "created"
}

// settingOf names the setting that an entry of the history is about.
func settingOf(entry openapi.HistoryEntry) string {
	if entry.Code == nil {
		return ""
	}
	if label := labelOf(*entry.Code); label != "" {
		return label
	}
	return *entry.Code
}

// plain writes a value of the history, which is JSON, for people.
func plain(value *json.RawMessage) string {
	if value == nil {
		return "none"
	}
	var text string
	if json.Unmarshal(*value, &text) == nil {
		return text
	}
	var list []string
	if json.Unmarshal(*value, &list) == nil {
		return strings.Join(list, ", ")
	}
	return string(*value)
}
