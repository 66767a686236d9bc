package openapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// quartermaster answers a new order as the API does.
func quartermaster(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Location", "/v1/orders/MP-2026-000117")
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprint(w, `{"id":"MP-2026-000117","state":"accepted"}`)
}

// Place an order. The request is safe to repeat: 202 is a new order, and 200 is the order that was placed before.
func Example_placeOrder() {
	service := httptest.NewServer(http.HandlerFunc(quartermaster))
	defer service.Close()

	client, err := openapi.NewClientWithResponses(service.URL, openapi.WithRequestEditorFn(
		func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer qm_live_5f1c90aa0b3e_…")
			return nil
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := client.CreateOrderWithResponse(context.Background(), openapi.NewOrder{
		ID:              "MP-2026-000117",
		Marketplace:     "nordic",
		Environment:     provision.Production,
		OrderMode:       provision.OrderModeNewAccount,
		IAMUserName:     "anna.berg",
		AWSContactName:  "Anna Berg",
		AWSAccountAlias: "berg-logistics",
	})
	if err != nil { // no answer: send the same order again
		fmt.Println(err)
		return
	}
	switch {
	case answer.JSON202 != nil:
		fmt.Println("placed", answer.JSON202.ID, answer.JSON202.State)
	case answer.JSON200 != nil:
		fmt.Println("placed before", answer.JSON200.ID, answer.JSON200.State)
	default:
		fmt.Println(openapi.ProblemOf(answer.StatusCode(), answer.Body))
	}
	// Output: placed MP-2026-000117 accepted
}
