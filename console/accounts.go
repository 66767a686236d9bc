package console

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// accountsData is what the list of accounts shows.
type accountsData struct {
	Items  []openapi.Account
	Tabs   []tab
	Pools  []option
	Models []option
	Form   *form // the filters
	From   int   // how many accounts are on the pages before this one
	InLine bool  // the rows are the line in which orders take accounts
	Next   string
	Any    bool // the provider has accounts, whatever the filter
	Kept   []option
	All    bool // all accounts that match are selected, not those of this page alone
}

// tab is a number of accounts that is a filter.
type tab struct {
	Name, URL string
	N         int
	Known     bool // N was counted
	Current   bool
}

// accountTabs are the counters of the list, with the query that each one is.
var accountTabs = []struct {
	name        string
	param, text string
	count       func(openapi.AccountCounts) int
}{
	{"All", "", "", func(c openapi.AccountCounts) int { return c.All }},
	{"Ready", "status", "ready", func(c openapi.AccountCounts) int { return c.Ready }},
	{"To verify", "waiting_for_verification", "true", func(c openapi.AccountCounts) int { return c.WaitingForVerification }},
	{"Finding", "has_finding", "true", func(c openapi.AccountCounts) int { return c.HasFinding }},
	{"Provisioning in progress", "status", "provisioning", func(c openapi.AccountCounts) int { return c.Provisioning }},
	{"Provisioning failed", "status", "provisioning_failed", func(c openapi.AccountCounts) int { return c.ProvisioningFailed }},
	{"Invalid", "status", "invalid", func(c openapi.AccountCounts) int { return c.Invalid }},
	{"Allocated", "status", "allocated", func(c openapi.AccountCounts) int { return c.Allocated }},
}

// accounts answers GET /{provider}/accounts: what have we got?
func accounts(p *page) error {
	var (
		counts loaded[openapi.AccountCounts]
		stock  loaded[openapi.Stock]
		found  openapi.AccountPage
		parts  errgroup.Group
	)
	ctx, filter := p.ctx(), p.accountFilter()
	load(&parts, &counts, func() (*http.Response, error) {
		return p.API.CountAccounts(ctx, &openapi.CountAccountsParams{Marketplace: filter.Marketplace, Environment: filter.Environment,
			Model: filter.Model})
	})
	load(&parts, &stock, func() (*http.Response, error) { return p.API.GetStock(ctx, &openapi.GetStockParams{}) })
	parts.Go(func() (err error) {
		found, err = read[openapi.AccountPage](p.API.ListAccounts(ctx, filter))
		return err
	})
	if err := parts.Wait(); err != nil {
		return err
	}
	if filter.Search != nil && filter.Cursor == nil && len(found.Items) == 1 {
		return p.redirect(p.URL("accounts", found.Items[0].ID), "")
	}
	data := accountsData{Items: found.Items, Tabs: p.accountTabs(counts), Form: p.newForm(nil), InLine: p.inLine(stock.Value),
		Kept: p.keptFilter()}
	data.Pools, data.Models = poolOptions(stock.Value), modelOptions(stock.Value)
	data.Form.Values.Set("pool", poolValue(p.Query("marketplace"), p.Query("environment"), p.Query("pool")))
	data.From = max(0, atoi(p.Query("from")))
	data.Next = p.nextPage(found.NextCursor, "from", strconv.Itoa(data.From+len(found.Items)))
	data.Any = len(found.Items) > 0 || counts.Err != nil || counts.Value.All > 0 || p.filtered()
	data.All = p.Query("selected") == "all"
	p.Live = "10"
	return p.show("accounts", "Accounts", data)
}

// accountFilter reads the filter of accounts from the address. Its parameters are those of the API; pool combines two of them.
func (p *page) accountFilter() *openapi.ListAccountsParams {
	of := accountFilterOf(p.r.URL.Query())
	return &openapi.ListAccountsParams{Status: of.Status, Marketplace: of.Marketplace, Environment: of.Environment, Model: of.Model,
		Search: of.Search, WaitingForVerification: of.WaitingForVerification, HasFinding: of.HasFinding, Limit: new(listLimit),
		Cursor: p.cursor()}
}

// accountFilterOf reads a filter of accounts from the query of an address of the list.
func accountFilterOf(query url.Values) (filter openapi.AccountFilter) {
	marketplace, environment := splitPool(query.Get("pool"))
	if marketplace == "" {
		marketplace, environment = query.Get("marketplace"), query.Get("environment")
	}
	filter.Marketplace, filter.Search = given(marketplace), given(query.Get("search"))
	if environment != "" {
		filter.Environment = new(provision.Environment(environment))
	}
	if model := query.Get("model"); model != "" {
		filter.Model = new(provision.Model(model))
	}
	for _, text := range query["status"] {
		if text != "" {
			filter.Status = new(append(listed(filter.Status), provision.AccountStatus(text)))
		}
	}
	for name, to := range map[string]**bool{"waiting_for_verification": &filter.WaitingForVerification, "has_finding": &filter.HasFinding} {
		if text := query.Get(name); text != "" {
			*to = new(text == "true")
		}
	}
	return filter
}

// given is the text, or nil if it is empty.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// accountParams are the parameters of the address that filter accounts.
var accountParams = []string{"search", "pool", "marketplace", "environment", "model", "status", "waiting_for_verification", "has_finding"}

// filtered reports whether the address filters accounts.
func (p *page) filtered() bool {
	return slices.ContainsFunc(accountParams, func(name string) bool { return p.Query(name) != "" })
}

// AccountsOf is the address of the accounts of a pool. The pairs are further filters; a pair without a value filters nothing.
func (p *page) AccountsOf(marketplace string, environment provision.Environment, pairs ...string) string {
	query := url.Values{"marketplace": {marketplace}, "environment": {string(environment)}}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return p.URL("accounts") + "?" + query.Encode()
}

// accountTabs are the counters of this page. Each keeps the pool and the model of the filter.
func (p *page) accountTabs(counts loaded[openapi.AccountCounts]) (tabs []tab) {
	for _, t := range accountTabs {
		pairs := []string{"status", "", "waiting_for_verification", "", "has_finding", "", "cursor", "", "from", ""}
		if t.param != "" {
			pairs = append(pairs, t.param, t.text)
		}
		current := p.Query(t.param) == t.text
		if t.param == "" {
			current = p.Query("status")+p.Query("waiting_for_verification")+p.Query("has_finding") == ""
		}
		tabs = append(tabs, tab{Name: t.name, URL: p.With(pairs...), N: t.count(counts.Value), Known: counts.Err == nil, Current: current})
	}
	return tabs
}

// keptFilter are the filters that the form of the filter keeps: those of the tab.
func (p *page) keptFilter() (kept []option) {
	for _, name := range []string{"status", "waiting_for_verification", "has_finding"} {
		if text := p.Query(name); text != "" {
			kept = append(kept, option{name, text})
		}
	}
	return kept
}

// inLine reports whether the list is the line of the Ready accounts of one pool and one model, in which each row has its place.
func (p *page) inLine(stock openapi.Stock) bool {
	filter := p.accountFilter()
	if !slices.Equal(listed(filter.Status), []provision.AccountStatus{provision.AccountReady}) || filter.Marketplace == nil ||
		filter.Environment == nil || filter.Search != nil || filter.HasFinding != nil || filter.Cursor != nil && p.Query("from") == "" {
		return false
	}
	models := map[provision.Model]bool{}
	for _, pool := range stock.Items {
		if pool.Marketplace == *filter.Marketplace && pool.Environment == *filter.Environment {
			for _, of := range pool.Models {
				models[of.Model] = models[of.Model] || of.Ready > 0
			}
		}
	}
	maps.DeleteFunc(models, func(_ provision.Model, ready bool) bool { return !ready })
	return filter.Model != nil || len(models) == 1
}

// poolOptions are the pools to filter by.
func poolOptions(stock openapi.Stock) []option {
	options := []option{{"", "All pools"}}
	for _, pool := range stock.Items {
		options = append(options, option{poolValue(pool.Marketplace, string(pool.Environment), ""),
			pool.Marketplace + " / " + string(pool.Environment)})
	}
	return options
}

// poolValue names a pool in one field.
func poolValue(marketplace, environment, otherwise string) string {
	if marketplace == "" {
		return otherwise
	}
	return marketplace + "/" + environment
}

// splitPool reads what poolValue wrote.
func splitPool(text string) (marketplace, environment string) {
	marketplace, environment, _ = strings.Cut(text, "/")
	return marketplace, environment
}

// modelOptions are the models to filter by.
func modelOptions(stock openapi.Stock) []option {
	options := []option{{"", "Any"}}
	for _, model := range modelsOf(stock) {
		options = append(options, option{model, model})
	}
	return options
}

// modelsOf are the models of the accounts, and those of AWS's program.
func modelsOf(stock openapi.Stock) []string {
	models := map[string]bool{string(provision.ModelSPAM): true, string(provision.ModelECAM): true}
	for _, pool := range stock.Items {
		for _, of := range pool.Models {
			models[string(of.Model)] = true
		}
	}
	return slices.Sorted(maps.Keys(models))
}

// Place is the place in line of the row with that index.
func (d accountsData) Place(index int) int { return d.From + index + 1 }

// accountNote is what a row says about an account: what is wrong, or why it has its status.
func accountNote(a openapi.Account) string {
	switch {
	case a.Finding != nil:
		return *a.Finding
	case a.Status == provision.AccountReady || a.Reason == nil || *a.Reason == provision.AwaitsVerification: // the status says that
		return ""
	}
	return *a.Reason
}

// exportAccounts answers GET /{provider}/accounts/export: a file with the accounts of the filter.
func exportAccounts(p *page) error {
	f := p.accountFilter()
	return p.download(p.API.ExportAccounts(p.ctx(), &openapi.ExportAccountsParams{Status: f.Status, Marketplace: f.Marketplace,
		Environment: f.Environment, Model: f.Model, Search: f.Search, WaitingForVerification: f.WaitingForVerification,
		HasFinding: f.HasFinding}))
}

// atoi reads a number; 0 if it is none.
func atoi(text string) int {
	n, _ := strconv.Atoi(text) // 0
	return n
}

// accountQuery is the filter of the list in its address, without the place in the list.
func (p *page) accountQuery() url.Values {
	query := p.r.URL.Query()
	for name := range query {
		if !slices.Contains(accountParams, name) {
			query.Del(name)
		}
	}
	return query
}

// BatchFilter is the filter of the page, for a batch of all that match.
func (accountsData) BatchFilter(p *page) string { return p.accountQuery().Encode() }

// Export is the address of the file with the accounts of this page's filter.
func (p *page) Export() string {
	query := p.accountQuery()
	if len(query) == 0 {
		return p.URL("accounts", "export")
	}
	return fmt.Sprintf("%s?%s", p.URL("accounts", "export"), query.Encode())
}

// Shown says which rows of the list the page shows.
func (d accountsData) Shown() string {
	return fmt.Sprintf("%s to %s", number(d.From+1), number(d.From+len(d.Items)))
}
