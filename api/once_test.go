package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// Each operation that shows a secret once shows it in the first answer only, and says what the first request made.
func TestARequestWithAnIdempotencyKeyTakesEffectOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	_, old := w.create(t, `{"name":"old","role":"viewer"}`)
	hook := w.createWebhook(t, hookForm).Webhook
	w.completedOrder("done-1")
	madeKey := func(t *testing.T, answer *httptest.ResponseRecorder) (id, secret string) {
		made := read[openapi.NewAPIKeyText](t, answer, http.StatusCreated)
		return made.APIKey.ID, made.Secret
	}
	rotated := func(id string) func(t *testing.T, answer *httptest.ResponseRecorder) (string, string) {
		return func(t *testing.T, answer *httptest.ResponseRecorder) (string, string) {
			return id, read[openapi.WebhookSecret](t, answer, http.StatusOK).Secret
		}
	}
	for name, c := range map[string]struct {
		target, body, another string
		made                  func(t *testing.T, answer *httptest.ResponseRecorder) (id, secret string)
		says                  string
	}{
		"createAPIKey": {"/v1/api-keys", `{"name":"a","role":"viewer"}`, `{"name":"b","role":"viewer"}`, madeKey, "made API key "},
		"rotateAPIKey": {"/v1/api-keys/" + old.ID + "/rotate", `{"overlap_hours":2}`, `{"overlap_hours":3}`, madeKey,
			"replaced API key " + old.ID + " by "},
		"createWebhook": {"/v1/webhooks", `{"url":"https://hooks.example.com/a"}`, `{"url":"https://hooks.example.com/b"}`,
			func(t *testing.T, answer *httptest.ResponseRecorder) (id, secret string) {
				made := read[openapi.WebhookWithSecret](t, answer, http.StatusCreated)
				return made.Webhook.ID, made.Secret
			}, "made webhook "},
		"rotateWebhookSecret": {"/v1/webhooks/" + hook.ID + "/rotate-secret", `{"overlap_seconds":60}`, "", rotated(hook.ID),
			"replaced the secret of webhook "},
		"rotateCallbackSecret": {"/v1/callback-secret/rotate", `{"overlap_seconds":60}`, "", rotated("callbacks"), "replaced the secret of all "},
		"issuePassword": {"/v1/orders/done-1/password", lostLink, `{"reason":"another"}`,
			func(t *testing.T, answer *httptest.ResponseRecorder) (id, secret string) {
				return "done-1", linkOf(t, answer, http.StatusOK)
			}, "asked for a new password of order "},
	} {
		t.Run(name, func(t *testing.T) {
			key := "key of " + name
			send := func(body string) *httptest.ResponseRecorder {
				return w.send(w.key, http.MethodPost, c.target, body, headerIdempotencyKey, key)
			}
			id, secret := c.made(t, send(c.body))
			before := w.get("/v1/history?limit=200").Body.String()
			answer := send(strings.ReplaceAll(c.body, "\":", "\" : "))
			p := readProblem(t, answer, http.StatusConflict, codeAlreadyDone)
			require.Contains(t, p.Detail, "an earlier request with this Idempotency-Key "+c.says+id+" at ")
			require.Contains(t, p.Detail, "another Idempotency-Key")
			require.Equal(t, id, p.Earlier.ID)
			require.NotContains(t, answer.Body.String(), secret)
			p = readProblem(t, send(c.another), http.StatusUnprocessableEntity, codeIdempotencyKeyReused)
			require.Equal(t, "belongs to another request", fieldsOf(p)[headerIdempotencyKey])
			require.Nil(t, p.Earlier, "who sends another request learns nothing about the first")
			require.Equal(t, before, w.get("/v1/history?limit=200").Body.String(), "nothing was made")
			require.NotContains(t, w.log.String(), key)
		})
	}
}

// The same text is a key of its own for each operation, thing and caller.
func TestAnIdempotencyKeyBelongsToItsCaller(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	const body = `{"name":"a","role":"viewer"}`
	send := func(key, target, body string) *httptest.ResponseRecorder {
		return w.send(key, http.MethodPost, target, body, headerIdempotencyKey, "1")
	}
	first, _ := w.create(t, `{"name":"admin","role":"admin"}`)
	for _, key := range []string{w.key, first, w.otherKey} {
		read[openapi.NewAPIKeyText](t, send(key, "/v1/api-keys", body), http.StatusCreated)
		readProblem(t, send(key, "/v1/api-keys", body), http.StatusConflict, codeAlreadyDone)
		readProblem(t, send(key, "/v1/callback-secret/rotate", ""), http.StatusUnprocessableEntity, codeIdempotencyKeyReused)
	}
}

func TestARefusedRequestLeavesItsIdempotencyKeyUnused(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	_, key := w.create(t, `{"name":"a","role":"viewer"}`)
	send := func(target, body, text string) *httptest.ResponseRecorder {
		return w.send(w.key, http.MethodPost, target, body, headerIdempotencyKey, text)
	}
	readProblem(t, send("/v1/api-keys", `{"name":""}`, "1"), http.StatusUnprocessableEntity, codeInvalid)
	read[openapi.NewAPIKeyText](t, send("/v1/api-keys", `{"name":"b","role":"viewer"}`, "1"), http.StatusCreated)
	require.Equal(t, http.StatusOK, w.send(w.key, http.MethodPost, "/v1/api-keys/"+key.ID+"/revoke", "").Code)
	for range 2 {
		readProblem(t, send("/v1/api-keys/"+key.ID+"/rotate", "", "2"), http.StatusConflict, codeConflict)
	}
	for _, text := range []string{"", " ", "é", strings.Repeat("k", 256)} {
		p := readProblem(t, send("/v1/api-keys", `{"name":"b","role":"viewer"}`, text), http.StatusBadRequest, codeInvalidParameter)
		require.Contains(t, fieldsOf(p)[headerIdempotencyKey], "not an Idempotency-Key: use 1 to 255 printable ASCII characters")
	}
}

func TestAPasswordWhoseRequestRunsIsNotRequestedAgain(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	w.completedOrder("done-1")
	w.workflows.holdPasswords = true
	send := func() *httptest.ResponseRecorder {
		return w.send(w.key, http.MethodPost, "/v1/orders/done-1/password", lostLink, headerIdempotencyKey, "1")
	}
	require.NotNil(t, read[openapi.Order](t, send(), http.StatusAccepted).Result.Password.SettingSince)
	require.Equal(t, "done-1", readProblem(t, send(), http.StatusConflict, codeAlreadyDone).Earlier.ID)
	require.Len(t, w.workflows.passwords, 1)
}

func TestARunningRequestIsNamed(t *testing.T) {
	t.Parallel()
	err := repeated(&provision.RepeatError{Running: true}, "made %s", "")
	require.Equal(t, codeStillRunning, asProblem(err).code)
	require.Contains(t, asProblem(err).detail, "repeat yours in a moment")
}
