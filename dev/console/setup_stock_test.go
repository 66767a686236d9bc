package console

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"quartermaster/api/apitest"
	"quartermaster/internal/provision"
)

// stockPages are pages of the stock, by the name of their picture.
var stockPages = map[string]string{
	"pools": "pools", "pool": "pools/nordic/production", "pool-edit": "pools/nordic/production/edit", "pool-new": "pools/new",
	"protected": "pools/protected", "accounts": "accounts", "accounts-in-line": "accounts?pool=nordic%2Fproduction&status=ready",
	"accounts-no-match": "accounts?search=nothing", "account-new": "accounts/new", "account-ready": "accounts/111122220001",
	"account-finding": "accounts/111122220009", "account-return": "accounts/111122220010/return",
	"account-leftovers": "accounts/111122220010", "import": "accounts/import", "alerts": "alerts",
}

// seedStock fills the pools of acme: a good one, one that is low, and one that is out of stock.
func seedStock(t *testing.T, s *site) {
	t.Helper()
	ctx := t.Context()
	for i, state := range []provision.OrderState{provision.Completed, provision.Provisioning} {
		s.Seed.Order(t, fmt.Sprintf("MP-2026-%06d", 130+i), state)
	}
	for i := range 8 {
		s.Seed.Account(t, fmt.Sprintf("11112222%04d", i+1), provision.AccountReady)
	}
	s.Seed.Account(t, "111122220009", provision.AccountInvalid)
	s.Seed.Account(t, "111122220010", provision.AccountProvisioningFailed)
	s.Verified(t, "111122220001", "", nil)
	s.Verified(t, "111122220009", provision.CheckExternalID, &provision.Failure{Code: provision.CodeExternalIDNotDemanded,
		Reason: "the role can be assumed without the external id: add a condition on sts:ExternalId to its trust policy"})
	for _, pool := range apitest.Pools[:2] {
		_, err := s.DB.Pools.Update(ctx, "test", pool, 0, func(c *provision.PoolConfig) { c.StockThreshold = new(10) })
		require.NoError(t, err)
	}
	s.StockOfDays(t, apitest.Pools[0], 3, 2, 2, 14, 14, 13, 13, 12, 12, 11, 11, 10, 10, 10, 9, 8)
	s.StockOfDays(t, apitest.Pools[2], 6, 5, 3, 2, 1, 0, 0)
	s.WatchStock(t)
	s.Seed.Pool = apitest.Pools[2]
	s.Seed.Order(t, "MP-2026-000140", provision.WaitingForAccount)
	s.Seed.Pool = apitest.Pools[0]
	s.WatchStock(t)
	_, err := s.DB.ProtectedAccounts.Protect(ctx, "test", "acme", "999988887777", "Payer of the distribution business")
	require.NoError(t, err)
}

// tabTo presses Tab until the control with that text or name has the focus.
func (b *tab) tabTo(name string) {
	b.t.Helper()
	for range 80 {
		b.do(chromedp.KeyEvent("\t"))
		at, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](
			`(document.activeElement.textContent || "").trim() + "|" + (document.activeElement.name || "")`))
		require.NoError(b.t, err)
		if at == name+"|" || at == "|"+name {
			return
		}
	}
	require.Fail(b.t, "the keyboard does not reach it", "%s\n%s", name, b.text())
}
