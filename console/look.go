package console

import (
	"net/http"
	"net/url"
	"time"
	_ "time/tzdata" // the zones, for machines that have none
)

// look is how a person wants to see the console. A cookie keeps it, so that the sign-in has it too.
type look struct {
	Zone   string // the name of the time zone, such as Europe/Stockholm; empty: UTC
	Scheme string // light or dark; empty: as the system has it
	NoKeys bool   // keyboard shortcuts are off

	location *time.Location
	now      time.Time
}

// lookOf reads the look from the browser's cookie. What the cookie has that does not exist is left out.
func lookOf(r *http.Request) *look {
	l := &look{location: time.UTC}
	kept, err := r.Cookie(lookCookie)
	if err != nil {
		return l
	}
	values, err := url.ParseQuery(kept.Value)
	if err != nil {
		return l
	}
	if scheme := values.Get("scheme"); scheme == "light" || scheme == "dark" {
		l.Scheme = scheme
	}
	l.NoKeys = values.Get("keys") == "off"
	return l.withZone(values.Get("zone"))
}

// withZone returns the look with another zone; the same if there is no such zone.
func (l *look) withZone(zone string) *look {
	changed := *l
	if location, err := time.LoadLocation(zone); err == nil && zone != "" && zone != "Local" {
		changed.Zone, changed.location = zone, location
	}
	return &changed
}

// keepLook stores the look in the browser for a year.
func (p *page) keepLook(l *look) {
	values := url.Values{}
	for name, value := range map[string]string{"zone": l.Zone, "scheme": l.Scheme} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if l.NoKeys {
		values.Set("keys", "off")
	}
	kept := cookie(lookCookie, values.Encode())
	kept.MaxAge = int((365 * 24 * time.Hour).Seconds())
	http.SetCookie(p.w, kept)
	p.look = l
}
