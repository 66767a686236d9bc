package console

import (
	"slices"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// healthData is what the page about the service shows.
type healthData struct {
	Verdict status
	Meaning string
	Groups  []checkGroup
	Report  openapi.Health
}

// checkGroup is the checks about one side of the question whose fault it is.
type checkGroup struct {
	ID, Title, Hint string
	Checks          []shownCheck
}

// shownCheck is a check with what to do if it is not ok.
type shownCheck struct {
	openapi.HealthCheck
	Title string
	Shown status
	Cure  cure
}

// Bad reports whether someone should look.
func (c shownCheck) Bad() bool { return c.Status != healthy }

const healthy = "ok"

// healthStatuses are the results of checks.
var healthStatuses = map[openapi.HealthStatus]status{
	healthy: {"Works", "good", "good plain"}, "warning": {"Look at it", "ask", "ask"}, "failing": {"Orders wait", "bad", "bad"},
}

// whose lists the checks of each side. A check that this version does not know belongs to the service.
var whose = []struct {
	id, title, hint string
	checks          []string
}{
	{"service", "Quartermaster", "If one of these is wrong, it is us.",
		[]string{"database", "schema", "temporal", "workers", "schedules", "reconcile"}},
	{"aws", "Access to AWS", "If only this is wrong, look at AWS first: its status, and our roles in the accounts.", []string{"pools"}},
	{"yours", "Connections", "They stop messages and callers, never orders.", []string{"webhooks", "api_keys"}},
}

// health answers GET /{provider}/health: is it us, or AWS?
func health(p *page) error {
	report, err := read[openapi.Health](p.API.GetHealth(p.ctx()))
	if err != nil {
		return err
	}
	data := healthData{Report: report}
	for _, side := range whose {
		data.Groups = append(data.Groups, checkGroup{ID: side.id, Title: side.title, Hint: side.hint})
	}
	for _, check := range report.Checks {
		shown := shownCheck{check, checkNames[check.Name], healthStatuses[check.Status], cures[check.Runbook]}
		if shown.Title == "" {
			shown.Title = check.Name
		}
		at := sideOf(check.Name)
		data.Groups[at].Checks = append(data.Groups[at].Checks, shown)
	}
	data.Verdict, data.Meaning = verdict(report, data.Groups)
	p.Live = "10"
	return p.show("health", "Health", data)
}

// sideOf returns the place in whose of the side that a check belongs to.
func sideOf(check string) int {
	for i, side := range whose {
		if slices.Contains(side.checks, check) {
			return i
		}
	}
	return 0
}

// verdict answers the question of the page.
func verdict(report openapi.Health, groups []checkGroup) (status, string) {
	wrong := make([]bool, len(groups))
	for i, group := range groups {
		wrong[i] = slices.ContainsFunc(group.Checks, shownCheck.Bad)
	}
	shown := healthStatuses[report.Status]
	switch {
	case wrong[0]:
		shown.Word = "It is us"
		return shown, "Something of Quartermaster needs an operator. No order is lost: what waits goes on when it is repaired."
	case wrong[1]:
		shown.Word = "AWS, or our access to it"
		return shown, "Quartermaster itself works. Many accounts refuse us together, so look at AWS's status and at our roles."
	case wrong[2]:
		shown.Word = "Neither"
		return shown, "Orders are not affected. A connection needs someone."
	}
	return status{"Everything works", "good", "good"}, "If an order is slow nevertheless, its steps show what AWS answered last."
}

// cure says in words what to do about a failed check. Its page in the operations manual says more.
type cure struct{ Page, Text string }

// cures are the pages that checks name.
var cures = map[string]cure{
	"database-unavailable": {"The database is slow or unavailable",
		"See that PostgreSQL runs, accepts connections and has free disk space, and that the network lets the processes reach it. " +
			"They reconnect by themselves."},
	"installation": {"Install Quartermaster",
		"Run `quartermaster migrate` of this release, or deploy the release whose `quartermaster migrate` has run."},
	"temporal-unavailable": {"Temporal is unavailable",
		"See that Temporal and its own database run, and that the address, the namespace and the TLS files of our processes are " +
			"right. The logs name what it answered."},
	"no-workers": {"No workers",
		"Start `quartermaster worker`. If workers run, ask their /readyz what is missing, and compare the Temporal address and " +
			"namespace with those of the API."},
	"workers-are-late": {"Workers are late",
		"Start more workers. After an import or a restart, wait ten minutes first: the backlog falls without help."},
	"is-anything-stuck": {"Is anything stuck?",
		"Restart a worker if a schedule is missing, resume one that is paused, and open a failed run in Temporal to see why it failed."},
	"reconcile": {"Reconcile",
		"Run `quartermaster reconcile`. It lists each finding, what it means and how to cure it."},
	"claims-suspended": {"A pool gives out no account",
		"Read why its Invalid accounts refuse us. If all do, check the workers' own AWS identity; if some do, the trust policies of " +
			"their roles. Orders go on by themselves."},
	"verification-suspended": {"Verification is suspended",
		"At least half of the accounts failed together: check AWS's status and our own identity. Orders still get Ready accounts."},
	"webhooks-fail": {"Webhooks fail",
		"Repair the receiver, then enable the webhook. What waited is sent in order."},
	"api-key-refused": {"An API key is refused",
		"Rotate the keys that expire soon, and give the new ones to their owners."},
}

// scheduleStatus says whether a schedule runs.
func scheduleStatus(s openapi.Schedule) status {
	switch {
	case !s.Exists:
		return status{"Missing", "bad", "bad"}
	case s.Paused:
		return status{"Paused", "ask", "ask"}
	case s.LastResult == nil:
		return status{"Has not run", "open", "calm"}
	case *s.LastResult == provision.RunCompleted:
		return status{"Completed", "good", "good"}
	case *s.LastResult == provision.RunRunning:
		return status{"Running", "go", "go"}
	}
	return status{"Ended as " + *s.LastResult, "bad", "bad"}
}
