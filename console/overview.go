package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// overviewData is what the Overview shows.
type overviewData struct {
	Needs   []need
	Hidden  int      // needs beyond those that are listed
	Unread  []string // parts that could not be asked about what needs attention
	Stock   loaded[openapi.Stock]
	History loaded[openapi.HistoryPage]
	Health  loaded[openapi.Health]
	Asking  loaded[openapi.OrderPage]
	Counts  loaded[openapi.OrderCounts]
	Past    loaded[openapi.StockHistory]
	Setup   []setupStep // nil: the installation is set up
}

// need is something that waits for a person.
type need struct {
	Status status
	URL    string
	Name   string // what it is about
	ID     bool   // Name is an id
	Text   string
	Since  *time.Time
	Verb   string
	rank   int
}

// The order of needs, the most urgent first.
const (
	rankNoStock = iota
	rankAsksOperator
	rankFinding
	rankAsksCustomer
	rankLeftovers
	rankWebhook
	rankSuspended
	rankLow
	rankKey
)

// needsShown is how many needs the Overview lists.
const needsShown = 25

// overview answers GET /{provider}/: what needs me now?
func overview(p *page) error {
	var (
		data   overviewData
		failed loaded[openapi.AccountPage]
		alerts loaded[openapi.StockAlertPage]
		pools  errgroup.Group
	)
	ctx := p.ctx()
	load(&pools, &data.Stock, func() (*http.Response, error) { return p.API.GetStock(ctx, &openapi.GetStockParams{}) })
	load(&pools, &data.History, func() (*http.Response, error) {
		return p.API.ListHistory(ctx, &openapi.ListHistoryParams{Limit: new(8), Kind: &[]openapi.HistoryKind{"order"}})
	})
	load(&pools, &data.Counts, func() (*http.Response, error) {
		return p.API.CountOrders(ctx, &openapi.CountOrdersParams{EndedSince: new(p.startOfDay())})
	})
	load(&pools, &data.Past, func() (*http.Response, error) {
		return p.API.GetStockHistory(ctx, &openapi.GetStockHistoryParams{Since: new(p.Now.Add(-plotBack))})
	})
	load(&pools, &data.Asking, func() (*http.Response, error) {
		return p.API.ListOrders(ctx, &openapi.ListOrdersParams{State: &[]provision.OrderState{provision.ActionRequired}, Limit: new(100)})
	})
	load(&pools, &failed, func() (*http.Response, error) {
		return p.API.ListAccounts(ctx, &openapi.ListAccountsParams{
			Status: &[]provision.AccountStatus{provision.AccountProvisioningFailed}, Limit: new(100)})
	})
	load(&pools, &alerts, func() (*http.Response, error) {
		return p.API.ListStockAlerts(ctx, &openapi.ListStockAlertsParams{Limit: new(100)})
	})
	if p.May(provision.ScopeHealthRead) {
		load(&pools, &data.Health, func() (*http.Response, error) { return p.API.GetHealth(ctx) })
	}
	_ = pools.Wait() // each part has its own error

	data.Needs = slices.Concat(p.stockNeeds(data.Stock.Value, alerts.Value), p.orderNeeds(data.Asking.Value),
		p.accountNeeds(failed.Value), p.healthNeeds(data.Health.Value))
	slices.SortStableFunc(data.Needs, func(a, b need) int { return cmp.Or(cmp.Compare(a.rank, b.rank), earlier(a.Since, b.Since)) })
	data.Hidden = max(0, len(data.Needs)-needsShown)
	data.Needs = data.Needs[:len(data.Needs)-data.Hidden]
	for name, err := range map[string]*problem{"the stock": data.Stock.Err, "the orders": data.Asking.Err, "the accounts": failed.Err,
		"the alerts": alerts.Err, "the health": data.Health.Err} {
		if err != nil {
			data.Unread = append(data.Unread, name)
		}
	}
	slices.Sort(data.Unread)
	data.Setup = p.setup(data)
	p.Live = "events"
	return p.show("overview", "Overview", data)
}

// earlier compares two times; none is the latest.
func earlier(a, b *time.Time) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return a.Compare(*b)
}

func (p *page) stockNeeds(stock openapi.Stock, alerts openapi.StockAlertPage) (needs []need) {
	for _, pool := range stock.Items {
		name, url := pool.Marketplace+" / "+string(pool.Environment), p.URL("pools", pool.Marketplace, string(pool.Environment))
		if at := pool.ClaimsSuspendedAt; at != nil {
			needs = append(needs, need{Status: status{"Suspended", "bad", "bad"}, URL: url, Name: name, Since: at, rank: rankSuspended,
				Text: "Orders take no account of this pool until its verification works again.", Verb: "Look"})
		}
		alert := pool.Alert
		if alert == nil {
			if at := slices.IndexFunc(alerts.Items, func(a openapi.StockAlert) bool {
				return a.Marketplace == pool.Marketplace && a.Environment == pool.Environment && a.State != "closed"
			}); at >= 0 {
				alert = &alerts.Items[at]
			}
		}
		if alert == nil {
			continue
		}
		n := need{Status: status{"Low stock", "ask", "ask"}, URL: p.URL("accounts", "import") + "?" + poolQuery(pool.Marketplace,
			pool.Environment),
			Name: name, Text: sentence(alert.Reason), Since: &alert.KindSince, rank: rankLow, Verb: "Add accounts"}
		if pool.OrdersWaiting > 0 {
			n.Status, n.rank = status{"Out of stock", "bad", "bad"}, rankNoStock
			n.Text = fmt.Sprintf("None Ready, %s.", waits(pool.OrdersWaiting))
			if pool.Ready > 0 {
				n.Status.Word, n.Text = "Orders wait", fmt.Sprintf("%s Ready, but %s: none matches.", number(pool.Ready), waits(pool.OrdersWaiting))
			}
		}
		if !p.May(provision.ScopeAccountsWrite) {
			n.URL, n.Verb = url, "Look"
		}
		needs = append(needs, n)
	}
	return needs
}

func waits(n int) string {
	if n == 1 {
		return "1 order waits"
	}
	return number(n) + " orders wait"
}

func poolQuery(marketplace string, environment provision.Environment) string {
	return "marketplace=" + marketplace + "&environment=" + string(environment)
}

// sentence begins a text with a capital letter and ends it with a period.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[size:]
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}

func (p *page) orderNeeds(asking openapi.OrderPage) (needs []need) {
	for _, o := range asking.Items {
		n := need{Status: status{"Asks customer", "ask", "ask"}, URL: p.URL("orders", o.ID), Name: o.ID, ID: true, Since: &o.Since,
			rank: rankAsksCustomer, Verb: "Correct"}
		if o.Failure != nil {
			n.Text = sentence(o.Failure.Reason)
			if asks := o.Failure.Asks; asks != nil && *asks == "operator" {
				n.Status.Word, n.rank, n.Verb = "Asks operator", rankAsksOperator, "Decide"
			}
		}
		if !p.May(provision.ScopeOrdersWrite) {
			n.Verb = "Look"
		}
		needs = append(needs, n)
	}
	return needs
}

func (p *page) accountNeeds(failed openapi.AccountPage) (needs []need) {
	for _, a := range failed.Items {
		n := need{Status: status{"Leftovers", "undo", "undo"}, URL: p.URL("accounts", a.ID), Name: a.ID, ID: true, Since: &a.StatusSince,
			rank: rankLeftovers, Verb: "Clear", Text: "An undo could not restore everything in this account."}
		if a.Reason != nil {
			n.Text = sentence(*a.Reason)
		}
		if !p.May(provision.ScopeAccountsWrite) {
			n.Verb = "Look"
		}
		needs = append(needs, n)
	}
	return needs
}

// healthNeeds turns failed checks into needs. Those that only repeat what the stock says are left out.
func (p *page) healthNeeds(health openapi.Health) (needs []need) {
	ranks := map[string]int{"webhooks": rankWebhook, "api_keys": rankKey}
	for _, check := range health.Checks {
		if check.Status == "ok" || check.Name == "pools" {
			continue
		}
		n := need{Status: status{"Finding", "bad", "bad"}, URL: p.URL("health") + "#" + check.Name, Name: checkNames[check.Name],
			Text: sentence(check.Message), rank: rankFinding, Verb: "Look"}
		if rank, ok := ranks[check.Name]; ok {
			n.rank, n.Status = rank, status{"Attention", "ask", "ask"}
		}
		if n.Name == "" {
			n.Name = check.Name
		}
		needs = append(needs, n)
	}
	return needs
}

// checkNames are the checks of the health in the console's words.
var checkNames = map[string]string{
	"database": "Database", "schema": "Schema", "temporal": "Temporal", "workers": "Workers", "schedules": "Schedules",
	"reconcile": "Reconcile", "pools": "Pools", "webhooks": "Webhooks", "api_keys": "API keys",
}

// setupStep is a step of setting up a new installation.
type setupStep struct {
	Name, Text, URL string
	Done            bool
}

// setup returns the steps of a new installation, until the first order has been placed.
func (p *page) setup(data overviewData) []setupStep {
	if data.Stock.Err != nil || data.History.Err != nil || len(data.History.Value.Items) > 0 {
		return nil
	}
	pools, accounts, ready := len(data.Stock.Value.Items), 0, 0
	for _, pool := range data.Stock.Value.Items {
		accounts += pool.Ready + pool.InProgress + pool.Allocated + pool.Failed + pool.Invalid
		ready += pool.Ready
	}
	return []setupStep{
		{"Make a pool", "A pool holds the accounts of one marketplace and one environment.", p.URL("pools", "new"), pools > 0},
		{"Add accounts", "One by one, or all at once from a file.", p.URL("accounts", "import"), accounts > 0},
		{"Let Quartermaster in", "Each account needs a role with a trust policy. Verification says what is missing.", p.URL("accounts"),
			ready > 0},
		{"Place the first order", "The walk-through asks for what the customer has chosen.", p.URL("orders", "new"), false},
	}
}

// stateCount is how many orders are in a state.
type stateCount struct {
	State provision.OrderState
	openapi.OrderCount
}

// ByState returns how many orders are in each state that has not ended.
func (d overviewData) ByState() (counts []stateCount) {
	for _, state := range []provision.OrderState{provision.ActionRequired, provision.WaitingForAccount, provision.Provisioning,
		provision.Compensating} {
		counts = append(counts, stateCount{state, d.Counts.Value.States[string(state)]})
	}
	return counts
}

// HealthLine says in one line whether the service works.
func (d overviewData) HealthLine() string {
	workers := 0
	for _, w := range d.Health.Value.Workers {
		workers = max(workers, w.Count)
	}
	if d.Health.Value.Status != "ok" {
		return "the service needs attention"
	}
	return plural(workers, "worker", "workers") + " · Temporal reachable · all checks passed"
}
