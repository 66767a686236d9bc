package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestSignInByKey(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key := w.Key(t, "acme", provision.RoleOperator)
	b := w.visitor(t)

	asked := b.get("/console/acme/orders?state=failed")
	require.Equal(t, http.StatusUnauthorized, asked.status)
	next, _ := asked.Find("input[name=next]").Attr("value")
	require.Equal(t, "/console/acme/orders?state=failed", next)

	refused := b.post("/console/sign-in", "key", key+"x", "next", next)
	require.Equal(t, http.StatusUnauthorized, refused.status)
	require.Contains(t, refused.text, "This key is not valid")
	require.NotContains(t, refused.text, key)
	require.Empty(t, refused.header.Values("Set-Cookie"))

	led := b.post("/console/sign-in", "key", " "+key+"\n", "next", next)
	require.Equal(t, http.StatusSeeOther, led.status)
	require.Equal(t, next, led.location)
	set := led.header.Get("Set-Cookie")
	for _, attribute := range []string{"__Host-qm=", "Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
		require.Contains(t, set, attribute)
	}
	require.NotContains(t, set, key)
	shown := b.page("/console/acme/orders")
	require.Equal(t, "acme", shown.Find(".who b").Text())
	require.Equal(t, "/console/acme/", b.get("/console/").location)
	require.NotContains(t, w.Log.String(), strings.SplitN(key, "_", 4)[3], "the secret of a key is never logged")

	require.Equal(t, "/console/sign-in", b.post("/console/sign-out").location)
	require.Equal(t, http.StatusUnauthorized, b.get("/console/acme/orders").status)
}

// Only pages of the console are led to after a sign-in.
func TestASignInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key := w.Key(t, "acme", provision.RoleOperator)
	for _, next := range []string{
		"https://evil.example/console/acme/", "//evil.example/console/acme/", `/\evil.example`, "/v1/orders", "javascript:alert(1)",
		"/console/../v1/orders/x", "/console/sign-out", "/consoles/acme/",
	} {
		require.Equal(t, "/console/", w.visitor(t).post("/console/sign-in", "key", key, "next", next).location, next)
	}
}

func TestASessionEnds(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	b.page("/console/acme/orders")
	t.Run("when it is idle", func(t *testing.T) {
		began := time.Now()
		w.now = began.Add(29 * time.Minute)
		require.Equal(t, http.StatusOK, b.get("/console/acme/orders", "X-Live", "1").status)
		w.now = began.Add(31 * time.Minute)
		require.Equal(t, http.StatusUnauthorized, b.get("/console/acme/orders").status, "live updates do not prolong it")
		w.now = time.Time{}
	})
	t.Run("when its key is revoked", func(t *testing.T) {
		key := w.Key(t, "acme", provision.RoleViewer)
		b := w.visitor(t)
		b.signIn(key)
		_, err := w.DB.APIKeys.Revoke(t.Context(), "test", "acme", strings.Split(key, "_")[2], "", false)
		require.NoError(t, err)
		got := b.get("/console/acme/orders")
		require.Equal(t, http.StatusUnauthorized, got.status)
		require.Contains(t, got.text, "is revoked")
	})
	t.Run("when an admin ends all", func(t *testing.T) {
		b := w.as(t, provision.RoleOperator)
		_, err := w.DB.Sessions.EndAll(t.Context(), "test", "acme", "a laptop was stolen")
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, b.get("/console/acme/orders").status)
	})
}

func TestAnotherProviderDoesNotExist(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	for _, path := range []string{"/console/globex/", "/console/globex/orders", "/console/none/", "/console/acme/nothing"} {
		got := b.get(path)
		require.Equal(t, http.StatusNotFound, got.status, path)
		require.NotContains(t, got.text, "Stock by pool")
	}
}

func TestEveryAnswerForbidsWhatIsNotTheConsoles(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	for _, path := range []string{"/console/sign-in", "/console/acme/", "/console/acme/orders", "/console/acme/nothing"} {
		got := b.get(path)
		require.Equal(t, contentPolicy, got.header.Get("Content-Security-Policy"), path)
		require.Equal(t, "no-store", got.header.Get("Cache-Control"), path)
		require.Equal(t, "same-origin", got.header.Get("Referrer-Policy"), path)
		require.Zero(t, got.Find("style, [style], script:not([src]), [onclick], [onload]").Length(), path)
	}
}

func TestAnotherSiteCannotSendAForm(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	for name, headers := range map[string][]string{
		"cross-site":       {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		"an old browser":   {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		"no origin at all": {"Sec-Fetch-Site", "", "Origin", ""},
		"same-site":        {"Sec-Fetch-Site", "same-site", "Origin", "https://other.provider.example"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+"/console/sign-out", http.NoBody)
		require.NoError(t, err)
		for i := 0; i < len(headers); i += 2 {
			if headers[i+1] != "" {
				r.Header.Set(headers[i], headers[i+1])
			}
		}
		require.Equal(t, http.StatusForbidden, b.do(r).status, name)
	}
	b.page("/console/acme/orders")
}
