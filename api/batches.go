package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// CreateBatch answers POST /v1/batches. It starts the workflow before it stores the batch, so that every stored batch has a workflow; a
// workflow that finds no batch ends.
func (s *service) CreateBatch(ctx context.Context, in server.CreateBatchRequestObject) (server.CreateBatchResponseObject, error) {
	who := callerOf(ctx)
	selection, err := batchSelection(who, openapi.BatchSelection{Verb: in.Body.Verb, Orders: in.Body.Orders, Accounts: in.Body.Accounts})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(in.Body)
	if err != nil {
		return nil, fmt.Errorf("encoding a batch: %w", err)
	}
	hash := sha256.Sum256(text)
	batch := provision.NewBatch{
		BatchKey: provision.BatchKey{Provider: who.Provider, ID: in.Body.ID}, Tenant: who.Tenant, Actor: who.Actor(), Reason: in.Body.Reason,
		Selection: selection, Expected: in.Body.ExpectedCount, RequestHash: hash[:],
	}
	existing, err := s.Batches.Get(ctx, provision.Tenant{Provider: who.Provider}, batch.ID)
	switch {
	case err == nil:
		return s.batchAgain(ctx, existing, batch)
	case !errors.Is(err, provision.ErrNotFound):
		return nil, err
	}
	count, err := s.Batches.Count(ctx, who.Tenant, selection)
	if err == nil && count != batch.Expected {
		err = &provision.CountChangedError{Expected: batch.Expected, Found: count}
	}
	if err != nil {
		return nil, batchProblem(batch, err)
	}
	return s.startBatch(ctx, batch)
}

// startBatch starts the workflow of a batch, and stores the batch.
func (s *service) startBatch(ctx context.Context, batch provision.NewBatch) (server.CreateBatchResponseObject, error) {
	if err := s.Workflows.StartBatch(ctx, batch.BatchKey); err != nil {
		return nil, err
	}
	kept, err := s.Batches.Create(ctx, batch)
	if errors.Is(err, provision.ErrConflict) { // the same request came twice at the same moment
		if kept, err = s.Batches.Get(ctx, provision.Tenant{Provider: batch.Provider}, batch.ID); err == nil {
			return s.batchAgain(ctx, kept, batch)
		}
	}
	if err != nil {
		return nil, batchProblem(batch, err)
	}
	s.batchKept(ctx, batch.BatchKey)
	return server.CreateBatch202JSONResponse{Body: resource.Batch(kept),
		Headers: server.CreateBatch202ResponseHeaders{Location: s.batchLocation(kept.ID)}}, nil
}

// batchAgain answers a request for a batch that exists: with the batch or, if its content is different, with a refusal that shows nothing
// of it. A batch that is running gets a workflow if it has lost its own.
func (s *service) batchAgain(
	ctx context.Context, existing provision.Batch, again provision.NewBatch,
) (server.CreateBatchResponseObject, error) {
	if !bytes.Equal(existing.RequestHash, again.RequestHash) || existing.Actor != again.Actor {
		return nil, problem(codeBatchIDReused,
			"batch %s already exists with different content: choose another id for the new batch, or send the original content again",
			again.ID).at(bodyField("id", again.ID+" belongs to a batch with different content"))
	}
	if existing.State == provision.BatchRunning {
		if err := s.Workflows.StartBatch(ctx, existing.BatchKey); err != nil {
			return nil, err
		}
		s.batchKept(ctx, existing.BatchKey)
	}
	return server.CreateBatch200JSONResponse{Body: resource.Batch(existing),
		Headers: server.CreateBatch200ResponseHeaders{Location: s.batchLocation(existing.ID)}}, nil
}

// batchKept is a hint: the workflow looks for its batch within a minute.
func (s *service) batchKept(ctx context.Context, key provision.BatchKey) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	if err := s.Workflows.BatchKept(ctx, key); err != nil {
		s.Log.WarnContext(ctx, "could not tell a batch that it is stored; it looks within a minute", "batch", key.String(), "error", err)
	}
}

func (s *service) batchLocation(id string) string { return s.basePath + "/v1/batches/" + id }

// batchProblem turns an error about a new batch into what the caller is told.
func batchProblem(batch provision.NewBatch, err error) error {
	changed, ok := errors.AsType[*provision.CountChangedError](err)
	if !ok {
		return err
	}
	targets := batch.Selection.Verb.Targets()
	if changed.Found > provision.MaxBatch {
		return tooMany(targets)
	}
	what := fmt.Sprintf("the filter selects %d %s now", changed.Found, targets)
	if batch.Selection.IDs != nil {
		what = fmt.Sprintf("the request names %d %s", changed.Found, targets)
	}
	return problem(codeCountChanged, "%s, and %d were reviewed: nothing was done; review them again, and send the new number",
		what, changed.Expected).at(bodyField("expected_count", fmt.Sprintf("%d, and it would be %d", changed.Expected, changed.Found)))
}

// tooMany refuses a filter that selects more than a batch may have.
func tooMany(targets provision.BatchTargets) error {
	return invalidFields(bodyField(string(targets)+".filter", fmt.Sprintf(
		"selects more than %d %s, the most that a batch may have: narrow it, for example to one marketplace, and make several batches",
		provision.MaxBatch, targets)))
}

// mostPreviewed is how many orders or accounts of each kind a preview lists.
const mostPreviewed = 200

// PreviewBatch answers POST /v1/batches/preview.
func (s *service) PreviewBatch(ctx context.Context, in server.PreviewBatchRequestObject) (server.PreviewBatchResponseObject, error) {
	who := callerOf(ctx)
	selection, err := batchSelection(who, *in.Body)
	if err != nil {
		return nil, err
	}
	candidates, err := s.Batches.Candidates(ctx, who.Tenant, selection)
	if err != nil {
		return nil, err
	}
	if len(candidates) > provision.MaxBatch {
		return nil, tooMany(selection.Verb.Targets())
	}
	preview := openapi.BatchPreview{Count: len(candidates),
		Can: openapi.BatchCandidates{Items: []openapi.BatchCandidate{}}, Cannot: openapi.BatchCandidates{Items: []openapi.BatchCandidate{}}}
	for _, c := range candidates {
		kind := &preview.Can
		if c.Code != "" {
			kind = &preview.Cannot
		}
		if kind.Count++; kind.Count <= mostPreviewed {
			kind.Items = append(kind.Items, openapi.BatchCandidate{ID: c.ID, State: resource.Optional(c.State),
				Code: resource.Optional(c.Code), Message: resource.Optional(c.Message)})
		}
	}
	return server.PreviewBatch200JSONResponse(preview), nil
}

// ListBatches answers GET /v1/batches.
func (s *service) ListBatches(ctx context.Context, in server.ListBatchesRequestObject) (server.ListBatchesResponseObject, error) {
	who := callerOf(ctx)
	var readable []provision.BatchTargets
	for _, targets := range []provision.BatchTargets{provision.BatchOrders, provision.BatchAccounts} {
		if who.May(targets.Scope()) {
			readable = append(readable, targets)
		}
	}
	batches, next, err := list[provision.BatchCursor, provision.Batch, openapi.Batch]{
		valid: func(c provision.BatchCursor) bool { return plausible(c.StartedAt) && uuid.Validate(c.ID) == nil },
		read: func(after *provision.BatchCursor, limit int) ([]provision.Batch, error) {
			return s.Batches.List(ctx, who.Tenant, provision.BatchFilter{Targets: readable, Limit: limit, After: after})
		},
		show: resource.Batch,
		place: func(b provision.Batch) provision.BatchCursor {
			return provision.BatchCursor{StartedAt: b.StartedAt.UTC(), ID: b.ID}
		},
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListBatches200JSONResponse{Items: batches, NextCursor: next}, nil
}

// GetBatch answers GET /v1/batches/{batch_id}.
func (s *service) GetBatch(ctx context.Context, in server.GetBatchRequestObject) (server.GetBatchResponseObject, error) {
	batch, err := s.batch(ctx, in.BatchID)
	if err != nil {
		return nil, err
	}
	return server.GetBatch200JSONResponse(resource.Batch(batch)), nil
}

// batch reads a batch that the caller may read.
func (s *service) batch(ctx context.Context, id string) (provision.Batch, error) {
	who := callerOf(ctx)
	batch, err := s.Batches.Get(ctx, who.Tenant, id)
	switch {
	case errors.Is(err, provision.ErrNotFound):
		return batch, notFound("batch "+id, err)
	case err == nil && !who.May(batch.Targets.Scope()):
		return batch, forbidden(who, batch.Targets.Scope())
	}
	return batch, err
}

// StopBatch answers POST /v1/batches/{batch_id}/stop.
func (s *service) StopBatch(ctx context.Context, in server.StopBatchRequestObject) (server.StopBatchResponseObject, error) {
	batch, err := s.batch(ctx, in.BatchID)
	if err != nil {
		return nil, err
	}
	who := callerOf(ctx)
	if !who.May(batch.Verb.Scope()) {
		return nil, forbidden(who, batch.Verb.Scope())
	}
	stopped, err := s.Batches.Stop(ctx, batch.BatchKey, "stopped by "+who.Actor()+": "+in.Body.Reason)
	if err != nil {
		return nil, err
	}
	if batch, err = s.batch(ctx, in.BatchID); err != nil {
		return nil, err
	}
	if !stopped {
		return nil, problem(codeConflict, "batch %s is %s: only a running batch can be stopped", batch.ID, batch.State)
	}
	return server.StopBatch200JSONResponse(resource.Batch(batch)), nil
}

// ListBatchResults answers GET /v1/batches/{batch_id}/results.
func (s *service) ListBatchResults(
	ctx context.Context, in server.ListBatchResultsRequestObject,
) (server.ListBatchResultsResponseObject, error) {
	batch, err := s.batch(ctx, in.BatchID)
	if err != nil {
		return nil, err
	}
	results, next, err := list[seqCursor, provision.BatchRow, openapi.BatchResult]{
		valid: func(c seqCursor) bool { return c.valid() && c.Seq <= provision.MaxBatch },
		read: func(after *seqCursor, limit int) ([]provision.BatchRow, error) {
			return s.Batches.Rows(ctx, batch.BatchKey,
				provision.BatchRowFilter{Outcomes: value(in.Params.Outcome), Limit: limit, After: int(value(after).Seq)})
		},
		show: func(r provision.BatchRow) openapi.BatchResult {
			return openapi.BatchResult{Row: r.N, ID: r.ID, Outcome: r.Outcome, Code: resource.Optional(r.Code),
				Message: resource.Optional(r.Message), EndedAt: resource.UTC(r.EndedAt)}
		},
		place: func(r provision.BatchRow) seqCursor { return seqCursor{Seq: int64(r.N)} },
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListBatchResults200JSONResponse{Items: results, NextCursor: next}, nil
}

// batchSelection returns what a batch would do, and to what. It refuses a verb for which the caller lacks the scope.
func batchSelection(who caller, form openapi.BatchSelection) (provision.BatchSelection, error) {
	if !who.May(form.Verb.Scope()) {
		return provision.BatchSelection{}, forbidden(who, form.Verb.Scope())
	}
	selection := provision.BatchSelection{Verb: form.Verb}
	if orders := value(form.Orders); form.Verb.Targets() == provision.BatchOrders {
		selection.IDs, selection.Orders = value(orders.IDs), orderFilter(value(orders.Filter))
	} else {
		accounts := value(form.Accounts)
		selection.IDs, selection.Accounts = value(accounts.IDs), accountFilter(value(accounts.Filter))
	}
	return selection, nil
}

// batchRules checks which orders or accounts a batch names.
func batchRules(_ context.Context, body []byte) (broken []provision.FieldError, _ error) {
	type named struct{ IDs, Filter json.RawMessage }
	var form struct {
		Verb             provision.BatchVerb
		Orders, Accounts *named
	}
	_ = json.Unmarshal(body, &form) // the document's findings cover fields of another type
	targets := form.Verb.Targets()
	if targets == "" {
		return nil, nil
	}
	wanted, other, otherName := form.Orders, form.Accounts, provision.BatchAccounts
	if targets == provision.BatchAccounts {
		wanted, other, otherName = form.Accounts, form.Orders, provision.BatchOrders
	}
	if other != nil {
		broken = append(broken, provision.FieldError{Field: string(otherName),
			Message: fmt.Sprintf("the verb %s is for %s: leave %s out", form.Verb, targets, otherName)})
	}
	switch {
	case wanted == nil:
		broken = append(broken, provision.FieldError{Field: string(targets),
			Message: fmt.Sprintf("is missing: name the %s by their ids or by a filter", targets)})
	case (wanted.IDs == nil) == (wanted.Filter == nil):
		broken = append(broken, provision.FieldError{Field: string(targets),
			Message: fmt.Sprintf("send either ids or filter, which select the %s", targets)})
	}
	return broken, nil
}
