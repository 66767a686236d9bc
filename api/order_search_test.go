package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// foundBy returns the ids of the orders that a query finds.
func (w *testAPI) foundBy(t *testing.T, query string) (ids []string) {
	t.Helper()
	for _, order := range read[openapi.OrderPage](t, w.get("/v1/orders?"+query), http.StatusOK).Items {
		ids = append(ids, order.ID)
	}
	return ids
}

func TestOneFieldFindsOrders(t *testing.T) {
	t.Parallel()
	w := setup(t)
	done := w.completedOrder("MP-1")
	w.createOrder("MP-2", provision.Accepted, func(o *newOrder) {
		o.Request.AccountAlias, o.Request.Customer = "smith", &provision.Customer{ID: "Smith & Söhne", Name: "Smith"}
	})
	for text, ids := range map[string][]string{
		"mp-":             {"MP-2", "MP-1"},
		" MP-1 ":          {"MP-1"},
		"Berg":            {"MP-1"},
		done.AccountID:    {"MP-1"},
		"1111-2222-3333":  {"MP-1"},
		"Smith & Söhne":   {"MP-2"},
		"smith & söhne":   nil,
		"%":               nil,
		"mp_":             nil,
		"completed":       nil,
		"' OR true --":    nil,
		"smith\"; DROP 1": nil,
	} {
		require.Equal(t, ids, w.foundBy(t, "search="+url.QueryEscape(text)), text)
	}
	require.Equal(t, []string{"MP-1"}, w.foundBy(t, "search=mp&state=completed"))
	require.Empty(t, read[openapi.OrderPage](t, w.send(w.otherKey, http.MethodGet, "/v1/orders?search=mp", ""), http.StatusOK).Items)
	for _, wrong := range []string{"", "%20", strings.Repeat("s", 65), "a%00", "a%0Ab"} {
		p := readProblem(t, w.get("/v1/orders?search="+wrong), http.StatusBadRequest, codeInvalidParameter)
		require.Contains(t, fieldsOf(p), "search", wrong)
	}
	require.NotContains(t, w.log.String(), "Söhne", "what people look for may be personal data")
	require.NotContains(t, w.log.String(), url.QueryEscape("Söhne"))
}

func TestOrdersAreListedByTheirEnd(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	w.createOrder("open", provision.Accepted)
	w.createOrder("gone", provision.Cancelled)
	require.Equal(t, []string{"gone"}, w.foundBy(t, "ended_after=2026-01-01T00:00:00Z"))
	require.Empty(t, w.foundBy(t, "ended_before=2026-01-01T00:00:00Z"))
	p := readProblem(t, w.get("/v1/orders?ended_after=2026-01-02T00:00:00Z&ended_before=2026-01-01T00:00:00Z"),
		http.StatusBadRequest, codeInvalidParameter)
	require.Contains(t, fieldsOf(p)["ended_before"], "nothing can match")
}
