package console

import (
	"context"
	"strings"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// counts are the numbers in the menu: what needs attention.
type counts struct{ orders, alerts int }

// countLimit is how long a page waits for the numbers in its menu.
const countLimit = 500 * time.Millisecond

// count begins to read the numbers in the menu, while the page reads what it shows. A number that cannot be read is left out.
func (p *page) count() {
	p.attention = make(chan counts, 1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx()), countLimit)
	api, orders, alerts := p.API, p.May(provision.ScopeOrdersRead), p.May(provision.ScopeStockRead)
	go func() {
		defer cancel()
		var n counts
		if orders {
			found, err := read[openapi.OrderCounts](api.CountOrders(ctx, &openapi.CountOrdersParams{}))
			if err == nil {
				n.orders = found.States[string(provision.ActionRequired)].Count
			}
		}
		if alerts {
			found, err := read[openapi.StockAlertPage](api.ListStockAlerts(ctx, &openapi.ListStockAlertsParams{Limit: new(100)}))
			if err == nil {
				n.alerts = len(found.Items)
			}
		}
		p.attention <- n
	}()
}

// menuGroup is a part of the menu under a title of its own.
type menuGroup struct {
	Title string
	Items []menuItem
}

type menuItem struct {
	Name, URL string
	Current   bool
	Count     int // how much of it needs attention
}

// entry is a page of the menu.
type entry struct {
	name  string
	parts []any // of its address
	scope provision.Scope
}

// menu lists the pages. A page whose scope is empty is for everyone.
var menu = []struct {
	title   string
	entries []entry
}{
	{"", []entry{
		{"Overview", []any{""}, provision.ScopeStockRead},
		{"Orders", []any{"orders"}, provision.ScopeOrdersRead},
		{"Place an order", []any{"orders", "new"}, provision.ScopeOrdersWrite},
	}},
	{"Stock", []entry{
		{"Pools", []any{"pools"}, provision.ScopePoolsRead},
		{"Accounts", []any{"accounts"}, provision.ScopeAccountsRead},
		{"Alerts", []any{"alerts"}, provision.ScopeStockRead},
	}},
	{"Connections", []entry{
		{"Webhooks", []any{"webhooks"}, provision.ScopeWebhooksRead},
		{"API keys", []any{"keys"}, provision.ScopeKeysRead},
	}},
	{"System", []entry{
		{"History", []any{"history"}, provision.ScopeAccountsRead},
		{"Health", []any{"health"}, provision.ScopeHealthRead},
		{"Settings", []any{"settings"}, ""},
	}},
}

// Menu returns the pages that the person may see.
func (p *page) Menu() []menuGroup {
	if p.attention == nil {
		p.count()
	}
	n := <-p.attention
	p.attention <- n // for the next caller
	current := p.current()
	var shown []menuGroup
	for _, group := range menu {
		g := menuGroup{Title: group.title}
		for _, e := range group.entries {
			if e.scope != "" && !p.May(e.scope) {
				continue
			}
			item := menuItem{Name: e.name, URL: p.URL(e.parts...), Current: e.name == current}
			switch e.name {
			case "Orders":
				item.Count = n.orders
			case "Alerts":
				item.Count = n.alerts
			}
			g.Items = append(g.Items, item)
		}
		if g.Items != nil {
			shown = append(shown, g)
		}
	}
	return shown
}

// Section is the page of the menu that this page belongs to.
func (p *page) Section() string { return p.current() }

// current returns the name of the entry whose address begins this page's one, the longest one.
func (p *page) current() (name string) {
	rest := strings.TrimPrefix(p.r.URL.Path, "/console/"+p.Provider()+"/")
	longest := -1
	for _, group := range menu {
		for _, e := range group.entries {
			at := strings.TrimPrefix(p.URL(e.parts...), p.URL(""))
			if (rest == at || at != "" && strings.HasPrefix(rest, at+"/")) && len(at) > longest {
				name, longest = e.name, len(at)
			}
		}
	}
	return name
}

// Who is the signed-in key or person, as the top of each page shows it.
func (p *page) Who() string {
	if p.Session.KeyID != "" {
		return "key " + p.Session.KeyID
	}
	return p.Session.Name
}
