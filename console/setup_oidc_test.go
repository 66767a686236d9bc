package console

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/console/issuertest"
)

// people are those whom the test issuer knows.
var people = []issuertest.Person{
	{Name: "anna", Email: "anna@acme.example", Groups: []string{"platform-team", "everyone"}},
	{Name: "bo", Email: "bo@both.example", Groups: []string{"platform-team", "globex-admins"}},
	{Name: "cleo", Email: "cleo@acme.example", Groups: []string{"everyone", "<script>alert(1)</script>"}},
	{Name: "dan", Email: "dan@acme.example"},
	{Name: "eve", Email: "eve@acme.example", Overage: true},
	{Name: "fia", Email: "fia@acme.example", Groups: "acme-shop"},
}

const testGrants = "platform-team=acme:operator,globex-admins=globex:admin,acme-shop=acme:marketplace(nordic)"

// setupOIDC is a console where people sign in by a test issuer.
func setupOIDC(t *testing.T, change ...func(*OIDC)) (*testConsole, *issuertest.Issuer) {
	t.Helper()
	w := setup(t)
	at := issuertest.New(t, w.server.URL+"/console/-/oidc/callback", people...)
	grants, err := ParseGroupGrants(testGrants)
	require.NoError(t, err)
	cfg := &OIDC{Issuer: at.URL, ClientID: issuertest.ClientID, ClientSecret: issuertest.ClientSecret, Name: "Acme login", Grants: grants,
		Sealer: w.Ring}
	for _, do := range change {
		do(cfg)
	}
	w.serve(t, cfg)
	return w, at
}

// link returns the address behind a link or button of the page.
func (a answer) link(t *testing.T, selector string) string {
	t.Helper()
	href, found := a.Find(selector).Attr("href")
	require.True(t, found, "%s: %s", selector, a.text)
	return href
}

const startLink = ".issuer a"

// visit reads an address of any server.
func (b *browser) visit(address string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(b.t, err)
	return b.do(r)
}

// toIssuer follows a link of the console to the page of the issuer, and returns the id of the sign-in there.
func (b *browser) toIssuer(start string) (issuer, id string) {
	b.t.Helper()
	led := b.get(start)
	require.Equal(b.t, http.StatusSeeOther, led.status, led.text)
	asked, err := url.Parse(led.location)
	require.NoError(b.t, err)
	login := b.visit(led.location)
	require.Equal(b.t, http.StatusFound, login.status, login.text)
	to, err := asked.Parse(login.location)
	require.NoError(b.t, err)
	return to.Scheme + "://" + to.Host, to.Query().Get("authRequestID")
}

// atIssuer signs in at the issuer, or cancels there, and returns the address of the console to which the issuer leads.
func (b *browser) atIssuer(start, user, do string) (callback string) {
	b.t.Helper()
	issuer, id := b.toIssuer(start)
	sent, err := b.http.PostForm(issuer+"/login/username", url.Values{"id": {id}, "user": {user}, "do": {do}})
	require.NoError(b.t, err)
	require.NoError(b.t, sent.Body.Close())
	require.Equal(b.t, http.StatusFound, sent.StatusCode)
	if do == "deny" {
		return sent.Header.Get("Location")
	}
	to, err := sent.Request.URL.Parse(sent.Header.Get("Location"))
	require.NoError(b.t, err)
	done := b.visit(to.String())
	require.Equal(b.t, http.StatusFound, done.status, done.text)
	return done.location
}

// signInAs signs a person in by the issuer.
func (b *browser) signInAs(user string) answer {
	b.t.Helper()
	return b.visit(b.atIssuer("/console/-/oidc/start", user, "allow"))
}
