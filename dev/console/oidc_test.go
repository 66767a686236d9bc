package console

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"quartermaster/console"
	"quartermaster/console/issuertest"
)

// The issuer is another origin: the policy of the pages must not stop the way there and back.
func TestSignInByIssuerAndSwitchProvider(t *testing.T) {
	s := setup(t)
	at := issuertest.New(t, s.url+"/console/-/oidc/callback",
		issuertest.Person{Name: "anna", Email: "anna@acme.example", Groups: []string{"platform-team", "globex-admins"}},
		issuertest.Person{Name: "cleo", Email: "cleo@acme.example", Groups: []string{"everyone", "on-call"}})
	grants, err := console.ParseGroupGrants("platform-team=acme:operator,globex-admins=globex:admin")
	require.NoError(t, err)
	s.serve(t, &console.OIDC{Issuer: at.URL, ClientID: issuertest.ClientID, ClientSecret: issuertest.ClientSecret, Name: "Acme login",
		Grants: grants, Sealer: s.Ring})

	b := s.open(t, desk)
	signIn := func(user string) {
		b.do(chromedp.Click(".issuer a"))
		b.until(`document.title === "Test issuer"`)
		b.do(chromedp.SendKeys("input[name=user]", user), chromedp.Click("button[value=allow]"))
	}
	b.visit("/console/acme/accounts?search=none")
	b.until(`new URL(document.querySelector(".issuer a").href).searchParams.has("zone")`)
	b.keep("sign-in-by-issuer-" + desk.name)
	signIn("anna")
	b.until(`location.pathname + location.search === "/console/acme/accounts?search=none" && !!document.querySelector(".who summary")`)
	b.do(chromedp.Click(".who summary"), chromedp.Click(`.who a[href="/console/globex/"]`))
	b.until(`document.querySelector(".who summary b")?.textContent === "globex"`)
	b.visit("/console/globex/settings")
	b.until(`!!document.querySelector("#gm-h")`)
	b.keep("group-map-" + desk.name)
	b.look(phoneDark)
	b.keep("group-map-" + phoneDark.name)
	b.look(desk)
	b.do(chromedp.Click(`form[action="/console/sign-out"] button`))
	b.until(`document.body.innerText.includes("You may still be signed in at Acme login.")`)

	b.look(phone)
	signIn("cleo")
	b.until(`document.querySelector("h1")?.textContent === "You have no role here"`)
	require.Contains(t, b.text(), "on-call")
	b.keep("no-role-" + phone.name)
	b.look(deskDark)
	b.keep("no-role-" + deskDark.name)
	b.visit("/console/")
	b.keep("sign-in-by-issuer-" + deskDark.name)
}
