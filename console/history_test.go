package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

const historyPage = "/console/acme/history"

func TestTheHistoryIsOneListWithFilters(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Account(t, "111122223333", provision.AccountReady)
	w.Seed.Order(t, "MP-1", provision.ActionRequired)
	w.Seed.Order(t, "MP-2", provision.Cancelled)
	b := w.as(t, provision.RoleAdmin)

	all := b.page(historyPage)
	text := all.Find("tbody").Text()
	for _, want := range []string{"Action required", "AliasTaken: another AWS account has this alias", "Cancelled", "Ready",
		"Pool created", "Signed in"} {
		require.Contains(t, text, want)
	}
	require.NotZero(t, all.Find(`tbody a[href="/console/acme/orders/MP-1"]`).Length())
	require.NotZero(t, all.Find(`tbody a[href="/console/acme/accounts/111122223333"]`).Length())
	require.Zero(t, all.Find(".more").Length(), "it is the only page")

	rows := func(query string) string { return b.page(historyPage + "?" + query).Find("tbody").Text() }
	require.NotContains(t, rows("kind=order"), "Signed in")
	require.NotContains(t, rows("about=MP-2"), "MP-1")
	require.Contains(t, rows("about=MP-2"), "Cancelled")
	require.Contains(t, rows("about=111122223333"), "Ready")
	require.Equal(t, b.page(historyPage+"?about=MP-2").Find("tbody .st").Text(), b.page(historyPage+"?order_id=MP-2").Find("tbody .st").Text(),
		"other pages link to ids by their kinds")
	require.Contains(t, rows("actor=verification&pool=nordic/production")+rows("actor=test"), "Pool created")
	require.NotContains(t, rows("pool=nordic/test"), "MP-1")
	today := time.Now().UTC().Format(time.DateOnly)
	require.Contains(t, rows("from="+today+"&to="+today), "MP-1", "the last day counts")

	none := b.page(historyPage + "?about=MP-404")
	require.Contains(t, none.Find(".empty").Text(), "No entry matches")
	require.Equal(t, 2, none.Find(`main a[href="`+historyPage+`"]:contains("Clear filter")`).Length())
	require.Equal(t, "MP-404", none.value("about"))

	for _, query := range []string{"from=yesterday", "about=" + url.QueryEscape("<script>"), "kind=weather", "cursor=x", "pool=A/b"} {
		got := b.get(historyPage + "?" + query)
		require.Equal(t, http.StatusBadRequest, got.status, query)
		require.Zero(t, got.Find("script:not([src])").Length())
	}
}

func TestTheHistoryHasPages(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i := range 60 {
		w.Seed.Order(t, fmt.Sprintf("MP-%d", i), provision.Accepted)
	}
	b := w.as(t, provision.RoleViewer)
	seen := map[string]int{}
	at := historyPage + "?kind=order"
	for at != "" {
		page := b.page(at)
		for _, link := range page.Find("tbody a.id").EachIter() {
			seen[link.Text()]++
		}
		at = page.Find(`a[rel=next]`).AttrOr("href", "")
	}
	require.Len(t, seen, 60)
	for id, times := range seen {
		require.Equal(t, 1, times, id)
	}
}

func TestTheHistoryIsDownloadedAsCSV(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Seed.Order(t, "MP-1", provision.Cancelled)
	w.Seed.Order(t, "MP-2", provision.Accepted)
	b := w.as(t, provision.RoleViewer)
	link := b.page(historyPage+"?about=MP-1&cursor=").Find("a[download]").AttrOr("href", "")
	require.Equal(t, historyPage+"/export?about=MP-1", link)
	file := b.page(link)
	require.Contains(t, file.header.Get("Content-Type"), "text/csv")
	require.Contains(t, file.header.Get("Content-Disposition"), "attachment")
	require.True(t, strings.HasPrefix(file.text, "at,kind,actor,"), file.text)
	require.Contains(t, file.text, "MP-1")
	require.NotContains(t, file.text, "MP-2")
	require.Equal(t, http.StatusBadRequest, b.get(historyPage+"/export?kind=weather").status)
}

func TestWhoSeesTheHistory(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, role := range provision.Roles {
		b := w.as(t, role)
		for _, path := range []string{historyPage, historyPage + "/export"} {
			want := http.StatusOK
			if !role.Allows(provision.ScopeAccountsRead) {
				want = http.StatusForbidden
			}
			require.Equal(t, want, b.get(path).status, "%s %s", role, path)
		}
		keys := b.get(historyPage).Find(`.tabs a[href*="kind=access"]`).Length() == 1
		require.Equal(t, role.Allows(provision.ScopeKeysRead), keys, role)
	}
}

func TestHistoryInWords(t *testing.T) {
	t.Parallel()
	raw := func(value string) *json.RawMessage { return new(json.RawMessage(value)) }
	for want, entry := range map[string]openapi.HistoryEntry{
		"Waiting|": {Kind: "order", From: raw(`"accepted"`), To: raw(`"waiting_for_account"`)},
		"Correction|aws_account_alias": {Kind: "order", From: raw(`"action_required"`), To: raw(`"action_required"`),
			Code: new("correct"), Fields: &[]string{"aws_account_alias"}},
		"Refused|Retry: NotAsked": {Kind: "order", From: raw(`"failed"`), To: raw(`"failed"`), Code: new("retry"),
			Refused: new("NotAsked")},
		"Setting|stock_threshold: none → 10": {Kind: "pool", Code: new("stock_threshold"), To: raw(`10`)},
		"Provisioning failed|Leftovers": {Kind: "account", From: raw(`"provisioning"`), To: raw(`"provisioning_failed"`),
			Code: new("Leftovers")},
		"All sessions ended|":        {Kind: "access", Code: new("sessions_ended")},
		"a word of a later release|": {Kind: "access", Code: new("a word of a later release")},
		"<script>|":                  {Kind: "account", To: raw(`"<script>"`)},
	} {
		line := lineOf(entry)
		require.Equal(t, want, line.Status.Word+"|"+line.Text)
	}
}
