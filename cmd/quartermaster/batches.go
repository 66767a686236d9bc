package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type batchesCommand struct {
	Preview previewBatchCommand `cmd:"" help:"Show which orders or accounts a batch would act on, which of them will refuse, and why. Nothing changes."`
	Create  createBatchCommand  `cmd:"" help:"Do one verb to many orders or accounts, on the server: the work goes on without this command."`
	List    listBatchesCommand  `cmd:"" help:"List batches, newest first."`
	Show    showBatchCommand    `cmd:"" help:"Show the progress of a batch."`
	Results batchResultsCommand `cmd:"" help:"List the outcome for each order or account of a batch."`
	Stop    stopBatchCommand    `cmd:"" help:"Stop a batch. What was done stays."`
}

// batchSelection says what a batch does, and to what.
type batchSelection struct {
	Verb          provision.BatchVerb       `arg:"" help:"For orders: retry, cancel, fail, swap or end_undo; for accounts: verify, invalidate, return or delete." enum:"retry,cancel,fail,swap,end_undo,verify,invalidate,return,delete"`
	IDs           []string                  `arg:"" optional:"" name:"id" help:"Ids of orders or accounts."`
	File          string                    `help:"File with ids, one a line; empty lines and lines that begin with # are ignored. -: the standard input." placeholder:"FILE"`
	FailedOf      string                    `help:"The orders or accounts that failed in an earlier batch." placeholder:"BATCH"`
	AllThatMatch  bool                      `help:"Select by the options below instead of ids; without any of them, select everything."`
	State         []provision.OrderState    `help:"Only orders in this state. Repeat the option, or separate several by commas." placeholder:"STATE"`
	Status        []provision.AccountStatus `help:"Only accounts with this status. Repeat the option, or separate several by commas." placeholder:"STATUS"`
	Marketplace   string                    `help:"Only orders or accounts of this marketplace." placeholder:"ID"`
	Environment   string                    `help:"Only orders or accounts of this environment: production or test." enum:",production,test" default:"" placeholder:"ENVIRONMENT"`
	Model         string                    `help:"Only orders or accounts of this model." placeholder:"MODEL"`
	Account       string                    `help:"Only the order that holds or received this AWS account." placeholder:"ID"`
	Customer      string                    `help:"Only orders of this customer." placeholder:"ID"`
	Search        string                    `help:"Only orders or accounts that this text finds." placeholder:"TEXT"`
	Asks          string                    `help:"Only orders that ask the customer, or an operator." enum:",customer,operator" default:"" placeholder:"WHOM"`
	CreatedAfter  time.Time                 `help:"Only orders created at this time or later: a time, a day, or how long ago, such as 7d." placeholder:"TIME"`
	CreatedBefore time.Time                 `help:"Only orders created before this time." placeholder:"TIME"`
	EndedAfter    time.Time                 `help:"Only orders that ended at this time or later." placeholder:"TIME"`
	EndedBefore   time.Time                 `help:"Only orders that ended before this time." placeholder:"TIME"`
}

// form returns the selection as the API takes it.
func (s batchSelection) form(e *env, api *client.Client) (openapi.BatchSelection, error) {
	form := openapi.BatchSelection{Verb: s.Verb}
	ids, err := s.named(e, api)
	if err != nil {
		return form, err
	}
	switch named := len(ids) > 0 || s.File != "" || s.FailedOf != ""; {
	case named == s.AllThatMatch:
		return form, usage("name the %s by their ids, --file or --failed-of, or select them with --all-that-match and the options after it",
			s.Verb.Targets())
	case named && len(ids) == 0:
		return form, usage("there are no %s to %s", s.Verb.Targets(), s.Verb)
	}
	if s.Verb.Targets() == provision.BatchOrders {
		form.Orders = &openapi.OrderTargets{IDs: namedList(ids)}
		if s.AllThatMatch {
			form.Orders.Filter = &openapi.OrderFilter{
				State: namedList(s.State), Marketplace: named(s.Marketplace), Environment: named(provision.Environment(s.Environment)),
				Model: named(provision.Model(s.Model)), AccountID: named(s.Account), CustomerID: named(s.Customer), Search: named(s.Search),
				Asks: named(provision.Addressee(s.Asks)), CreatedAfter: named(s.CreatedAfter), CreatedBefore: named(s.CreatedBefore),
				EndedAfter: named(s.EndedAfter), EndedBefore: named(s.EndedBefore),
			}
		}
		return form, nil
	}
	form.Accounts = &openapi.AccountTargets{IDs: namedList(ids)}
	if s.AllThatMatch {
		form.Accounts.Filter = &openapi.AccountFilter{Status: namedList(s.Status), Marketplace: named(s.Marketplace),
			Environment: named(provision.Environment(s.Environment)), Model: named(provision.Model(s.Model)), Search: named(s.Search)}
	}
	return form, nil
}

// named returns the ids that are named, and those of the failed rows of an earlier batch.
func (s batchSelection) named(e *env, api *client.Client) ([]string, error) {
	ids, err := idOptions{IDs: s.IDs, File: s.File}.ids(e)
	if err != nil || s.FailedOf == "" {
		return ids, err
	}
	failed, err := resultsOf(e, api, s.FailedOf, provision.RowFailed).all()
	for _, row := range failed {
		ids = append(ids, row.ID)
	}
	return ids, err
}

type previewBatchCommand struct {
	apiOptions
	outputOptions
	batchSelection
}

// Run prints the preview.
func (c *previewBatchCommand) Run(e *env, api *client.Client) error {
	form, err := c.form(e, api)
	if err != nil {
		return err
	}
	preview, raw, err := client.Object[openapi.BatchPreview](api.PreviewBatch(e.ctx, form))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, preview, raw, fmt.Sprint(preview.Count), showPreview)
}

func showPreview(e *env, p openapi.BatchPreview) error {
	fmt.Fprintf(e.out, "%d selected, of which %d will probably refuse\n", p.Count, p.Cannot.Count)
	if p.Count == 0 {
		return nil
	}
	rows := newTable(e.out, "ID", "STATE", "REFUSAL", "WHY")
	for _, kind := range []openapi.BatchCandidates{p.Can, p.Cannot} {
		for _, candidate := range kind.Items {
			rows.row(candidate.ID, orDash(candidate.State), orDash(candidate.Code), orDash(candidate.Message))
		}
		if more := kind.Count - len(kind.Items); more > 0 {
			rows.row(fmt.Sprintf("… and %d more", more))
		}
	}
	return rows.flush()
}

type createBatchCommand struct {
	apiOptions
	outputOptions
	yesOptions
	reasonOptions
	batchSelection
	ID     string        `help:"Id of the batch, a UUID: repeating the command with the same id starts nothing twice. Default: a new one." placeholder:"UUID"`
	Expect int           `help:"Do nothing unless exactly so many orders or accounts are selected. Default: the number that the command shows." placeholder:"N"`
	Wait   bool          `help:"Wait until the batch has ended. The exit code is 0 only if every row is done."`
	Poll   time.Duration `help:"How often the batch is read while it runs." default:"1s" hidden:""`
}

// Run reviews and creates the batch.
func (c *createBatchCommand) Run(e *env, api *client.Client) error {
	form, err := c.form(e, api)
	if err != nil {
		return err
	}
	id := c.ID
	if id == "" {
		id = uuid.NewString()
	}
	count := c.Expect
	if count == 0 || !c.Yes {
		preview, _, err := client.Object[openapi.BatchPreview](api.PreviewBatch(e.ctx, form))
		if err != nil {
			return err
		}
		if preview.Count == 0 {
			fmt.Fprintf(e.logs, "no %s match: there is nothing to %s\n", c.Verb.Targets(), c.Verb)
			return nil
		}
		if err := c.review(e, preview); err != nil {
			return err
		}
		if count == 0 {
			count = preview.Count
		}
	}
	batch, raw, err := client.Object[openapi.Batch](api.CreateBatch(e.ctx, openapi.NewBatch{ID: id, Verb: form.Verb, Orders: form.Orders,
		Accounts: form.Accounts, ExpectedCount: count, Reason: c.Reason}))
	if err != nil {
		return fmt.Errorf("batch %s: %w", id, err)
	}
	if c.Wait {
		if batch, raw, err = c.follow(e, api, batch, raw); err != nil {
			return err
		}
	}
	if err := writeObject(e, c.outputOptions, batch, raw, batch.ID, showBatch); err != nil || !c.Wait {
		return err
	}
	if batch.Done < batch.Total {
		return &partly{batch.Total - batch.Done, batch.Total}
	}
	return nil
}

// review shows what the batch would do, and asks.
func (c *createBatchCommand) review(e *env, preview openapi.BatchPreview) error {
	targets := make([]target, 0, len(preview.Can.Items)+len(preview.Cannot.Items))
	for _, candidate := range append(preview.Cannot.Items, preview.Can.Items...) {
		targets = append(targets, target{candidate.ID, or(candidate.State, "") + "  " + or(candidate.Message, "")})
	}
	if preview.Cannot.Count > 0 {
		fmt.Fprintf(e.logs, "%d of %d will probably refuse\n", preview.Cannot.Count, preview.Count)
	}
	return bulk{yesOptions: c.yesOptions, verb: string(c.batchSelection.Verb), noun: string(c.batchSelection.Verb.Targets()),
		plural: string(c.batchSelection.Verb.Targets()), targets: targets, count: preview.Count}.confirm(e)
}

// follow reads the batch until it has ended.
func (c *createBatchCommand) follow(e *env, api *client.Client, now openapi.Batch, raw []byte) (openapi.Batch, []byte, error) {
	shown := progress{out: e.logs, live: e.answerable}
	defer shown.clear()
	for now.State == provision.BatchRunning {
		shown.show(now.Total-now.Waiting, now.Total)
		err := pause(e, c.Poll)
		if err != nil {
			fmt.Fprintf(e.logs, "the batch %s goes on without this command\n", now.ID)
			return now, raw, err
		}
		if now, raw, err = client.Object[openapi.Batch](api.GetBatch(e.ctx, now.ID)); err != nil {
			return now, raw, err
		}
		shown.clear()
	}
	return now, raw, nil
}

func showBatch(e *env, b openapi.Batch) error {
	f := newFacts(e.out)
	f.add("batch", b.ID)
	f.add("does", fmt.Sprintf("%s %d %s", b.Verb, b.Total, b.Targets))
	f.add("state", b.State)
	f.add("why stopped", or(b.StoppedBecause, ""))
	f.add("by", b.By)
	f.add("reason", b.Reason)
	f.add("outcomes", outcomes(b))
	f.add("started", e.when(b.StartedAt))
	f.add("finished", e.whenOr(b.FinishedAt, ""))
	return f.out.Flush()
}

func outcomes(b openapi.Batch) string {
	return fmt.Sprintf("%d done, %d refused, %d failed, %d waiting", b.Done, b.Refused, b.Failed, b.Waiting)
}

type listBatchesCommand struct {
	apiOptions
	outputOptions
	pageOptions
}

// Run prints the batches.
func (c *listBatchesCommand) Run(e *env, api *client.Client) error {
	return listing[openapi.Batch]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListBatches(e.ctx, &openapi.ListBatchesParams{Limit: limit, Cursor: cursor})
		},
		headings: []string{"BATCH", "STARTED", "STATE", "VERB", "OF", "OUTCOMES", "BY", "REASON"},
		cells: func(b openapi.Batch) []any {
			return []any{b.ID, e.when(b.StartedAt), b.State, b.Verb, b.Targets, outcomes(b), b.By, b.Reason}
		},
		id: func(b openapi.Batch) string { return b.ID },
	}.write(e, c.outputOptions, c.pageOptions)
}

type batchIDOptions struct {
	apiOptions
	outputOptions
	Batch string `arg:"" name:"id" help:"The id of the batch."`
}

type showBatchCommand struct{ batchIDOptions }

// Run prints the batch.
func (c *showBatchCommand) Run(e *env, api *client.Client) error {
	batch, raw, err := client.Object[openapi.Batch](api.GetBatch(e.ctx, c.Batch))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, batch, raw, batch.ID, showBatch)
}

type batchResultsCommand struct {
	batchIDOptions
	pageOptions
	Outcome []provision.BatchOutcome `help:"Only rows with this outcome: waiting, done, refused or failed. Repeat the option for several." placeholder:"OUTCOME"`
}

// Run prints the results.
func (c *batchResultsCommand) Run(e *env, api *client.Client) error {
	return resultsOf(e, api, c.Batch, c.Outcome...).write(e, c.outputOptions, c.pageOptions)
}

// resultsOf returns the results of a batch.
func resultsOf(e *env, api *client.Client, batch string, outcomes ...provision.BatchOutcome) listing[openapi.BatchResult] {
	return listing[openapi.BatchResult]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListBatchResults(e.ctx, batch,
				&openapi.ListBatchResultsParams{Outcome: namedList(outcomes), Limit: limit, Cursor: cursor})
		},
		headings: []string{"ROW", "ID", "OUTCOME", "ENDED", "CODE", "WHY"},
		cells: func(r openapi.BatchResult) []any {
			return []any{r.Row, r.ID, r.Outcome, e.whenOr(r.EndedAt, "-"), orDash(r.Code), orDash(r.Message)}
		},
		id: func(r openapi.BatchResult) string { return r.ID },
	}
}

type stopBatchCommand struct {
	batchIDOptions
	reasonOptions
}

// Run stops the batch.
func (c *stopBatchCommand) Run(e *env, api *client.Client) error {
	batch, raw, err := client.Object[openapi.Batch](api.StopBatch(e.ctx, c.Batch, openapi.Reason{Reason: c.Reason}))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, batch, raw, batch.ID, showBatch)
}
