package console

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// Every page is for those whose role has its scope, at their own provider. For everyone else it is forbidden or does not exist.
func TestEveryPageIsForItsRolesOnly(t *testing.T) {
	t.Parallel()
	f := setupFurnished(t)
	browsers := map[provision.Role]*browser{}
	for _, role := range provision.Roles {
		browsers[role] = f.as(t, role)
	}
	for _, route := range f.routes(t) {
		path, known := f.path(route.pattern)
		if strings.HasSuffix(route.pattern, "/live") || strings.Contains(route.pattern, "{rest...}") {
			continue
		}
		require.True(t, known, "%s: name a fixture for each wildcard in setupFurnished", route.pattern)
		for _, role := range provision.Roles {
			b := browsers[role]
			send := b.get
			if strings.HasPrefix(route.pattern, "POST") {
				if route.scope == "" || role.Allows(route.scope) {
					continue // what a form does is tested with its page
				}
				send = func(path string, _ ...string) answer { return b.post(path) }
			}
			foreign := send(strings.Replace(path, "/acme/", "/globex/", 1))
			require.Equal(t, http.StatusNotFound, foreign.status, "%s at another provider, as %s", route.pattern, role)
			got := send(path)
			if route.scope != "" && !role.Allows(route.scope) {
				require.Equal(t, http.StatusForbidden, got.status, "%s as %s", route.pattern, role)
				require.Contains(t, got.text, string(route.scope))
				continue
			}
			require.Less(t, got.status, 500, "%s as %s: %s", route.pattern, role, got.text)
			require.NotEqual(t, http.StatusForbidden, got.status, "%s as %s: %s", route.pattern, role, got.text)
		}
	}
}

// routes returns the addresses of the console.
func (w *testConsole) routes(t *testing.T) []route {
	t.Helper()
	c := &console{Config: Config{API: w.Handler, Sessions: w.DB.Sessions}, base: "/console"}
	c.routes()
	require.Greater(t, len(c.routed), 10)
	return c.routed
}

var someID = regexp.MustCompile(`MP-\d+|\d{12}|[0-9a-f]{8}-[0-9a-f-]{27}|/[0-9a-f]{12}\b|cursor=[^&]*`)

// kindOf is an address without the id of what it is about.
func kindOf(path string) string {
	page, query, _ := strings.Cut(path, "?")
	names := strings.Split(query, "&")
	for i := range names {
		names[i], _, _ = strings.Cut(names[i], "=")
	}
	return someID.ReplaceAllString(page, "*") + "?" + strings.Join(names, "&")
}

// Whatever a role is shown, its links lead somewhere, its controls have labels, and no other role's pages are offered to it.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	f := setupFurnished(t)
	for _, role := range provision.Roles {
		t.Run(string(role), func(t *testing.T) {
			b := f.as(t, role)
			pages, dead := b.crawl(b.get("/console/").location, kindOf)
			require.Empty(t, dead)
			if role == provision.RoleAdmin {
				require.Greater(t, len(pages), 30)
			}
			for path, page := range pages {
				if !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
					continue
				}
				require.Empty(t, unlabelled(page), path)
				require.NotContains(t, page.words("body"), "globex", path)
				require.NotRegexp(t, `%![a-z(]`, page.words("body"), path)
				require.NotContains(t, page.words("body"), "<nil>", path)
				require.Zero(t, page.Find("style, [style], script:not([src])").Length(), path)
			}
		})
	}
}

// A browser of the role marketplace sees its orders, the walk-through and its settings.
func TestAMarketplaceSeesItsOrdersOnly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := w.as(t, provision.RoleMarketplace)
	require.Equal(t, "/console/acme/orders", b.get("/console/").location)
	var names []string
	page := b.page("/console/acme/orders")
	for i := range page.Find(".nav a").Length() {
		names = append(names, page.Find(".nav a").Eq(i).Text())
	}
	require.Equal(t, []string{"Orders", "Place an order", "Settings"}, names)
	require.False(t, slices.ContainsFunc(w.routes(t), func(r route) bool {
		return r.scope == "" && !regexp.MustCompile(`/(settings|live|batches|filters|\{rest)`).MatchString(r.pattern)
	}), "a page that needs no scope: the API decides about batches and filters")
}
