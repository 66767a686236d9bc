package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// manyOrdersSQL makes completed orders of the pool north, the first one the newest. Of every ten, the first is of the customer c-0.
const manyOrdersSQL = `
INSERT INTO orders (provider, id, marketplace, environment, created_at, request, request_sha256, settings, state, state_since, result)
SELECT 'acme', $1 || to_char(i, 'FM00000'), 'north', 'production', now() - i * interval '1 minute',
    jsonb_build_object('aws_account_alias', 'alias-' || i, 'customer', jsonb_build_object('id', 'c-' || i % 10)), '', '{}', 'completed',
    now() - i * interval '1 minute', '{}'
FROM generate_series(1, $2::int) i`

// insertMany runs manyOrdersSQL without triggers.
func insertMany(t *testing.T, db *sqlx.DB, prefix string, n int) {
	t.Helper()
	tx := db.MustBegin()
	tx.MustExec(`SET LOCAL session_replication_role = replica`)
	tx.MustExec(manyOrdersSQL, prefix, n)
	require.NoError(t, tx.Commit())
}

// found returns the ids of the orders that a filter finds, page by page.
func found(t *testing.T, store *postgres.DB, of provision.Tenant, f provision.OrderFilter) (ids []string) {
	t.Helper()
	f.Limit = 40
	for {
		page, err := store.Orders.List(t.Context(), of, f)
		require.NoError(t, err)
		for _, order := range page {
			ids = append(ids, order.ID)
		}
		if len(page) < f.Limit {
			return ids
		}
		last := page[len(page)-1]
		f.After = &provision.OrderCursor{CreatedAt: last.AcceptedAt, ID: last.ID}
	}
}

func TestOrdersAreSearchedByIDAccountAliasAndCustomer(t *testing.T) {
	t.Parallel()
	_, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 1)
	acme := provision.Tenant{Provider: "acme"}
	for i, id := range []string{"MP-2026-1", "mp-2026-2", "Other_1", "50-x"} {
		o := order(id, "")
		o.AcceptedAt = o.AcceptedAt.Add(time.Duration(i) * time.Minute)
		o.Request.AccountAlias = fmt.Sprintf("berg-%d", i)
		o.Request.Customer = &provision.Customer{ID: fmt.Sprintf("C-%d", i), Name: "Berg"}
		_, err := store.Orders.Open(t.Context(), o)
		require.NoError(t, err)
	}
	claim(t, store, provision.OrderKey{Provider: "acme", ID: "Other_1"})
	for text, ids := range map[string][]string{
		"MP-2026":        {"mp-2026-2", "MP-2026-1"},
		"mp-2026-1":      {"MP-2026-1"},
		"P-2026":         nil,
		"other_":         {"Other_1"},
		"o%":             nil,
		"other-":         nil,
		"berg":           {"50-x", "Other_1", "mp-2026-2", "MP-2026-1"},
		"BERG-1":         {"mp-2026-2"},
		"000000000001":   {"Other_1"},
		"0000-0000-0001": {"Other_1"},
		"0000 0000 0001": {"Other_1"},
		"00000000000":    nil,
		"C-1":            {"mp-2026-2"},
		"c-1":            nil,
		"C-":             nil,
		"5":              {"50-x"},
		`\`:              nil,
		"ÅÄÖ":            nil,
	} {
		require.Equal(t, ids, found(t, store, acme, provision.OrderFilter{Search: text}), text)
		require.Empty(t, found(t, store, provision.Tenant{Provider: "other"}, provision.OrderFilter{Search: text}), text)
		require.Empty(t, found(t, store, provision.Tenant{Provider: "acme", Marketplaces: []string{"south"}},
			provision.OrderFilter{Search: text}), text)
	}
	require.Equal(t, []string{"MP-2026-1"}, found(t, store, acme, provision.OrderFilter{Search: "mp", CustomerID: "C-0"}))
	require.Equal(t, []string{"Other_1"}, found(t, store, acme,
		provision.OrderFilter{Search: "berg", States: []provision.OrderState{provision.Provisioning}}))
}

// A search that finds few orders sorts them. One that finds many walks the orders. Both find the same.
func TestASearchThatFindsManyOrdersFindsAllOfThem(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	insertMany(t, db, "MANY-", postgres.FewOrders+20)
	insertMany(t, db, "FEW-", 30)
	acme := provision.Tenant{Provider: "acme", Marketplaces: []string{"north", "south"}}
	for _, of := range []provision.Tenant{acme, {Provider: "acme"}} {
		many := found(t, store, of, provision.OrderFilter{Search: "many"})
		require.Len(t, many, postgres.FewOrders+20)
		require.IsIncreasing(t, many, "the newest first")
		require.Len(t, found(t, store, of, provision.OrderFilter{Search: "few-"}), 30)
		require.Len(t, found(t, store, of, provision.OrderFilter{Search: "alias-1", States: []provision.OrderState{provision.Completed}}), 111+11)
		require.Empty(t, found(t, store, of, provision.OrderFilter{Search: "many", States: []provision.OrderState{provision.Failed}}))
	}
	var half time.Time
	require.NoError(t, db.GetContext(ctx, &half, `SELECT created_at FROM orders WHERE id = 'MANY-00010'`))
	require.Len(t, found(t, store, acme, provision.OrderFilter{Search: "many", EndedAfter: &half}), 10)
}

func TestOrdersAreFoundByWhenTheyEnded(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	open(t, store, "open", "")
	insertMany(t, db, "o-", postgres.FewOrders+20)
	acme := provision.Tenant{Provider: "acme"}
	var ten, last time.Time
	require.NoError(t, db.GetContext(ctx, &ten, `SELECT state_since FROM orders WHERE id = 'o-00010'`))
	require.NoError(t, db.GetContext(ctx, &last, `SELECT min(state_since) FROM orders`))
	require.Len(t, found(t, store, acme, provision.OrderFilter{EndedAfter: &ten}), 10)
	require.Len(t, found(t, store, acme, provision.OrderFilter{EndedBefore: &ten}), postgres.FewOrders+10)
	require.Len(t, found(t, store, acme, provision.OrderFilter{EndedAfter: &last}), postgres.FewOrders+20, "the open one has not ended")
	require.Empty(t, found(t, store, acme, provision.OrderFilter{EndedBefore: &last}))
	require.Equal(t, []string{"o-00010"}, found(t, store, acme,
		provision.OrderFilter{EndedAfter: &ten, EndedBefore: new(ten.Add(time.Microsecond))}))
	require.Empty(t, found(t, store, acme, provision.OrderFilter{EndedAfter: &last, States: []provision.OrderState{provision.Accepted}}),
		"no order is in this state and has ended")
	require.Empty(t, found(t, store, provision.Tenant{Provider: "acme", Marketplaces: []string{"south"}},
		provision.OrderFilter{EndedAfter: &ten}))
}

// asking makes an order require an action because of a failure.
func asking(t *testing.T, store *postgres.DB, id string, f provision.Failure) {
	t.Helper()
	key := open(t, store, id, "")
	require.NotNil(t, claim(t, store, key).Account)
	require.NoError(t, store.Orders.RequireAction(t.Context(), key, f))
}

func TestOrdersAreFoundByWhomTheyAsk(t *testing.T) {
	t.Parallel()
	_, store, _ := setup(t)
	createAccounts(t, store, provision.ModelSPAM, 1, 4)
	asking(t, store, "alias", why)
	asking(t, store, "nothing-to-correct", provision.Failure{Code: provision.CodeInputRefused, Reason: "refused"})
	asking(t, store, "denied", provision.Failure{Code: provision.CodePermissionMissing, Reason: "denied"})
	open(t, store, "asks-no-one", "")
	acme := provision.Tenant{Provider: "acme"}
	require.Equal(t, []string{"alias"}, found(t, store, acme, provision.OrderFilter{Asks: provision.AsksCustomer}))
	require.Equal(t, []string{"denied", "nothing-to-correct"}, found(t, store, acme, provision.OrderFilter{Asks: provision.AsksOperator}))
	require.Equal(t, []string{"denied"}, found(t, store, acme, provision.OrderFilter{Asks: provision.AsksOperator, Search: "d"}))
	require.Empty(t, found(t, store, acme,
		provision.OrderFilter{Asks: provision.AsksOperator, States: []provision.OrderState{provision.Failed}}))
	for _, order := range found(t, store, acme, provision.OrderFilter{States: []provision.OrderState{provision.ActionRequired}}) {
		view, err := store.Orders.Get(t.Context(), acme, order)
		require.NoError(t, err)
		asks := map[bool]provision.Addressee{true: provision.AsksCustomer, false: provision.AsksOperator}[order == "alias"]
		require.Equal(t, asks, view.Failure.Asks(), "the rule in Go and the rule in SQL agree")
	}
}
