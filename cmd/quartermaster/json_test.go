package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// itemsOf returns the items of a page of the API, one a line.
func itemsOf(t *testing.T, page string) string {
	t.Helper()
	var list struct{ Items []json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(page), &list))
	require.NotEmpty(t, list.Items)
	lines := make([]string, len(list.Items))
	for i, item := range list.Items {
		lines[i] = string(item)
	}
	return strings.Join(lines, "\n")
}

func TestEveryCommandPrintsTheJSONOfTheAPIUnchanged(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("o-1", provision.ActionRequired)
	s.order("o-2", provision.Completed)
	s.account("111122223333", provision.AccountInvalid)
	s.must("pools", "protect", "--reason=payer", "999988887777")
	webhook := s.must("webhooks", "create", "https://hooks.example.com/", "--events=order.*", "-q")
	s.must("webhooks", "test", webhook)
	s.must("filters", "save", "Stuck orders", "--list=orders", "--query=state=action_required")

	for path, args := range map[string][]string{
		"/v1/orders":                              {"orders", "list"},
		"/v1/orders?state=completed":              {"orders", "list", "--state=completed"},
		"/v1/orders/o-1/history":                  {"orders", "history", "o-1"},
		"/v1/accounts":                            {"accounts", "list"},
		"/v1/accounts?search=pool":                {"accounts", "list", "--search=pool"},
		"/v1/accounts/111122223333/history":       {"accounts", "history", "111122223333"},
		"/v1/pools":                               {"pools", "list"},
		"/v1/pools/nordic/production/history":     {"pools", "history", "--marketplace=nordic"},
		"/v1/protected-accounts":                  {"pools", "protected"},
		"/v1/stock":                               {"stock"},
		"/v1/api-keys":                            {"keys", "list"},
		"/v1/roles":                               {"keys", "roles"},
		"/v1/saved-filters":                       {"filters", "list"},
		"/v1/webhooks":                            {"webhooks", "list"},
		"/v1/webhooks/" + webhook + "/deliveries": {"webhooks", "deliveries", webhook},
		"/v1/events":                              {"events"},
	} {
		want := s.get(path)
		if strings.HasSuffix(path, "/deliveries") && !strings.Contains(want, `"id"`) {
			continue // nothing is sent before a worker runs
		}
		require.Equal(t, itemsOf(t, want), s.must(append(args, "--json")...), path)
	}
	for path, args := range map[string][]string{
		"/v1/order-form":            {"orders", "form"},
		"/v1/orders/o-1":            {"orders", "show", "o-1"},
		"/v1/accounts/111122223333": {"accounts", "show", "111122223333"},
		"/v1/accounts/counts":       {"accounts", "counts"},

		"/v1/accounts/111122223333/checks": {"accounts", "checks", "111122223333"},
		"/v1/stock/history":                {"stock", "history"},
		"/v1/pools/nordic/production":      {"pools", "show", "--marketplace=nordic"},
		"/v1/webhooks/" + webhook:          {"webhooks", "show", webhook},
	} {
		require.Equal(t, s.get(path), s.must(append(args, "--json")...), path)
	}
}

func TestQuietPrintsIDsAndPagesAreFollowed(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	var ids []string
	for i := range 205 { // more than a page of the API
		id := "o-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		s.order(id, provision.Accepted)
		ids = append([]string{id}, ids...)
	}
	require.Equal(t, strings.Join(ids, "\n"), s.must("orders", "list", "-q", "--all"))
	limited := s.run("orders", "list", "-q", "--limit=3")
	require.NoError(t, limited.err)
	require.Equal(t, strings.Join(ids[:3], "\n")+"\n", limited.out)
	require.Contains(t, limited.logs, "there are more than these 3: use --all, or --limit")
	require.Empty(t, s.run("orders", "list", "-q", "--all").logs)
	wrong := s.run("orders", "list", "--limit=0")
	require.ErrorContains(t, wrong.err, "--limit is 0")
	require.Equal(t, exitUsage, exitCode(wrong.err))
	require.ErrorContains(t, s.run("orders", "list", "-q", "--json").err, "can't be used together")
}
