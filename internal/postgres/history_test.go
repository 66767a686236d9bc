package postgres_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// longHistory fills the history of acme: 100,000 entries of the marketplace north, one a second until now, and a few old ones of the
// marketplace south. Every entry of north is one of "key common"; every entry of south is one of "key rare".
func longHistory(t *testing.T, db *sqlx.DB) {
	t.Helper()
	const states = `
INSERT INTO order_history (provider, order_id, marketplace, environment, at, actor, from_state, to_state)
SELECT 'acme', '%[1]s-' || i / 6, '%[1]s', 'production', now() - interval '%[2]d days' - i * interval '1 second', 'key %[3]s', 'accepted',
    'provisioning' FROM generate_series(1, %[4]d) i`
	const statuses = `
INSERT INTO account_history (provider, account_id, marketplace, environment, at, actor, from_status, to_status, reason, order_id)
SELECT 'acme', to_char(i / 6, 'FM000000000000'), '%[1]s', 'production', now() - interval '%[2]d days' - i * interval '1 second',
    'key %[3]s', 'ready', 'provisioning', '', '%[1]s-' || i / 6 FROM generate_series(1, %[4]d) i`
	for _, insert := range []string{states, statuses} {
		db.MustExec(fmt.Sprintf(insert, "north", 0, "common", 50_000))
		db.MustExec(fmt.Sprintf(insert, "south", 400, "rare", 60))
	}
	db.MustExec(`ANALYZE`) // as PostgreSQL does by itself
}

func TestAPageOfTheHistoryCostsTheSameHoweverLongItIs(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	longHistory(t, db)
	everything := []provision.HistoryKind{"order", "account", "pool", "access"}
	acme := provision.Tenant{Provider: "acme"}
	some := provision.Tenant{Provider: "acme", Marketplaces: []string{"north", "south"}}
	half := time.Now().Add(-25_000 * time.Second)
	for name, c := range map[string]struct {
		of     provision.Tenant
		filter provision.HistoryFilter
	}{
		"everything":             {acme, provision.HistoryFilter{}},
		"a page in the middle":   {acme, provision.HistoryFilter{After: &provision.HistoryCursor{At: half, Source: 2, Seq: 25_000}}},
		"until":                  {acme, provision.HistoryFilter{Until: half}},
		"since":                  {acme, provision.HistoryFilter{Since: half}},
		"a busy actor":           {acme, provision.HistoryFilter{Actor: "key common"}},
		"an actor of long ago":   {acme, provision.HistoryFilter{Actor: "key rare"}},
		"no such actor":          {acme, provision.HistoryFilter{Actor: "key none"}},
		"a busy marketplace":     {acme, provision.HistoryFilter{Marketplace: "north"}},
		"a quiet marketplace":    {acme, provision.HistoryFilter{Marketplace: "south"}},
		"a bound key":            {some, provision.HistoryFilter{}},
		"an order":               {acme, provision.HistoryFilter{OrderID: "north-7"}},
		"an account":             {acme, provision.HistoryFilter{AccountID: "000000000007"}},
		"an API key":             {acme, provision.HistoryFilter{KeyID: "5f1c90aa0b3e"}},
		"no row of the provider": {provision.Tenant{Provider: "other"}, provision.HistoryFilter{}},
	} {
		c.filter.Kinds, c.filter.Limit = everything, 51
		query, args := postgres.HistoryQuery(c.of, c.filter)
		var text []byte
		require.NoError(t, db.GetContext(ctx, &text, `EXPLAIN (ANALYZE, FORMAT JSON) `+query, args...), name)
		var plans []struct {
			Plan map[string]any
			Time float64 `json:"Execution Time"` // in milliseconds
		}
		require.NoError(t, json.Unmarshal(text, &plans))
		require.LessOrEqual(t, touched(plans[0].Plan), 2000.0, "%s: %s", name, text)
		t.Logf("%s: %.2f ms", name, plans[0].Time)
	}
	page, err := store.History.List(ctx, acme, provision.HistoryFilter{Kinds: everything, Limit: 51})
	require.NoError(t, err)
	require.Len(t, page, 51)
}

func TestOrdersOfACustomerAreFoundByTheirIndex(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	queue(t, db, "any", "", 10_000)
	o := order("of-customer", "")
	o.Request.Customer = &provision.Customer{ID: "C-1", Name: "Berg Logistics AB"}
	_, err := store.Orders.Open(ctx, o)
	require.NoError(t, err)
	db.MustExec(`ANALYZE`)
	found, err := store.Orders.List(ctx, provision.Tenant{Provider: "acme"}, provision.OrderFilter{CustomerID: "C-1", Limit: 10})
	require.NoError(t, err)
	require.Len(t, found, 1)
	var text []byte
	require.NoError(t, db.GetContext(ctx, &text, `EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM orders o
		WHERE o.provider = 'acme' AND o.request #>> '{customer,id}' = 'C-1' ORDER BY o.created_at DESC, o.id DESC LIMIT 10`))
	require.Contains(t, string(text), "orders_of_customer")
}

func TestTheHistoryOfAnOrderNamesWhatWasCorrectedAndWhatWasSetAside(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 2)
	key := open(t, store, "o", "")
	claim(t, store, key)
	dead := provision.Failure{Code: provision.CodeAccountCannotBeEntered, Reason: "the role cannot be assumed"}
	_, err := store.Orders.RejectAccount(ctx, key, account1, dead, true)
	require.NoError(t, err)
	corrected := order("o", "").Request
	corrected.AccountAlias, corrected.ContactName, corrected.UseExistingCUR = "another-alias", "Jane Doe", "monthly"
	by := provision.Intervention{Actor: "key store", Reason: "the customer called", ID: "update-1"}
	require.NoError(t, store.Orders.Correct(ctx, key, corrected, by))
	require.NoError(t, store.Orders.Correct(ctx, key, corrected, by), "a repeat is recorded once")
	entries, err := store.Orders.History(ctx, key.Tenant(), key.ID, 0, 100)
	require.NoError(t, err)
	last := entries[len(entries)-1]
	require.Equal(t, []string{"aws_account_alias", "aws_contact_name", "use_existing_cur"}, last.Fields)
	require.Equal(t, "correct", last.Code)

	back := entries[len(entries)-3]
	require.Equal(t, provision.WaitingForAccount, back.ToState)
	require.Equal(t, string(provision.CodeAccountCannotBeEntered), back.Code)
	require.Equal(t, "account "+account1+" was set aside: AccountCannotBeEntered: the role cannot be assumed", back.Reason)
	again := entries[len(entries)-2]
	require.Equal(t, provision.Provisioning, again.ToState)
	require.Empty(t, again.Code+again.Reason, "the next account has nothing to do with the last one")
}

func TestTheHistoryOfAnAccountHasTheResultsOfItsVerifications(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 3)
	v.sweep(nil)
	codes := func() (codes []string) {
		entries, err := v.store.Accounts.History(v.ctx, "acme", account1, 0, 100)
		require.NoError(t, err)
		for _, e := range entries {
			if e.Code != "" {
				codes = append(codes, e.Actor+" "+e.Code)
			}
		}
		return codes
	}
	v.later(2 * provision.VerifyEvery)
	v.sweep(nil)
	require.Empty(t, codes(), "it passed as it did before")
	_, _, err := v.store.Accounts.Verify(v.ctx, "key k", "acme", account1, 0)
	require.NoError(t, err)
	v.sweep(nil)
	require.Equal(t, []string{"key k verify", "verification verified"}, codes(), "someone asked for it")
	v.later(2 * provision.VerifyEvery)
	v.sweep(nil)
	require.Len(t, codes(), 2)
	v.later(2 * provision.VerifyEvery)
	v.sweep(dead, 1)
	v.sweep(nil)
	v.later(provision.VerifyAgainAfter + time.Second)
	v.sweep(nil)
	require.Equal(t, []string{"verification not-verified", "verification verified"}, codes()[2:], "it changed")
}
