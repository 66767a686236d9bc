package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// batchRoutes are the pages of batches. The API decides whether a batch of orders or of accounts may be seen or made.
func batchRoutes(with func(scope provision.Scope, pattern string, handle handler)) {
	with("", "GET /{provider}/batches", batches)
	with("", "GET /{provider}/batches/new", newBatch)
	with("", "POST /{provider}/batches/new", createBatch)
	with("", "GET /{provider}/batches/{id}", batch)
	with("", "GET /{provider}/batches/{id}/stop", batch)
	with("", "POST /{provider}/batches/{id}/stop", stopBatch)
}

// typedAbove is how many things one may act on without typing their number.
const typedAbove = 10

// bulkVerb is a verb for many orders or accounts.
type bulkVerb struct {
	Title, Button string
	Danger        bool
	Does          []string
}

// bulkVerbOf returns a verb of batches in the words of the verb for one thing.
func bulkVerbOf(verb provision.BatchVerb) (bulkVerb, bool) {
	switch verb.Targets() {
	case provision.BatchOrders:
		i := slices.IndexFunc(orderVerbs, func(v orderVerb) bool { return v.Name == verb.Action() })
		if i >= 0 {
			v := orderVerbs[i]
			return bulkVerb{v.Verb, v.Verb, v.Danger, v.Does}, true
		}
	case provision.BatchAccounts:
		i := slices.IndexFunc(accountVerbs, func(v accountVerb) bool { return v.Path == verb.Action() })
		if i >= 0 {
			v := accountVerbs[i]
			return bulkVerb{v.Title, v.Title, v.Danger, []string{v.What}}, true
		}
	}
	return bulkVerb{}, false
}

// bulkData is what the review of a batch shows.
type bulkData struct {
	Verb    bulkVerb
	Of      provision.BatchTargets
	Preview openapi.BatchPreview
	Form    *form
	Typed   bool // the number must be typed
	Back    string
}

// Things returns a number of orders or accounts.
func (d bulkData) Things(n int) string { return things(d.Of, n) }

func things(of provision.BatchTargets, n int) string {
	if of == provision.BatchOrders {
		return plural(n, "order", "orders")
	}
	return plural(n, "account", "accounts")
}

// newBatch answers GET /{provider}/batches/new: what would be done, to what, and what cannot be done? The address has the verb, and one
// of: the id of each thing (id), the filter of its list (filter), or a batch whose failed rows are tried again (from).
func newBatch(p *page) error {
	f := p.newForm(url.Values{})
	if f.Value("batch") == "" {
		f.Values.Set("batch", uuid.NewString())
	}
	return p.reviewBatch(f, http.StatusOK)
}

// reviewBatch shows the review with what a form has.
func (p *page) reviewBatch(f *form, code int) error {
	verb := provision.BatchVerb(f.Value("verb"))
	words, known := bulkVerbOf(verb)
	if !known {
		return noPage(p)
	}
	data := bulkData{Verb: words, Of: verb.Targets(), Form: f, Back: p.URL(string(verb.Targets()))}
	orders, accounts, err := p.targets(f, verb.Targets())
	if err != nil {
		return err
	}
	title := words.Title + ": " + string(data.Of)
	if orders == nil && accounts == nil {
		return p.show("batch-new", title, data)
	}
	data.Preview, err = read[openapi.BatchPreview](p.API.PreviewBatch(p.ctx(), openapi.BatchSelection{Verb: verb, Orders: orders,
		Accounts: accounts}))
	if err != nil && (f.Refused != "" || !f.refuse(err, nil)) {
		return err
	}
	if err != nil {
		return p.again(f, "batch-new", title, data)
	}
	f.Values.Set("count", strconv.Itoa(data.Preview.Count))
	data.Typed = data.Preview.Count > typedAbove
	if f.Refused != "" {
		title = "Error: " + title
	}
	return p.showStatus(code, "batch-new", title, data)
}

// targets returns what a form selects: orders or accounts; neither if it selects nothing.
func (p *page) targets(f *form, of provision.BatchTargets) (orders *openapi.OrderTargets, accounts *openapi.AccountTargets, err error) {
	ids := f.Values["id"]
	if from := f.Value("from"); from != "" {
		if ids, err = p.failedRows(from); err != nil {
			return nil, nil, err
		}
	}
	filter, err := url.ParseQuery(f.Value("filter"))
	if err != nil {
		return nil, nil, noPage(p)
	}
	switch {
	case len(ids) > 0 && of == provision.BatchOrders:
		return &openapi.OrderTargets{IDs: &ids}, nil, nil
	case len(ids) > 0:
		return nil, &openapi.AccountTargets{IDs: &ids}, nil
	case f.Values.Has("filter") && of == provision.BatchOrders:
		of := p.orderFilter(filter).params
		return &openapi.OrderTargets{Filter: &openapi.OrderFilter{
			State: of.State, Marketplace: of.Marketplace, Environment: of.Environment, Model: of.Model, Search: of.Search,
			CreatedAfter: of.CreatedAfter, EndedAfter: of.EndedAfter,
		}}, nil, nil
	case f.Values.Has("filter"):
		return nil, &openapi.AccountTargets{Filter: new(accountFilterOf(filter))}, nil
	}
	return nil, nil, nil
}

// failedRows returns the ids of the rows of a batch that have failed.
func (p *page) failedRows(batch string) (ids []string, err error) {
	params := openapi.ListBatchResultsParams{Limit: new(200), Outcome: &[]openapi.BatchOutcome{provision.RowFailed}}
	for {
		found, err := read[openapi.BatchResultPage](p.API.ListBatchResults(p.ctx(), batch, &params))
		if err != nil {
			return nil, err
		}
		for _, row := range found.Items {
			ids = append(ids, row.ID)
		}
		if params.Cursor = found.NextCursor; params.Cursor == nil {
			return ids, nil
		}
	}
}

// createBatch answers POST /{provider}/batches/new.
func createBatch(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	verb := provision.BatchVerb(f.Value("verb"))
	orders, accounts, err := p.targets(f, verb.Targets())
	if err != nil {
		return err
	}
	count := atoi(f.Value("count"))
	if count > typedAbove && f.Value("typed") != f.Value("count") {
		f.Status, f.Refused = http.StatusUnprocessableEntity, "1 field is invalid"
		f.Listed = []fieldMessage{{"typed", fmt.Sprintf("Number: type %d, so that it is no accident", count)}}
		return p.reviewBatch(f, f.Status)
	}
	made, err := read[openapi.Batch](p.API.CreateBatch(p.ctx(), openapi.NewBatch{
		ID: f.Value("batch"), Verb: verb, Orders: orders, Accounts: accounts, ExpectedCount: count, Reason: f.Value("reason"),
	}))
	if err == nil {
		return p.redirect(p.URL("batches", made.ID), "The batch is running. It goes on when you close this page.")
	}
	if !f.refuse(err, map[string]string{"id": "", "expected_count": ""}) {
		return err
	}
	f.Values.Del("typed") // the number may be another one now
	return p.reviewBatch(f, f.Status)
}
