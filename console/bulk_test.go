package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// fields returns the hidden fields of the page's form, as a browser sends them.
func fields(of answer) (pairs []string) {
	for _, hidden := range of.Find("main form.form input[type=hidden]").EachIter() {
		pairs = append(pairs, hidden.AttrOr("name", ""), hidden.AttrOr("value", ""))
	}
	return pairs
}

// ended reads a batch until every row has an outcome.
func (b *browser) ended(path string) (shown answer) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		shown = b.page(path)
		return shown.Find("#state").Text() != "Running"
	}, 20*time.Second, 50*time.Millisecond)
	return shown
}

func TestManyOrdersAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.ActionRequired)
	w.Seed.Order(t, "o-2", provision.ActionRequired)
	w.Seed.Order(t, "o-3", provision.Cancelled)
	b := w.as(t, provision.RoleOperator)
	list := b.page("/console/acme/orders")
	require.Equal(t, 3, list.Find("tbody input[name=id]").Length())
	require.Equal(t, "/console/acme/batches/new", list.Find("form.card").AttrOr("action", ""))

	review := b.page("/console/acme/batches/new?of=orders&verb=cancel&id=o-1&id=o-2&id=o-3")
	require.Equal(t, "Cancel: 3 orders", review.Find("h1").Text())
	text := review.Find("main").Text()
	require.Contains(t, text, "2 orders will allow it")
	require.Contains(t, text, "1 order will probably refuse it")
	require.Contains(t, text, "There is no way back")
	require.Zero(t, review.Find("[name=typed]").Length(), "three need no number")

	unexplained := b.post("/console/acme/batches/new", append(fields(review), "reason", "")...)
	require.Equal(t, http.StatusUnprocessableEntity, unexplained.status)
	require.Equal(t, "#f-reason", unexplained.Find(".summary a").AttrOr("href", ""))
	require.Equal(t, fields(review), fields(unexplained), "the form is the same, and so is its batch")

	sent := append(fields(review), "reason", "the offer has ended")
	made := b.post("/console/acme/batches/new", sent...)
	require.Equal(t, http.StatusSeeOther, made.status, made.text)
	require.Equal(t, made.location, b.post("/console/acme/batches/new", sent...).location, "a double click makes one batch")
	done := b.ended(made.location)
	require.Equal(t, "Completed", done.Find("#state").Text())
	require.Contains(t, done.Find(".tabs").Text(), "Done 2")
	require.Contains(t, done.Find(".tabs").Text(), "Refused 1")
	require.Equal(t, []string{"o-3"}, ids(b.page(made.location+"?outcome=refused")))
	require.Contains(t, b.page(made.location+"?outcome=failed").Find("#live").Text(), "No row has this outcome.")
	require.Contains(t, b.page("/console/acme/orders/o-1").Find(".history").Text(), "the offer has ended")
	require.Contains(t, b.page("/console/acme/batches").Find("tbody").Text(), "the offer has ended")
	require.Zero(t, w.as(t, provision.RoleViewer).page("/console/acme/orders").Find(".bulk").Length())
}

func TestAllOrdersThatMatch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i := range 12 {
		w.Seed.Order(t, fmt.Sprintf("o-%02d", i), provision.WaitingForAccount)
	}
	w.Seed.Order(t, "o-asks", provision.ActionRequired)
	b := w.as(t, provision.RoleOperator)
	all := b.page(b.page("/console/acme/orders?tab=waiting").Find(".bulk a").AttrOr("href", ""))
	require.Contains(t, all.Find(".bulk").Text(), "All that match")
	filter := all.Find("[name=filter]").AttrOr("value", "")
	require.Equal(t, "tab=waiting", filter)

	review := b.page("/console/acme/batches/new?of=orders&verb=fail&filter=" + url.QueryEscape(filter))
	require.Equal(t, "Give up: 12 orders", review.Find("h1").Text())
	untyped := b.post("/console/acme/batches/new", append(fields(review), "reason", "no stock", "typed", "2")...)
	require.Equal(t, http.StatusUnprocessableEntity, untyped.status)
	require.Equal(t, "#f-typed", untyped.Find(".summary a").AttrOr("href", ""))

	w.Seed.Order(t, "o-late", provision.WaitingForAccount)
	changed := b.post("/console/acme/batches/new", append(fields(review), "reason", "no stock", "typed", "12")...)
	require.Equal(t, http.StatusConflict, changed.status)
	require.Contains(t, changed.Find(".summary").Text(), "13 orders now")
	require.Equal(t, "no stock", changed.Find("#f-reason").AttrOr("value", ""))
	require.Equal(t, "Give up: 13 orders", changed.Find("h1").Text(), "it is reviewed again")
	made := b.follow("/console/acme/batches/new", append(fields(changed), "reason", "no stock", "typed", "13")...)
	require.Equal(t, "Give up: 13 orders", made.Find("h1").Text())
}

func TestManyAccountsAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Account(t, "111122223333", provision.AccountReady)
	w.Seed.Account(t, "444455556666", provision.AccountInvalid)
	b := w.as(t, provision.RoleOperator)
	review := b.page("/console/acme/batches/new?of=accounts&verb=invalidate&id=111122223333&id=444455556666")
	require.Equal(t, "Make Invalid: 2 accounts", review.Find("h1").Text())
	require.Contains(t, review.Find("table").First().Text(), "4444")
	made := b.post("/console/acme/batches/new", append(fields(review), "reason", "wrong role")...)
	require.Equal(t, http.StatusSeeOther, made.status, made.text)
	done := b.ended(made.location)
	require.Equal(t, "/console/acme/accounts/111122223333", done.Find("tbody th a").First().AttrOr("href", ""))
	require.Contains(t, done.Find(".tabs").Text(), "Done 2")
}

func TestABatchIsStopped(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.ActionRequired)
	w.Workflows.HoldBatches = true
	b := w.as(t, provision.RoleOperator)
	review := b.page("/console/acme/batches/new?of=orders&verb=retry&id=o-1")
	running := b.follow("/console/acme/batches/new", append(fields(review), "reason", "the quota is higher")...)
	require.Equal(t, "2", running.Find("main").AttrOr("data-live", ""))
	stop := running.Find("form.form").AttrOr("action", "")
	unexplained := b.post(stop, "reason", "")
	require.Equal(t, http.StatusUnprocessableEntity, unexplained.status)
	require.Equal(t, http.StatusOK, b.get(stop).status)
	stopped := b.follow(stop, "reason", "the wrong orders")
	require.Equal(t, "Stopped", stopped.Find("#state").Text())
	require.Contains(t, stopped.Find("main").Text(), "the wrong orders")
	require.Empty(t, stopped.Find("main").AttrOr("data-live", ""), "nothing more happens")
	require.Equal(t, http.StatusConflict, b.post(stop, "reason", "again").status)
}

func TestFailedRowsAreTriedAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "o-1", provision.ActionRequired)
	w.Seed.Order(t, "o-2", provision.ActionRequired)
	b := w.as(t, provision.RoleOperator)
	review := b.page("/console/acme/batches/new?of=orders&verb=retry&id=o-1&id=o-2")
	made := b.post("/console/acme/batches/new", append(fields(review), "reason", "the quota is higher")...)
	b.ended(made.location)
	_, err := w.SQL.ExecContext(t.Context(), `
		UPDATE batch_rows SET outcome = 'failed', code = 'Unavailable', message = 'no answer' WHERE target_id = 'o-2';
		UPDATE batches SET done = 1, failed = 1`)
	require.NoError(t, err)
	require.NoError(t, w.DB.Orders.RequireAction(t.Context(), provision.OrderKey{Provider: "acme", ID: "o-2"},
		provision.Failure{Code: provision.CodeQuotaReached, Reason: "the account has too many roles"}))
	again := b.page(made.location).Find("#progress a.btn")
	require.Equal(t, "Retry the 1 that failed", again.Text())
	next := b.page(again.AttrOr("href", ""))
	require.Equal(t, "Retry: 1 order", next.Find("h1").Text())
	require.Contains(t, next.Find("tbody").Text(), "o-2")
}

func TestABatchOfNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleOperator)
	require.Contains(t, b.page("/console/acme/batches/new?of=orders&verb=retry").Find("main").Text(), "Nothing is selected.")
	require.Equal(t, http.StatusNotFound, b.get("/console/acme/batches/new?of=orders&verb=burn&id=o-1").status)
	require.Contains(t, b.page("/console/acme/batches").Find("main").Text(), "A batch does one thing to many")
	require.Equal(t, http.StatusForbidden, w.as(t, provision.RoleViewer).get("/console/acme/batches/new?of=orders&verb=retry&id=o-1").status)
	require.Equal(t, http.StatusNotFound, b.get("/console/acme/batches/"+strings.Repeat("0", 8)+"-0000-4000-8000-000000000000").status)
}
