package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// told is what the workflow was told, each with an id, which is left out here.
func (w *testAPI) told(t *testing.T) []told {
	t.Helper()
	all := slices.Clone(w.workflows.told)
	for i := range all {
		require.NotEmpty(t, all[i].by.ID)
		all[i].by.ID = ""
	}
	return all
}

func (w *testAPI) patch(target string, body any) *httptest.ResponseRecorder {
	return w.send(w.key, http.MethodPatch, target, asText(body))
}

// keyID is the public part of the key that w.post and w.patch send.
func (w *testAPI) keyID() string {
	id, _, _ := splitKey("Bearer " + w.key)
	return id
}

// meant is the account that a swap is about.
const meant = "111122223333"

// meaning adds to the members of a verb's body what the verb needs besides the reason.
func meaning(verb, members string) string {
	if verb == workflows.UpdateSwap {
		members = strings.TrimSuffix(`"account_id":"`+meant+`",`+members, ",")
	}
	return "{" + members + "}"
}

// said is the body of a verb.
func said(verb, why string) map[string]any {
	body := map[string]any{"reason": why}
	if verb == workflows.UpdateSwap {
		body["account_id"] = meant
	}
	return body
}

// orderVerbs are the operations that need nothing but a reason, by their workflow's name.
var orderVerbs = []string{workflows.UpdateCancel, workflows.UpdateRetry, workflows.UpdateFail, workflows.UpdateSwap}

func TestVerbsReachTheWorkflow(t *testing.T) {
	t.Parallel()
	after := map[string]provision.OrderState{workflows.UpdateCancel: provision.Compensating, workflows.UpdateRetry: provision.Provisioning,
		workflows.UpdateFail: provision.Compensating, workflows.UpdateSwap: provision.Compensating}
	for _, verb := range orderVerbs {
		for _, reason := range []string{"the customer asked", "Grund: Kündigung & mehr", strings.Repeat("ä", 500)} {
			w := setup(t)
			before := w.orderIn(provision.ActionRequired, "aws_account_alias")
			order := read[openapi.Order](t, w.post("/v1/orders/MP-1/"+verb, said(verb, reason)), http.StatusAccepted)
			require.Equal(t, after[verb], order.State, "the state afterwards")
			by := provision.Intervention{Actor: "key " + w.keyID(), Reason: reason}
			if verb == workflows.UpdateSwap {
				by.AccountID = meant
			}
			require.Equal(t, []told{{key: before.OrderKey, verb: verb, by: by}}, w.told(t))
		}
	}
}

func TestACancelNeedsNoReason(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(*testAPI) *httptest.ResponseRecorder{
		"no body": func(w *testAPI) *httptest.ResponseRecorder {
			return w.send(w.key, http.MethodPost, "/v1/orders/MP-1/cancel", "")
		},
		"no body, but a type": func(w *testAPI) *httptest.ResponseRecorder {
			return w.send(w.key, http.MethodPost, "/v1/orders/MP-1/cancel", "", "Content-Type", "text/plain")
		},
		"a blank body":    func(w *testAPI) *httptest.ResponseRecorder { return w.post("/v1/orders/MP-1/cancel", " \n") },
		"an empty object": func(w *testAPI) *httptest.ResponseRecorder { return w.post("/v1/orders/MP-1/cancel", "{}") },
		"a body of no chunks": func(w *testAPI) *httptest.ResponseRecorder {
			r := newChunked(http.MethodPost, "/v1/orders/MP-1/cancel", nil)
			r.Header.Set("Authorization", "Bearer "+w.key)
			return serve(w.handler, r)
		},
	} {
		w := setup(t)
		w.orderIn(provision.Provisioning, "")
		require.Equal(t, provision.Compensating, read[openapi.Order](t, send(w), http.StatusAccepted).State, name)
		require.Equal(t, provision.Intervention{Actor: "key " + w.keyID()}, w.told(t)[0].by, name)
	}
	w := setup(t)
	w.orderIn(provision.Provisioning, "")
	readProblem(t, w.post("/v1/orders/MP-1/cancel", `{"reason"`), http.StatusBadRequest, codeInvalidJSON)
	readProblem(t, w.send(w.key, http.MethodPost, "/v1/orders/MP-1/cancel", `{}`, "Content-Type", "text/plain"),
		http.StatusUnsupportedMediaType, codeUnsupportedMediaType)
	require.Zero(t, w.workflows.asked)
}

func TestInvalidReasonsAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.orderIn(provision.ActionRequired, "aws_account_alias")
	for _, verb := range orderVerbs {
		for body, message := range map[string]string{
			`"reason":""`:    "needs 1 to 500 characters; it has 0",
			`"reason":"   "`: "needs 1 to 500 characters; it has 0",
			`"reason":"` + strings.Repeat("ä", 501) + `"`: "it has 501",
			`"reason":"two\nlines"`:                       "a control character, U+000A",
			`"reason":"a\u202eb"`:                         "changes the direction of the text",
			`"reason":12`:                                 "must be a JSON string",
			`"reason":null`:                               "must not be null",
		} {
			got := fieldsOf(readProblem(t, w.post("/v1/orders/MP-1/"+verb, meaning(verb, body)), http.StatusUnprocessableEntity, codeInvalid))
			require.Len(t, got, 1, body)
			require.Contains(t, got["reason"], message, body)
		}
		got := fieldsOf(readProblem(t, w.post("/v1/orders/MP-1/"+verb, meaning(verb, `"reason":"ok","force":true`)),
			http.StatusUnprocessableEntity, codeInvalid))
		require.Equal(t, map[string]string{"force": "unknown field: remove it, or check its spelling"}, got)
		if verb == workflows.UpdateCancel {
			continue
		}
		got = fieldsOf(readProblem(t, w.post("/v1/orders/MP-1/"+verb, meaning(verb, "")), http.StatusUnprocessableEntity, codeInvalid))
		require.Equal(t, map[string]string{"reason": "is missing: it is required"}, got)
		require.Contains(t, readProblem(t, w.send(w.key, http.MethodPost, "/v1/orders/MP-1/"+verb, ""),
			http.StatusUnsupportedMediaType, codeUnsupportedMediaType).Detail, "application/json")
	}
	require.Zero(t, w.workflows.asked)
}

// What the row says for certain is answered without asking the workflow, which may be gone long since.
func TestItIsTooLateForAnOrderThatHasEnded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	send := map[string]func(id string) *httptest.ResponseRecorder{"correct": func(id string) *httptest.ResponseRecorder {
		return w.patch("/v1/orders/"+id, map[string]any{"aws_account_alias": "berg-eu"})
	}}
	for _, verb := range orderVerbs {
		send[verb] = func(id string) *httptest.ResponseRecorder {
			return w.post("/v1/orders/"+id+"/"+verb, said(verb, "because"))
		}
	}
	for _, state := range []provision.OrderState{provision.Completed, provision.Failed, provision.Cancelled} {
		id := w.createOrder("is-"+string(state), state).ID
		for verb, send := range send {
			p := readProblem(t, send(id), http.StatusConflict, provision.CodeTooLate)
			require.Equal(t, fmt.Sprintf(`order %q is %s: it can no longer be changed`, id, state), p.Detail, verb)
		}
	}
	w.createOrder("undone", provision.Compensating)
	for _, verb := range []string{"cancel", "fail", "swap"} {
		p := readProblem(t, send[verb]("undone"), http.StatusConflict, provision.CodeTooLate)
		require.Contains(t, p.Detail, "is already being undone", verb)
	}
	require.Zero(t, w.workflows.asked)

	// While it is being handed over only the workflow knows.
	w.orderIn(provision.Provisioning, "")
	w.workflows.fail = &provision.Failure{Code: provision.CodeTooLate, Reason: "its account is being handed over: there is no way back"}
	for _, verb := range orderVerbs {
		require.Contains(t, readProblem(t, send[verb]("MP-1"), http.StatusConflict, provision.CodeTooLate).Detail, "being handed over", verb)
	}
}

func TestVerbsThatTheOrderHasNotAskedFor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	because := map[string]any{"reason": "because"}
	w.orderIn(provision.Provisioning, "")
	require.Contains(t, readProblem(t, w.post("/v1/orders/MP-1/retry", because), http.StatusConflict,
		provision.CodeNotAsked).Detail, "waits for nothing")
	w.createOrder("waits", provision.WaitingForAccount)
	require.Contains(t, readProblem(t, w.post("/v1/orders/waits/swap", said("swap", "because")), http.StatusConflict,
		provision.CodeNotAsked).Detail, "holds no account")
	require.Empty(t, w.workflows.told)
}

func TestOnlyARunningUndoCanBeEnded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	target := func(order provision.OrderView) string { return "/v1/orders/" + order.ID + "/end-undo" }
	because := map[string]any{"reason": "the bucket stays"}
	for _, state := range []provision.OrderState{provision.Accepted, provision.WaitingForAccount, provision.ActionRequired} {
		order := w.createOrder("is-"+string(state), state)
		require.Contains(t, readProblem(t, w.post(target(order), because), http.StatusConflict, provision.CodeNotAsked).Detail,
			"no undo to end", state)
	}
	for _, state := range []provision.OrderState{provision.Completed, provision.Failed, provision.Cancelled} {
		order := w.createOrder("is-"+string(state), state)
		readProblem(t, w.post(target(order), because), http.StatusConflict, provision.CodeTooLate)
	}
	require.Zero(t, w.workflows.asked, "what the row rules out is answered without the workflow")

	require.Equal(t, http.StatusAccepted, w.post(target(w.createOrder("goes-on", provision.Provisioning)), because).Code,
		"it may undo an account before it takes the next one: its workflow knows")
	w.workflows.told = nil

	order := w.orderIn(provision.Compensating, "")
	_, _, err := w.store.Steps.BeginUndo(t.Context(), order.OrderKey, order.AccountID, provision.StepReport, time.Minute)
	require.NoError(t, err)
	require.NoError(t, w.store.Steps.End(t.Context(), order.OrderKey, order.AccountID, provision.StepReport,
		provision.AttemptEnd{State: provision.StepUndoing, Problem: "PermissionMissing: refused"}))
	got := fieldsOf(readProblem(t, w.post(target(order), "{}"), http.StatusUnprocessableEntity, codeInvalid))
	require.Equal(t, map[string]string{"reason": "is missing: it is required"}, got)
	answer := w.post(target(order), because)
	require.Equal(t, http.StatusAccepted, answer.Code, answer.Body)
	var shown openapi.Order
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &shown))
	require.Equal(t, string(provision.StepUndoing), shown.Steps[0].State)
	require.Equal(t, "PermissionMissing: refused", *shown.Steps[0].Problem, "a step that is being undone says what keeps it")
	require.Equal(t, []told{{key: order.OrderKey, verb: workflows.UpdateEndUndo,
		by: provision.Intervention{Actor: "key " + w.keyID(), Reason: "the bucket stays"}}}, w.told(t))

	w.workflows.fail = &provision.Failure{Code: provision.CodeNotAsked, Reason: "nothing is being undone any more"}
	readProblem(t, w.post(target(order), because), http.StatusConflict, provision.CodeNotAsked)
}

// An order that was accepted a moment ago has a workflow, if not a row.
func TestAnOrderWithoutARowCanBeCancelled(t *testing.T) {
	t.Parallel()
	w := setup(t)
	read[openapi.Order](t, w.post("/v1/orders", orderForm("MP-1")), http.StatusAccepted)
	require.Equal(t, "MP-1", read[openapi.Order](t, w.post("/v1/orders/MP-1/cancel", "{}"), http.StatusAccepted).ID)
	require.Equal(t, provision.OrderKey{Provider: "acme", ID: "MP-1"}, w.workflows.told[0].key)
	readProblem(t, w.patch("/v1/orders/MP-1", map[string]any{"aws_account_alias": "berg-eu"}), http.StatusConflict, provision.CodeNotAsked)
}

func TestOrdersOfOtherProvidersCannotBeChanged(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.orderIn(provision.ActionRequired, "aws_account_alias")
	read[openapi.Order](t, w.post("/v1/orders", orderForm("MP-2")), http.StatusAccepted) // has no row yet
	for _, id := range []string{"MP-1", "MP-2", "unknown"} {
		for _, verb := range append([]string{""}, orderVerbs...) {
			method, target, body := http.MethodPost, "/v1/orders/"+id+"/"+verb, meaning(verb, `"reason":"because"`)
			if verb == "" {
				method, target, body = http.MethodPatch, "/v1/orders/"+id, `{"aws_account_alias":"berg-eu"}`
			}
			p := readProblem(t, w.send(w.otherKey, method, target, body), http.StatusNotFound, codeNotFound)
			require.Equal(t, fmt.Sprintf("order %q not found", id), p.Detail, "the same words for foreign and unknown")
			readProblem(t, w.send("", method, target, body), http.StatusUnauthorized, codeUnauthorized)
		}
	}
	require.Zero(t, w.workflows.asked, "nothing was sent")
}

func TestALostAnswerIsReportedAsUnavailable(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]error{
		"unavailable": fmt.Errorf("update: %w", provision.ErrUnavailable),
		"too late":    fmt.Errorf("update: %w", context.DeadlineExceeded),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.orderIn(provision.ActionRequired, "aws_account_alias")
			w.workflows.fail = fail
			answers := map[string]*httptest.ResponseRecorder{"correct": w.patch("/v1/orders/MP-1", map[string]any{"aws_account_alias": "berg-eu"})}
			for _, verb := range orderVerbs {
				answers[verb] = w.post("/v1/orders/MP-1/"+verb, said(verb, "because"))
			}
			for verb, answer := range answers {
				require.Contains(t, readProblem(t, answer, http.StatusServiceUnavailable, codeUnavailable).Detail,
					`could not confirm that order "MP-1" received the request: send the same request again, which is safe`, verb)
				require.Equal(t, "5", answer.Header().Get("Retry-After"))
			}
		})
	}
}

// The workflow did what it was told and ended before it could say so.
func TestAnActionInTheHistorySucceedsEvenIfItsAnswerWasLost(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]error{
		"unavailable": fmt.Errorf("update: %w", provision.ErrUnavailable),
		"closed":      &provision.Failure{Code: provision.CodeTooLate, Reason: "the work on the order is over"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.workflows.lost = fail
			for _, verb := range orderVerbs {
				order := w.createOrder("to-"+verb, provision.ActionRequired, asking("aws_account_alias"))
				read[openapi.Order](t, w.post("/v1/orders/"+order.ID+"/"+verb, said(verb, "because")), http.StatusAccepted)
			}
		})
	}
}

// ordersThatBreak cannot be read once a workflow was told something.
type ordersThatBreak struct {
	Orders
	workflows *memoryWorkflows
}

func (s ordersThatBreak) Get(ctx context.Context, of provision.Tenant, id string) (provision.OrderView, error) {
	if len(s.workflows.told) > 0 {
		return provision.OrderView{}, errors.New("connection reset")
	}
	return s.Orders.Get(ctx, of, id)
}

func TestAnOrderThatCannotBeReadAfterAVerbIsNotSentTheVerbAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.change(func(c *Config) { c.Orders = ordersThatBreak{c.Orders, w.workflows} })
	w.orderIn(provision.Provisioning, "")
	p := readProblem(t, w.post("/v1/orders/MP-1/swap", said("swap", "because")), http.StatusServiceUnavailable, codeUnavailable)
	require.Contains(t, p.Detail, `order "MP-1" received the request but cannot be read at the moment: do not send the request again`)
	require.Len(t, w.workflows.told, 1)
	require.Contains(t, w.log.String(), "connection reset")
}

func TestVerbsOnOrdersWhoseIDsAreWords(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"validate", "cancel", "a:b"} {
		w := setup(t)
		w.createOrder(id, provision.ActionRequired, asking("aws_account_alias"))
		require.Equal(t, "berg-eu", read[openapi.Order](t, w.patch("/v1/orders/"+id, map[string]any{"aws_account_alias": "berg-eu"}),
			http.StatusOK).AWSAccountAlias)
		require.Equal(t, id, read[openapi.Order](t, w.post("/v1/orders/"+id+"/cancel", "{}"), http.StatusAccepted).ID)
	}
}
