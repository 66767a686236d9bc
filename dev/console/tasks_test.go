package console

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// task is a row of the table of everyday tasks in docs/console.md.
type task struct {
	name   string
	clicks []string
	page   *regexp.Regexp // of the address, where … is an id
}

var (
	taskRow = regexp.MustCompile("(?m)^\\| ([^|]+) \\| ([^|]*) ?\\| `([^`]+)` \\|$")
	bold    = regexp.MustCompile(`\*\*([^*]+)\*\*`)
)

func tasks(t *testing.T) (all []task) {
	t.Helper()
	text, err := os.ReadFile("../../docs/console.md")
	require.NoError(t, err)
	for _, row := range taskRow.FindAllStringSubmatch(string(text), -1) {
		found := task{name: row[1]}
		for _, click := range bold.FindAllStringSubmatch(row[2], -1) {
			found.clicks = append(found.clicks, click[1])
		}
		path := strings.ReplaceAll(regexp.QuoteMeta(row[3]), "…", `[^/]+`)
		found.page = regexp.MustCompile(`^/console/acme` + path + `$`)
		all = append(all, found)
	}
	return all
}

// Every task of the table in docs/console.md is at most three clicks away from the Overview.
func TestEverydayTasksAreThreeClicksAway(t *testing.T) {
	s := setup(t)
	s.Furnish(t)
	b := s.open(t, desk)
	b.signIn(provision.RoleAdmin)
	all := tasks(t)
	require.GreaterOrEqual(t, len(all), 20)
	for _, task := range all {
		require.LessOrEqual(t, len(task.clicks), 3, task.name)
		b.visit("/console/acme/")
		for _, click := range task.clicks {
			b.until(fmt.Sprintf(`(() => {
				if (document.readyState !== "complete") return false;
				const words = (e) => e.innerText.replace(/\s+/g, " ").trim();
				const all = [...document.querySelectorAll("main a, main button, nav a")].filter((e) => e.checkVisibility());
				const at = all.find((e) => words(e) === %[1]q || e.innerText.replace(/\s/g, "") === %[1]q) ||
					all.find((e) => words(e).startsWith(%[1]q + " "));
				if (!at || at.dataset.clicked) return false;
				at.dataset.clicked = "yes";
				at.click();
				return true;
			})()`, click))
		}
		b.until(`document.readyState === "complete" && ` + fmt.Sprintf(`new RegExp(%q).test(location.pathname)`, task.page.String()))
	}
}
