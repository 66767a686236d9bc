package console

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/apitest"
	"quartermaster/internal/provision"
)

func TestAlertsAreAcknowledged(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	empty := b.page("/console/acme/alerts")
	require.Contains(t, empty.words(".empty"), "No alert is open.")
	require.Contains(t, empty.words(".empty"), "No alert has closed yet.")

	_, err := w.DB.Pools.Update(t.Context(), "test", apitest.Pools[0], 0, func(c *provision.PoolConfig) { c.StockThreshold = new(5) })
	require.NoError(t, err)
	w.Seed.Account(t, "111122220001", provision.AccountReady)
	w.WatchStock(t)
	open := b.page("/console/acme/alerts")
	require.Contains(t, open.words(".todo"), "Low stock nordic / production 1 account is Ready, the threshold is 5")
	require.Contains(t, open.words(".todo"), "1 message sent")
	address, _ := open.Find(".todo a.act").Attr("href")
	require.Zero(t, w.as(t, provision.RoleViewer).page("/console/acme/alerts").Find(".todo a.act").Length())

	require.Contains(t, b.page(address).words("main"), "1 account is Ready, the threshold is 5")
	refused := b.post(address, "note", "")
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.Find("title").Text(), "Error:")
	shown := b.follow(address, "note", hostile)
	require.Contains(t, shown.said(), "The alert is acknowledged.")
	require.Contains(t, shown.words(".todo"), "Acknowledged")
	require.Zero(t, shown.Find("script:not([src])").Length())
	require.Zero(t, shown.Find(".todo a.act").Length(), "it is acknowledged once")

	w.SQL.MustExec(`UPDATE stock_alerts SET closed_at = now(), reason = 'restocked'`)
	require.Equal(t, http.StatusNotFound, b.get(address).status)
	require.Contains(t, b.follow(address, "note", "late").said(), "The alert has closed in the meantime")
	require.Contains(t, b.page("/console/acme/alerts").words("tbody"), "nordic / production Low stock")
}
