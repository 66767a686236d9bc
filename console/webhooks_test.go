package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"quartermaster/api/apitest"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

const receiver = "https://market.example/hooks/aws"

func TestWebhooksSayWhetherMessagesArrive(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleViewer)
	require.Contains(t, b.page("/console/acme/webhooks").Find("main").Text(), "None has been made yet")

	good, bad := w.Seed.Webhook(t, receiver), w.Seed.Webhook(t, "https://other.example/hooks", "order.*")
	w.Seed.Order(t, "MP-1", provision.Failed)
	w.Seed.Attempt(t, good, apitest.Accepted())
	blocked := w.Seed.Attempt(t, bad, apitest.Refused("out of disk"))

	rows := b.page("/console/acme/webhooks").Find("tbody tr")
	require.Equal(t, 2, rows.Length())
	require.Contains(t, rows.Eq(0).Text(), "Arriving")
	require.Contains(t, rows.Eq(0).Text(), "204 No Content")
	require.Contains(t, rows.Eq(0).Text(), "All events")
	require.Contains(t, rows.Eq(1).Text(), "Failing")
	require.Contains(t, rows.Eq(1).Text(), "502 Bad Gateway")
	require.Equal(t, "2", rows.Eq(1).Find("[data-l=Waiting]").Text())

	at := "/console/acme/webhooks/" + bad.ID
	page := b.page(at)
	facts := page.Find("#live .facts").Text()
	require.Contains(t, facts, "Failing since")
	require.Contains(t, facts, "The receiver answered 502 Bad Gateway.")
	require.Contains(t, facts, "Held up by")
	require.Contains(t, facts, "The messages behind it wait")
	require.Equal(t, 2, page.Find("tbody tr").Length())
	require.Contains(t, b.page(at+"?state=failed").Find("main").Text(), "No message is in this state. Clear filter")
	require.Equal(t, 2, b.page(at+"?state=pending").Find("tbody tr").Length())

	message := b.page(at + "/deliveries/" + blocked)
	require.Contains(t, message.Find("main").Text(), "502 Bad Gateway")
	require.Equal(t, "out of disk", message.Find(".said-by").Text())
	require.Equal(t, "2", message.Find("#live").AttrOr("data-every", ""), "a message that waits is looked at often")

	for _, path := range []string{at, at + "/deliveries/" + blocked, "/console/acme/webhooks"} {
		require.Zero(t, b.page(path).Find("main form, main .btn").Length(), "a viewer can change nothing at %s", path)
	}
	for _, path := range []string{"/nothing", "/" + bad.ID + "/deliveries/00000000-0000-0000-0000-000000000000"} {
		require.GreaterOrEqual(t, b.get("/console/acme/webhooks"+path).status, http.StatusBadRequest, path)
	}
}

func TestAWebhookIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	const at = "/console/acme/webhooks/new"

	sent := b.fill(at, "url", "ftp://market.example", "description", "Orders of the shop", "event_types", "order.*",
		"event_types", "stock.low", "marketplaces", "nordic")
	again := b.refused(http.StatusUnprocessableEntity, at, sent...)
	require.Equal(t, 1, again.Find(`.summary a[href="#f-url"]`).Length(), again.text)
	require.Contains(t, again.Find("#f-url-bad").Text(), "use https://")
	require.Equal(t, 1, again.Find("details[open] input[value='stock.low'][checked]").Length(), "what was chosen is kept, and seen")
	require.Equal(t, 1, again.Find("input[name=marketplaces][value=nordic][checked]").Length())

	sent = again.fill(t, "url", receiver)
	made, secret := b.secret(at, sent...)
	require.True(t, strings.HasPrefix(secret, "whsec_"), secret)
	require.Equal(t, 1, made.Find("[data-copy=secret]").Length())
	require.Equal(t, "no-store", made.header.Get("Cache-Control"))
	webhook, _ := made.Find(".verbs a").Attr("href")

	reloaded := b.post(at, sent...)
	require.Equal(t, http.StatusConflict, reloaded.status)
	require.NotContains(t, reloaded.text, secret)
	require.Equal(t, 1, reloaded.Find(`main a[href="`+webhook+`/secret"]`).Length(), "it says how to get a new one")
	require.Equal(t, 1, b.page("/console/acme/webhooks").Find("tbody tr").Length())

	changed := b.refused(http.StatusUnprocessableEntity, at, made.changed(sent, "url", receiver+"/2")...)
	require.Contains(t, changed.Find(".summary").Text(), "sent before with other values")
	b.secret(at, changed.fill(t)...)
	require.Equal(t, 2, b.page("/console/acme/webhooks").Find("tbody tr").Length())

	require.NotContains(t, w.Log.String(), secret)
	facts := b.page(webhook).Find("main").Text()
	require.Contains(t, facts, "order.*, stock.low")
	require.Contains(t, facts, "Nothing has been sent yet")
}

// changed returns the fields of a form with another value.
func (answer) changed(fields []string, name, value string) []string {
	fields = slices.Clone(fields)
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == name {
			fields[i+1] = value
		}
	}
	return fields
}

func TestSecretsNeedARecentSignIn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key := w.Key(t, "acme", provision.RoleAdmin)
	b := w.visitor(t)
	b.signIn(key)
	const at = "/console/acme/webhooks/new"
	sent := b.fill(at, "url", receiver)

	w.now = time.Now().Add(16 * time.Minute)
	b.page("/console/acme/webhooks")
	require.Equal(t, http.StatusUnauthorized, b.get(at).status)
	asked := b.post(at, sent...)
	require.Equal(t, http.StatusUnauthorized, asked.status)
	require.Contains(t, asked.text, "makes or shows a secret")

	signIn := []string{"key", key}
	asked.Find("form input[type=hidden]").Each(func(_ int, field *goquery.Selection) {
		signIn = append(signIn, field.AttrOr("name", ""), field.AttrOr("value", ""))
	})
	shown := b.post("/console/sign-in", signIn...)
	require.Equal(t, http.StatusOK, shown.status, "the form is shown before it is sent")
	require.Equal(t, receiver, shown.Find("#f-url").AttrOr("value", ""))
	require.Equal(t, at, shown.Find("main form").AttrOr("action", ""))
	require.Zero(t, b.page("/console/acme/webhooks").Find("tbody tr").Length(), "nothing was made yet")
	b.secret(at, shown.fill(t)...)
}

func TestAWebhookIsEdited(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	at := "/console/acme/webhooks/" + w.Seed.Webhook(t, receiver, "order.completed", "fleet.grown").ID
	edit := b.page(at + "/edit")
	require.Equal(t, 1, edit.Find("input[value='fleet.grown'][checked]").Length(), "an event that this release does not know is kept")

	mine := edit.fill(t, "description", "Mine", "marketplaces", "baltic")
	b.follow(at+"/edit", edit.fill(t, "description", "Theirs")...)
	again := b.refused(http.StatusPreconditionFailed, at+"/edit", mine...)
	require.Contains(t, again.Find("main table").Text(), "Theirs")
	require.Contains(t, again.Find("main table").Text(), "Mine")
	require.NotContains(t, again.Find("main table").Text(), "fleet.grown", "only what differs")
	require.Equal(t, "Mine", again.Find("#f-description").AttrOr("value", ""))
	done := b.follow(at+"/edit", again.fill(t)...)
	require.Equal(t, "The webhook is changed.", done.said())
	facts := done.Find("main").Text()
	require.Contains(t, facts, "Mine")
	require.Contains(t, facts, "order.completed")
	require.Contains(t, facts, "fleet.grown")
	require.Contains(t, facts, "baltic")

	refused := b.refused(http.StatusUnprocessableEntity, at+"/edit", b.fill(at+"/edit", "event_types", "Order", "url", "")...)
	require.Equal(t, 1, refused.Find(`.summary a[href="#f-event_types"]`).Length(), refused.text)
	require.Equal(t, 1, refused.Find(`.summary a[href="#f-url"]`).Length())
}

func TestTheVerbsOfAWebhook(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	key := w.Seed.Webhook(t, receiver)
	at := "/console/acme/webhooks/" + key.ID

	tested := b.follow(at + "/test")
	require.Contains(t, tested.said(), "test message is on its way")
	require.Equal(t, "webhook.test", tested.Find("h1").Text())
	w.Seed.Attempt(t, key, apitest.Refused("no"))
	require.Contains(t, b.page(at).Find("tbody").Text(), "Failed")

	w.Seed.Order(t, "MP-1", provision.Failed)
	message := w.Seed.Attempt(t, key, apitest.Refused("no"))
	resent := b.follow(at + "/deliveries/" + message + "/resend")
	require.Contains(t, resent.said(), "sent again")
	require.Equal(t, resent.Find("h1").Text(), b.page(at+"/deliveries/"+message+"/resend").Find("h1").Text(), "its address has the page")

	off := b.refused(http.StatusUnprocessableEntity, at+"/disable", b.fill(at+"/disable")...)
	require.Contains(t, off.Find("#f-reason-bad").Text(), "A reason is needed")
	stale := b.fill(at+"/delete", "reason", "gone")
	disabled := b.follow(at+"/disable", off.fill(t, "reason", "The receiver moves")...)
	require.Contains(t, disabled.said(), "disabled")
	require.Contains(t, disabled.Find("#live .facts").Text(), "The receiver moves.")
	require.Zero(t, disabled.Find(`form[action$="/test"]`).Length())
	require.Equal(t, http.StatusConflict, b.post(at+"/test").status)
	require.Contains(t, b.refused(http.StatusConflict, at+"/replay", b.fill(at+"/replay")...).Find(".summary").Text(), "disabled")

	require.Contains(t, b.follow(at+"/enable", b.fill(at+"/enable")...).said(), "enabled")
	wrong := b.refused(http.StatusUnprocessableEntity, at+"/replay", b.fill(at+"/replay", "since", "yesterday")...)
	require.Contains(t, wrong.Find("#f-since-bad").Text(), `"yesterday" is not a time`)
	require.Contains(t, b.follow(at+"/replay", b.fill(at+"/replay")...).said(), "being sent again")

	changed := b.refused(http.StatusPreconditionFailed, at+"/delete", stale...)
	require.Contains(t, changed.Find(".summary").Text(), "Below is how it is now")
	gone := b.follow(at+"/delete", changed.fill(t)...)
	require.Equal(t, "The webhook is deleted.", gone.said())
	require.Equal(t, http.StatusNotFound, b.get(at).status)
}

func TestTheSecretOfAWebhookIsReplaced(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	at := "/console/acme/webhooks/" + w.Seed.Webhook(t, receiver).ID + "/secret"
	sent := b.fill(at, "overlap", "3600")
	shown, first := b.secret(at, sent...)
	require.Contains(t, shown.Find(".notes").Text(), "The older secret signs as well until")
	require.Equal(t, http.StatusConflict, b.post(at, sent...).status)
	shown, second := b.secret(at, b.fill(at, "overlap", "0")...)
	require.NotEqual(t, first, second)
	require.Contains(t, shown.Find(".notes").Text(), "No other secret signs")
	b.refused(http.StatusUnprocessableEntity, at, b.fill(at, "overlap", "604801")...)
}

func TestTheCallbackSecret(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	const at = "/console/acme/webhooks/callback-secret"
	require.Contains(t, b.page("/console/acme/webhooks").Find("main").Text(), "No secret yet")
	asked := b.page(at)
	require.Contains(t, asked.Find("h1").Text(), "Make the callback secret")
	require.Zero(t, asked.Find("select").Length(), "there is no old one")
	sent := asked.fill(t)
	b.secret(at, sent...)
	spent := b.post(at, sent...)
	require.Equal(t, http.StatusConflict, spent.status)
	require.Contains(t, spent.Find("main").Text(), "the callback secret")
	require.Contains(t, b.page("/console/acme/webhooks").Find("main").Text(), "Signed")
	b.secret(at, b.fill(at, "overlap", "0")...)
}

func TestWhoMaySeeAndChangeWebhooks(t *testing.T) {
	t.Parallel()
	w := setup(t)
	at := "/console/acme/webhooks/" + w.Seed.Webhook(t, receiver).ID
	for _, role := range []provision.Role{provision.RoleViewer, provision.RoleOperator} {
		b := w.as(t, role)
		b.page(at)
		for _, verb := range []string{"/edit", "/secret", "/test", "/enable", "/disable", "/delete", "/replay"} {
			require.Equal(t, http.StatusForbidden, b.get(at+verb).status, "%s %s", role, verb)
			require.Equal(t, http.StatusForbidden, b.post(at+verb, "reason", "x").status, "%s %s", role, verb)
		}
	}
	b := w.as(t, provision.RoleMarketplace)
	require.Equal(t, http.StatusForbidden, b.get(at).status)
	require.Zero(t, b.page("/console/acme/orders").Find(`.nav a[href$="/webhooks"]`).Length())
}

// A receiver writes what it wants, and so does the author of a description.
func TestWhatAReceiverWritesIsText(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	const hostile = `<script>alert(1)</script>"><img src=x onerror=alert(1)>`
	key := w.Seed.Webhook(t, receiver)
	w.Seed.Order(t, "MP-1", provision.Failed)
	message := w.Seed.Attempt(t, key, apitest.Refused(hostile+"\u202e"+strings.Repeat("x", 400)))
	at := "/console/acme/webhooks/" + key.ID
	b.follow(at+"/edit", b.fill(at+"/edit", "description", hostile)...)
	for _, path := range []string{"/console/acme/webhooks", at, at + "/edit", at + "/delete", at + "/deliveries/" + message} {
		page := b.page(path)
		require.Contains(t, page.text, "alert(1)", path)
		require.Zero(t, page.Find("main script, main img, main [onerror]").Length(), path)
	}
	require.Equal(t, 1, b.page(at+"/deliveries/"+message).Find("bdi.said-by").Length())
	require.Contains(t, b.refused(http.StatusUnprocessableEntity, at+"/edit", b.fill(at+"/edit", "url", "javascript:alert(1)")...).
		Find("#f-url-bad").Text(), "URL")
}

func TestTheFormNamesEveryEvent(t *testing.T) {
	t.Parallel()
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Names []string `yaml:"x-extensible-enum"`
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(openapi.Document, &document))
	var offered []string
	for _, family := range eventFamilies {
		for _, of := range family.Types {
			require.True(t, strings.HasPrefix(of.Value, strings.TrimSuffix(family.Name, "*")), of.Value)
			offered = append(offered, of.Value)
		}
	}
	require.ElementsMatch(t, document.Components.Schemas["EventName"].Names, offered)
}
