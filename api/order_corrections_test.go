package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

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
				answer := w.patch("/v1/orders/MP-1", body)
				order := read[openapi.Order](t, answer, http.StatusOK)
				require.Equal(t, []told{{before.OrderKey, "correct", c.want, provision.Intervention{Actor: "key " + w.keyID(),
					Reason: reason}}}, w.told(t))
				require.Equal(t, provision.Provisioning, order.State, "the state afterwards")
				require.Nil(t, order.Failure)
				after := before
				after.Request, after.State, after.Failure, after.Since = c.want.Apply(before.Request), provision.Provisioning, nil, order.Since
				require.JSONEq(t, asText(w.service.orderResource(after)), answer.Body.String(), "what was sent is changed, and nothing else")
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
		"contact":      {"aws_contact_name": "\u202eAnna"},
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
		"null":              {`{"iam_user_name":null}`, "iam_user_name", "must not be null"},
		"fixed when placed": {`{"environment":"test"}`, "environment", "unknown field"},
		"a list":            {`[]`, "", "must be a JSON object"},
		"number for report": {`{"use_existing_cur":1}`, "use_existing_cur", "must be a JSON string or null"},
		"blank reason":      {`{"aws_account_alias":"berg-eu","reason":"  "}`, "reason", "needs 1 to 500 characters; it has 0"},
		"an empty reason":   {`{"aws_account_alias":"berg-eu","reason":""}`, "reason", "needs 1 to 500 characters"},
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
	after, err := w.store.Orders.Get(t.Context(), before.Tenant(), before.ID)
	require.NoError(t, err)
	require.Equal(t, before, after, "all of it or nothing")

	for _, state := range []provision.OrderState{provision.Accepted, provision.WaitingForAccount, provision.Provisioning,
		provision.Compensating} {
		order := w.createOrder("is-"+string(state), state)
		p := readProblem(t, w.patch("/v1/orders/"+order.ID, map[string]any{"aws_account_alias": "berg-eu"}), http.StatusConflict,
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
