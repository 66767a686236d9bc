package console

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

const settingsPage = "/console/acme/settings"

func TestTheBrowserKeepsTheSettings(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleMarketplace)
	before := b.page(settingsPage)
	require.Equal(t, "UTC", before.value("zone"))
	require.Empty(t, before.value("scheme"))
	require.Equal(t, "on", before.value("keys"))
	require.Contains(t, before.Find(".facts").Text(), "nordic", "the marketplaces of the key")

	after := b.follow(settingsPage, "zone", " Europe/Stockholm", "scheme", "dark", "keys", "off")
	require.Equal(t, "Saved in this browser.", after.said())
	require.Equal(t, "Europe/Stockholm", after.value("zone"))
	require.Equal(t, "dark", after.value("scheme"))
	require.Equal(t, "off", after.value("keys"))
	require.Equal(t, "dark", after.Find("html").AttrOr("data-theme", ""))
	require.Equal(t, "off", after.Find("body").AttrOr("data-keys", ""))

	for _, zone := range []string{"Europe/Nowhere", "../../etc/passwd", "Local", "<script>"} {
		refused := b.post(settingsPage, "zone", zone, "scheme", "light")
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, zone)
		require.Equal(t, 1, refused.Find(`.summary a[href="#f-zone"]`).Length(), zone)
		require.Equal(t, "light", refused.value("scheme"), "the input is kept")
	}
	require.Equal(t, "Europe/Stockholm", b.page(settingsPage).value("zone"))

	back := b.follow(settingsPage, "zone", "", "scheme", "", "keys", "on")
	require.Equal(t, "UTC", back.value("zone"))
	require.Empty(t, back.Find("html").AttrOr("data-theme", ""))
}

func TestAnAdminEndsAllSessions(t *testing.T) {
	t.Parallel()
	w := setup(t)
	admin, operator := w.as(t, provision.RoleAdmin), w.as(t, provision.RoleOperator)
	for b, sees := range map[*browser]bool{admin: true, operator: false} {
		page := b.page(settingsPage)
		require.Equal(t, sees, page.Find(`a[href$="/settings/end-sessions"]`).Length() == 1)
		require.Equal(t, sees, page.Find("tbody tr").Length() == 2)
	}
	const end = settingsPage + "/end-sessions"
	require.Equal(t, http.StatusForbidden, operator.get(end).status)
	require.Equal(t, http.StatusForbidden, operator.post(end, "reason", "because").status)

	require.Equal(t, 2, admin.page(end).Find("tbody tr").Length())
	refused := admin.post(end, "reason", " ")
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Equal(t, 1, refused.Find(`.summary a[href="#f-reason"]`).Length())

	ended := admin.post(end, "reason", "A laptop was stolen.")
	require.Equal(t, "/console/sign-in", ended.location, ended.text)
	require.Contains(t, admin.get(ended.location).said(), "All sessions have ended: 2.")
	for _, b := range []*browser{admin, operator} {
		require.Equal(t, http.StatusUnauthorized, b.get(settingsPage).status)
	}
	history := w.as(t, provision.RoleAdmin).page("/console/acme/history?kind=access")
	require.Contains(t, history.Find("tbody").Text(), "A laptop was stolen.")
}
