package api

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestManualStepsAreTicked(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	w.completedOrder("MP-1")
	put := func(target, body string) openapi.Order {
		return read[openapi.Order](t, w.send(w.key, http.MethodPut, target, body), http.StatusOK)
	}
	list := read[openapi.Order](t, w.get("/v1/orders/MP-1"), http.StatusOK).Result.Checklist
	require.Equal(t, []openapi.ManualStep{{Number: 1, Step: "Register the account."}, {Number: 2, Step: "Set the currency."}}, list)
	list = put("/v1/orders/MP-1/manual-steps/2", `{"done":true,"reason":"by phone"}`).Result.Checklist
	require.Nil(t, list[0].DoneAt)
	require.NotNil(t, list[1].DoneAt)
	require.Regexp(t, `^key `, *list[1].DoneBy)
	again := put("/v1/orders/MP-1/manual-steps/2", `{"done":true}`).Result.Checklist
	require.Equal(t, list, again, "a repeat changes nothing")
	require.Equal(t, list, read[openapi.OrderPage](t, w.get("/v1/orders"), http.StatusOK).Items[0].Result.Checklist)
	require.Nil(t, put("/v1/orders/MP-1/manual-steps/2", `{"done":false}`).Result.Checklist[1].DoneAt)

	history := read[openapi.OrderHistoryPage](t, w.get("/v1/orders/MP-1/history"), http.StatusOK).Items
	ticked, unticked := history[len(history)-2], history[len(history)-1]
	require.Equal(t, "tick", *ticked.Code)
	require.Equal(t, []string{"manual_steps.2"}, *ticked.Fields)
	require.Equal(t, "by phone", *ticked.Reason)
	require.Equal(t, "untick", *unticked.Code)
	require.Nil(t, unticked.Reason)
}

func TestOnlyManualStepsOfCompletedOrdersAreTicked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.completedOrder("MP-1")
	w.createOrder("MP-2", provision.Accepted)
	put := func(key, target, body string, status int, code provision.Code) openapi.Problem {
		return readProblem(t, w.send(key, http.MethodPut, target, body), status, code)
	}
	p := put(w.key, "/v1/orders/MP-2/manual-steps/1", `{"done":true}`, http.StatusConflict, codeConflict)
	require.Equal(t, `order "MP-2" is accepted: only a completed order has manual steps`, p.Detail)
	p = put(w.key, "/v1/orders/MP-1/manual-steps/3", `{"done":true}`, http.StatusNotFound, codeNotFound)
	require.Equal(t, `order "MP-1" has no manual step 3: it has 2, see result.checklist`, p.Detail)
	put(w.key, "/v1/orders/MP-1/manual-steps/0", `{"done":true}`, http.StatusBadRequest, codeInvalidParameter)
	put(w.key, "/v1/orders/MP-1/manual-steps/1", `{}`, http.StatusUnprocessableEntity, codeInvalid)
	put(w.otherKey, "/v1/orders/MP-1/manual-steps/1", `{"done":true}`, http.StatusNotFound, codeNotFound)
	shop := w.createKeyOf("acme", provision.RoleMarketplace, func(*provision.APIKey) {})
	put(shop, "/v1/orders/MP-1/manual-steps/1", `{"done":true}`, http.StatusForbidden, codeForbidden)
}
