package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// The id of an order is unique within the provider. Of an order of another marketplace a key learns that its id is used, and nothing
// more.
func TestAnIDThatAnotherMarketplaceUsesIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	south := provision.DefaultPool(provision.Pool{Provider: "acme", Marketplace: "south", Environment: provision.Production})
	_, err := w.store.Pools.Create(t.Context(), "test", south)
	require.NoError(t, err)
	key := func(marketplaces ...string) string {
		return w.createKeyOf("acme", provision.RoleMarketplace, func(k *provision.APIKey) { k.Marketplaces = marketplaces })
	}
	nordic, southern, both := key("nordic"), key("south"), key("nordic", "south")
	post := func(key, marketplace, id string) *httptest.ResponseRecorder {
		return w.send(key, http.MethodPost, "/v1/orders", asText(orderForm(id, map[string]any{"marketplace": marketplace})))
	}
	w.createOrder("with-a-row", provision.Accepted)
	read[openapi.Order](t, post(nordic, "nordic", "without-a-row"), http.StatusAccepted)
	for _, id := range []string{"with-a-row", "without-a-row"} {
		answer := post(southern, "south", id)
		require.NotContains(t, answer.Body.String(), "nordic")
		require.NotContains(t, answer.Body.String(), "accepted")
		p := readProblem(t, answer, http.StatusConflict, provision.CodeOrderIDReused)
		require.Equal(t, p.Detail, readProblem(t, post(both, "south", id), http.StatusConflict, provision.CodeOrderIDReused).Detail)
		for _, target := range []string{"/v1/orders/" + id, "/v1/orders/" + id + "/history"} {
			foreign := readProblem(t, w.send(southern, http.MethodGet, target, ""), http.StatusNotFound, codeNotFound)
			require.Equal(t, fmt.Sprintf("order %q not found", id), foreign.Detail)
			require.Equal(t, http.StatusOK, w.send(nordic, http.MethodGet, target, "").Code)
		}
		readProblem(t, w.send(southern, http.MethodPost, "/v1/orders/"+id+"/cancel", ""), http.StatusNotFound, codeNotFound)
	}
	require.Equal(t, 1, w.workflows.starts)
	require.Zero(t, w.workflows.asked)

	p := readProblem(t, post(southern, "nordic", "new"), http.StatusUnprocessableEntity, codeInvalid)
	require.Contains(t, fieldsOf(p)["marketplace"], `there is no pool for marketplace "nordic"`)
	read[openapi.Order](t, post(southern, "south", "new"), http.StatusAccepted)
	read[openapi.Order](t, post(both, "south", "new"), http.StatusOK)
	readProblem(t, w.send(nordic, http.MethodGet, "/v1/orders/new", ""), http.StatusNotFound, codeNotFound)
	read[openapi.Order](t, w.get("/v1/orders/new"), http.StatusOK)
}

func TestAnEndpointIsLimitedToMarketplaces(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	made := read[openapi.WebhookWithSecret](t, w.post("/v1/webhooks", `{"url":"https://hooks.example.com/","marketplaces":["nordic"]}`),
		http.StatusCreated).Webhook
	require.Equal(t, []string{"nordic"}, *made.Marketplaces)
	target := "/v1/webhooks/" + made.ID
	require.Equal(t, made, read[openapi.Webhook](t, w.get(target), http.StatusOK))

	update := func(form string) *httptest.ResponseRecorder {
		return w.send(w.key, http.MethodPatch, target, form, "If-Match", "*")
	}
	for form, wrong := range map[string]map[string]string{
		`{"marketplaces":["south"]}`:           {"marketplaces.0": `the provider has no pool for "south": name one that has a pool, out of nordic`},
		`{"marketplaces":["nordic","nordic"]}`: {"marketplaces.1": "nordic is named twice: name it once"},
	} {
		require.Equal(t, wrong, fieldsOf(readProblem(t, update(form), http.StatusUnprocessableEntity, codeInvalid)))
	}
	readProblem(t, update(`{"marketplaces":[]}`), http.StatusUnprocessableEntity, codeInvalid)
	require.Equal(t, []string{"nordic"}, *read[openapi.Webhook](t, update(`{"description":"other"}`), http.StatusOK).Marketplaces)
	require.Nil(t, read[openapi.Webhook](t, update(`{"marketplaces":null}`), http.StatusOK).Marketplaces)
	require.Equal(t, []string{"nordic"}, *read[openapi.Webhook](t, update(`{"marketplaces":["nordic"]}`), http.StatusOK).Marketplaces)
	readProblem(t, w.post("/v1/webhooks", `{"url":"https://hooks.example.com/","marketplaces":["south"]}`), http.StatusUnprocessableEntity,
		codeInvalid)
}

// A rotation whose answer was lost is sent again. The receiver still has the secret before the first one.
func TestARepeatedRotationOfASecretCutsOffNoReceiver(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	made := read[openapi.WebhookWithSecret](t, w.post("/v1/webhooks", `{"url":"https://hooks.example.com/"}`), http.StatusCreated).Webhook
	for _, target := range []string{"/v1/webhooks/" + made.ID + "/rotate-secret", "/v1/callback-secret/rotate"} {
		rotate := func(seconds int) openapi.WebhookSecret {
			return read[openapi.WebhookSecret](t, w.post(target, fmt.Sprintf(`{"overlap_seconds":%d}`, seconds)), http.StatusOK)
		}
		rotate(0) // the first secret of the callbacks
		first := rotate(7200)
		second := rotate(3600)
		require.NotEqual(t, first.Secret, second.Secret)
		require.Equal(t, first.OlderSignsUntil, second.OlderSignsUntil, "the first overlap is as long as it was")
		for range provision.WebhookSecrets - 3 {
			rotate(3600)
		}
		p := readProblem(t, w.post(target, `{"overlap_seconds":60}`), http.StatusConflict, codeConflict)
		require.Contains(t, p.Detail, "10 secrets sign already: wait until one of them ends")
		require.Nil(t, rotate(0).OlderSignsUntil)
	}
}
