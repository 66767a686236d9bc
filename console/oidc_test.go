package console

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestSignInByIssuer(t *testing.T) {
	t.Parallel()
	w, at := setupOIDC(t)
	b := w.visitor(t)
	asked := b.get("/console/acme/orders?state=failed")
	require.Equal(t, http.StatusUnauthorized, asked.status)
	require.Equal(t, "Sign in with Acme login", asked.Find(startLink).Text())
	require.Equal(t, 1, asked.Find(".main").Length(), "one button is filled")

	callback := b.atIssuer(asked.link(t, startLink)+"&zone=Europe%2FStockholm", "anna", "allow")
	request := at.Asked()
	require.Equal(t, "S256", request.Get("code_challenge_method"))
	require.Len(t, request.Get("code_challenge"), 43)
	require.NotEmpty(t, request.Get("nonce"))
	require.NotEqual(t, request.Get("nonce"), request.Get("state"))
	require.Equal(t, "43200", request.Get("max_age"))
	require.Empty(t, request.Get("prompt"))
	require.Equal(t, "openid profile email groups", request.Get("scope"))

	led := b.visit(callback)
	require.Equal(t, http.StatusSeeOther, led.status, led.text)
	require.Equal(t, "/console/acme/orders?state=failed", led.location)
	require.Contains(t, strings.Join(led.header.Values("Set-Cookie"), "\n"),
		"__Host-qm-oidc=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax")
	require.Contains(t, b.page("/console/acme/").Find(".who").Text(), "anna@acme.example")
	require.Contains(t, b.page("/console/acme/").Find(".as-of").Text(), "Europe/Stockholm")
	require.Equal(t, http.StatusNotFound, b.get("/console/globex/").status)

	signedOut := b.follow("/console/sign-out")
	require.Equal(t, "You are signed out. You may still be signed in at Acme login.", signedOut.said())
	require.Equal(t, http.StatusUnauthorized, b.get("/console/acme/").status)
	var history []string
	require.NoError(t, w.SQL.Select(&history, `
SELECT what || ' by ' || actor FROM access_history WHERE provider = 'acme' AND key_id = '' ORDER BY seq`))
	require.Equal(t, []string{
		"signed_in by person anna@acme.example (sub-anna)", "signed_out by person anna@acme.example (sub-anna)",
	}, history)

	code, err := url.Parse(callback)
	require.NoError(t, err)
	log := w.Log.String()
	require.NotContains(t, log, code.Query().Get("code"))
	require.NotContains(t, log, "anna@acme.example", "an e-mail address is never logged")
	require.Contains(t, log, "person sub-anna")
}

func TestWhatTheIssuerSaysAboutAPerson(t *testing.T) {
	t.Parallel()
	w, at := setupOIDC(t)
	t.Run("only at its userinfo endpoint", func(t *testing.T) {
		at.Short(true)
		defer at.Short(false)
		b := w.visitor(t)
		require.Equal(t, "/console/", b.signInAs("anna").location)
		require.Contains(t, b.page("/console/acme/").Find(".who").Text(), "anna@acme.example")
	})
	t.Run("groups of two providers", func(t *testing.T) {
		b := w.visitor(t)
		require.Equal(t, "/console/", b.signInAs("bo").location)
		shown := b.page("/console/globex/")
		require.Equal(t, "globex", shown.Find(".who summary b").Text())
		require.Contains(t, shown.Find(".who").Text(), "admin")
		require.Contains(t, b.page(shown.link(t, `.who a[href="/console/acme/"]`)).Find(".who summary").Text(), "acme · operator")
	})
	t.Run("one group, as a text", func(t *testing.T) {
		b := w.visitor(t)
		b.signInAs("fia")
		require.Equal(t, "/console/acme/orders", b.get("/console/").location)
		require.Equal(t, http.StatusForbidden, b.get("/console/acme/pools").status)
	})
}

func TestAPersonWithoutARole(t *testing.T) {
	t.Parallel()
	w, _ := setupOIDC(t)
	for user, says := range map[string]string{
		"cleo": "Your groups, from the claim groups:",
		"dan":  "Acme login sent no groups: the claim groups is empty or missing.",
		"eve":  "did not send your groups, because you are in too many",
	} {
		b := w.visitor(t)
		got := b.signInAs(user)
		require.Equal(t, http.StatusForbidden, got.status, user)
		main := got.Find("main")
		require.Contains(t, main.Text(), says)
		require.Contains(t, main.Text(), "QM_OIDC_GRANTS")
		require.Zero(t, main.Find("script").Length())
		if user == "cleo" {
			require.Contains(t, main.Text(), "<script>alert(1)</script>", "the name of a group is a text")
			require.Contains(t, w.Log.String(), `"subject":"sub-cleo","groups":["everyone"`)
		}
		require.NotContains(t, w.Log.String(), user+"@acme.example")
		require.Equal(t, http.StatusUnauthorized, b.get("/console/acme/").status)
		require.Contains(t, got.link(t, ".verbs a"), "again=1", "someone else can sign in")
	}
}

func TestARoundIsFinishedOnceByTheBrowserThatBeganIt(t *testing.T) {
	t.Parallel()
	w, _ := setupOIDC(t)
	refused := func(t *testing.T, got answer) {
		t.Helper()
		require.GreaterOrEqual(t, got.status, 400)
		require.Contains(t, got.Find(".summary").Text(), "Begin again", got.text)
		require.NotEmpty(t, got.link(t, startLink))
		require.NotContains(t, strings.Join(got.header.Values("Set-Cookie"), "\n"), "__Host-qm=")
	}
	t.Run("another state", func(t *testing.T) {
		b := w.visitor(t)
		callback := b.atIssuer("/console/-/oidc/start", "anna", "allow")
		changed, err := url.Parse(callback)
		require.NoError(t, err)
		query := changed.Query()
		query.Set("state", query.Get("state")+"x")
		changed.RawQuery = query.Encode()
		refused(t, b.visit(changed.String()))
		require.Equal(t, http.StatusSeeOther, b.visit(callback).status, "a forged answer does not end the round")
	})
	t.Run("another browser", func(t *testing.T) {
		refused(t, w.visitor(t).visit(w.visitor(t).atIssuer("/console/-/oidc/start", "anna", "allow")))
	})
	t.Run("again", func(t *testing.T) {
		b := w.visitor(t)
		callback := b.atIssuer("/console/-/oidc/start", "anna", "allow")
		home, err := url.Parse(w.server.URL)
		require.NoError(t, err)
		kept := b.http.Jar.Cookies(home)
		require.Equal(t, http.StatusSeeOther, b.visit(callback).status)
		refused(t, b.visit(callback))
		for _, c := range kept { // a thief has the cookie, too
			c.Path, c.Secure = "/", true
		}
		b.http.Jar.SetCookies(home, kept)
		refused(t, b.visit(callback))
	})
	t.Run("too late", func(t *testing.T) {
		b := w.visitor(t)
		callback := b.atIssuer("/console/-/oidc/start", "anna", "allow")
		w.now = time.Now().Add(11 * time.Minute)
		defer func() { w.now = time.Time{} }()
		refused(t, b.visit(callback))
	})
	t.Run("a cookie that someone made", func(t *testing.T) {
		b := w.visitor(t)
		refused(t, b.get("/console/-/oidc/callback?code=x&state=s", "Cookie", "__Host-qm-oidc=eyJzdGF0ZSI6InMifQ"))
	})
}

func TestAnAnswerOfTheIssuerIsChecked(t *testing.T) {
	t.Parallel()
	w, at := setupOIDC(t)
	for name, fault := range map[string]func(*http.Request){
		"the nonce of another sign-in": func(r *http.Request) {
			if query := r.URL.Query(); query.Has("nonce") {
				query.Set("nonce", "another")
				r.URL.RawQuery = query.Encode()
			}
		},
		"without the verifier of PKCE": func(r *http.Request) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/token") {
				_ = r.ParseForm()
				r.PostForm.Del("code_verifier")
				r.Form.Del("code_verifier")
				r.Body = io.NopCloser(strings.NewReader(r.PostForm.Encode()))
			}
		},
	} {
		at.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
			fault(r)
			return false
		})
		b := w.visitor(t)
		got := b.signInAs("anna")
		require.Equal(t, http.StatusBadGateway, got.status, name)
		require.Contains(t, got.Find(".summary").Text(), "Acme login did not confirm who you are")
		require.Equal(t, http.StatusUnauthorized, b.get("/console/acme/").status, name)
	}
	at.Fault(nil)
	b := w.visitor(t)
	got := b.visit(b.atIssuer("/console/-/oidc/start", "anna", "allow") + "&iss=https%3A%2F%2Fevil.example")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.text, "not from Acme login")
}

func TestAPersonCancelsAtTheIssuer(t *testing.T) {
	t.Parallel()
	w, _ := setupOIDC(t)
	b := w.visitor(t)
	got := b.visit(b.atIssuer("/console/-/oidc/start?next=/console/acme/orders", "anna", "deny"))
	require.Equal(t, http.StatusForbidden, got.status)
	require.Equal(t, "Acme login did not sign you in. It says: access_denied: The person <b>cancelled</b>.", got.Find(".summary").Text())
	require.Equal(t, "/console/-/oidc/start?next=%2Fconsole%2Facme%2Forders", got.link(t, startLink))
	// Only the issuer's answer to this browser is shown.
	forged := b.get("/console/-/oidc/callback?error=access_denied&error_description=Call+555+1234&state=x")
	require.NotContains(t, forged.text, "555 1234")
}

func TestASignInByTheIssuerLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	w, _ := setupOIDC(t)
	for _, next := range []string{
		"https://evil.example/console/", "//evil.example/console/acme/", `/\evil.example`, "/console/../v1/orders/x", "/console/-/oidc/start",
		"/console/x/../-/enter?ticket=1",
	} {
		b := w.visitor(t)
		callback := b.atIssuer("/console/-/oidc/start?"+url.Values{"next": {next}}.Encode(), "anna", "allow")
		require.Equal(t, "/console/", b.visit(callback).location, next)
	}
}

func TestTheIssuerIsDown(t *testing.T) {
	t.Parallel()
	w, at := setupOIDC(t, func(o *OIDC) { o.Patience = 300 * time.Millisecond })
	down := func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	slow := func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
		return true
	}
	b := w.visitor(t)
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{"down": down, "slow": slow} {
		at.Fault(fault)
		got := b.get("/console/-/oidc/start?next=/console/acme/orders")
		require.Equal(t, http.StatusServiceUnavailable, got.status, name)
		require.Contains(t, got.Find(".summary").Text(), "Acme login cannot be reached at the moment")
		require.Contains(t, got.link(t, startLink), "next=%2Fconsole%2Facme%2Forders")
		require.Equal(t, 1, got.Find("#f-key").Length(), "a key still signs in")
	}
	at.Fault(nil)
	callback := b.atIssuer("/console/-/oidc/start", "anna", "allow")
	at.Fault(slow)
	require.Equal(t, http.StatusBadGateway, b.visit(callback).status)
	at.Fault(nil)
	require.Equal(t, "/console/", b.signInAs("anna").location, "the issuer is asked again after a failure")
	require.NotContains(t, w.Log.String(), at.URL+"/oauth", "no address of a request is logged")
}

func TestAFormSurvivesASignInByTheIssuer(t *testing.T) {
	t.Parallel()
	w, _ := setupOIDC(t)
	b := w.visitor(t)
	require.Equal(t, http.StatusSeeOther, b.signInAs("anna").status)
	w.now = time.Now().Add(31 * time.Minute)
	defer func() { w.now = time.Time{} }()
	asked := b.post("/console/acme/accounts/new", "name", "Prod 7 & more", "id", "111122223333")
	require.Equal(t, http.StatusUnauthorized, asked.status)
	for _, c := range asked.header.Values("Set-Cookie") {
		require.NotContains(t, c, "111122223333", "the kept form is sealed")
	}
	w.now = time.Time{}
	led := b.visit(b.atIssuer(asked.link(t, startLink), "anna", "allow"))
	require.Equal(t, "/console/acme/accounts/new", led.location)
	shown := b.page(led.location)
	typed, _ := shown.Find("#f-id").Attr("value")
	require.Equal(t, "111122223333", typed)
	typed, _ = b.page(led.location).Find("#f-id").Attr("value")
	require.Empty(t, typed, "the form is kept once")

	t.Run("unless it is too long for a cookie", func(t *testing.T) {
		b := w.visitor(t)
		asked := b.post("/console/acme/accounts/new", "id", strings.Repeat("x", 5000))
		require.Contains(t, asked.text, "The form is too long to be kept while Acme login signs you in.")
		require.Equal(t, 1, asked.Find(`[name="kept.id"]`).Length(), "a sign-in with a key keeps it")
	})
}

// What makes or shows a secret needs a recent sign-in, which the issuer must not give without asking the person.
func TestAPersonSignsInAgainForASecret(t *testing.T) {
	t.Parallel()
	w, at := setupOIDC(t)
	at.SignedInAgo(time.Hour)
	b := w.visitor(t)
	require.Equal(t, "/console/", b.signInAs("bo").location)
	b.page("/console/globex/keys")
	sessions, err := w.DB.Sessions.List(t.Context(), "globex")
	require.NoError(t, err)
	require.InDelta(t, time.Hour, time.Since(sessions[0].SignedInAt), float64(time.Minute))
	asked := b.get("/console/globex/keys/new")
	require.Equal(t, http.StatusUnauthorized, asked.status, "that the issuer knows the person is no recent sign-in")
	again := asked.link(t, startLink)

	callback := b.atIssuer(again, "bo", "allow")
	require.Equal(t, "login", at.Asked().Get("prompt"))
	require.Equal(t, "900", at.Asked().Get("max_age"))
	refused := b.visit(callback)
	require.Equal(t, http.StatusForbidden, refused.status)
	require.Contains(t, refused.Find(".summary").Text(), "Acme login did not ask you to sign in again")

	at.SignedInAgo(0)
	require.Equal(t, "/console/globex/keys/new", b.visit(b.atIssuer(again, "bo", "allow")).location)
	b.page("/console/globex/keys/new")
	sessions, err = w.DB.Sessions.List(t.Context(), "globex")
	require.NoError(t, err)
	require.Len(t, sessions, 1, "the earlier session has ended")
	settings := b.page("/console/globex/settings")
	require.Contains(t, settings.Find(`[aria-labelledby="gm-h"]`).Text(), "globex-admins")
	require.NotContains(t, settings.text, "platform-team", "each provider sees its own grants only")
	require.Zero(t, b.page("/console/acme/settings").Find("#gm-h").Length(), "an operator sees none")
}

func TestTheGroupMapIsOfOneProvider(t *testing.T) {
	t.Parallel()
	grants, err := ParseGroupGrants(testGrants)
	require.NoError(t, err)
	p := &page{console: &console{issuer: &issuer{OIDC: OIDC{Issuer: "https://login.example", Name: "Acme login", GroupsClaim: "groups",
		Grants: grants}}}, Grant: provision.Grant{Provider: "globex"}}
	shown := p.GroupMap()
	require.Equal(t, []GroupGrant{grants[1]}, shown.Grants)
	var text strings.Builder
	pages, err := readTemplates()
	require.NoError(t, err)
	require.NoError(t, pages["sign-in"].ExecuteTemplate(&text, "group-map", shown))
	require.Contains(t, text.String(), "globex-admins")
	require.NotContains(t, text.String(), "platform-team")
	require.Nil(t, (&page{console: &console{}}).GroupMap())
}
