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

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// told is what a fake workflow was told and did not refuse.
type told struct {
	key    provision.OrderKey
	verb   string
	fields provision.Correction
	by     provision.Intervention
}

// Correct has the rules of the real workflow's validator, on the row instead of the workflow's own state.
func (w *memoryWorkflows) Correct(_ context.Context, key provision.OrderKey, fields provision.Correction, by provision.Intervention) error {
	return w.tell(told{key, workflows.UpdateCorrect, fields, by}, func(o *provision.OrderView) *provision.Failure {
		if o.State != provision.ActionRequired {
			return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order does not wait for a correction"}
		}
		asked := w.questions[key]
		if asked == nil {
			asked = provision.AskedFields(*o.Failure)
		}
		for _, name := range fields.Fields() {
			if !slices.Contains(asked, name) {
				return &provision.Failure{Code: provision.CodeNotAsked, Field: name, Reason: "the order asks for " + strings.Join(asked,
					", ") + " only"}
			}
		}
		if wrong := fields.Apply(o.Request).Validate(); len(wrong) > 0 {
			return &provision.Failure{Code: provision.CodeInputRefused, Field: wrong[0].Field, Reason: wrong[0].Message}
		}
		o.Request, o.State, o.Failure, o.Since = fields.Apply(o.Request), provision.Provisioning, nil, now
		return nil
	})
}

// Act has the rules of the real workflow's validators, on the row instead of the workflow's own state.
func (w *memoryWorkflows) Act(_ context.Context, key provision.OrderKey, verb string, by provision.Intervention) error {
	return w.tell(told{key: key, verb: verb, by: by}, func(o *provision.OrderView) *provision.Failure {
		switch {
		case verb == workflows.UpdateRetry && o.State != provision.ActionRequired:
			return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order waits for nothing that could be tried again"}
		case verb == workflows.UpdateRetry:
			o.State, o.Failure, o.Since = provision.Provisioning, nil, now
			return nil
		case verb == workflows.UpdateSwap && o.AccountID == "":
			return &provision.Failure{Code: provision.CodeNotAsked, Reason: "the order holds no account that could be swapped"}
		}
		if verb == workflows.UpdateEndUndo { // the workflow ends the undo, and then the order
			return nil
		}
		code := map[string]provision.Code{workflows.UpdateCancel: provision.CodeOrderCancelled,
			workflows.UpdateFail: provision.CodeFailedByOperator,
			workflows.UpdateSwap: provision.CodeAccountSwappedByOperator}[verb]
		o.State, o.Since = provision.Compensating, now
		o.Failure = &provision.Failure{Code: code, Reason: strings.TrimSuffix("stopped: "+by.Reason, ": ")}
		return nil
	})
}

func (w *memoryWorkflows) tell(what told, do func(*provision.OrderView) *provision.Failure) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if w.fail != nil {
		return w.fail
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	accepted := acceptedOrder(w.orders[what.key].order)
	order := &accepted // the order has no row yet
	for i := range w.store.orders {
		if w.store.orders[i].OrderKey == what.key {
			order = &w.store.orders[i]
		}
	}
	if order.ID == "" || order.State.Ended() {
		return &provision.Failure{Code: provision.CodeTooLate, Reason: "the work on the order is over"}
	}
	if refusal := do(order); refusal != nil {
		return refusal
	}
	w.told = append(w.told, what)
	return nil
}

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

// orderIn puts an order of acme into the store, in that state; one that is action_required asks for the field.
func (w *testAPI) orderIn(state provision.OrderState, field string) provision.OrderView {
	o := completedOrder("MP-1")
	o.State, o.Result, o.Password = state, nil, nil
	o.Request.UseExistingCUR = "monthly"
	if state == provision.ActionRequired {
		o.Failure = &provision.Failure{Code: provision.CodeAliasTaken, Step: provision.StepAlias, Field: field, Reason: "refused for the test"}
	}
	w.store.orders = []provision.OrderView{o}
	return o
}

func (w *testAPI) patch(target string, body any) *httptest.ResponseRecorder {
	return w.send(w.key, http.MethodPatch, target, asText(body))
}

// keyID is the public part of the key that w.post and w.patch send.
func (w *testAPI) keyID() string {
	id, _, _ := splitKey("Bearer " + w.key)
	return id
}

// verbs are the operations that need nothing but a reason, by their workflow's name.
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

var verbs = []string{workflows.UpdateCancel, workflows.UpdateRetry, workflows.UpdateFail, workflows.UpdateSwap}

func TestCorrectingAnOrder(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	contact := provision.AlternateContact{Name: "Billing Desk", Email: "billing@berg.example", Phone: "+46 8 123 456", Title: "Accountant"}
	export := provision.DataExport
	for name, c := range map[string]struct {
		asks string
		body map[string]any
		want provision.Correction
	}{
		"the alias": {"aws_account_alias", map[string]any{"aws_account_alias": "berg-eu"},
			provision.Correction{AccountAlias: text("berg-eu")}},
		"the user": {"iam_user_name", map[string]any{"iam_user_name": "a.berg"}, provision.Correction{IAMUserName: text("a.berg")}},
		"the contact": {"aws_contact_name", map[string]any{"aws_contact_name": "Änna Berg"},
			provision.Correction{ContactName: text("Änna Berg")}},
		"the other contact": {"aws_alternate_contact.phone", map[string]any{"aws_alternate_contact": contact},
			provision.Correction{AlternateContact: &contact}},
		"another report": {"use_existing_cur", map[string]any{"use_existing_cur": "weekly"},
			provision.Correction{UseExistingCUR: text("weekly")}},
		"which report": {"use_existing_cur", map[string]any{"existing_cur_kind": "export"},
			provision.Correction{ExistingCURKind: &export}},
		"a new report":        {"use_existing_cur", map[string]any{"use_existing_cur": nil}, provision.Correction{UseExistingCUR: text("")}},
		"a new report, empty": {"use_existing_cur", map[string]any{"use_existing_cur": ""}, provision.Correction{UseExistingCUR: text("")}},
	} {
		for _, reason := range []string{"", "chosen on the phone"} {
			t.Run(name+" "+reason, func(t *testing.T) {
				t.Parallel()
				w := setup(t)
				before := w.orderIn(provision.ActionRequired, c.asks)
				body := map[string]any{}
				for field, v := range c.body {
					body[field] = v
				}
				if reason != "" {
					body["reason"] = reason
				}
				order := read[openapi.Order](t, w.patch("/v1/orders/MP-1", body), http.StatusOK)
				require.Equal(t, []told{{before.OrderKey, "correct", c.want, provision.Intervention{Actor: "key " + w.keyID(),
					Reason: reason}}}, w.told(t))
				require.Equal(t, provision.Provisioning, order.State, "the state afterwards")
				require.Nil(t, order.Failure)
				after := before
				after.Request, after.State, after.Failure, after.Since = c.want.Apply(before.Request), provision.Provisioning, nil, now
				require.Equal(t, w.service.orderResource(after), order, "what was sent is changed, and nothing else")
			})
		}
	}
}

func TestCorrectingSeveralFieldsAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	order := w.orderIn(provision.ActionRequired, "aws_account_alias")
	w.workflows.questions = map[provision.OrderKey][]string{order.OrderKey: {"aws_account_alias", "use_existing_cur"}}
	corrected := read[openapi.Order](t, w.patch("/v1/orders/MP-1", map[string]any{"aws_account_alias": "berg-eu",
		"use_existing_cur": nil}), http.StatusOK)
	require.Equal(t, "berg-eu", corrected.AWSAccountAlias)
	require.Nil(t, corrected.UseExistingCUR)
	require.Equal(t, "anna.berg", corrected.IAMUserName)
}

// A value that a new order is refused for is refused in the same words, before the workflow is asked.
func TestACorrectionIsCheckedLikeANewOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.orderIn(provision.ActionRequired, "aws_account_alias")
	for name, body := range map[string]map[string]any{
		"report":       {"use_existing_cur": "a b"},
		"user":         {"iam_user_name": "an na"},
		"empty user":   {"iam_user_name": ""},
		"contact":      {"aws_contact_name": " Anna"},
		"long":         {"aws_contact_name": strings.Repeat("a", 51)},
		"alias":        {"aws_account_alias": "123456789012"},
		"other type":   {"aws_account_alias": 12},
		"part of it":   {"aws_alternate_contact": map[string]any{"phone": "1"}},
		"all of it":    {"aws_alternate_contact": map[string]any{"name": " ", "email": "none", "phone": "call me", "title": ""}},
		"one too many": {"aws_alternate_contact": map[string]any{"name": "n", "email": "a@b.example", "phone": "1", "title": "t", "fax": "1"}},
		"not offered":  {"coupon": 1},
		"several":      {"iam_user_name": "an na", "aws_account_alias": "a--b", "aws_contact_name": ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := fieldsOf(readProblem(t, w.post("/v1/orders/validate", orderForm("MP-1", body)), http.StatusUnprocessableEntity, codeInvalid))
			got := fieldsOf(readProblem(t, w.patch("/v1/orders/MP-1", body), http.StatusUnprocessableEntity, codeInvalid))
			require.Equal(t, want, got)
		})
	}
	for name, c := range map[string]struct{ body, field, message string }{
		"nothing":           {`{}`, "", "send at least one of use_existing_cur, existing_cur_kind, iam_user_name"},
		"only a reason":     {`{"reason":"why not"}`, "", "send at least one of"},
		"null":              {`{"iam_user_name":null}`, "iam_user_name", "not nullable"},
		"fixed when placed": {`{"environment":"test"}`, "environment", "unknown field"},
		"a list":            {`[]`, "", "must be JSON object"},
		"number for report": {`{"use_existing_cur":1}`, "use_existing_cur", "must be JSON string or null"},
		"blank reason":      {`{"aws_account_alias":"berg-eu","reason":"  "}`, "reason", "not only spaces"},
		"an empty reason":   {`{"aws_account_alias":"berg-eu","reason":""}`, "reason", "must have 1 to 500 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := fieldsOf(readProblem(t, w.patch("/v1/orders/MP-1", c.body), http.StatusUnprocessableEntity, codeInvalid))
			require.Len(t, got, 1, got)
			require.Contains(t, got[c.field], c.message)
		})
	}
	t.Cleanup(func() { require.Zero(t, w.workflows.asked, "no workflow was asked") })
}

func TestACorrectionOfAnotherFieldIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	before := w.orderIn(provision.ActionRequired, "aws_account_alias")
	p := readProblem(t, w.patch("/v1/orders/MP-1", map[string]any{"aws_account_alias": "berg-eu", "iam_user_name": "a.berg"}),
		http.StatusConflict, provision.CodeNotAsked)
	require.Equal(t, "the order asks for aws_account_alias only", p.Detail)
	require.Equal(t, map[string]string{"iam_user_name": p.Detail}, fieldsOf(p))
	require.Equal(t, "/iam_user_name", *(*p.Errors)[0].Pointer)
	require.Equal(t, before, w.store.orders[0], "all of it or nothing")

	for _, state := range []provision.OrderState{provision.Accepted, provision.WaitingForAccount, provision.Provisioning,
		provision.Compensating} {
		w.orderIn(state, "")
		p := readProblem(t, w.patch("/v1/orders/MP-1", map[string]any{"aws_account_alias": "berg-eu"}), http.StatusConflict,
			provision.CodeNotAsked)
		require.Nil(t, p.Errors, "no field is at fault")
	}
	require.Empty(t, w.workflows.told)
}

// What the workflow finds wrong is refused with its field, though the API had nothing against it.
func TestTheWorkflowHasTheLastWordOnAValue(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.orderIn(provision.ActionRequired, "aws_account_alias")
	w.workflows.fail = fmt.Errorf("update: %w", &provision.Failure{Code: provision.CodeInputRefused, Field: "aws_account_alias",
		Reason: `"quux" is not an account alias`})
	p := readProblem(t, w.patch("/v1/orders/MP-1", map[string]any{"aws_account_alias": "quux"}), http.StatusUnprocessableEntity,
		provision.CodeInputRefused)
	require.Equal(t, map[string]string{"aws_account_alias": `"quux" is not an account alias`}, fieldsOf(p))

	// A failure that is no answer to the caller stays inside.
	w.workflows.fail = &provision.Failure{Code: provision.CodeOrderNotInProgress, Reason: "inner workings"}
	p = readProblem(t, w.patch("/v1/orders/MP-1", map[string]any{"aws_account_alias": "quux"}), http.StatusInternalServerError,
		provision.CodeInternal)
	require.NotContains(t, p.Detail, "inner workings")
	require.Contains(t, w.log.String(), "inner workings")
	require.NotContains(t, w.log.String(), "quux")
}

func TestVerbsReachTheWorkflow(t *testing.T) {
	t.Parallel()
	after := map[string]provision.OrderState{workflows.UpdateCancel: provision.Compensating, workflows.UpdateRetry: provision.Provisioning,
		workflows.UpdateFail: provision.Compensating, workflows.UpdateSwap: provision.Compensating}
	for _, verb := range verbs {
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
	for _, verb := range verbs {
		for body, message := range map[string]string{
			`"reason":""`:    "must have 1 to 500 characters, not only spaces, and no control characters; it has 0",
			`"reason":"   "`: "not only spaces",
			`"reason":"` + strings.Repeat("ä", 501) + `"`: "it has 501",
			`"reason":"two\nlines"`:                       "no control characters",
			`"reason":"a\u0000b"`:                         "no control characters",
			`"reason":12`:                                 "must be JSON string",
			`"reason":null`:                               "not nullable",
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
	send := map[string]func() *httptest.ResponseRecorder{"correct": func() *httptest.ResponseRecorder {
		return w.patch("/v1/orders/MP-1", map[string]any{"aws_account_alias": "berg-eu"})
	}}
	for _, verb := range verbs {
		send[verb] = func() *httptest.ResponseRecorder {
			return w.post("/v1/orders/MP-1/"+verb, said(verb, "because"))
		}
	}
	for _, state := range []provision.OrderState{provision.Completed, provision.Failed, provision.Cancelled} {
		w.orderIn(state, "")
		for verb, send := range send {
			p := readProblem(t, send(), http.StatusConflict, provision.CodeTooLate)
			require.Equal(t, fmt.Sprintf(`order "MP-1" is %s: it can no longer be changed`, state), p.Detail, verb)
		}
	}
	w.orderIn(provision.Compensating, "")
	for _, verb := range []string{"cancel", "fail", "swap"} {
		require.Contains(t, readProblem(t, send[verb](), http.StatusConflict, provision.CodeTooLate).Detail, "is already being undone", verb)
	}
	require.Zero(t, w.workflows.asked)

	// While it is being handed over only the workflow knows.
	w.orderIn(provision.Provisioning, "")
	w.workflows.fail = &provision.Failure{Code: provision.CodeTooLate, Reason: "its account is being handed over: there is no way back"}
	for _, verb := range verbs {
		require.Contains(t, readProblem(t, send[verb](), http.StatusConflict, provision.CodeTooLate).Detail, "being handed over", verb)
	}
}

func TestVerbsThatTheOrderHasNotAskedFor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	because := map[string]any{"reason": "because"}
	w.orderIn(provision.Provisioning, "")
	require.Contains(t, readProblem(t, w.post("/v1/orders/MP-1/retry", because), http.StatusConflict,
		provision.CodeNotAsked).Detail, "waits for nothing")
	w.orderIn(provision.WaitingForAccount, "")
	w.store.orders[0].AccountID = ""
	require.Contains(t, readProblem(t, w.post("/v1/orders/MP-1/swap", said("swap", "because")), http.StatusConflict,
		provision.CodeNotAsked).Detail, "holds no account")
	require.Empty(t, w.workflows.told)
}

func TestOnlyARunningUndoCanBeEnded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const target = "/v1/orders/MP-1/end-undo"
	because := map[string]any{"reason": "the bucket stays"}
	for _, state := range []provision.OrderState{provision.Accepted, provision.WaitingForAccount, provision.ActionRequired} {
		w.orderIn(state, "aws_account_alias")
		require.Contains(t, readProblem(t, w.post(target, because), http.StatusConflict, provision.CodeNotAsked).Detail,
			"no undo to end", state)
	}
	for _, state := range []provision.OrderState{provision.Completed, provision.Failed, provision.Cancelled} {
		w.orderIn(state, "")
		readProblem(t, w.post(target, because), http.StatusConflict, provision.CodeTooLate)
	}
	require.Zero(t, w.workflows.asked, "what the row rules out is answered without the workflow")

	w.orderIn(provision.Provisioning, "")
	require.Equal(t, http.StatusAccepted, w.post(target, because).Code,
		"it may undo an account before it takes the next one: its workflow knows")
	w.workflows.told = nil

	order := w.orderIn(provision.Compensating, "")
	w.store.orders[0].Steps = []provision.StepView{{Step: provision.StepReport, AccountID: meant,
		State: string(provision.StepUndoing), Attempt: 1, Problem: "PermissionMissing: refused"}}
	got := fieldsOf(readProblem(t, w.post(target, "{}"), http.StatusUnprocessableEntity, codeInvalid))
	require.Equal(t, map[string]string{"reason": "is missing: it is required"}, got)
	answer := w.post(target, because)
	require.Equal(t, http.StatusAccepted, answer.Code, answer.Body)
	var shown openapi.Order
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &shown))
	require.Equal(t, string(provision.StepUndoing), shown.Steps[0].State)
	require.Equal(t, "PermissionMissing: refused", *shown.Steps[0].Problem, "a step that is being undone says what keeps it")
	require.Equal(t, []told{{key: order.OrderKey, verb: workflows.UpdateEndUndo,
		by: provision.Intervention{Actor: "key " + w.keyID(), Reason: "the bucket stays"}}}, w.told(t))

	w.workflows.fail = &provision.Failure{Code: provision.CodeNotAsked, Reason: "nothing is being undone any more"}
	readProblem(t, w.post(target, because), http.StatusConflict, provision.CodeNotAsked)
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
		for _, verb := range append([]string{""}, verbs...) {
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
			for _, verb := range verbs {
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
			w.orderIn(provision.Provisioning, "")
			w.workflows.fail, w.store.taken = fail, true
			for _, verb := range verbs {
				read[openapi.Order](t, w.post("/v1/orders/MP-1/"+verb, said(verb, "because")), http.StatusAccepted)
			}
		})
	}
}

// ordersThatBreak cannot be read once a workflow was told something.
type ordersThatBreak struct {
	Orders
	workflows *memoryWorkflows
}

func (s ordersThatBreak) Get(ctx context.Context, key provision.OrderKey) (provision.OrderView, error) {
	if len(s.workflows.told) > 0 {
		return provision.OrderView{}, errors.New("connection reset")
	}
	return s.Orders.Get(ctx, key)
}

func TestAnOrderThatCannotBeReadAfterAVerbIsNotSentTheVerbAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	cfg := w.service.Config
	cfg.Orders = ordersThatBreak{cfg.Orders, w.workflows}
	handler, err := New(cfg)
	require.NoError(t, err)
	w.handler = handler
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
		o := w.orderIn(provision.ActionRequired, "aws_account_alias")
		o.ID = id
		w.store.orders = []provision.OrderView{o}
		require.Equal(t, "berg-eu", read[openapi.Order](t, w.patch("/v1/orders/"+id, map[string]any{"aws_account_alias": "berg-eu"}),
			http.StatusOK).AWSAccountAlias)
		require.Equal(t, id, read[openapi.Order](t, w.post("/v1/orders/"+id+"/cancel", "{}"), http.StatusAccepted).ID)
	}
}

// The log contains neither the customer's data nor what people write about them, even if the request fails.
func TestTheLogContainsNothingOfACorrection(t *testing.T) {
	t.Parallel()
	w := setup(t)
	order := w.orderIn(provision.ActionRequired, "aws_alternate_contact.phone")
	contact := map[string]any{"name": "Zenobia Quux", "email": "zenobia@quux.example", "phone": "+46 8 777 888", "title": "Boss"}
	correction := map[string]any{"aws_alternate_contact": contact, "reason": "Zenobia called"}
	because := map[string]any{"reason": "Zenobia called"}
	require.Equal(t, http.StatusConflict, w.patch("/v1/orders/MP-1", changed(map[string]any{"iam_user_name": "zenobia"},
		[]map[string]any{correction})).Code)
	require.Equal(t, http.StatusUnprocessableEntity, w.patch("/v1/orders/MP-1",
		map[string]any{"aws_account_alias": "Zenobia--Quux", "reason": "Zenobia\ncalled"}).Code)
	w.workflows.fail = &provision.Failure{Code: provision.CodeInputRefused, Field: "aws_alternate_contact.name",
		Reason: `"Zenobia Quux" is refused`}
	require.Equal(t, http.StatusUnprocessableEntity, w.patch("/v1/orders/MP-1", correction).Code)
	w.workflows.fail = fmt.Errorf("update: %w", provision.ErrUnavailable)
	require.Equal(t, http.StatusServiceUnavailable, w.patch("/v1/orders/MP-1", correction).Code)
	w.workflows.fail = nil
	require.Equal(t, http.StatusOK, w.patch("/v1/orders/MP-1", correction).Code)
	require.Equal(t, http.StatusConflict, w.post("/v1/orders/MP-1/retry", because).Code)
	require.Equal(t, http.StatusAccepted, w.post("/v1/orders/MP-1/cancel", because).Code)
	require.Equal(t, http.StatusConflict, w.post("/v1/orders/MP-1/cancel", because).Code)

	log := strings.ToLower(w.log.String())
	for _, never := range []string{"zenobia", "quux", "777 888", order.Request.AccountAlias} {
		require.NotContains(t, log, never)
	}
	lines := w.log.lines(t)
	require.Len(t, lines, 8)
	for i, code := range []any{"NotAsked", "Invalid", "InputRefused", "Unavailable", nil, "NotAsked", nil, "TooLate"} {
		require.Equal(t, code, lines[i]["code"], i)
		require.Equal(t, w.keyID(), lines[i]["key"])
	}
	require.Equal(t, "/v1/orders/:order_id/cancel", lines[6]["route"])
}
