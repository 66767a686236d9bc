package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// historyData is what the page of the history shows.
type historyData struct {
	Found    loaded[openapi.HistoryPage]
	Pools    []option
	Kinds    []historyTab
	Form     *form
	Filtered bool
}

// historyTab chooses a kind of entries.
type historyTab struct {
	Name, URL string
	Current   bool
}

// The fields of the filter. The ids are those of links from other pages; people type one of them as "about".
var historyFilters = []string{"about", "order_id", "account_id", "key_id", "actor", "pool", "from", "to"}

// history answers GET /{provider}/history: who did what, when and why?
func history(p *page) error {
	f := &form{Values: p.r.URL.Query()}
	params, err := p.historyParams(f)
	if err != nil {
		return err
	}
	data := historyData{Form: f, Kinds: p.historyTabs()}
	for _, name := range historyFilters {
		data.Filtered = data.Filtered || f.Value(name) != ""
	}
	var pools loaded[openapi.PoolPage]
	var parts errgroup.Group
	load(&parts, &data.Found, func() (*http.Response, error) { return p.API.ListHistory(p.ctx(), &params) })
	if p.May(provision.ScopePoolsRead) {
		load(&parts, &pools, func() (*http.Response, error) {
			return p.API.ListPools(p.ctx(), &openapi.ListPoolsParams{Limit: new(200)})
		})
	}
	_ = parts.Wait() // each part has its own error
	data.Pools = []option{{"", "any"}}
	for _, pool := range pools.Value.Items {
		name := poolName(pool.Marketplace, pool.Environment)
		data.Pools = append(data.Pools, option{name, pool.Marketplace + " / " + string(pool.Environment)})
	}
	f.Values.Set("about", aboutWhat(f))
	status := http.StatusOK
	if data.Found.Err != nil {
		status = data.Found.Err.status
	}
	return p.showStatus(status, "history", "History", data)
}

// historyTabs are the kinds of entries that the person may read.
func (p *page) historyTabs() (tabs []historyTab) {
	chosen := p.Query("kind")
	tab := func(name, kind string) {
		tabs = append(tabs, historyTab{name, p.With("kind", kind, "cursor", ""), chosen == kind})
	}
	tab("Everything", "")
	names := map[provision.HistoryKind]string{
		provision.HistoryOfOrders: "Orders", provision.HistoryOfAccounts: "Accounts", provision.HistoryOfPools: "Pools",
		provision.HistoryOfAccess: "Keys and sign-ins",
	}
	for _, kind := range provision.HistoryKinds {
		if p.May(kind.Scope) {
			tab(names[kind.Kind], string(kind.Kind))
		}
	}
	return tabs
}

// aboutWhat returns the id that the filter names, in any of the ways.
func aboutWhat(f *form) string {
	for _, name := range []string{"about", "order_id", "account_id", "key_id"} {
		if id := strings.TrimSpace(f.Value(name)); id != "" {
			return id
		}
	}
	return ""
}

// Account ids have 12 digits, ids of keys 12 hexadecimal ones.
var (
	accountIDs = regexp.MustCompile(`^[0-9]{12}$`)
	keyIDs     = regexp.MustCompile(`^[0-9a-f]{12}$`)
)

// historyParams turns the filter of the address into that of the API. Days are those of the page's time zone; the last one counts.
func (p *page) historyParams(f *form) (params openapi.ListHistoryParams, err error) {
	params = openapi.ListHistoryParams{
		Actor: f.optional("actor"), OrderID: f.optional("order_id"), AccountID: f.optional("account_id"), KeyID: f.optional("key_id"),
		Cursor: f.optional("cursor"), Limit: new(50),
	}
	if kind := f.Value("kind"); kind != "" {
		params.Kind = &[]openapi.HistoryKind{openapi.HistoryKind(kind)}
	}
	if about := strings.TrimSpace(f.Value("about")); about != "" {
		switch {
		case accountIDs.MatchString(about):
			params.AccountID = &about
		case keyIDs.MatchString(about):
			params.KeyID = &about
		default:
			params.OrderID = &about
		}
	}
	if marketplace, environment, ok := strings.Cut(f.Value("pool"), "/"); ok {
		params.Marketplace, params.Environment = &marketplace, new(provision.Environment(environment))
	}
	if params.Since, err = p.day(f.Value("from"), 0); err != nil {
		return params, err
	}
	params.Until, err = p.day(f.Value("to"), 1)
	return params, err
}

// day returns the beginning of a day in the page's time zone, or of one that many days later; nil if none is named.
func (p *page) day(text string, later int) (*time.Time, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no day is no fault
	}
	day, err := time.ParseInLocation(time.DateOnly, text, p.location)
	if err != nil {
		return nil, &problem{status: http.StatusBadRequest, title: "This is not a day",
			detail: `"` + text + `" is not a day: write it as 2026-11-26.`}
	}
	day = day.AddDate(0, 0, later).UTC()
	return &day, nil
}

// ExportURL is where the same entries are as CSV.
func (p *page) ExportURL() string {
	query := url.Values{}
	for name, values := range p.r.URL.Query() {
		if name != "cursor" {
			query[name] = values
		}
	}
	if len(query) == 0 {
		return p.URL("history", "export")
	}
	return p.URL("history", "export") + "?" + query.Encode()
}

// historyLine says what an entry of the history is about.
type historyLine struct {
	Status status // what was done, or what came of it
	Text   string
}

// historyWords are codes of the history in people's words. Others, such as those of failures, are shown as they are.
var historyWords = map[string]string{
	"correct": "Correction", "retry": "Retry", "swap": "Next account", "cancel": "Cancel", "fail": "Fail", "end-undo": "End the undo",
	"password": "New password asked for", "password_issued": "New password", "password_link_ended": "Password link ended",
	"tick": "Manual step done", "untick": "Manual step not done",
	"update": "Edited", "delete": "Deleted", "invalidate": "Invalidate", "return": "Return", "verify": "Verify",
	"verified": "Verified", "not-verified": "Not verified", "remove-leftovers": "Remove leftovers", "leftovers-removed": "Leftovers removed",
	"protected": "Protected", "changed": "Protection changed", "unprotected": "No longer protected",
	"created": "Key created", "rotated": "Key rotated", "revoked": "Key revoked",
	"signed_in": "Signed in", "signed_out": "Signed out", "sessions_ended": "All sessions ended",
}

// poolCreated is the code of the entry that has all settings of a new pool.
const poolCreated = "created"

// lineOf says what an entry is about.
func lineOf(e openapi.HistoryEntry) historyLine {
	code := ""
	if e.Code != nil {
		code = *e.Code
	}
	words, known := historyWords[code]
	if !known {
		words = code
	}
	line := historyLine{Status: status{words, "quiet", "calm"}, Text: strings.Join(listed(e.Fields), ", ")}
	changed := jsonText(e.From) != jsonText(e.To)
	switch {
	case e.Refused != nil:
		line = historyLine{status{"Refused", "bad", "bad"}, strings.TrimSuffix(words+" "+line.Text, " ") + ": " + *e.Refused}
	case e.Kind == provision.HistoryOfPools && code == poolCreated:
		line = historyLine{status{"Pool created", "quiet", "calm"}, ""}
	case e.Kind == provision.HistoryOfPools:
		line = historyLine{status{"Setting", "quiet", "calm"}, code + ": " + jsonText(e.From) + " → " + jsonText(e.To)}
	case e.Kind == provision.HistoryOfOrders && changed:
		line = historyLine{orderStatus(provision.OrderState(jsonText(e.To))), words}
	case e.Kind == provision.HistoryOfAccounts && changed:
		line = historyLine{accountStatus(provision.AccountStatus(jsonText(e.To))), words}
	}
	return line
}

// actorOf names who did it. An order's own workflow has a long name.
func actorOf(e openapi.HistoryEntry) string {
	if e.OrderID != nil && strings.HasPrefix(e.Actor, "order ") && strings.HasSuffix(e.Actor, "/"+*e.OrderID) {
		return "the order"
	}
	return e.Actor
}

// jsonText returns a value of the history as people read it.
func jsonText(value *json.RawMessage) string {
	if value == nil || string(*value) == "null" {
		return "none"
	}
	var text string
	if err := json.Unmarshal(*value, &text); err == nil {
		return text
	}
	return string(*value)
}

// exportHistory answers GET /{provider}/history/export with the entries of the same filter as CSV.
func exportHistory(p *page) error {
	params, err := p.historyParams(&form{Values: p.r.URL.Query()})
	if err != nil {
		return err
	}
	return p.download(p.API.ExportHistory(p.ctx(), &openapi.ExportHistoryParams{
		Kind: params.Kind, Actor: params.Actor, OrderID: params.OrderID, AccountID: params.AccountID, KeyID: params.KeyID,
		Marketplace: params.Marketplace, Environment: params.Environment, Since: params.Since, Until: params.Until,
	}))
}
