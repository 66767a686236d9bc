package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

const batchesPath = "/v1/batches"

// batchOf is the body of a batch.
func batchOf(verb provision.BatchVerb, targets string, count int) (id, body string) {
	id = uuid.NewString()
	return id, fmt.Sprintf(`{"id":%q,"verb":%q,%s,"expected_count":%d,"reason":"because"}`, id, verb, targets, count)
}

// batchResults are the rows of a batch, each in a few words.
func (w *testAPI) batchResults(t *testing.T, id, query string) (words []string) {
	t.Helper()
	page := read[openapi.BatchResultPage](t, w.get(batchesPath+"/"+id+"/results"+query), http.StatusOK)
	for _, r := range page.Items {
		words = append(words, fmt.Sprintf("%d %s %s %s: %s", r.Row, r.ID, r.Outcome, value(r.Code), value(r.Message)))
	}
	return words
}

func TestABatchAnswersEachRowAsASingleRequest(t *testing.T) {
	t.Parallel()
	for _, verb := range []provision.BatchVerb{provision.BatchRetry, provision.BatchCancel, provision.BatchFail, provision.BatchSwap,
		provision.BatchEndUndo} {
		single, many := setup(t), setup(t)
		states := []provision.OrderState{provision.Accepted, provision.WaitingForAccount, provision.Provisioning, provision.ActionRequired,
			provision.Compensating, provision.Failed}
		var want, ids []string
		for i, state := range states {
			id := fmt.Sprintf("MP-%d", i)
			ids = append(ids, id)
			for _, w := range []*testAPI{single, many} {
				w.createOrder(id, state, asking("aws_account_alias"))
			}
			row := fmt.Sprintf("%d %s done : ", i+1, id)
			said := map[string]string{"reason": "because"}
			if verb == provision.BatchSwap {
				order := read[openapi.Order](t, single.get("/v1/orders/"+id), http.StatusOK)
				if said["account_id"] = value(order.AccountID); said["account_id"] == "" {
					want = append(want, fmt.Sprintf("%d %s refused NotAsked: the order held no account that could be swapped", i+1, id))
					continue
				}
			}
			answer := single.post("/v1/orders/"+id+"/"+verb.Action(), said)
			if answer.Code != http.StatusAccepted {
				var p openapi.Problem
				require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &p))
				row = fmt.Sprintf("%d %s refused %s: %s", i+1, id, p.Code, p.Detail)
			}
			want = append(want, row)
		}
		targets, err := json.Marshal(ids)
		require.NoError(t, err)
		id, body := batchOf(verb, `"orders":{"ids":`+string(targets)+`}`, len(ids))
		read[openapi.Batch](t, many.send(many.key, http.MethodPost, batchesPath, body), http.StatusAccepted)
		require.Equal(t, want, many.batchResults(t, id, ""), verb)
		for i, order := range ids {
			if strings.HasSuffix(want[i], "held no account that could be swapped") {
				continue
			}
			require.Equal(t, historyWords(t, single, order), historyWords(t, many, order), "%s %s", verb, order)
		}
		require.Equal(t, "completed", string(read[openapi.Batch](t, many.get(batchesPath+"/"+id), http.StatusOK).State))
	}
}

// historyWords is what the history of an order says about requests, without who and when.
func historyWords(t *testing.T, w *testAPI, id string) (words []string) {
	t.Helper()
	page := read[openapi.OrderHistoryPage](t, w.get("/v1/orders/"+id+"/history"), http.StatusOK)
	for _, e := range page.Items {
		if strings.HasPrefix(e.Actor, "key ") {
			require.Equal(t, "key "+w.keyID(), e.Actor)
			words = append(words, fmt.Sprintf("%s %s %s %s", value(e.Code), e.ToState, value(e.Refused), value(e.Reason)))
		}
	}
	return words
}

func TestARepeatedBatchStartsNothingTwice(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.createOrder("MP-1", provision.ActionRequired, asking("aws_account_alias"))
	id, body := batchOf(provision.BatchRetry, `"orders":{"filter":{"state":["action_required"]}}`, 1)
	first := w.send(w.key, http.MethodPost, batchesPath, body)
	read[openapi.Batch](t, first, http.StatusAccepted)
	require.Equal(t, "/qm"+batchesPath+"/"+id, first.Header().Get("Location"))
	again := read[openapi.Batch](t, w.send(w.key, http.MethodPost, batchesPath, body), http.StatusOK)
	require.Equal(t, 1, again.Done)
	require.Len(t, w.told(t), 1)
	readProblem(t, w.send(w.key, http.MethodPost, batchesPath, strings.Replace(body, "because", "another reason", 1)), http.StatusConflict,
		codeBatchIDReused)
	require.Len(t, w.told(t), 1)

	w.workflows.holdBatches = true
	id, body = batchOf(provision.BatchRetry, `"orders":{"ids":["MP-1"]}`, 1)
	read[openapi.Batch](t, w.send(w.key, http.MethodPost, batchesPath, body), http.StatusAccepted)
	w.workflows.holdBatches = false // its workflow was lost
	read[openapi.Batch](t, w.send(w.key, http.MethodPost, batchesPath, body), http.StatusOK)
	require.Equal(t, provision.BatchCompleted, read[openapi.Batch](t, w.get(batchesPath+"/"+id), http.StatusOK).State,
		"a repeat gives a running batch a workflow")
}

func TestABatchOfAnotherSizeThanReviewedDoesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i := range 3 {
		w.createOrder(fmt.Sprintf("MP-%d", i), provision.ActionRequired, asking("aws_account_alias"))
	}
	id, body := batchOf(provision.BatchCancel, `"orders":{"filter":{}}`, 2)
	p := readProblem(t, w.send(w.key, http.MethodPost, batchesPath, body), http.StatusConflict, codeCountChanged)
	require.Equal(t, "the filter selects 3 orders now, and 2 were reviewed: nothing was done; "+
		"review them again, and send the new number", p.Detail)
	readProblem(t, w.get(batchesPath+"/"+id), http.StatusNotFound, codeNotFound)
	require.Empty(t, w.workflows.batches)
	_, body = batchOf(provision.BatchCancel, `"orders":{"ids":["MP-0","MP-1"]}`, 3)
	p = readProblem(t, w.send(w.key, http.MethodPost, batchesPath, body), http.StatusConflict, codeCountChanged)
	require.Contains(t, p.Detail, "the request names 2 orders, and 3 were reviewed")
	require.Empty(t, w.told(t))
}

func TestABatchNeedsTheScopeOfItsVerb(t *testing.T) {
	t.Parallel()
	w := setup(t)
	marketplace := w.createKeyOf("acme", provision.RoleMarketplace)
	_, retry := batchOf(provision.BatchRetry, `"orders":{"ids":["MP-1"]}`, 1)
	p := readProblem(t, w.send(marketplace, http.MethodPost, batchesPath, retry), http.StatusForbidden, codeForbidden)
	require.Contains(t, p.Detail, "this requires the scope orders:operate")
	_, cancel := batchOf(provision.BatchCancel, `"orders":{"ids":["MP-1"]}`, 1)
	mine := read[openapi.Batch](t, w.send(marketplace, http.MethodPost, batchesPath, cancel), http.StatusAccepted)
	id, verify := batchOf(provision.BatchVerify, `"accounts":{"ids":["111122223333"]}`, 1)
	readProblem(t, w.send(marketplace, http.MethodPost, batchesPath, verify), http.StatusForbidden, codeForbidden)
	read[openapi.Batch](t, w.send(w.key, http.MethodPost, batchesPath, verify), http.StatusAccepted)

	reader := w.createKeyOf("acme", provision.RoleViewer,
		func(k *provision.APIKey) { k.Scopes = []provision.Scope{provision.ScopeOrdersRead} })
	listed := read[openapi.BatchPage](t, w.send(reader, http.MethodGet, batchesPath, ""), http.StatusOK)
	require.Len(t, listed.Items, 1, "the batches of orders alone")
	require.Equal(t, mine.ID, listed.Items[0].ID)
	readProblem(t, w.send(reader, http.MethodGet, batchesPath+"/"+id, ""), http.StatusForbidden, codeForbidden)
	readProblem(t, w.send(marketplace, http.MethodGet, batchesPath+"/"+id, ""), http.StatusForbidden, codeForbidden)
	bound := w.createKeyOf("acme", provision.RoleMarketplace, func(k *provision.APIKey) { k.Marketplaces = []string{"south"} })
	readProblem(t, w.send(bound, http.MethodGet, batchesPath+"/"+mine.ID, ""), http.StatusNotFound, codeNotFound)
	require.Equal(t, []string{`1 111122223333 refused NotFound: account 111122223333 not found`}, w.batchResults(t, id, "?outcome=refused"))
}

func TestARunningBatchIsStopped(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.workflows.holdBatches = true
	id, body := batchOf(provision.BatchVerify, `"accounts":{"ids":["111122223333"]}`, 1)
	read[openapi.Batch](t, w.send(w.key, http.MethodPost, batchesPath, body), http.StatusAccepted)
	stop := batchesPath + "/" + id + "/stop"
	stopped := read[openapi.Batch](t, w.post(stop, map[string]string{"reason": "too many"}), http.StatusOK)
	require.Equal(t, provision.BatchStopped, stopped.State)
	require.Equal(t, "stopped by key "+w.keyID()+": too many", value(stopped.StoppedBecause))
	require.NoError(t, w.workflows.runBatch(provision.BatchKey{Provider: "acme", ID: id}))
	require.Equal(t, []string{"1 111122223333 waiting : "}, w.batchResults(t, id, ""))
	readProblem(t, w.post(stop, map[string]string{"reason": "too many"}), http.StatusConflict, codeConflict)
}

func TestABatchNamesItsTargetsInOneWay(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for targets, field := range map[string]string{
		`"accounts":{"ids":["111122223333"]}`:                   "accounts",
		`"orders":{}`:                                           "orders",
		`"orders":{"ids":["MP-1"],"filter":{}}`:                 "orders",
		`"orders":{"ids":["MP-1"]},"accounts":{"filter":{}}`:    "accounts",
		`"orders":{"ids":["MP-1","MP-1"]}`:                      "orders.ids",
		`"orders":{"filter":{"state":["lost"],"customer":"x"}}`: "orders.filter.customer",
	} {
		_, body := batchOf(provision.BatchRetry, targets, 1)
		p := readProblem(t, w.send(w.key, http.MethodPost, batchesPath, body), http.StatusUnprocessableEntity, codeInvalid)
		require.Equal(t, field, value(value(p.Errors)[0].Field), "%s: %v", targets, value(p.Errors))
		readProblem(t, w.send(w.key, http.MethodPost, batchesPath+"/preview", `{"verb":"retry",`+targets+`}`), http.StatusUnprocessableEntity,
			codeInvalid)
	}
}

func TestTheLargestBatchFitsIntoARequest(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ids := make([]string, provision.MaxBatch)
	for i := range ids {
		ids[i] = fmt.Sprintf("%064d", i)
	}
	body := func(ids []string) string {
		text, err := json.Marshal(ids)
		require.NoError(t, err)
		return `{"verb":"retry","orders":{"ids":` + string(text) + `}}`
	}
	preview := read[openapi.BatchPreview](t, w.send(w.key, http.MethodPost, batchesPath+"/preview", body(ids)), http.StatusOK)
	require.Equal(t, provision.MaxBatch, preview.Cannot.Count)
	require.Len(t, preview.Cannot.Items, 200)
	require.Empty(t, preview.Can.Items)
	readProblem(t, w.send(w.key, http.MethodPost, batchesPath+"/preview", body(slices.Concat(ids, []string{"more"}))),
		http.StatusUnprocessableEntity, codeInvalid)
	readProblem(t, w.send(w.key, http.MethodPost, batchesPath+"/preview", strings.Repeat(" ", 1<<20)+body(ids)),
		http.StatusRequestEntityTooLarge, codeBodyTooLarge)
}
