package console

import (
	"context"
	"errors"
	"net/http"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api"
	"quartermaster/api/openapi"
	checks "quartermaster/internal/health"
	"quartermaster/internal/provision"
)

const healthPage = "/console/acme/health"

func TestHealthSaysWhoseFaultItIs(t *testing.T) {
	t.Parallel()
	t.Run("no one's", func(t *testing.T) {
		t.Parallel()
		page := setup(t).as(t, provision.RoleViewer).page(healthPage)
		require.Equal(t, "Everything works", page.Find(".verdict h2").Text())
		require.Equal(t, "10", page.Find("main").AttrOr("data-live", ""))
		require.Zero(t, page.Find(".cure").Length())
		require.Contains(t, page.Find("table").Text(), "activity tasks")
		require.Contains(t, page.Find("table").Text(), "reconcile")
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.Temporal.Workers = 0
		page := w.as(t, provision.RoleViewer).page(healthPage)
		require.Equal(t, "It is us", page.Find(".verdict h2").Text())
		require.Contains(t, page.Find("#workers .cure").Text(), "Start quartermaster worker")
		require.Equal(t, "quartermaster worker", page.Find("#workers code").First().Text())
		require.Contains(t, page.Find("#workers").Text(), "docs/operations/no-workers.md")
		require.Zero(t, page.Find("#database .cure").Length())
	})
	t.Run("the database does not answer", func(t *testing.T) {
		t.Parallel()
		w := setup(t, func(c *api.Config) {
			down, ok := c.Health.(checks.Examiner)
			require.True(t, ok)
			down.Ping = func(context.Context) error { return errors.New("password of qm refused") }
			c.Health = down
		})
		page := w.as(t, provision.RoleViewer).page(healthPage)
		require.Equal(t, "It is us", page.Find(".verdict h2").Text())
		require.NotContains(t, page.text, "password of qm")
	})
	t.Run("AWS's", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		_, err := w.SQL.ExecContext(t.Context(),
			`UPDATE pools SET claims_suspended_at = now(), claims_suspended_because = 'x' WHERE marketplace = 'nordic'`)
		require.NoError(t, err)
		page := w.as(t, provision.RoleViewer).page(healthPage)
		require.Equal(t, "AWS, or our access to it", page.Find(".verdict h2").Text())
		require.Contains(t, page.Find("#pools").Text(), "A pool gives out no account")
	})
	t.Run("a connection's", func(t *testing.T) {
		t.Parallel()
		report := openapi.Health{Status: "warning", Checks: []openapi.HealthCheck{{Name: "api_keys", Status: "warning"}}}
		groups := []checkGroup{{}, {}, {Checks: []shownCheck{{HealthCheck: report.Checks[0]}}}}
		shown, _ := verdict(report, groups)
		require.Equal(t, status{"Neither", "ask", "ask"}, shown)
	})
}

// Every page that a check can name exists, and the console says in words what to do.
func TestEveryRunbookHasACure(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../internal/health/checks.go")
	require.NoError(t, err)
	named := regexp.MustCompile(`Runbook(?:: | = )"([a-z-]+)"`).FindAllStringSubmatch(string(source), -1)
	require.Greater(t, len(named), 8)
	for _, match := range named {
		cure, known := cures[match[1]]
		require.True(t, known, "%s has no cure", match[1])
		page, err := os.ReadFile("../docs/operations/" + match[1] + ".md")
		require.NoError(t, err)
		require.Contains(t, string(page), "# "+cure.Page+"\n", "the title of the page")
	}
}

func TestWhoSeesTheHealth(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, role := range provision.Roles {
		want := http.StatusOK
		if !role.Allows(provision.ScopeHealthRead) {
			want = http.StatusForbidden
		}
		require.Equal(t, want, w.as(t, role).get(healthPage).status, role)
	}
}

func TestSchedulesInWords(t *testing.T) {
	t.Parallel()
	for want, schedule := range map[string]openapi.Schedule{
		"Missing": {}, "Paused": {Exists: true, Paused: true}, "Has not run": {Exists: true},
		"Completed": {Exists: true, LastResult: new("completed")}, "Running": {Exists: true, LastResult: new("running")},
		"Ended as timed_out": {Exists: true, LastResult: new("timed_out")},
	} {
		require.Equal(t, want, scheduleStatus(schedule).Word)
	}
}
