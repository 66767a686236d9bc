package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestAnOrderMayNameItsCustomer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	of := func(id, name string) map[string]any {
		return map[string]any{"customer": map[string]any{"id": id, "name": name}}
	}
	order := read[openapi.Order](t, w.post("/v1/orders", orderForm("MP-1", of("C-1", "Berg Logistics AB"))), http.StatusAccepted)
	require.Equal(t, &provision.Customer{ID: "C-1", Name: "Berg Logistics AB"}, order.Customer)
	require.Equal(t, order, read[openapi.Order](t, w.get("/v1/orders/MP-1"), http.StatusOK))
	read[openapi.Order](t, w.post("/v1/orders", orderForm("MP-1", of("C-1", "Berg Logistics AB"))), http.StatusOK)
	for _, other := range []map[string]any{of("C-2", "Berg Logistics AB"), of("C-1", "Berg Shipping AB"), nil} {
		readProblem(t, w.post("/v1/orders", orderForm("MP-1", other)), http.StatusConflict, provision.CodeOrderIDReused)
	}

	for field, form := range map[string]map[string]any{
		"customer.id":   of(strings.Repeat("c", 65), "Berg"),
		"customer.name": of("C-1", strings.Repeat("n", 101)),
		"customer":      {"customer": "C-1"},
	} {
		for _, target := range []string{"/v1/orders", "/v1/orders/validate"} {
			p := readProblem(t, w.post(target, orderForm("MP-2", form)), http.StatusUnprocessableEntity, codeInvalid)
			require.Contains(t, fieldsOf(p), field)
		}
	}
	for _, form := range []map[string]any{of("", "Berg"), of("C-1", ""), of("C\n1", "Berg"), of("C-1", "Berg\nAB"),
		{"customer": map[string]any{"id": "C-1"}}, {"customer": map[string]any{"name": "Berg"}}} {
		readProblem(t, w.post("/v1/orders/validate", orderForm("MP-2", form)), http.StatusUnprocessableEntity, codeInvalid)
	}
}

func TestOrdersAreFoundByTheirCustomer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i, customer := range []string{"C-1", "C ÅÄÖ/2", "C-1", "", "C-1"} {
		w.createOrder(fmt.Sprintf("MP-%d", i), provision.Accepted, func(o *newOrder) {
			o.AcceptedAt = now.Add(time.Duration(i) * time.Second)
			if customer != "" {
				o.Request.Customer = &provision.Customer{ID: customer, Name: "Berg Logistics AB"}
			}
		})
	}
	ids := func(page openapi.OrderPage) (ids []string) {
		for _, order := range page.Items {
			ids = append(ids, order.ID)
		}
		return ids
	}
	first := read[openapi.OrderPage](t, w.get("/v1/orders?customer_id=C-1&limit=2"), http.StatusOK)
	require.Equal(t, []string{"MP-4", "MP-2"}, ids(first))
	last := read[openapi.OrderPage](t, w.get("/v1/orders?customer_id=C-1&limit=2&cursor="+*first.NextCursor), http.StatusOK)
	require.Equal(t, []string{"MP-0"}, ids(last))
	require.Nil(t, last.NextCursor)
	odd := "/v1/orders?customer_id=" + url.QueryEscape("C ÅÄÖ/2")
	require.Equal(t, []string{"MP-1"}, ids(read[openapi.OrderPage](t, w.get(odd), http.StatusOK)))
	require.Empty(t, ids(read[openapi.OrderPage](t, w.send(w.otherKey, http.MethodGet, "/v1/orders?customer_id=C-1", ""), http.StatusOK)))
	for _, wrong := range []string{"", strings.Repeat("c", 65), "%00", "%FF", "C%0A1"} {
		p := readProblem(t, w.get("/v1/orders?customer_id="+wrong), http.StatusBadRequest, codeInvalidParameter)
		require.Contains(t, fieldsOf(p), "customer_id", wrong)
	}

	events := w.get("/v1/events").Body.String()
	require.Contains(t, events, "order.accepted")
	require.NotContains(t, events, "Berg Logistics", "events are sent to other systems")
	require.NotContains(t, w.log.String(), "Berg Logistics")
}
