package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	sdkworker "go.temporal.io/sdk/worker"

	"quartermaster/activities"
	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/internal/webhooks"
	"quartermaster/worker"
	"quartermaster/workflows"
)

// receiver is a receiver of webhooks that verifies what it gets by the reference library.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	secret  string
	refuse  []int // statuses that it answers first
	types   []string
	ids     map[string]int
	forgery int
}

func setupReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{ids: map[string]int{}, secret: webhooks.NewSecret()}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(request.Body)
	verifier, wrong := standardwebhooks.NewWebhook(r.secret)
	if err != nil || wrong != nil || verifier.Verify(body, request.Header) != nil {
		r.forgery++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.ids[request.Header.Get("webhook-id")]++
	if len(r.refuse) > 0 {
		w.WriteHeader(r.refuse[0])
		r.refuse = r.refuse[1:]
		return
	}
	var message struct {
		Type string
		Data struct {
			OrderID string `json:"order_id"`
		}
	}
	if json.Unmarshal(body, &message) == nil {
		r.types = append(r.types, message.Type+" "+message.Data.OrderID)
	}
	w.WriteHeader(http.StatusNoContent)
}

type webhookDeliveries struct {
	store *postgres.DB
	acts  *activities.Activities
	ring  *secrets.Ring
}

func setupOrderWebhooks(t *testing.T) *webhookDeliveries {
	t.Helper()
	store := postgres.New(pgtest.New(t))
	require.NoError(t, store.Providers.Create(t.Context(), "acme", "Acme"))
	pool := provision.Pool{Provider: "acme", Marketplace: "nordic", Environment: provision.Test}
	_, err := store.Pools.Create(t.Context(), "test", provision.DefaultPool(pool))
	require.NoError(t, err)
	ring, err := secrets.ParseRing(secrets.GenerateKey("k1"))
	require.NoError(t, err)
	options := deliveryOptions{WebhookRetries: []time.Duration{20 * time.Millisecond, 20 * time.Millisecond}}
	return &webhookDeliveries{store: store, ring: ring, acts: &activities.Activities{
		Sealer: ring,
		Webhooks: activities.Webhooks{
			Deliveries: store.Deliveries,
			Events:     store.Events,
			Sender:     options.sender(webhooks.Policy{Loopback: true}),
		},
	}}
}

func (w *webhookDeliveries) order(t *testing.T, id, callback string) {
	t.Helper()
	_, err := w.store.Orders.Open(t.Context(), provision.Order{
		OrderKey:   provision.OrderKey{Provider: "acme", ID: id},
		AcceptedAt: time.Now(),
		Request: provision.Request{
			Marketplace:  "nordic",
			Environment:  provision.Test,
			OrderMode:    provision.OrderModeNewAccount,
			IAMUserName:  "u",
			ContactName:  "c",
			AccountAlias: "a-" + id,
			CallbackURL:  callback,
		},
	})
	require.NoError(t, err)
}

// deliver runs the workflows of all webhooks that have something to send, with the real activities.
func (w *webhookDeliveries) deliver(t *testing.T) {
	t.Helper()
	w.acts.Webhooks.Wake = func(_ context.Context, keys []provision.WebhookKey) error {
		for _, key := range keys {
			suite := new(testsuite.WorkflowTestSuite)
			suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
			env := suite.NewTestWorkflowEnvironment()
			env.SetTestTimeout(time.Minute)
			env.SetWorkerOptions(sdkworker.Options{DeadlockDetectionTimeout: time.Minute}) // for a busy machine
			worker.Register(env, w.acts)
			env.ExecuteWorkflow(workflows.DeliverWebhooks, key)
			require.NoError(t, env.GetWorkflowError())
		}
		return nil
	}
	_, err := w.acts.Webhooks.WakeDue(t.Context(), "")
	require.NoError(t, err)
}

func TestAReceiverThatRefusesGetsEverythingOnceItTakesIt(t *testing.T) {
	t.Parallel()
	w, r := setupOrderWebhooks(t), setupReceiver(t)
	key := provision.WebhookKey{Provider: "acme", ID: uuid.NewString()}
	sealed, err := w.ring.Seal([]byte(r.secret), provision.WebhookSecretPurpose(key))
	require.NoError(t, err)
	webhook := provision.Webhook{ID: key.ID, Provider: "acme", URL: r.URL, EventTypes: []string{"order.*"}}
	_, err = w.store.Webhooks.Create(t.Context(), "test", webhook, sealed)
	require.NoError(t, err)
	for _, id := range []string{"o-1", "o-2", "o-3"} {
		w.order(t, id, "")
	}
	// The first event is taken at the third attempt, the second never, the third at once.
	r.refuse = []int{500, 503}
	w.deliver(t)
	require.Equal(t, []string{"order.accepted o-1", "order.accepted o-2", "order.accepted o-3"}, r.types)
	w.order(t, "o-4", "")
	w.order(t, "o-5", "")
	r.refuse = []int{500, 302, 404}
	w.deliver(t)
	require.Equal(t, "order.accepted o-5", r.types[3], "the fourth failed for good and the fifth came")
	require.Zero(t, r.forgery)
	require.Len(t, r.ids, 5, "every attempt has the id of its event")
	failed, err := w.store.Deliveries.List(t.Context(), key, provision.DeliveryFilter{State: provision.DeliveryFailed, Limit: 10})
	require.NoError(t, err)
	require.Len(t, failed, 1)
	require.Equal(t, 3, r.ids[failed[0].EventID])

	_, err = w.store.Deliveries.Resend(t.Context(), "test", key, failed[0].ID)
	require.NoError(t, err)
	w.deliver(t)
	require.Equal(t, "order.accepted o-4", r.types[4])
	_, attempts, err := w.store.Deliveries.Get(t.Context(), key, failed[0].ID)
	require.NoError(t, err)
	require.Len(t, attempts, 4)
	require.Contains(t, attempts[1].Error, "redirects are not followed")
	sent, err := w.acts.Deliver(t.Context(), activities.Delivery{Webhook: key, ID: failed[0].ID})
	require.NoError(t, err)
	require.Equal(t, activities.Sent{}, sent, "an activity that is repeated sends nothing twice")
	require.Equal(t, 4, r.ids[failed[0].EventID])
}

func TestCallbacksAreSignedWithTheSecretOfTheProvider(t *testing.T) {
	t.Parallel()
	w, r := setupOrderWebhooks(t), setupReceiver(t)
	w.order(t, "o-1", r.URL+"/callback")
	w.order(t, "o-2", "")
	w.deliver(t)
	require.Empty(t, r.ids, "nothing leaves unsigned")
	all := provision.WebhookKey{Provider: "acme", ID: provision.WebhookCallbacks}
	sealed, err := w.ring.Seal([]byte(r.secret), provision.WebhookSecretPurpose(all))
	require.NoError(t, err)
	_, err = w.store.Webhooks.RotateSecret(t.Context(), "test", all, sealed, 0)
	require.NoError(t, err)
	w.deliver(t)
	require.Equal(t, []string{"order.accepted o-1"}, r.types)
	require.Zero(t, r.forgery)
}
