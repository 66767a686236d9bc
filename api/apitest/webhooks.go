package apitest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// Webhook creates an endpoint that receives events of the types; all, if there is none.
func (s *Seed) Webhook(t testing.TB, url string, types ...string) provision.WebhookKey {
	t.Helper()
	key := provision.WebhookKey{Provider: s.Pool.Provider, ID: uuid.NewString()}
	_, err := s.DB.Webhooks.Create(t.Context(), "test", provision.Webhook{
		ID: key.ID, Provider: key.Provider, URL: url, EventTypes: types, Description: "Orders of the shop",
	}, []byte("sealed"))
	require.NoError(t, err)
	return key
}

// Attempt records an attempt to send the next message of the endpoint, and returns the id of its delivery.
func (s *Seed) Attempt(t testing.TB, key provision.WebhookKey, outcome provision.DeliveryOutcome) string {
	t.Helper()
	next, err := s.DB.Deliveries.Next(t.Context(), key)
	require.NoError(t, err)
	require.NotEmpty(t, next.ID, "no message waits")
	if outcome.At.IsZero() {
		outcome.At = time.Now()
	}
	require.NoError(t, s.DB.Deliveries.RecordAttempt(t.Context(), key, next.ID, outcome))
	return next.ID
}

// Refused is an attempt that the receiver refused with 502 and this text. The next one is in an hour.
func Refused(answer string) provision.DeliveryOutcome {
	return provision.DeliveryOutcome{DeliveryAttempt: provision.DeliveryAttempt{
		StatusCode: 502, Error: "the receiver answered 502 Bad Gateway", Answer: answer, TookMS: 41,
	}, RetryIn: new(time.Hour)}
}

// Accepted is an attempt that the receiver accepted.
func Accepted() provision.DeliveryOutcome {
	return provision.DeliveryOutcome{DeliveryAttempt: provision.DeliveryAttempt{StatusCode: 204, TookMS: 12}}
}
