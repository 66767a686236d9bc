package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestKeysSayWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Key(t, "acme", provision.RoleMarketplace, func(k *provision.APIKey) {
		k.Name, k.Marketplaces, k.ExpiresAt = "nordic store", []string{"nordic"}, new(time.Now().Add(20*24*time.Hour))
	})
	gone := strings.Split(w.Key(t, "acme", provision.RoleViewer, func(k *provision.APIKey) { k.Name = "old dashboard" }), "_")[2]
	_, err := w.DB.APIKeys.Revoke(t.Context(), "test", "acme", gone, "The dashboard is gone", false)
	require.NoError(t, err)
	foreign := strings.Split(w.Key(t, "globex", provision.RoleViewer), "_")[2]
	b := w.as(t, provision.RoleAdmin, func(k *provision.APIKey) { k.Scopes = []provision.Scope{"keys:read", "accounts:read"} })

	list := b.page("/console/acme/keys")
	rows := list.Find("tbody tr")
	require.Equal(t, 3, rows.Length())
	require.Contains(t, rows.Eq(0).Text(), "yours")
	require.Contains(t, rows.Eq(1).Text(), "Revoked")
	require.Contains(t, rows.Eq(2).Text(), "Ends soon")
	require.Contains(t, rows.Eq(2).Text(), "of nordic")
	require.Contains(t, list.Find("main").Text(), "Manages the stock and resolves problems of orders.")
	require.Zero(t, list.Find(`main a[href$="/keys/new"]`).Length(), "the key may only read keys")

	own, _ := rows.Eq(0).Find("a").Attr("href")
	page := b.page(own)
	require.Contains(t, page.Find("main").Text(), "Only a part of its role")
	require.Zero(t, page.Find("main .btn").Length())
	history := b.page("/console/acme/keys/" + gone).Find(".history").Text()
	require.Contains(t, history, "Revoked")
	require.Contains(t, history, "The dashboard is gone")
	require.Equal(t, http.StatusNotFound, b.get("/console/acme/keys/"+foreign).status)
}

func TestAKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	const at = "/console/acme/keys/new"
	form := b.page(at)
	require.Equal(t, 4, form.Find("input[name=role]").Length())
	require.Equal(t, 2, form.Find("input[name=marketplaces]").Length(), "nordic and baltic")

	again := b.refused(http.StatusUnprocessableEntity, at,
		form.fill(t, "name", "nordic store", "role", "marketplace", "scopes", "keys:write")...)
	require.Equal(t, 1, again.Find(`.summary a[href="#f-marketplaces"]`).Length(), again.text)
	require.Equal(t, 1, again.Find(`.summary a[href="#f-scopes"]`).Length())
	require.Equal(t, 1, again.Find("details[open] input[value='keys:write'][checked]").Length())
	again = b.refused(http.StatusUnprocessableEntity, at,
		again.fill(t, "ends", "day", "ends_on", "tomorrow", "requests_per_second", "many")...)
	require.Contains(t, again.Find("#f-ends_on-bad").Text(), `"tomorrow" is not a day`)
	require.Contains(t, again.Find("#f-requests_per_second-bad").Text(), `"many" is not a number`)
	past := b.refused(http.StatusUnprocessableEntity, at,
		again.fill(t, "ends_on", "2020-01-01", "requests_per_second", "", "scopes", "orders:read")...)
	require.Contains(t, past.Find("#f-ends_on-bad").Text(), "in the past")

	sent := past.fill(t, "ends_on", "2099-01-31", "marketplaces", "nordic", "requests_per_second", "2.5")
	made, secret := b.secret(at, sent...)
	require.True(t, strings.HasPrefix(secret, "qm_live_"))
	key, _ := made.Find(".verbs a").Attr("href")
	w.visitor(t).signIn(secret)

	reloaded := b.post(at, sent...)
	require.Equal(t, http.StatusConflict, reloaded.status)
	require.NotContains(t, reloaded.text, secret)
	require.Equal(t, 1, reloaded.Find(`main a[href="`+key+`/rotate"]`).Length())
	facts := b.page(key).Find("main").Text()
	for _, fact := range []string{"nordic store", "Only nordic", "orders:read", "2.5 requests a second", "1 Feb 2099"} {
		require.Contains(t, facts, fact)
	}
	never, _ := b.secret(at, b.fill(at, "name", "forever", "ends", "never")...)
	key, _ = never.Find(".verbs a").Attr("href")
	require.Contains(t, b.page(key).Find("dl").Text(), "Endsnever")
	require.NotContains(t, w.Log.String(), secret)
}

// A key that may create keys may not give away more than it has itself.
func TestAKeyGivesNoMoreThanItHas(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin, func(k *provision.APIKey) { k.Scopes = []provision.Scope{"keys:read", "keys:write"} })
	const at = "/console/acme/keys/new"
	form := b.page(at)
	require.Equal(t, "text", form.Find("#f-marketplaces").AttrOr("type", ""), "it may not read the pools, so marketplaces are typed")
	refused := b.refused(http.StatusForbidden, at, form.fill(t, "name", "x", "role", "marketplace", "marketplaces", "nordic, baltic")...)
	require.Contains(t, refused.Find(".summary").Text(), "cannot create a key that may do more than itself")
	require.Equal(t, "nordic, baltic", refused.Find("#f-marketplaces").AttrOr("value", ""))
	other := strings.Split(w.Key(t, "acme", provision.RoleViewer), "_")[2]
	refused = b.refused(http.StatusForbidden, "/console/acme/keys/"+other+"/revoke", "reason", "x")
	require.Contains(t, refused.Find(".summary").Text(), "cannot revoke")
}

func TestAKeyIsReplacedAndRevoked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	text := w.Key(t, "acme", provision.RoleViewer)
	at := "/console/acme/keys/" + strings.Split(text, "_")[2]

	sent := b.fill(at+"/rotate", "overlap", "1")
	shown, secret := b.secret(at+"/rotate", sent...)
	require.NotEqual(t, text, secret)
	require.Contains(t, shown.Find(".notes").Text(), "works as well until")
	successor, _ := shown.Find(".verbs a").Attr("href")
	spent := b.post(at+"/rotate", sent...)
	require.Equal(t, http.StatusConflict, spent.status)
	require.Equal(t, 1, spent.Find(`main a[href="`+successor+`/rotate"]`).Length())
	require.Contains(t, b.refused(http.StatusConflict, at+"/rotate", b.fill(at+"/rotate")...).Find(".summary").Text(), "rotated")
	old := b.page(at)
	require.Equal(t, 1, old.Find(`main a[href="`+successor+`"]`).Length())
	require.Zero(t, old.Find(`main a[href$="/rotate"]`).Length(), "a key is replaced once")

	unsaid := b.refused(http.StatusUnprocessableEntity, successor+"/revoke", b.fill(successor+"/revoke")...)
	require.Contains(t, unsaid.Find("#f-reason-bad").Text(), "A reason is needed")
	revoked := b.follow(successor+"/revoke", unsaid.fill(t, "reason", "It was lost")...)
	require.Equal(t, "The key is revoked.", revoked.said())
	require.Contains(t, revoked.Find(".history").Text(), "It was lost")
	require.Zero(t, revoked.Find("main .btn").Length())
}

func TestARevokedKeySignsItselfOut(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Key(t, "acme", provision.RoleAdmin) // the last key that may create keys cannot be revoked
	text := w.Key(t, "acme", provision.RoleAdmin)
	b := w.visitor(t)
	b.signIn(text)
	at := "/console/acme/keys/" + strings.Split(text, "_")[2] + "/revoke"
	require.Contains(t, b.page(at).Find("main").Text(), "You are signed in with this key")
	require.Contains(t, b.follow(at, b.fill(at, "reason", "It was lost")...).said(), "your session with it")
	require.Equal(t, http.StatusUnauthorized, b.get("/console/acme/keys").status)
}

func TestTheLastKeyStays(t *testing.T) {
	t.Parallel()
	w := setup(t)
	text := w.Key(t, "acme", provision.RoleAdmin)
	b := w.visitor(t)
	b.signIn(text)
	at := "/console/acme/keys/" + strings.Split(text, "_")[2] + "/revoke"
	require.Contains(t, b.refused(http.StatusConflict, at, b.fill(at, "reason", "It was lost")...).Find(".summary").Text(), "create")
}

func TestWhoMaySeeKeys(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, role := range []provision.Role{provision.RoleMarketplace, provision.RoleViewer, provision.RoleOperator} {
		b := w.as(t, role)
		for _, path := range []string{"/console/acme/keys", "/console/acme/keys/new"} {
			got := b.get(path)
			require.Equal(t, http.StatusForbidden, got.status)
			require.Contains(t, got.text, "The roles that have it: admin")
		}
		require.Equal(t, http.StatusForbidden, b.post("/console/acme/keys/new", "name", "x", "role", "viewer").status)
	}
}

func TestTheNameOfAKeyIsText(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	const hostile, at = `<script>alert(1)</script>"><img src=x onerror=alert(1)>`, "/console/acme/keys/new"
	made, _ := b.secret(at, b.fill(at, "name", hostile)...)
	key, _ := made.Find(".verbs a").Attr("href")
	for _, path := range []string{"/console/acme/keys", key, key + "/rotate", key + "/revoke"} {
		page := b.page(path)
		require.Contains(t, page.text, "alert(1)")
		require.Zero(t, page.Find("main script, main img, main [onerror]").Length(), path)
	}
	long := b.refused(http.StatusUnprocessableEntity, at, b.fill(at, "name", strings.Repeat("x", 20_000))...)
	require.Contains(t, long.Find("#f-name-bad").Text(), "100")
}
