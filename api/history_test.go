package api

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// eventful returns an API where something of every kind has happened: an order of marketplace nordic was refused a cancel, an
// account was updated and protected, and a pool and a key were created.
func eventful(t *testing.T) *testAPI {
	t.Helper()
	w := setup(t)
	w.completedOrder("MP-1")
	readProblem(t, w.post("/v1/orders/MP-1/cancel", `{"reason":"too late, I guess"}`), http.StatusConflict, provision.CodeTooLate)
	w.stockAccount(t, "444455556666", provision.AccountReady)
	read[openapi.Account](t, w.send(w.key, http.MethodPatch, "/v1/accounts/444455556666", `{"name":"Pool 7"}`, "If-Match", "*"), http.StatusOK)
	read[openapi.Pool](t, w.post("/v1/pools", `{"marketplace":"baltic","environment":"production"}`), http.StatusCreated)
	read[openapi.ProtectedAccount](t, w.send(w.key, http.MethodPut, "/v1/protected-accounts/777788889999", `{"note":"payer"}`), http.StatusOK)
	return w
}

// history reads all pages of a list of history.
func (w *testAPI) history(t *testing.T, key, query string) (entries []openapi.HistoryEntry) {
	t.Helper()
	page := read[openapi.HistoryPage](t, w.send(key, http.MethodGet, "/v1/history?"+query, ""), http.StatusOK)
	for {
		entries = append(entries, page.Items...)
		if page.NextCursor == nil {
			return entries
		}
		page = read[openapi.HistoryPage](t, w.send(key, http.MethodGet, "/v1/history?"+query+"&cursor="+*page.NextCursor, ""), http.StatusOK)
	}
}

func kindsOf(entries []openapi.HistoryEntry) (kinds []provision.HistoryKind) {
	for _, e := range entries {
		kinds = append(kinds, e.Kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

func TestTheHistoryListsEverythingNewestFirst(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	all := w.history(t, w.key, "limit=200")
	require.Greater(t, len(all), 10)
	require.Equal(t, []provision.HistoryKind{"access", "account", "order", "pool"}, kindsOf(all))
	require.True(t, slices.IsSortedFunc(all, func(a, b openapi.HistoryEntry) int { return b.At.Compare(a.At) }))
	require.Equal(t, "777788889999", *all[0].AccountID)
	require.Equal(t, []string{"protected", "payer"}, []string{*all[0].Code, *all[0].Reason})
	require.Equal(t, all, w.history(t, w.key, "limit=1"), "the pages of one entry each are the same list")
	require.Equal(t, all, w.history(t, w.key, "limit=3"))

	for _, e := range w.history(t, w.otherKey, "limit=200") {
		require.NotEqual(t, provision.HistoryOfOrders, e.Kind, "another provider's: %+v", e)
		require.Nil(t, e.AccountID)
	}
	for _, wrong := range []string{"kind=stock", "since=yesterday", "cursor=rubbish", "actor=%00", "marketplace=NORDIC", "color=red",
		"cursor=" + *encodeCursor(provision.HistoryCursor{At: now, Source: 0, Seq: 1})} {
		readProblem(t, w.get("/v1/history?"+wrong), http.StatusBadRequest, codeInvalidParameter)
	}
}

func TestTheHistoryIsFiltered(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	all := w.history(t, w.key, "limit=200")
	id, _, _ := splitKey("Bearer " + w.key)
	held := read[openapi.Order](t, w.get("/v1/orders/MP-1"), http.StatusOK).AccountID
	for query, matches := range map[string]func(e openapi.HistoryEntry) bool{
		"kind=order":                          func(e openapi.HistoryEntry) bool { return e.Kind == "order" },
		"kind=pool&kind=account":              func(e openapi.HistoryEntry) bool { return e.Kind == "pool" || e.Kind == "account" },
		"actor=" + url.QueryEscape("key "+id): func(e openapi.HistoryEntry) bool { return e.Actor == "key "+id },
		"order_id=MP-1":                       func(e openapi.HistoryEntry) bool { return value(e.OrderID) == "MP-1" },
		"kind=account&order_id=MP-1":          func(e openapi.HistoryEntry) bool { return e.Kind == "account" && value(e.OrderID) == "MP-1" },
		"account_id=" + *held:                 func(e openapi.HistoryEntry) bool { return value(e.AccountID) == *held },
		"account_id=777788889999":             func(e openapi.HistoryEntry) bool { return value(e.AccountID) == "777788889999" },
		"key_id=" + id:                        func(e openapi.HistoryEntry) bool { return value(e.KeyID) == id },
		"marketplace=baltic":                  func(e openapi.HistoryEntry) bool { return value(e.Marketplace) == "baltic" },
		"marketplace=nordic&environment=test": func(e openapi.HistoryEntry) bool {
			return value(e.Marketplace) == "nordic" && value(e.Environment) == "test"
		},
		"since=" + all[5].At.Format("2006-01-02T15:04:05.999999Z"): func(e openapi.HistoryEntry) bool { return !e.At.Before(all[5].At) },
		"until=" + all[5].At.Format("2006-01-02T15:04:05.999999Z"): func(e openapi.HistoryEntry) bool { return e.At.Before(all[5].At) },
	} {
		wanted := slices.DeleteFunc(slices.Clone(all), func(e openapi.HistoryEntry) bool { return !matches(e) })
		require.NotEmpty(t, wanted, query)
		require.Equal(t, wanted, w.history(t, w.key, "limit=2&"+query), query)
	}
	require.Empty(t, w.history(t, w.key, "key_id="+id+"&marketplace=nordic"), "a key belongs to no marketplace")
}

// A list of marketplaces shows exactly theirs, in one order, whatever the pages.
func TestTheHistoryOfSeveralMarketplacesIsOneList(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	filter := provision.HistoryFilter{Kinds: []provision.HistoryKind{"order", "account", "pool", "access"}, Limit: 200}
	all, err := w.store.History.List(t.Context(), provision.Tenant{Provider: "acme"}, filter)
	require.NoError(t, err)
	bound := provision.Tenant{Provider: "acme", Marketplaces: []string{"baltic", "nordic"}}
	wanted := slices.DeleteFunc(all, func(e provision.HistoryEntry) bool { return e.Marketplace == "" })
	filter.Limit = 2
	var found []provision.HistoryEntry
	for {
		page, err := w.store.History.List(t.Context(), bound, filter)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		found, filter.After = append(found, page...), &page[len(page)-1].HistoryCursor
	}
	require.Equal(t, wanted, found)

	baltic := w.createKeyOf("acme", provision.RoleMarketplace, func(k *provision.APIKey) { k.Marketplaces = []string{"baltic"} })
	require.Empty(t, w.history(t, baltic, ""))
	require.Empty(t, w.history(t, baltic, "order_id=MP-1"))
	require.Empty(t, w.history(t, baltic, "marketplace=nordic"))
	nordic := w.createKeyOf("acme", provision.RoleMarketplace, func(k *provision.APIKey) { k.Marketplaces = []string{"nordic"} })
	require.Equal(t, []provision.HistoryKind{"order"}, kindsOf(w.history(t, nordic, "")))
}

func TestAKeySeesTheHistoryOfWhatItMayRead(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	limited := func(scopes ...provision.Scope) string {
		return w.createKeyOf("acme", provision.RoleAdmin, func(k *provision.APIKey) { k.Scopes = scopes })
	}
	for _, of := range provision.HistoryKinds {
		key := limited(of.Scope)
		require.Equal(t, []provision.HistoryKind{of.Kind}, kindsOf(w.history(t, key, "limit=200")), "the scope %s", of.Scope)
		for _, other := range provision.HistoryKinds {
			answer := w.send(key, http.MethodGet, "/v1/history?kind="+string(of.Kind)+"&kind="+string(other.Kind), "")
			if other.Kind == of.Kind {
				require.Equal(t, http.StatusOK, answer.Code)
				continue
			}
			require.Contains(t, readProblem(t, answer, http.StatusForbidden, codeForbidden).Detail, other.Scope)
		}
	}
	p := readProblem(t, w.send(limited(provision.ScopeStockRead), http.MethodGet, "/v1/history", ""), http.StatusForbidden, codeForbidden)
	require.Contains(t, p.Detail, "orders:read, accounts:read, pools:read or keys:read")
	require.Equal(t, []provision.HistoryKind{"order"}, kindsOf(w.history(t, w.createKeyOf("acme", provision.RoleMarketplace), "limit=200")))
	require.Equal(t, []provision.HistoryKind{"account", "order", "pool"},
		kindsOf(w.history(t, w.createKeyOf("acme", provision.RoleViewer), "limit=200")))
}

func TestTheHistoryHasWhatWasRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.orderIn(provision.ActionRequired, "aws_account_alias")
	refusals := func() (found []openapi.OrderHistoryEntry) {
		for _, e := range read[openapi.OrderHistoryPage](t, w.get("/v1/orders/MP-1/history?limit=200"), http.StatusOK).Items {
			if e.Refused != nil {
				found = append(found, e)
			}
		}
		return found
	}
	correction := `{"iam_user_name":"berta","aws_contact_name":"Berta Berg","reason":"she asked"}`
	for range 2 { // a repeat is recorded once
		readProblem(t, w.send(w.key, http.MethodPatch, "/v1/orders/MP-1", correction), http.StatusConflict, provision.CodeNotAsked)
	}
	found := refusals()
	require.Len(t, found, 1)
	require.Equal(t, []string{"correct", "NotAsked", "she asked"}, []string{*found[0].Code, *found[0].Refused, *found[0].Reason})
	require.Equal(t, []string{"iam_user_name", "aws_contact_name"}, *found[0].Fields)
	require.Equal(t, "action_required", found[0].ToState)
	require.NotContains(t, w.get("/v1/orders/MP-1/history").Body.String(), "Berta", "the history never holds values")

	read[openapi.Order](t, w.send(w.key, http.MethodPatch, "/v1/orders/MP-1", `{"aws_account_alias":"berg-two"}`), http.StatusOK)
	entries := read[openapi.OrderHistoryPage](t, w.get("/v1/orders/MP-1/history?limit=200"), http.StatusOK).Items
	i := slices.IndexFunc(entries, func(e openapi.OrderHistoryEntry) bool { return value(e.Code) == "correct" && e.Refused == nil })
	require.Equal(t, []string{"aws_account_alias"}, *entries[i].Fields)
	read[openapi.Order](t, w.post("/v1/orders/MP-1/cancel", `{"reason":"withdrawn"}`), http.StatusAccepted)
	viewer := w.createKeyOf("acme", provision.RoleOperator)
	for _, key := range []string{w.key, viewer} {
		readProblem(t, w.send(key, http.MethodPost, "/v1/orders/MP-1/cancel", ""), http.StatusConflict, provision.CodeTooLate)
	}
	require.Len(t, refusals(), 3, "two people were refused the same")
}

func TestTheHistoryOfAnAccountHasWhatWasRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.stockAccount(t, "444455556666", provision.AccountAllocated)
	for _, path := range []string{"invalidate", "return", "remove-leftovers", "verify", "invalidate"} {
		body := `{"reason":"an abuse report"}`
		if path == "verify" {
			body = ""
		}
		readProblem(t, w.send(w.key, http.MethodPost, "/v1/accounts/444455556666/"+path, body), http.StatusConflict, codeConflict)
	}
	readProblem(t, w.send(w.key, http.MethodPatch, "/v1/accounts/444455556666", `{"name":"x"}`, "If-Match", "*"), http.StatusConflict,
		codeConflict)
	readProblem(t, w.send(w.key, http.MethodDelete, "/v1/accounts/444455556666", "", "If-Match", "*"), http.StatusConflict, codeConflict)
	var refused []string
	key, _, _ := splitKey("Bearer " + w.key)
	for _, e := range w.historyOf(t, "444455556666") {
		if e.Refused != "" {
			require.Equal(t, "key "+key, e.Actor)
			require.Equal(t, provision.AccountAllocated, e.ToStatus)
			refused = append(refused, e.Code+": "+e.Reason)
		}
	}
	require.Equal(t, []string{"invalidate: an abuse report", "return: an abuse report", "remove-leftovers: an abuse report", "verify: ",
		"update: ", "delete: "}, refused)
}
