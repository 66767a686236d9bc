package webhooks_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A receiver verifies each message with the secret of its webhook before it reads it. The library of Standard Webhooks exists
// for many languages. It checks the signature and that the message is not older than five minutes. The header webhook-id is
// the same for every attempt of an event, so a receiver can ignore events that it has handled.
func Example() {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		fmt.Println("the secret is malformed:", err)
		return
	}
	handled := map[string]bool{}
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil || verifier.Verify(body, r.Header) != nil {
			http.Error(w, "the signature is not valid", http.StatusUnauthorized)
			return
		}
		if id := r.Header.Get("webhook-id"); !handled[id] {
			handled[id] = true
			var event struct {
				Type string `json:"type"`
			}
			_ = json.Unmarshal(body, &event)
			fmt.Println("handled", event.Type)
		}
		w.WriteHeader(http.StatusNoContent) // every 2xx confirms the event; anything else is retried
	}

	// Quartermaster sends one event twice, and someone else sends an event without a valid signature.
	const body = `{"type":"order.completed"}`
	now := time.Now()
	signature, _ := verifier.Sign("evt_1", now, []byte(body))
	for _, signed := range []string{signature, signature, "v1,Zm9yZ2Vk"} {
		request := httptest.NewRequest(http.MethodPost, "/webhooks", strings.NewReader(body))
		request.Header.Set("webhook-id", "evt_1")
		request.Header.Set("webhook-timestamp", fmt.Sprint(now.Unix()))
		request.Header.Set("webhook-signature", signed)
		answer := httptest.NewRecorder()
		receive(answer, request)
		fmt.Println(answer.Code)
	}
	// Output:
	// handled order.completed
	// 204
	// 204
	// 401
}
