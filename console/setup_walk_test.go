package console

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

// furnished is a console in which acme has something of everything. Addresses of its pages name the fixtures.
type furnished struct {
	*testConsole
	fixtures map[string]string // by the name of the wildcard in a pattern
}

// setupFurnished returns a console whose every page has something to show.
func setupFurnished(t *testing.T) *furnished {
	t.Helper()
	w := setup(t)
	f := &furnished{testConsole: w, fixtures: w.Furnish(t)}
	f.fixtures["provider"], f.fixtures["marketplace"], f.fixtures["environment"] = "acme", "nordic", "production"
	f.fixtures["verb"], f.fixtures["name"], f.fixtures["number"] = "invalidate", "Baltic", "1"
	return f
}

// path returns the address of a pattern; false if a wildcard of it has no fixture.
func (f *furnished) path(pattern string) (string, bool) {
	_, path, _ := strings.Cut(pattern, " ")
	path = strings.NewReplacer("{$}", "", "/orders/{id}", "/orders/{order}", "/batches/{id}", "/batches/{batch}").Replace(path)
	for name, value := range f.fixtures {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	return "/console" + path, !strings.Contains(path, "{")
}

// unlabelled returns what a person who cannot see the page would not understand: controls without a label, tables without a caption,
// pages without exactly one h1, ids that occur twice.
func unlabelled(page answer) (found []string) {
	page.Find("input, select, textarea").Each(func(_ int, control *goquery.Selection) {
		kind, _ := control.Attr("type")
		id, _ := control.Attr("id")
		name, _ := control.Attr("name")
		_, labeled := control.Attr("aria-label")
		if kind == "hidden" || labeled || control.Closest("label").Length() > 0 ||
			id != "" && page.Find(fmt.Sprintf("label[for=%q]", id)).Length() == 1 {
			return
		}
		found = append(found, "no label: "+name)
	})
	page.Find("button, a").Each(func(_ int, control *goquery.Selection) {
		if label, _ := control.Attr("aria-label"); label == "" && strings.TrimSpace(control.Text()) == "" {
			html, _ := goquery.OuterHtml(control)
			found = append(found, "no text: "+html)
		}
	})
	page.Find("table").Each(func(_ int, table *goquery.Selection) {
		if table.Find("caption").Length() != 1 {
			found = append(found, "a table without a caption")
		}
	})
	if n := page.Find("h1").Length(); n != 1 {
		found = append(found, fmt.Sprintf("%d h1", n))
	}
	ids := map[string]bool{}
	page.Find("[id]").Each(func(_ int, with *goquery.Selection) {
		id, _ := with.Attr("id")
		if ids[id] {
			found = append(found, "the id "+id+" occurs twice")
		}
		ids[id] = true
	})
	return found
}

// crawl reads every page to which a link leads, each kind of address once, and returns the links that lead nowhere.
func (b *browser) crawl(from string, kind func(string) string) (pages map[string]answer, dead []string) {
	b.t.Helper()
	pages, waiting, seen := map[string]answer{}, []string{from}, map[string]bool{}
	for len(waiting) > 0 {
		path := waiting[0]
		waiting = waiting[1:]
		page := b.get(path)
		if page.status >= http.StatusBadRequest {
			dead = append(dead, fmt.Sprintf("%s: %d", path, page.status))
			continue
		}
		pages[path] = page
		page.Find("a[href]").Each(func(_ int, link *goquery.Selection) {
			to, _ := link.Attr("href")
			to, _, _ = strings.Cut(to, "#")
			if strings.HasPrefix(to, "/console/") && !seen[kind(to)] {
				seen[kind(to)] = true
				waiting = append(waiting, to)
			}
		})
	}
	return pages, dead
}
