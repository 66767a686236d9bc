package apitest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// StockOfDays writes how many accounts of the pool were Ready on each of the last days, the oldest first and today's last.
func (a *API) StockOfDays(t testing.TB, pool provision.Pool, ready ...int) {
	t.Helper()
	for i, n := range ready {
		a.SQL.MustExec(`INSERT INTO stock_history (provider, marketplace, environment, model, hour, ready, orders_waiting, allocated)
			VALUES ($1, $2, $3, '', date_trunc('hour', now()) - $4 * interval '1 day', $5, 0, 0)`,
			pool.Provider, pool.Marketplace, pool.Environment, len(ready)-1-i, n)
	}
}

// WatchStock checks the stock as the schedule does: alerts open, and close once the stock has been better for long enough.
func (a *API) WatchStock(t testing.TB) {
	t.Helper()
	_, err := a.DB.Stock.Watch(t.Context())
	require.NoError(t, err)
}

// Verified ends a verification of the account. The check that failed is empty if it passed.
func (a *API) Verified(t testing.TB, id string, failed provision.CheckName, failure *provision.Failure) {
	t.Helper()
	account, err := a.DB.Accounts.Get(t.Context(), a.Seed.Pool.Provider, id)
	require.NoError(t, err)
	now := time.Now()
	result := provision.VerificationResult{AccountID: id, LookedAt: &now, Version: account.Version}
	outcome := provision.CheckPassed
	for _, name := range []provision.CheckName{provision.CheckNotProtected, provision.CheckRole, provision.CheckIdentity,
		provision.CheckExternalID, provision.CheckState, provision.CheckReadable, provision.CheckContact, provision.CheckClean} {
		check := provision.AccountCheck{Name: name, Outcome: outcome, At: &now}
		if name == failed {
			check.Outcome, outcome = provision.CheckFailed, provision.CheckNotReached
		} else if outcome == provision.CheckNotReached {
			check.At = nil
		}
		result.Checks = append(result.Checks, check)
	}
	if failure != nil {
		result.Fail(*failure)
	}
	_, err = a.DB.Verifications.Apply(t.Context(), []provision.VerificationResult{result})
	require.NoError(t, err)
}
