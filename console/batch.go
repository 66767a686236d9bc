package console

import (
	"fmt"
	"net/http"
	"net/url"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// batchData is what the page of a batch shows.
type batchData struct {
	Batch   openapi.Batch
	Words   bulkVerb
	Tabs    []batchTab
	Results loaded[openapi.BatchResultPage]
	Next    string
	Form    *form // stops it
}

// batchTab is a filter of the rows of a batch.
type batchTab struct {
	Name, URL string
	N         int
	Current   bool
}

// batch answers GET /{provider}/batches/{id}: how far is it, and what became of each row?
func batch(p *page) error { return p.showBatch(p.newForm(url.Values{}), http.StatusOK) }

func (p *page) showBatch(f *form, code int) error {
	id := p.r.PathValue("id")
	found, err := read[openapi.Batch](p.API.GetBatch(p.ctx(), id))
	if err != nil {
		return err
	}
	data := batchData{Batch: found, Form: f}
	data.Words, _ = bulkVerbOf(found.Verb)
	params := &openapi.ListBatchResultsParams{Limit: new(listLimit), Cursor: p.cursor()}
	if outcome := p.Query("outcome"); outcome != "" {
		params.Outcome = &[]openapi.BatchOutcome{openapi.BatchOutcome(outcome)}
	}
	rows, err := read[openapi.BatchResultPage](p.API.ListBatchResults(p.ctx(), id, params))
	if err != nil {
		data.Results.Err = problemOf(err)
	}
	data.Results.Value, data.Next = rows, p.nextPage(rows.NextCursor)
	for _, tab := range []batchTab{
		{Name: "", N: found.Total}, {Name: string(provision.RowDone), N: found.Done}, {Name: string(provision.RowRefused), N: found.Refused},
		{Name: string(provision.RowFailed), N: found.Failed}, {Name: string(provision.RowWaiting), N: found.Waiting},
	} {
		tab.URL, tab.Current = p.URL("batches", id), tab.Name == p.Query("outcome")
		if tab.Name != "" {
			tab.URL += "?outcome=" + tab.Name
		}
		data.Tabs = append(data.Tabs, tab)
	}
	if found.State == provision.BatchRunning {
		p.Live = "2"
	}
	title := fmt.Sprintf("%s: %s", data.Words.Title, things(found.Targets, found.Total))
	if f.Refused != "" {
		title = "Error: " + title
	}
	return p.showStatus(code, "batch", title, data)
}

// Outcome is the outcome that the tab selects.
func (t batchTab) Outcome() provision.BatchOutcome { return provision.BatchOutcome(t.Name) }

// Ended is how many rows have an outcome.
func (d batchData) Ended() int { return d.Batch.Total - d.Batch.Waiting }

// Stop reports whether the person may stop the batch.
func (d batchData) Stop(p *page) bool {
	return d.Batch.State == provision.BatchRunning && p.May(d.Batch.Verb.Scope())
}

// Again reports whether the person may try the failed rows again.
func (d batchData) Again(p *page) bool {
	return d.Batch.State != provision.BatchRunning && d.Batch.Failed > 0 && p.May(d.Batch.Verb.Scope())
}

// Things returns a number of orders or accounts.
func (d batchData) Things(n int) string { return things(d.Batch.Targets, n) }

// stopBatch answers POST /{provider}/batches/{id}/stop.
func stopBatch(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	id := p.r.PathValue("id")
	_, err = client.Body(p.API.StopBatch(p.ctx(), id, openapi.Reason{Reason: f.Value("reason")}))
	if err == nil {
		return p.redirect(p.URL("batches", id), "The batch is stopped. What was done stays.")
	}
	if !f.refuse(err, nil) {
		return err
	}
	return p.showBatch(f, f.Status)
}

// batches answers GET /{provider}/batches.
func batches(p *page) error {
	found, err := read[openapi.BatchPage](p.API.ListBatches(p.ctx(), &openapi.ListBatchesParams{Limit: new(listLimit), Cursor: p.cursor()}))
	if err != nil {
		return err
	}
	p.Live = "10"
	return p.show("batches", "Batches", batchesData{found, p.nextPage(found.NextCursor)})
}

// batchesData is what the list of batches shows.
type batchesData struct {
	openapi.BatchPage
	Next string
}
