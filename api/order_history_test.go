package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestTheHistoryOfAnOrderSaysWhoDidWhatAndWhy(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key := provision.OrderKey{Provider: "acme", ID: "MP-1"}
	_, err := w.store.Orders.Open(t.Context(), provision.Order{OrderKey: key, Request: requestFixture(),
		AcceptedAt: now.Truncate(time.Microsecond)})
	require.NoError(t, err)
	by := provision.Intervention{Actor: "key 5f1c90aa0b3e", Reason: "The customer withdrew.", ID: "7f9c0f0e-4a51-4f6e-9d0b-2f8c8a2f6b10"}
	require.NoError(t, w.store.Orders.NoteAction(t.Context(), key, "cancel", by))

	first := read[openapi.OrderHistoryPage](t, w.get("/v1/orders/MP-1/history?limit=1"), http.StatusOK)
	require.Equal(t, "accepted", first.Items[0].ToState)
	require.Nil(t, first.Items[0].FromState)
	entries := first.Items
	for page := first; page.NextCursor != nil; {
		page = read[openapi.OrderHistoryPage](t, w.get("/v1/orders/MP-1/history?limit=1&cursor="+*page.NextCursor), http.StatusOK)
		entries = append(entries, page.Items...)
	}
	last := entries[len(entries)-1]
	require.Equal(t, []string{"key 5f1c90aa0b3e", "cancel", "The customer withdrew."}, []string{last.Actor, *last.Code, *last.Reason})
	require.Equal(t, last.ToState, *last.FromState, "the request itself did not change the state")

	readProblem(t, w.get("/v1/orders/MP-1/history?cursor=rubbish"), http.StatusBadRequest, codeInvalidParameter)
	readProblem(t, w.send(w.otherKey, http.MethodGet, "/v1/orders/MP-1/history", ""), http.StatusNotFound, codeNotFound)
	readProblem(t, w.get("/v1/orders/MP-2/history"), http.StatusNotFound, codeNotFound)
}

func TestAnOrderThatHasNoRowYetHasAnEmptyHistory(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Equal(t, http.StatusAccepted, w.post("/v1/orders", orderForm("MP-1")).Code)
	require.Empty(t, read[openapi.OrderHistoryPage](t, w.get("/v1/orders/MP-1/history"), http.StatusOK).Items)
}
