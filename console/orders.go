package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// orderRoutes are the pages of orders.
func orderRoutes(with func(scope provision.Scope, pattern string, handle handler)) {
	with(provision.ScopeOrdersRead, "GET /{provider}/orders", orders)
	with(provision.ScopeOrdersRead, "GET /{provider}/orders/{id}", order)
	with(provision.ScopeOrdersWrite, "GET /{provider}/orders/{id}/correct", order)
	with(provision.ScopeOrdersWrite, "POST /{provider}/orders/{id}/correct", correctOrder)
	with(provision.ScopeOrdersWrite, "GET /{provider}/orders/{id}/check", order)
	with(provision.ScopeOrdersWrite, "POST /{provider}/orders/{id}/check", checkOrder)
	with(provision.ScopeOrdersOperate, "GET /{provider}/orders/{id}/manual-steps/{number}", order)
	with(provision.ScopeOrdersOperate, "POST /{provider}/orders/{id}/manual-steps/{number}", tick)
	with(provision.ScopeOrdersPassword, "GET /{provider}/orders/{id}/link", fresh(link))
	for _, v := range orderVerbs {
		show, do := review(v), act(v)
		if v.Name == "password" {
			show, do = fresh(show), fresh(do)
		}
		with(v.scope, "GET /{provider}/orders/{id}/"+v.Name, show)
		with(v.scope, "POST /{provider}/orders/{id}/"+v.Name, do)
	}
}

// ordersData is what the list of orders shows.
type ordersData struct {
	Tabs   []orderTab
	Filter orderFilter
	Found  openapi.OrderPage
	Form   *form // of the filter
	Pools  []option
	Models []option
	Saved  []savedFilter
	All    bool // all orders that match are selected, not those of this page alone
}

// orderTab is a filter that everyone has.
type orderTab struct {
	Name, Title string
	Count       *openapi.OrderCount // nil: it could not be counted
	Current     bool
}

// orderTabs are the filters that everyone has, with the states that they select. The last one selects all.
var orderTabs = []struct {
	name, title string
	states      []provision.OrderState
}{
	{"attention", "Needs attention", []provision.OrderState{provision.ActionRequired}},
	{"waiting", "Waiting", []provision.OrderState{provision.WaitingForAccount}},
	{"progress", "In progress", []provision.OrderState{provision.Accepted, provision.Provisioning, provision.Compensating}},
	{"today", "Ended today", nil},
	{"", "All", nil},
}

// orderFilter is what the address of the list selects.
type orderFilter struct {
	Tab     string
	States  []provision.OrderState
	Search  string
	Pool    string // marketplace/environment
	Model   string
	Created string // today, or a number of days
	Cursor  string

	params openapi.ListOrdersParams
}

// ordersShown is how many orders a page of the list has.
const ordersShown = 50

// Narrow reports whether the filter leaves anything out.
func (f orderFilter) Narrow() bool {
	return f.Tab != "" || f.States != nil || f.Search != "" || f.Pool != "" || f.Model != "" || f.Created != ""
}

// orderFilter reads the filter of an address.
func (p *page) orderFilter(query url.Values) orderFilter {
	f := orderFilter{Tab: query.Get("tab"), Search: strings.TrimSpace(query.Get("search")), Pool: query.Get("pool"), Model: query.Get("model"),
		Created: query.Get("created"), Cursor: query.Get("cursor")}
	for _, state := range query["state"] {
		if _, known := orderStatuses[provision.OrderState(state)]; known {
			f.States = append(f.States, provision.OrderState(state))
		}
	}
	states := f.States
	for _, tab := range orderTabs {
		if tab.name == f.Tab && tab.states != nil {
			states = tab.states
		}
	}
	f.params = openapi.ListOrdersParams{Limit: new(ordersShown), Search: given(f.Search), Model: (*provision.Model)(given(f.Model)),
		Cursor: given(f.Cursor)}
	if states != nil {
		f.params.State = &states
	}
	if f.Tab == "today" {
		f.params.EndedAfter = new(p.startOfDay())
	}
	if marketplace, environment, ok := strings.Cut(f.Pool, "/"); ok {
		f.params.Marketplace, f.params.Environment = &marketplace, new(openapi.Environment(environment))
	}
	if days, ok := createdDays[f.Created]; ok {
		f.params.CreatedAfter = new(p.startOfDay().AddDate(0, 0, -days))
	}
	return f
}

// createdDays are the choices of the filter by age, as days before today.
var createdDays = map[string]int{"today": 0, "7": 6, "30": 29, "90": 89}

// createdOptions are the choices as the filter lists them.
var createdOptions = []option{{"", "Any time"}, {"today", "Today"}, {"7", "Last 7 days"}, {"30", "Last 30 days"}, {"90", "Last 90 days"}}

// SavedHere is the saved filter that the page shows; nil: it shows none.
func (d ordersData) SavedHere() *savedFilter {
	if i := slices.IndexFunc(d.Saved, func(s savedFilter) bool { return s.Current }); i >= 0 {
		return &d.Saved[i]
	}
	return nil
}

// OnlyTab reports whether the filter is nothing but a tab.
func (d ordersData) OnlyTab() bool {
	f := d.Filter
	return f.States == nil && f.Search == "" && f.Pool == "" && f.Model == "" && f.Created == ""
}

// Bulk are the verbs for many orders at once that the person may use.
func (d ordersData) Bulk(p *page) (verbs []orderVerb) {
	for _, v := range orderVerbs {
		if slices.Contains([]string{"retry", "cancel", "fail"}, v.Name) && p.May(v.scope) {
			verbs = append(verbs, v)
		}
	}
	return verbs
}

// BatchFilter is the filter of the page, for a batch of all that match.
func (d ordersData) BatchFilter(p *page) string { return canonical(p.r.URL.RawQuery) }

// CreatedOptions are for the template.
func (ordersData) CreatedOptions() []option { return createdOptions }

// orders answers GET /{provider}/orders: where is that order, which are stuck?
func orders(p *page) error {
	data := ordersData{Filter: p.orderFilter(p.r.URL.Query()), Form: p.newForm(url.Values{}), All: p.Query("selected") == "all"}
	var (
		parts  errgroup.Group
		failed error
		counts loaded[openapi.OrderCounts]
	)
	parts.Go(func() error {
		data.Found, failed = read[openapi.OrderPage](p.API.ListOrders(p.ctx(), &data.Filter.params))
		return nil
	})
	load(&parts, &counts, func() (*http.Response, error) {
		return p.API.CountOrders(p.ctx(), &openapi.CountOrdersParams{EndedSince: new(p.startOfDay())})
	})
	parts.Go(func() error { data.Pools, data.Models = p.orderOptions(); return nil })
	parts.Go(func() error { data.Saved = p.savedFilters("orders"); return nil })
	_ = parts.Wait() // each part has its own error
	if failed != nil && !data.Form.refuse(failed, nil) {
		return failed
	}
	if to := p.onlyHit(data); failed == nil && to != "" {
		return p.redirect(to, "")
	}
	data.Tabs = tabsOf(data.Filter, counts)
	if data.SavedHere() != nil {
		for i := range data.Tabs {
			data.Tabs[i].Current = false
		}
	}
	if failed != nil { // a filter that the API refuses, such as a pool that cannot be
		for i := range data.Form.Listed {
			data.Form.Listed[i].Field = "" // the parameters of the API are not the fields of the filter
		}
		return p.again(data.Form, "orders", "Orders", data)
	}
	p.Live = "events"
	return p.show("orders", "Orders", data)
}

// onlyHit returns the page of the only thing that a search finds: an order, or the account with that id.
func (p *page) onlyHit(data ordersData) string {
	if data.Filter.Search == "" || data.Filter.Cursor != "" || p.updates() {
		return ""
	}
	if len(data.Found.Items) == 1 && data.Found.NextCursor == nil {
		return p.URL("orders", data.Found.Items[0].ID)
	}
	digits := strings.NewReplacer(" ", "", "-", "").Replace(data.Filter.Search)
	if len(data.Found.Items) > 0 || len(digits) != 12 || strings.Trim(digits, "0123456789") != "" || !p.May(provision.ScopeAccountsRead) {
		return ""
	}
	if _, err := read[openapi.Account](p.API.GetAccount(p.ctx(), digits)); err != nil {
		return ""
	}
	return p.URL("accounts", digits)
}

// tabsOf returns the tabs with their counts.
func tabsOf(f orderFilter, counts loaded[openapi.OrderCounts]) (tabs []orderTab) {
	for _, tab := range orderTabs {
		t := orderTab{Name: tab.name, Title: tab.title, Current: tab.name == f.Tab && f.States == nil}
		if counts.Err == nil {
			t.Count = new(countOf(tab.name, tab.states, counts.Value))
		}
		tabs = append(tabs, t)
	}
	return tabs
}

// countOf returns how many orders a tab selects.
func countOf(name string, states []provision.OrderState, counts openapi.OrderCounts) (n openapi.OrderCount) {
	switch {
	case name == "":
		return counts.All
	case states == nil && counts.Ended != nil:
		return *counts.Ended
	}
	for _, state := range states {
		of := counts.States[string(state)]
		n.Count, n.More = n.Count+of.Count, n.More || of.More
	}
	return n
}

// orderOptions returns the pools and models of the filter. A role that may not see the stock chooses among its marketplaces.
func (p *page) orderOptions() (pools, models []option) {
	if p.May(provision.ScopeStockRead) {
		if stock, err := read[openapi.Stock](p.API.GetStock(p.ctx(), &openapi.GetStockParams{})); err == nil {
			return poolOptions(stock), modelOptions(stock)
		}
	}
	pools = poolOptions(openapi.Stock{}) // the list is more important than its filter
	for _, marketplace := range p.Grant.Marketplaces {
		for _, environment := range []provision.Environment{provision.Production, provision.Test} {
			pools = append(pools, option{marketplace + "/" + string(environment), marketplace + " / " + string(environment)})
		}
	}
	return pools, nil
}
