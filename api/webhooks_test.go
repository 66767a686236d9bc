package api

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/internal/webhooks"
)

func (w *testAPI) createWebhook(t *testing.T, form map[string]any) openapi.WebhookWithSecret {
	t.Helper()
	return read[openapi.WebhookWithSecret](t, w.post("/v1/webhooks", form), http.StatusCreated)
}

var hookForm = map[string]any{"url": "https://hooks.example.com/aws", "event_types": []string{"order.*"}, "description": "Shop"}

func TestTheSecretOfAnEndpointIsShownOnceAndKeptSealed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	answer := w.post("/v1/webhooks", hookForm)
	made := read[openapi.WebhookWithSecret](t, answer, http.StatusCreated)
	at := "/v1/webhooks/" + made.Webhook.ID
	require.Equal(t, "/qm"+at, answer.Header().Get("Location"))
	require.True(t, strings.HasPrefix(made.Secret, "whsec_"))
	require.Equal(t, []string{"order.*"}, made.Webhook.EventTypes)
	rotated := read[openapi.WebhookSecret](t, w.send(w.key, http.MethodPost, at+"/rotate-secret", ""), http.StatusOK)
	require.NotEqual(t, made.Secret, rotated.Secret)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), *rotated.OlderSignsUntil, 5*time.Minute)
	for _, target := range []string{at, "/v1/webhooks", at + "/deliveries"} {
		body := w.get(target).Body.String()
		require.NotContains(t, body, made.Secret)
		require.NotContains(t, body, rotated.Secret)
	}
	require.NotContains(t, w.log.String(), "whsec_")

	tested := read[openapi.Delivery](t, w.send(w.key, http.MethodPost, at+"/test", ""), http.StatusAccepted)
	require.Equal(t, tested, read[openapi.DeliveryWithAttempts](t, w.get(at+"/deliveries/"+tested.ID), http.StatusOK).Delivery)
	key := provision.WebhookKey{Provider: "acme", ID: made.Webhook.ID}
	require.Equal(t, []provision.WebhookKey{key}, w.workflows.webhooks)
	next, err := w.store.Deliveries.Next(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, tested.ID, next.ID)
	sending, err := w.store.Deliveries.Sending(t.Context(), key, next.ID)
	require.NoError(t, err)
	require.Len(t, sending.Sealed, 2)
	for i, wanted := range []string{rotated.Secret, made.Secret} {
		require.NotContains(t, string(sending.Sealed[i]), wanted)
		text, err := w.service.Opener.Open(sending.Sealed[i], provision.WebhookSecretPurpose(key))
		require.NoError(t, err)
		require.Equal(t, wanted, string(text))
		_, err = w.service.Opener.Open(sending.Sealed[i], provision.WebhookSecretPurpose(provision.WebhookKey{Provider: "globex", ID: key.ID}))
		require.ErrorIs(t, err, secrets.ErrNotSealed)
	}
}

func TestUpdatingAnEndpointRequiresItsETag(t *testing.T) {
	t.Parallel()
	w := setup(t)
	at := "/v1/webhooks/" + w.createWebhook(t, hookForm).Webhook.ID
	etag := w.get(at).Header().Get("ETag")
	readProblem(t, w.patch(at, map[string]any{"enabled": false}), http.StatusPreconditionRequired, codePreconditionRequired)
	off := read[openapi.Webhook](t, w.send(w.key, http.MethodPatch, at, `{"enabled":false,"reason":"it moves"}`, "If-Match", etag),
		http.StatusOK)
	require.Equal(t, "it moves", *off.DisabledBecause)
	require.Equal(t, "key "+w.keyID(), *off.DisabledBy)
	require.NotNil(t, off.DisabledAt)
	readProblem(t, w.send(w.key, http.MethodPatch, at, `{"enabled":true}`, "If-Match", etag), http.StatusPreconditionFailed,
		codePreconditionFailed)
	require.Contains(t, readProblem(t, w.send(w.key, http.MethodPost, at+"/test", ""), http.StatusConflict, codeConflict).Detail,
		"enable it first")
	on := read[openapi.Webhook](t, w.send(w.key, http.MethodPatch, at,
		`{"enabled":true,"url":"https://hooks.example.com/new","event_types":[]}`, "If-Match", "*"), http.StatusOK)
	require.Nil(t, on.DisabledBecause)
	require.Empty(t, on.EventTypes)
	require.Equal(t, "https://hooks.example.com/new", on.URL)
	require.Equal(t, http.StatusNoContent, w.withETag(t, http.MethodDelete, at, "", "*"))
	readProblem(t, w.get(at), http.StatusNotFound, codeNotFound)
}

func TestCallbacksAndEndpointsHaveOneRuleForURLs(t *testing.T) {
	t.Parallel()
	w := setup(t)
	trying := setup(t, func(c *Config) { c.WebhookPolicy = webhooks.Policy{Loopback: true} })
	for url, wanted := range map[string]string{
		"": "not a URL", "http://hooks.example.com/": "use https", "https://10.1.2.3/": "not a public address",
		"https://[::ffff:169.254.169.254]/": "not a public address", "https://u:p@hooks.example.com/": "a user or a password",
		"https://hooks.example.com/a b": "write it as %20", "https://hooks.example.com/#x": "a fragment",
		"https://büro.example/":                                  "xn--bro-hoa.example",
		"https://hooks.example.com/" + strings.Repeat("x", 2048): "use at most 2048", "https://hooks.example.com:22/": "port 22 is not called",
	} {
		for _, w := range []*testAPI{w, trying} {
			p := readProblem(t, w.post("/v1/webhooks", map[string]any{"url": url}), http.StatusUnprocessableEntity, codeInvalid)
			require.Contains(t, fieldsOf(p)["url"], wanted)
			callback := readProblem(t, w.post("/v1/orders", orderForm("MP-1", map[string]any{"callback_url": url})),
				http.StatusUnprocessableEntity, codeInvalid)
			require.Equal(t, fieldsOf(p)["url"], fieldsOf(callback)["callback_url"], url)
		}
	}
	for i, url := range []string{"https://hooks_1.example.com:443/a%20b?x=1", "http://127.0.0.1:8080/", "http://localhost/x"} {
		form := orderForm("MP-"+strconv.Itoa(i), map[string]any{"callback_url": url})
		trying.createWebhook(t, map[string]any{"url": url})
		require.Equal(t, http.StatusOK, trying.post("/v1/orders/validate", form).Code, url)
		if i > 0 {
			readProblem(t, w.post("/v1/webhooks", map[string]any{"url": url}), http.StatusUnprocessableEntity, codeInvalid)
			readProblem(t, w.post("/v1/orders/validate", form), http.StatusUnprocessableEntity, codeInvalid)
		}
	}
	p := readProblem(t, w.post("/v1/webhooks", map[string]any{"url": "https://hooks.example.com/",
		"event_types": []string{"everything"}, "description": "a\x07"}), http.StatusUnprocessableEntity, codeInvalid)
	require.Contains(t, fieldsOf(p), "event_types.0")
	require.Contains(t, fieldsOf(p)["description"], "a control character, U+0007")
}

func TestDeliveriesAreListedReadAndSentAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	made := w.createWebhook(t, hookForm).Webhook
	key, at := provision.WebhookKey{Provider: "acme", ID: made.ID}, "/v1/webhooks/"+made.ID+"/deliveries"
	for range 3 {
		_, err := w.store.Webhooks.Test(t.Context(), "test", key)
		require.NoError(t, err)
	}
	next, err := w.store.Deliveries.Next(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, w.store.Deliveries.RecordAttempt(t.Context(), key, next.ID,
		provision.DeliveryOutcome{DeliveryAttempt: provision.DeliveryAttempt{At: now, StatusCode: 502, Error: "bad", Answer: "oops", TookMS: 7}}))
	first := read[openapi.DeliveryPage](t, w.get(at+"?limit=2"), http.StatusOK)
	require.Len(t, first.Items, 2)
	second := read[openapi.DeliveryPage](t, w.get(at+"?limit=2&cursor="+*first.NextCursor), http.StatusOK)
	require.Len(t, second.Items, 1)
	require.Nil(t, second.NextCursor)
	failed := read[openapi.DeliveryPage](t, w.get(at+"?state=failed"), http.StatusOK)
	require.Equal(t, second.Items, failed.Items)
	one := read[openapi.DeliveryWithAttempts](t, w.get(at+"/"+next.ID), http.StatusOK)
	require.Equal(t, failed.Items[0], one.Delivery)
	require.Equal(t, "oops", *one.Attempts[0].Answer)
	require.Equal(t, 502, *one.Attempts[0].StatusCode)
	again := read[openapi.Delivery](t, w.send(w.key, http.MethodPost, at+"/"+next.ID+"/resend", ""), http.StatusAccepted)
	require.Equal(t, provision.DeliveryPending, again.State)
	require.Equal(t, one.Delivery.EventID, again.EventID)
	require.Equal(t, []provision.WebhookKey{key}, w.workflows.webhooks)
}

func TestCallbacksWaitForTheSecret(t *testing.T) {
	t.Parallel()
	w := setup(t)
	order := provision.Order{OrderKey: provision.OrderKey{Provider: "acme", ID: "o-1"}, AcceptedAt: now, Request: requestFixture()}
	order.Request.CallbackURL = "https://hooks.example.com/callback"
	_, err := w.store.Orders.Open(t.Context(), order)
	require.NoError(t, err)
	_, err = w.store.Deliveries.DueWebhooks(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, openapi.CallbackSecret{Held: 1}, read[openapi.CallbackSecret](t, w.get("/v1/callback-secret"), http.StatusOK))
	first := read[openapi.WebhookSecret](t, w.send(w.key, http.MethodPost, "/v1/callback-secret/rotate", ""), http.StatusOK)
	require.Nil(t, first.OlderSignsUntil)
	require.Len(t, w.workflows.webhooks, 1)
	second := read[openapi.WebhookSecret](t, w.post("/v1/callback-secret/rotate", map[string]any{"overlap_seconds": 60}), http.StatusOK)
	require.NotEqual(t, first.Secret, second.Secret)
	known := read[openapi.CallbackSecret](t, w.get("/v1/callback-secret"), http.StatusOK)
	require.True(t, known.Exists)
	require.NotNil(t, known.OlderSignsUntil)
	require.False(t, read[openapi.CallbackSecret](t, w.send(w.otherKey, http.MethodGet, "/v1/callback-secret", ""), http.StatusOK).Exists)
	callback := read[openapi.WebhookPage](t, w.get("/v1/webhooks"), http.StatusOK).Items[0]
	require.Equal(t, "callback", callback.Kind)
	require.Contains(t, readProblem(t, w.send(w.key, http.MethodPatch, "/v1/webhooks/"+callback.ID,
		`{"url":"https://x.example.com"}`, "If-Match", "*"), http.StatusConflict, codeConflict).Detail, "enabled and disabled")
}

func TestEndpointsOfOtherProvidersCannotBeChanged(t *testing.T) {
	t.Parallel()
	w := setup(t)
	made := w.createWebhook(t, hookForm).Webhook
	key, at := provision.WebhookKey{Provider: "acme", ID: made.ID}, "/v1/webhooks/"+made.ID
	tested, err := w.store.Webhooks.Test(t.Context(), "test", key)
	require.NoError(t, err)
	for target, method := range map[string]string{"": http.MethodGet, "/deliveries": http.MethodGet,
		"/deliveries/" + tested.ID: http.MethodGet, "/test": http.MethodPost, "/rotate-secret": http.MethodPost,
		"/deliveries/" + tested.ID + "/resend": http.MethodPost} {
		readProblem(t, w.send(w.otherKey, method, at+target, ""), http.StatusNotFound, codeNotFound)
	}
	readProblem(t, w.send(w.otherKey, http.MethodPatch, at, `{"enabled":false}`, "If-Match", "*"), http.StatusNotFound, codeNotFound)
	readProblem(t, w.send(w.otherKey, http.MethodDelete, at, "", "If-Match", "*"), http.StatusNotFound, codeNotFound)
	require.Empty(t, read[openapi.WebhookPage](t, w.send(w.otherKey, http.MethodGet, "/v1/webhooks", ""), http.StatusOK).Items)
	require.True(t, read[openapi.Webhook](t, w.get(at), http.StatusOK).Enabled)
}
