package api

import (
	"crypto/sha256"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestAnyKeyMayAskWhoItIs(t *testing.T) {
	t.Parallel()
	w := setup(t)
	narrow := w.createKeyOf("acme", provision.RoleMarketplace, func(k *provision.APIKey) {
		k.Scopes, k.Marketplaces = []provision.Scope{provision.ScopeEventsRead}, []string{"nordic"}
	})
	id, _, _ := splitKey("Bearer " + narrow)
	me := read[openapi.Me](t, w.send(narrow, http.MethodGet, "/v1/me", ""), http.StatusOK)
	require.Equal(t, "key "+id, me.Actor)
	require.Equal(t, "acme", me.Provider)
	require.Equal(t, provision.RoleMarketplace, me.Role)
	require.Equal(t, []provision.Scope{provision.ScopeEventsRead}, me.Scopes)
	require.Equal(t, []string{"nordic"}, *me.Marketplaces)
	require.Equal(t, id, me.APIKey.ID)
	readProblem(t, w.send("", http.MethodGet, "/v1/me", ""), http.StatusUnauthorized, codeUnauthorized)
}

func TestAnAdminEndsAllSessionsOfItsProvider(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	start := func(token string, grants ...provision.Grant) {
		hash := sha256.Sum256([]byte(token))
		require.NoError(t, w.store.Sessions.Start(t.Context(), provision.Session{
			Hash: hash[:], Person: anna, Grants: grants, SignedInAt: time.Now(), EndsAt: time.Now().Add(time.Hour),
		}, time.Time{}))
	}
	start("a", provision.Grant{Provider: "acme", Role: provision.RoleOperator})
	start("both", provision.Grant{Provider: "globex", Role: provision.RoleAdmin}, provision.Grant{Provider: "acme",
		Role: provision.RoleViewer})
	start("g", provision.Grant{Provider: "globex", Role: provision.RoleAdmin})

	list := read[openapi.SessionList](t, w.get("/v1/sessions"), http.StatusOK)
	require.Len(t, list.Items, 2)
	require.Equal(t, provision.RoleViewer, list.Items[0].Role)
	require.Equal(t, "person anna@acme.example (00u1ab)", list.Items[0].Actor)

	ended := read[openapi.EndedSessions](t, w.post("/v1/sessions/end", map[string]string{"reason": "A laptop was stolen."}), http.StatusOK)
	require.Equal(t, 2, ended.Ended)
	require.Empty(t, read[openapi.SessionList](t, w.get("/v1/sessions"), http.StatusOK).Items)
	require.Len(t, read[openapi.SessionList](t, w.send(w.otherKey, http.MethodGet, "/v1/sessions", ""), http.StatusOK).Items, 1)

	history := read[openapi.HistoryPage](t, w.get("/v1/history?kind=access&limit=1"), http.StatusOK)
	require.Equal(t, "sessions_ended", *history.Items[0].Code)
	require.Equal(t, "A laptop was stolen.", *history.Items[0].Reason)
}
