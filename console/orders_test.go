package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// ids are the orders that a list shows.
func ids(of answer) (ids []string) {
	for _, row := range of.Find("tbody th a").EachIter() {
		ids = append(ids, row.Text())
	}
	return ids
}

func TestTheListOfOrders(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	require.Contains(t, b.page("/console/acme/orders").Find("#live").Text(), "None has been placed yet.")
	require.Contains(t, b.page("/console/acme/orders?tab=attention").Find("#live").Text(), "No order needs you.")

	w.Seed.Order(t, "o-asks", provision.ActionRequired)
	w.Seed.Order(t, "o-waits", provision.WaitingForAccount)
	w.Seed.Order(t, "o-undone", provision.Compensating)
	w.Seed.Order(t, "o-done", provision.Completed)
	w.Seed.Order(t, "o-new", provision.Accepted)
	all := b.page("/console/acme/orders")
	require.Equal(t, []string{"o-new", "o-done", "o-undone", "o-waits", "o-asks"}, ids(all))
	require.Contains(t, all.Find("tbody").Text(), "Another AWS account has this alias.")
	require.Contains(t, all.Find("tbody").Text(), "Place 1: 0 of ")
	for tab, want := range map[string]string{"attention": "o-asks", "waiting": "o-waits", "progress": "o-new o-undone", "today": "o-done"} {
		shown := b.page("/console/acme/orders?tab=" + tab)
		require.Equal(t, want, strings.Join(ids(shown), " "), tab)
		require.Contains(t, shown.Find(".tabs [aria-current]").AttrOr("href", ""), tab)
	}
	require.Equal(t, []string{"o-done"}, ids(b.page("/console/acme/orders?state=completed")))
	require.Equal(t, []string{"o-waits"}, ids(b.page("/console/acme/orders?model=ECAM")))
	require.Empty(t, ids(b.page("/console/acme/orders?pool=baltic%2Fproduction&created=today")))
	require.Contains(t, b.page("/console/acme/orders?pool=baltic%2Fproduction").Find("#live").Text(),
		"No order matches this filter. Clear filter")

	refused := b.get("/console/acme/orders?pool=No+pool%2Fproduction")
	require.Equal(t, http.StatusBadRequest, refused.status)
	require.Contains(t, refused.Find(".summary").Text(), "No pool")
}

func TestTabsCount(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.ActionRequired)
	w.Seed.Order(t, "o-2", provision.Cancelled)
	tabs := w.as(t, provision.RoleViewer).page("/console/acme/orders").Find(".tabs").Text()
	for _, text := range []string{"Needs attention 1", "Waiting 0", "In progress 0", "Ended today 1", "All 2"} {
		require.Contains(t, tabs, text)
	}
}

func TestASearch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Account(t, "111122223333", provision.AccountReady)
	w.Seed.Order(t, "MP-1", provision.Completed) // receives it
	w.Seed.Order(t, "MP-2", provision.Cancelled)
	w.Seed.Account(t, "444455556666", provision.AccountReady)
	b := w.as(t, provision.RoleOperator)
	for search, to := range map[string]string{
		"mp-1": "/console/acme/orders/MP-1", "1111 2222 3333": "/console/acme/orders/MP-1",
		"4444-5555-6666": "/console/acme/accounts/444455556666",
	} {
		require.Equal(t, to, b.get("/console/acme/orders?search="+url.QueryEscape(search)).location, search)
	}
	require.Len(t, ids(b.page("/console/acme/orders?search=berg-logi")), 2)
	require.Contains(t, b.page("/console/acme/orders?search=nothing").Find("#live").Text(), "Clear filter")
	require.Equal(t, http.StatusOK, b.get("/console/acme/orders?search=mp-1", "X-Live", "1").status, "a page that reads itself leads nowhere")
	marketplace := w.as(t, provision.RoleMarketplace)
	require.Equal(t, http.StatusOK, marketplace.get("/console/acme/orders?search=444455556666").status)
}

func TestPagesOfOrders(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i := range ordersShown + 3 {
		w.Seed.Order(t, fmt.Sprintf("o-%02d", i), provision.Cancelled)
	}
	b := w.as(t, provision.RoleViewer)
	first := b.page("/console/acme/orders?state=cancelled")
	require.Len(t, ids(first), ordersShown)
	next := first.Find("a[rel=next]").AttrOr("href", "")
	require.Contains(t, next, "state=cancelled")
	second := b.page(next)
	require.Equal(t, []string{"o-02", "o-01", "o-00"}, ids(second))
	require.Zero(t, second.Find("a[rel=next]").Length())
	require.Zero(t, second.Find("input[type=checkbox]").Length(), "a viewer selects nothing")
}

func TestOwnFilters(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.ActionRequired)
	b := w.as(t, provision.RoleOperator)
	save := b.page("/console/acme/orders?tab=attention&pool=nordic%2Fproduction&cursor=").Find(".filter a").AttrOr("href", "")
	form := b.page(save)
	query := form.Find("[name=query]").AttrOr("value", "")
	require.Equal(t, "pool=nordic%2Fproduction&tab=attention", query)

	nameless := b.post("/console/acme/filters/new", "page", "orders", "query", query, "name", "a/b")
	require.Equal(t, http.StatusUnprocessableEntity, nameless.status)
	require.Equal(t, "a/b", nameless.Find("#f-name").AttrOr("value", ""))
	saved := b.follow("/console/acme/filters/new", "page", "orders", "query", query, "name", "Stuck <b>up north")
	require.Equal(t, "The filter is saved. Only you see it.", saved.said())
	require.Equal(t, "★ Stuck <b>up north", strings.TrimSpace(saved.Find(".tabs [aria-current]").Text()))
	require.Equal(t, []string{"o-1"}, ids(saved))
	require.NotContains(t, w.as(t, provision.RoleOperator).page("/console/acme/orders").text, "Stuck", "no one else sees it")

	remove := saved.Find(".filter a").AttrOr("href", "")
	require.Contains(t, b.page(remove).Find("main").Text(), "Stuck <b>up north")
	require.Equal(t, "The filter is deleted.", b.follow(remove).said())
	require.NotContains(t, b.page("/console/acme/orders").Find(".tabs").Text(), "★")
	require.Equal(t, http.StatusNotFound, b.get("/console/acme/filters/new?page=keys").status)
	require.Equal(t, http.StatusNotFound, b.post(remove).status, "it is gone")
}
