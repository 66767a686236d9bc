package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestInvalidKeysAreUnauthorized(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, secret, ok := splitKey("Bearer " + w.key)
	require.True(t, ok)
	_, otherSecret, _ := splitKey("Bearer " + w.otherKey)
	aged := func(change func(*provision.APIKey)) string {
		return "Bearer " + w.createKeyOf("acme", provision.RoleAdmin, change)
	}
	future := now.Add(time.Second)
	revoked := aged(func(*provision.APIKey) {})
	revokedID, _, _ := splitKey(revoked)
	_, err := w.store.APIKeys.Revoke(t.Context(), "test", "acme", revokedID, "", false)
	require.NoError(t, err)
	expired := aged(func(k *provision.APIKey) { k.ExpiresAt = &now })
	living := aged(func(k *provision.APIKey) { k.ExpiresAt = &future })

	for name, c := range map[string]struct{ header, detail string }{
		"none":                      {"", "send the header"},
		"another scheme":            {"Basic " + w.key, "send the header"},
		"no scheme":                 {w.key, "send the header"},
		"another prefix":            {"Bearer qm_test_" + id + "_" + secret, "send the header"},
		"no secret":                 {"Bearer qm_live_" + id, "send the header"},
		"an empty secret":           {"Bearer qm_live_" + id + "_", "send the header"},
		"a wrong secret":            {"Bearer qm_live_" + id + "_" + strings.Repeat("A", len(secret)), "send the header"},
		"the other key's secret":    {"Bearer qm_live_" + id + "_" + otherSecret, "send the header"},
		"an unknown id":             {"Bearer qm_live_000000000000_" + secret, "send the header"},
		"a very long one":           {"Bearer qm_live_" + id + "_" + strings.Repeat("A", 5000), "send the header"},
		"an id that is not UTF-8":   {"Bearer qm_live_\xff_" + secret, "send the header"},
		"revoked":                   {revoked, "is revoked"},
		"expired":                   {expired, "has expired"},
		"expired, the secret wrong": {expired[:len(expired)-1] + "!", "send the header"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, target := range []string{"/v1/orders", "/v1/orders/x", "/v1/accounts", "/v1/accounts/111122223333"} {
				answer := w.send("", http.MethodGet, target, "", "Authorization", c.header)
				require.Contains(t, readProblem(t, answer, http.StatusUnauthorized, codeUnauthorized).Detail, c.detail)
				require.Equal(t, `Bearer realm="quartermaster"`, answer.Header().Get("WWW-Authenticate"))
			}
		})
	}
	require.Equal(t, http.StatusOK, w.send("", http.MethodGet, "/v1/orders", "", "Authorization", living).Code)
	require.Equal(t, http.StatusOK, w.send("", http.MethodGet, "/v1/orders", "", "Authorization", "bearer "+w.key).Code,
		"schemes have no case: RFC 9110")
}

// Without a key nothing is read: not even whether the body is right.
func TestTheKeyIsCheckedFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, target := range []string{"/v1/orders", "/v1/orders/validate", "/v1/accounts"} {
		readProblem(t, w.send("", http.MethodPost, target, "{"), http.StatusUnauthorized, codeUnauthorized)
	}
	readProblem(t, w.send("", http.MethodPatch, "/v1/orders/x", "{"), http.StatusUnauthorized, codeUnauthorized)
	for _, verb := range orderVerbs {
		readProblem(t, w.send("", http.MethodPost, "/v1/orders/x/"+verb, "{"), http.StatusUnauthorized, codeUnauthorized)
	}
}

func TestTwoKeysOfAProviderAreValidAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := setup(t)
	second := w.createKey("acme")
	require.NotEqual(t, w.key, second)
	read[openapi.Order](t, w.post("/v1/orders", orderForm("MP-1")), http.StatusAccepted)
	read[openapi.Order](t, w.send(second, http.MethodGet, "/v1/orders/MP-1", ""), http.StatusOK)
}

func TestARefusalNamesTheRolesThatHaveTheScope(t *testing.T) {
	t.Parallel()
	w := setup(t)
	store := w.createKeyOf("acme", provision.RoleMarketplace)
	w.orderIn(provision.ActionRequired, "aws_account_alias")
	p := readProblem(t, w.send(store, http.MethodPost, "/v1/orders/MP-1/retry", `{"reason":"r"}`), http.StatusForbidden, codeForbidden)
	require.Equal(t, "this requires the scope orders:operate, which a key of role marketplace does not have: "+
		"use a key of role operator or admin", p.Detail)
	p = readProblem(t, w.send(store, http.MethodPost, "/v1/accounts", "{"), http.StatusForbidden, codeForbidden)
	require.Contains(t, p.Detail, "accounts:write", "before anything is said about the body")
	p = readProblem(t, w.send(store, http.MethodGet, "/v1/accounts/111122223333", ""), http.StatusForbidden, codeForbidden)
	require.Contains(t, p.Detail, "accounts:read", "before anything is said about the account")
	require.Zero(t, w.workflows.asked)
	read[openapi.Order](t, w.send(store, http.MethodGet, "/v1/orders/MP-1", ""), http.StatusOK)
	read[openapi.Order](t, w.send(w.createKeyOf("acme", provision.RoleOperator), http.MethodPost, "/v1/orders/MP-1/retry",
		`{"reason":"r"}`), http.StatusAccepted)
}

func TestAKeyMayHaveFewerScopesThanItsRole(t *testing.T) {
	t.Parallel()
	w := setup(t)
	narrow := w.createKeyOf("acme", provision.RoleOperator, func(k *provision.APIKey) {
		k.Scopes = []provision.Scope{provision.ScopeOrdersRead, provision.ScopeKeysWrite} // the role does not have the second one
	})
	id, _, _ := splitKey("Bearer " + narrow)
	read[openapi.OrderPage](t, w.send(narrow, http.MethodGet, "/v1/orders", ""), http.StatusOK)
	p := readProblem(t, w.send(narrow, http.MethodGet, "/v1/accounts", ""), http.StatusForbidden, codeForbidden)
	require.Equal(t, "this requires the scope accounts:read, which a key of role operator has, but API key "+id+
		" was created with fewer scopes: use a key of role viewer, operator or admin", p.Detail)
	readProblem(t, w.send(narrow, http.MethodPost, "/v1/api-keys", `{"name":"x","role":"admin"}`), http.StatusForbidden, codeForbidden)
	w.change(func(c *Config) { c.APIKeys = keysOfOwners{c.APIKeys} })
	readProblem(t, w.send(w.key, http.MethodGet, "/v1/orders", ""), http.StatusForbidden, codeForbidden)
}

// keysOfOwners have a role that this version of the API does not know.
type keysOfOwners struct{ APIKeys }

func (s keysOfOwners) Find(ctx context.Context, ids ...string) ([]provision.APIKey, error) {
	keys, err := s.APIKeys.Find(ctx, ids...)
	for i := range keys {
		keys[i].Role = "owner"
	}
	return keys, err
}

// Whatever else a key may do, it does not make up for the scope that an operation needs.
func TestAMissingScopeForbidsItsOperations(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, op := range w.service.contract.operations {
		if len(op.scopes) == 0 {
			continue
		}
		key := w.createKeyOf("acme", provision.RoleAdmin, func(k *provision.APIKey) {
			k.Scopes = slices.DeleteFunc(provision.RoleAdmin.Scopes(), func(s provision.Scope) bool { return slices.Contains(op.scopes, s) })
		})
		p := readProblem(t, w.send(key, op.route.Method, op.route.Path, ""), http.StatusForbidden, codeForbidden)
		require.Contains(t, p.Detail, provision.JoinWords(op.scopes, "or"), op.OperationID)
	}
}
