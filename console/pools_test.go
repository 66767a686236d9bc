package console

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/apitest"
	"quartermaster/internal/provision"
)

func TestPoolsSayHowLongTheyLast(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, id := range []string{"111122220001", "111122220002"} {
		w.Seed.Account(t, id, provision.AccountReady)
	}
	_, err := w.DB.Pools.Update(t.Context(), "test", apitest.Pools[0], 0, func(c *provision.PoolConfig) { c.StockThreshold = new(5) })
	require.NoError(t, err)
	w.StockOfDays(t, apitest.Pools[0], 9, 7, 2)
	w.WatchStock(t)
	b := w.as(t, provision.RoleViewer)

	list := b.page("/console/acme/pools")
	require.Equal(t, 3, list.Find("tbody tr").Length())
	require.Contains(t, list.words("tbody"), "nordic / production Low stock 2 5")
	plot, _ := list.Find(`svg[role="img"]`).Attr("aria-label")
	require.Contains(t, plot+list.text, "between 2 and 9, now 2. The threshold is 5.")
	require.Zero(t, list.Find(`a[href$="/pools/new"]`).Length(), "a viewer makes no pool")

	got := b.page("/console/acme/pools/nordic/production")
	require.Contains(t, got.words("#live"), "2 accounts are Ready. There is no forecast: no account was allocated in the last 30 days.")
	require.Contains(t, got.words("#live"), "Low stock threshold 5 none 0 to 1 000 000")
	require.Contains(t, got.words(".history"), "Low stock threshold none → 5 by test")
	require.Contains(t, got.words(".history"), "Pool made by test")
	count, _ := got.Find(`td[data-l="Ready"] a`).Attr("href")
	require.Equal(t, "/console/acme/accounts?environment=production&marketplace=nordic&model=SPAM&status=ready", count)
	require.Equal(t, 2, b.page(count).Find("tbody tr").Length())
	require.Equal(t, http.StatusNotFound, b.get("/console/acme/pools/nowhere/test").status)
	require.Equal(t, http.StatusForbidden, b.get("/console/acme/pools/nordic/production/edit").status)
}

func TestAPoolIsMade(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	const path = "/console/acme/pools/new"
	form := b.page(path)
	refused := b.post(path, form.fields(path, "marketplace", "South!", "stock_threshold", "a few", "wait_deadline_seconds", "soon")...)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.words(".summary"), `Low stock threshold: "a few" is no whole number`)
	require.Contains(t, refused.words(".summary"), `"soon" is no length of time: write a number and a unit, such as 14 days`)
	require.Contains(t, refused.Find("title").Text(), "Error: Make a pool")
	kept, _ := refused.Find("#f-stock_threshold").Attr("value")
	require.Equal(t, "a few", kept)

	refused = b.post(path, form.fields(path, "marketplace", "South!", "report_region", "moon-1", "model_thresholds.ECAM", "-3")...)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	for _, field := range []string{"#f-marketplace", "#f-report_region", `#f-model_thresholds\.ECAM`} {
		_, wrong := refused.Find(field).Attr("aria-invalid")
		require.True(t, wrong, field)
	}
	require.Equal(t, http.StatusConflict, b.post(path, form.fields(path, "marketplace", "nordic")...).status)

	made := b.follow(path, form.fields(path, "marketplace", "south", "stock_threshold", "1 000", "wait_deadline_seconds", "36 h",
		"instructions.ECAM", "Sign in as {root_email}.\r\nThen change it.", "permissions_boundary_arn", "")...)
	require.Contains(t, made.said(), "The pool is made.")
	pool, err := w.DB.Pools.Get(t.Context(), provision.Pool{Provider: "acme", Marketplace: "south", Environment: provision.Production})
	require.NoError(t, err)
	want := provision.DefaultPool(pool.Pool)
	require.Equal(t, 1000, *pool.StockThreshold)
	require.Equal(t, "36h0m0s", pool.Settings.WaitDeadline.String())
	require.Equal(t, "Sign in as {root_email}.\nThen change it.", pool.Settings.Instructions["ECAM"])
	require.Equal(t, want.Settings.UserPolicyARNs, pool.Settings.UserPolicyARNs)
	require.Equal(t, want.Settings.ActionDeadline, pool.Settings.ActionDeadline)
}

func TestSettingsAreReviewedBeforeTheyChange(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	const path = "/console/acme/pools/nordic/production/edit"
	form := b.page(path)
	same := b.post(path, form.fields(path)...)
	require.Equal(t, http.StatusUnprocessableEntity, same.status)
	require.Contains(t, same.words(".summary"), "Nothing is different")

	review := b.post(path, form.fields(path, "stock_threshold", "4", "on_failure", "park", "alternate_contact_types", "BILLING")...)
	require.Equal(t, http.StatusOK, review.status)
	require.Contains(t, review.words("tbody"), "Low stock threshold none 4")
	require.Contains(t, review.words("tbody"), "A clean account of a failed order goes back to Ready is kept out")
	require.Contains(t, review.words("tbody"), "Alternate contacts BILLING, OPERATIONS, SECURITY BILLING")
	before, err := w.DB.Pools.Get(t.Context(), apitest.Pools[0])
	require.NoError(t, err)
	require.Nil(t, before.StockThreshold, "a review changes nothing")
	back := b.post(path, review.fields(path, "back", "yes")...)
	kept, _ := back.Find("#f-stock_threshold").Attr("value")
	require.Equal(t, "4", kept)

	done := b.follow(path, review.fields(path, "confirm", "yes")...)
	require.Contains(t, done.said(), "The settings are changed: Low stock threshold")
	after, err := w.DB.Pools.Get(t.Context(), apitest.Pools[0])
	require.NoError(t, err)
	require.Equal(t, 4, *after.StockThreshold)
	require.Equal(t, []string{"BILLING"}, after.Settings.AlternateContactTypes)

	// Someone who opened the form earlier sees what has changed, and may overwrite it.
	stale := b.post(path, form.fields(path, "stock_threshold", "7", "confirm", "yes")...)
	require.Equal(t, http.StatusPreconditionFailed, stale.status)
	require.Contains(t, stale.words(`section[aria-label="What differs now"]`), "Low stock threshold 4 7")
	again := b.post(path, stale.fields(path)...)
	require.Equal(t, http.StatusOK, again.status, "it is reviewed again")
}

func TestAccountsAreProtected(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleAdmin)
	const path = "/console/acme/pools/protected"
	require.Contains(t, b.page(path).words(".empty"), "No account is protected here yet.")
	refused := b.post(path, "account_id", "12", "note", "")
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Equal(t, 2, refused.Find("[aria-invalid]").Length())
	shown := b.follow(path, "account_id", "9999 8888 7777", "note", hostile)
	require.Contains(t, shown.words("tbody"), "<script>alert(1)</script>", "text of others is text")
	require.Zero(t, shown.Find("script:not([src])").Length())

	const remove = path + "/999988887777/unprotect"
	require.Equal(t, http.StatusUnprocessableEntity, b.post(remove, "reason", "").status)
	require.Contains(t, b.follow(remove, "reason", "It is a test account.").said(), "no longer protected")
	require.Equal(t, http.StatusNotFound, b.post(remove, "reason", "again").status)
	viewer := w.as(t, provision.RoleOperator)
	require.Zero(t, viewer.page(path).Find("main form, main td a").Length(), "an operator may look")
	require.Equal(t, http.StatusForbidden, viewer.post(path, "account_id", "999988887777", "note", "x").status)
}
