package api

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestAnOrderSaysWhomItAsks(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.createOrder("customer", provision.ActionRequired, asking("aws_account_alias"))
	w.createOrder("operator", provision.ActionRequired)
	w.createOrder("ended", provision.Failed)
	asks := func(id string) *provision.Addressee {
		return read[openapi.Order](t, w.get("/v1/orders/"+id), http.StatusOK).Failure.Asks
	}
	require.Equal(t, provision.AsksCustomer, *asks("customer"))
	require.Equal(t, provision.AsksOperator, *asks("operator"), "it names no field that the customer could correct")
	require.Nil(t, asks("ended"), "it asks nothing any more")
	require.Equal(t, []string{"customer"}, w.foundBy(t, "asks=customer"))
	require.Equal(t, []string{"operator"}, w.foundBy(t, "asks=operator"))
	p := readProblem(t, w.get("/v1/orders?asks=me"), http.StatusBadRequest, codeInvalidParameter)
	require.Contains(t, fieldsOf(p), "asks")
}

// The table of codes in the document says who can help. The questions follow it.
func TestTheDocumentSaysWhomEachQuestionAsks(t *testing.T) {
	t.Parallel()
	_, rows := cataloged(t, "FailureCode")
	for code, row := range rows {
		question := &provision.Failure{Code: provision.Code(code), Field: "any"}
		if kind := question.Code.Kind(); kind != provision.KindInput && kind != provision.KindPermission {
			continue
		}
		require.Equal(t, map[string]provision.Addressee{"marketplace": provision.AsksCustomer, "operator": provision.AsksOperator}[row[1]],
			question.Asks(), code)
	}
}

func TestAnOrderShowsWhatAWSAnswered(t *testing.T) {
	t.Parallel()
	w := setup(t)
	answer := provision.AWSAnswer{Code: "EntityAlreadyExists", Operation: "iam:CreateAccountAlias", RequestID: "3f0c"}
	order := w.createOrder("MP-1", provision.Provisioning)
	fail := func(state provision.StepState, end provision.AttemptEnd) {
		require.NoError(t, pgtest.Err(w.store.Steps.Begin(t.Context(), order.OrderKey, order.AccountID, provision.StepAlias, 1)))
		end.State, end.Took = state, time.Second
		require.NoError(t, w.store.Steps.End(t.Context(), order.OrderKey, order.AccountID, provision.StepAlias, end))
	}
	fail(provision.StepRetrying, provision.AttemptEnd{Problem: "AWSUnavailable: AWS did not answer"})
	fail(provision.StepFailed, provision.AttemptEnd{Problem: "AliasTaken: taken", AWS: &answer})
	require.NoError(t, w.store.Orders.RequireAction(t.Context(), order.OrderKey, provision.Failure{Code: provision.CodeAliasTaken,
		Field: "aws_account_alias", Reason: "taken", AWSCode: answer.Code, AWSOperation: answer.Operation, RequestID: answer.RequestID}))

	shown := read[openapi.Order](t, w.get("/v1/orders/MP-1"), http.StatusOK)
	require.Equal(t, &answer, shown.Failure.AWS)
	require.Equal(t, &answer, shown.Steps[0].AWS)
	attempts := *shown.Steps[0].FailedAttempts
	require.Len(t, attempts, 2)
	require.Equal(t, 1, attempts[0].Number)
	require.Equal(t, "AWSUnavailable: AWS did not answer", attempts[0].Problem)
	require.Nil(t, attempts[0].AWS, "it gave no answer")
	require.Nil(t, attempts[0].Undo)
	require.Equal(t, &answer, attempts[1].AWS)
	require.Equal(t, time.Second, attempts[1].Ended.Sub(attempts[1].Began))

	listed := read[openapi.OrderPage](t, w.get("/v1/orders"), http.StatusOK).Items[0]
	require.Equal(t, &answer, listed.Failure.AWS)
	require.Nil(t, listed.Steps[0].FailedAttempts)
	events, err := json.Marshal(read[openapi.EventPage](t, w.get("/v1/events"), http.StatusOK))
	require.NoError(t, err)
	require.NotContains(t, string(events), answer.RequestID)
}

func TestAnOrderLinksToItsWorkflow(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) {
		c.TemporalWeb, c.TemporalNamespace = "https://temporal.provider.example/ui/", "my shop"
	})
	w.createOrder("MP:1", provision.Accepted)
	link := func(role provision.Role, target string) string {
		key := w.createKeyOf("acme", role, func(*provision.APIKey) {})
		return w.send(key, http.MethodGet, target, "").Body.String()
	}
	const url = `"workflow_url":"https://temporal.provider.example/ui/namespaces/my%20shop/workflows/order%2Facme%2FMP:1"`
	require.Contains(t, link(provision.RoleViewer, "/v1/orders/MP:1"), url)
	require.NotContains(t, link(provision.RoleMarketplace, "/v1/orders/MP:1"), "workflow_url")
	require.NotContains(t, link(provision.RoleViewer, "/v1/orders"), "workflow_url")

	w = setup(t)
	w.createOrder("MP-1", provision.Accepted)
	require.NotContains(t, w.get("/v1/orders/MP-1").Body.String(), "workflow_url")
}
