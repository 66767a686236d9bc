package console

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// settingsData is what the settings show.
type settingsData struct {
	Form     *form
	Zones    []string // to choose from; any other name of a zone works as well
	Me       loaded[openapi.Me]
	Sessions loaded[openapi.SessionList]
}

// zones are the time zones that the settings propose.
var zones = []string{
	"UTC", "Africa/Cairo", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi", "America/Bogota", "America/Chicago", "America/Denver",
	"America/Los_Angeles", "America/Mexico_City", "America/New_York", "America/Santiago", "America/Sao_Paulo", "America/Toronto",
	"Asia/Bangkok", "Asia/Dhaka", "Asia/Dubai", "Asia/Hong_Kong", "Asia/Jakarta", "Asia/Jerusalem", "Asia/Karachi", "Asia/Kolkata",
	"Asia/Manila", "Asia/Riyadh", "Asia/Seoul", "Asia/Shanghai", "Asia/Singapore", "Asia/Taipei", "Asia/Tokyo", "Australia/Brisbane",
	"Australia/Perth", "Australia/Sydney", "Europe/Amsterdam", "Europe/Athens", "Europe/Berlin", "Europe/Bucharest", "Europe/Copenhagen",
	"Europe/Dublin", "Europe/Helsinki", "Europe/Istanbul", "Europe/Kyiv", "Europe/Lisbon", "Europe/London", "Europe/Madrid",
	"Europe/Moscow", "Europe/Oslo", "Europe/Paris", "Europe/Prague", "Europe/Riga", "Europe/Rome", "Europe/Sofia", "Europe/Stockholm",
	"Europe/Tallinn", "Europe/Vienna", "Europe/Vilnius", "Europe/Warsaw", "Europe/Zurich", "Pacific/Auckland", "Pacific/Honolulu",
}

// settings answers GET /{provider}/settings.
func settings(p *page) error {
	return p.showSettings(http.StatusOK, "Settings", p.newForm(url.Values{
		"zone": {p.ZoneName()}, "scheme": {p.Scheme}, "keys": {map[bool]string{true: "off", false: "on"}[p.NoKeys]},
	}))
}

func (p *page) showSettings(status int, title string, f *form) error {
	data := settingsData{Form: f, Zones: zones}
	var parts errgroup.Group
	load(&parts, &data.Me, func() (*http.Response, error) { return p.API.GetMe(p.ctx()) })
	if p.May(provision.ScopeKeysRead) {
		load(&parts, &data.Sessions, func() (*http.Response, error) { return p.API.ListSessions(p.ctx()) })
	}
	_ = parts.Wait() // each part has its own error
	return p.showStatus(status, "settings", title, data)
}

// saveSettings answers POST /{provider}/settings. The browser keeps the settings.
func saveSettings(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	zone := strings.TrimSpace(f.Value("zone"))
	wanted := (&look{}).withZone(zone)
	if wanted.Zone != zone {
		f.Status, f.Refused = http.StatusUnprocessableEntity, "1 field is invalid"
		f.Listed = []fieldMessage{{"zone", `There is no time zone "` + zone + `": use a name such as Europe/Stockholm or UTC.`}}
		return p.showSettings(f.Status, "Error: Settings", f)
	}
	if scheme := f.Value("scheme"); scheme == "light" || scheme == "dark" {
		wanted.Scheme = scheme
	}
	wanted.NoKeys = f.Value("keys") == "off"
	wanted.now = p.Now
	p.keepLook(wanted)
	return p.redirect(p.URL("settings"), "Saved in this browser.")
}

// endSessionsData is what the page before the end of all sessions shows.
type endSessionsData struct {
	Form     *form
	Sessions []openapi.Session
}

// endSessionsPage answers GET /{provider}/settings/end-sessions.
func endSessionsPage(p *page) error {
	return p.showEndSessions(http.StatusOK, "End all sessions", p.newForm(nil))
}

func (p *page) showEndSessions(status int, title string, f *form) error {
	found, err := read[openapi.SessionList](p.API.ListSessions(p.ctx()))
	if err != nil {
		return err
	}
	return p.showStatus(status, "end-sessions", title, endSessionsData{Form: f, Sessions: found.Items})
}

// endSessions answers POST /{provider}/settings/end-sessions. It ends the session that sends it as well.
func endSessions(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	ended, err := read[openapi.EndedSessions](p.API.EndSessions(p.ctx(), openapi.Reason{Reason: f.Value("reason")}))
	if err != nil && f.refuse(err, nil) {
		return p.showEndSessions(f.Status, "Error: End all sessions", f)
	}
	if err != nil {
		return err
	}
	return p.redirect(p.Home()+"sign-in", "All sessions have ended: "+number(ended.Ended)+". Sign in again.")
}
