package console

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// axe is axe-core, which finds what keeps people with assistive technology out. It comes with the programs of tools/node.
var axe = sync.OnceValues(func() (string, error) {
	if out, err := exec.Command("../../tools/ensure-node.sh").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	text, err := os.ReadFile("../../.build/node/node_modules/axe-core/axe.min.js")
	return string(text), err
})

// findings are what axe finds serious or worse on the page: the rule, and the elements.
func (b *tab) findings() (found []string) {
	b.t.Helper()
	script, err := axe()
	require.NoError(b.t, err)
	require.True(b.t, b.is(script+"; true"))
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(
		r.violations.filter((v) => v.impact === "serious" || v.impact === "critical")
			.map((v) => v.id + ": " + v.nodes.map((n) => n.html.slice(0, 200)).join(" | "))))`, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err)
	require.NoError(b.t, json.Unmarshal([]byte(text), &found))
	return found
}

// is evaluates an expression on the page.
func (b *tab) is(expression string) bool {
	b.t.Helper()
	is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
	require.NoError(b.t, err)
	return is
}

// page is a page of the console, and its address in a furnished one.
type page struct{ name, path string }

// pages are all pages of an admin.
func pages(ids map[string]string) []page {
	at := func(path string) string {
		for name, id := range ids {
			path = strings.ReplaceAll(path, "{"+name+"}", id)
		}
		return "/console/acme/" + path
	}
	var all []page
	for _, p := range [][2]string{
		{"overview", ""}, {"orders", "orders"}, {"orders-attention", "orders?tab=attention"},
		{"order-action-required", "orders/MP-2026-000117"}, {"order-completed", "orders/MP-2026-000116"},
		{"order-undone", "orders/MP-2026-000118"}, {"order-failed", "orders/MP-2026-000119"}, {"order-waiting", "orders/MP-2026-000121"},
		{"order-cancel", "orders/MP-2026-000117/cancel"}, {"order-new", "orders/new"},
		{"pools", "pools"}, {"pool", "pools/nordic/production"}, {"pool-new", "pools/new"}, {"pool-edit", "pools/nordic/production/edit"},
		{"protected", "pools/protected"}, {"accounts", "accounts"}, {"account", "accounts/{account}"}, {"account-new", "accounts/new"},
		{"account-invalidate", "accounts/{account}/invalidate"}, {"imports", "accounts/import"}, {"import", "accounts/import/{import}"},
		{"alerts", "alerts"}, {"acknowledge", "alerts/{alert}/acknowledge"},
		{"webhooks", "webhooks"}, {"webhook", "webhooks/{webhook}"}, {"webhook-new", "webhooks/new"},
		{"delivery", "webhooks/{webhook}/deliveries/{delivery}"}, {"keys", "keys"}, {"key", "keys/{key}"}, {"key-new", "keys/new"},
		{"batches", "batches"}, {"batch", "batches/{batch}"}, {"history", "history"}, {"health", "health"}, {"settings", "settings"},
		{"not-found", "nothing"},
	} {
		all = append(all, page{p[0], at(p[1])})
	}
	return all
}

// few are the pages that are looked at in all views, also when there is little time.
var few = map[string]bool{"overview": true, "orders": true, "order-action-required": true}

// Every page can be used with assistive technology: axe finds nothing serious in any scheme and width, and nothing is wider than the
// window. With QM_CONSOLE=all, each page is looked at in all views.
func TestEveryPageCanBeUsedByEveryone(t *testing.T) {
	s := setup(t)
	ids := s.Furnish(t)
	for _, v := range []view{desk, deskDark, phone, phoneDark} {
		t.Run(v.name, func(t *testing.T) {
			b := s.open(t, v)
			b.signIn(provision.RoleAdmin)
			for _, p := range pages(ids) {
				if v != desk && !few[p.name] && os.Getenv("QM_CONSOLE") != "all" {
					continue
				}
				b.visit(p.path)
				b.until(`document.readyState === "complete" && !!document.querySelector("h1")`)
				assert.Empty(t, b.findings(), "%s, %s", p.name, v.name)
				assert.True(t, b.is(`document.documentElement.scrollWidth <= window.innerWidth`), "%s is wider than the window, %s", p.name, v.name)
				b.keep(p.name + "-" + v.name)
			}
		})
	}
}

// What axe must find is found: a picture without a text, and a text that is hard to read.
func TestAPlantedFaultIsFound(t *testing.T) {
	s := setup(t)
	b := s.open(t, desk)
	b.visit("/console/sign-in")
	require.Empty(t, b.findings())
	require.True(t, b.is(`(() => {
		const p = document.createElement("p");
		p.textContent = "Hard to read";
		p.style.color = "#eee";
		document.querySelector("main").append(p, document.createElement("input"));
		return true;
	})()`))
	found := strings.Join(b.findings(), "\n")
	require.Contains(t, found, "color-contrast")
	require.Contains(t, found, "label")
}
