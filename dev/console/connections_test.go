package console

import (
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"quartermaster/api/apitest"
	"quartermaster/internal/provision"
)

func TestConnectionsLook(t *testing.T) {
	s := setup(t)
	good := s.Seed.Webhook(t, "https://market.example/hooks/aws", "order.*")
	const long = "https://erp.market.example/a/long/path/of/a/receiver/that/has/a/token/3f0c77d29ab14e0e8d5c"
	bad := s.Seed.Webhook(t, long, "order.completed", "stock.*")
	off := s.Seed.Webhook(t, "https://old.market.example/hooks")
	s.Seed.Order(t, "MP-2026-000117", provision.Failed)
	s.Seed.Order(t, "MP-2026-000118", provision.Completed)
	for range 4 {
		s.Seed.Attempt(t, good, apitest.Accepted())
	}
	message := s.Seed.Attempt(t, bad, apitest.Refused("<html>upstream timed out</html>\nnginx"))
	gone := apitest.Refused("")
	gone.Gone = true
	s.Seed.Attempt(t, off, gone)
	s.Key(t, "acme", provision.RoleMarketplace, func(k *provision.APIKey) { k.Name, k.Marketplaces = "nordic store", []string{"nordic"} })
	key := strings.Split(s.Key(t, "acme", provision.RoleOperator), "_")[2]
	s.Call(t, "POST", "/v1/api-keys/"+key+"/revoke", `{"reason":"The laptop was lost"}`)

	pages := map[string]string{
		"webhooks": "webhooks", "webhook": "webhooks/" + bad.ID, "webhook-off": "webhooks/" + off.ID,
		"delivery":    "webhooks/" + bad.ID + "/deliveries/" + message,
		"webhook-new": "webhooks/new", "webhook-edit": "webhooks/" + bad.ID + "/edit", "webhook-delete": "webhooks/" + bad.ID + "/delete",
		"webhook-secret": "webhooks/" + bad.ID + "/secret", "webhook-replay": "webhooks/" + bad.ID + "/replay",
		"callback-secret": "webhooks/callback-secret",
		"keys":            "keys", "key": "keys/" + key, "key-new": "keys/new",
	}
	views := []view{desk, phone}
	if os.Getenv("CONSOLE_PICTURES") != "" {
		views = append(views, deskDark, phoneDark)
	}
	for _, v := range views {
		b := s.open(t, v)
		b.signIn(provision.RoleAdmin)
		for name, path := range pages {
			b.visit("/console/acme/" + path)
			b.until(`document.documentElement.scrollWidth <= innerWidth`) // nothing is wider than the page
			b.keep(name + "-" + v.name)
		}
	}
}

// A key is made with the keyboard alone. Its text is shown once: a reload of that page has nothing.
func TestAKeyIsShownOnce(t *testing.T) {
	s := setup(t)
	b := s.open(t, phone)
	b.signIn(provision.RoleAdmin)
	b.visit("/console/acme/keys/new")
	hidden := func(selector string) string {
		return `document.querySelector("` + selector + `").offsetParent === null`
	}
	b.until(hidden(".of-marketplace") + " && " + hidden(".of-day"))
	b.do(chromedp.Focus("#f-name"), chromedp.KeyEvent("nordic store"+kb.Tab+kb.ArrowDown+kb.ArrowDown)) // operator, admin, marketplace
	b.until(`document.querySelector("[name=role][value=marketplace]").checked && !(` + hidden(".of-marketplace") + `)`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`document.title.startsWith("Error:") && document.activeElement.id === "summary"`)
	b.keep("key-refused-" + phone.name)
	b.do(chromedp.KeyEvent(kb.Tab + kb.Enter)) // the link to the field
	b.until(`document.activeElement.id === "f-marketplaces"`)
	b.do(chromedp.KeyEvent(kb.Tab + kb.Tab + " " + kb.Enter)) // baltic, nordic
	b.until(`document.getElementById("secret")?.textContent.startsWith("qm_live_")`)
	secret, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.getElementById("secret").textContent`))
	require.NoError(t, err)
	b.until(`document.querySelector("[data-copy] button")?.textContent === "Copy"`)
	b.keep("key-secret-" + phone.name)
	b.look(deskDark)
	b.keep("key-secret-" + deskDark.name)

	b.do(chromedp.Reload())
	b.until(`document.querySelector("h1").textContent === "The secret was shown before"`)
	b.keep("key-spent-" + deskDark.name)
	require.NotContains(t, b.text(), secret)
	keys, err := s.DB.APIKeys.List(t.Context(), "acme", 10, nil)
	require.NoError(t, err)
	require.Len(t, keys, 2, "the one that signed in, and the new one")
	require.Equal(t, []string{"nordic"}, keys[0].Marketplaces)
}

// A test of a webhook leads to a page that shows the receiver's answer as soon as there is one.
func TestATestOfAWebhookShowsItsAnswer(t *testing.T) {
	s := setup(t)
	key := s.Seed.Webhook(t, "https://market.example/hooks/aws")
	b := s.open(t, desk)
	b.signIn(provision.RoleAdmin)
	b.visit("/console/acme/webhooks/" + key.ID)
	b.do(chromedp.Click(`form[action$="/test"] button`))
	b.until(`document.querySelector(".said-done")?.textContent.includes("on its way")`)
	s.Seed.Attempt(t, key, apitest.Refused("wrong signature"))
	b.until(`document.querySelector("#live .said-by")?.textContent === "wrong signature"`)
	b.keep("webhook-test-" + desk.name)
}
