package console

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"quartermaster/api/openapi"
)

// ZoneName is the zone of every clock on the page.
func (l *look) ZoneName() string { return l.location.String() }

// Clock returns a time of day.
func (l *look) Clock(t time.Time) string { return t.In(l.location).Format("15:04:05") }

// Time returns when something happened or will happen: how long ago, and by the clock, both to be seen and copied.
func (l *look) Time(t time.Time) template.HTML {
	return l.time(ago(l.now.Sub(t)), t)
}

// TimeOr returns when something happened, or a word if it has not.
func (l *look) TimeOr(t *time.Time, none string) template.HTML {
	if t == nil {
		return template.HTML(`<span class="muted">` + template.HTMLEscapeString(none) + `</span>`) //nolint:gosec // escaped
	}
	return l.Time(*t)
}

// time returns a <time> element. Both texts are made here, so that there is nothing to escape.
func (l *look) time(relative string, t time.Time) template.HTML {
	return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `">` + //nolint:gosec // numbers and names of months only
		relative + ` <small>` + l.Moment(t) + `</small></time>`)
}

// Moment returns a time by the clock, with its date unless that is today's.
func (l *look) Moment(t time.Time) string {
	at, now := t.In(l.location), l.now.In(l.location)
	switch {
	case at.Year() != now.Year():
		return at.Format("2 Jan 2006 15:04")
	case at.YearDay() != now.YearDay():
		return at.Format("2 Jan 15:04")
	}
	return at.Format("15:04:05")
}

// Date returns a day, with its year unless that is this one.
func (l *look) Date(t time.Time) string {
	at := t.In(l.location)
	if at.Year() != l.now.In(l.location).Year() {
		return at.Format("2 Jan 2006")
	}
	return at.Format("2 Jan")
}

// ago returns a length of time in at most two units; "in …" if it has not passed yet.
func ago(d time.Duration) string {
	if d <= -time.Second { // clocks of two processes differ a little
		return "in " + length(-d)
	}
	return length(d)
}

// length returns a length of time in at most two units.
func length(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		if minutes := int(d.Minutes()) % 60; minutes > 0 {
			return fmt.Sprintf("%d h %d min", int(d.Hours()), minutes)
		}
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// took returns how long something took.
func took(d time.Duration) string {
	if d < 10*time.Second {
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	return length(d)
}

// number writes a number with a space between thousands.
func number(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}

// plural returns "1 order" or "2 orders".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// accountID groups the digits of an AWS account id for the eye: the gaps are margins, so that a copy has twelve digits.
func accountID(id string) template.HTML {
	if len(id) != 12 || strings.Trim(id, "0123456789") != "" {
		return template.HTML(template.HTMLEscapeString(id)) //nolint:gosec // escaped
	}
	groups := `<i>` + id[:4] + `</i><i>` + id[4:8] + `</i><i>` + id[8:] + `</i>`
	return template.HTML(`<span class="id">` + groups + `</span>`) //nolint:gosec // digits only
}

// prose writes what is between backticks, such as a command, as code.
func prose(text string) template.HTML {
	var out strings.Builder
	for i, part := range strings.Split(template.HTMLEscapeString(text), "`") {
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		out.WriteString(part)
	}
	return template.HTML(out.String()) //nolint:gosec // escaped
}

// Days returns how long stock lasts, and until when.
func (l *look) Days(days float64) template.HTML {
	text := plural(int(days), "day", "days") + ` <span class="muted small">to ` +
		l.Date(l.now.Add(time.Duration(days*24*float64(time.Hour)))) + `</span>`
	return template.HTML(text) //nolint:gosec // no text of others
}

// Lasts says how long a stock lasts, or why no one can say.
func (l *look) Lasts(forecast openapi.Forecast) template.HTML {
	switch {
	case forecast.Days == nil:
		return `<span class="muted">too few orders to say</span>`
	case *forecast.Days == 0:
		return `<span class="st bad">` + icon("bad") + `Empty</span>`
	}
	return l.Days(*forecast.Days)
}

// startOfDay is when today began.
func (l *look) startOfDay() time.Time {
	year, month, day := l.now.In(l.location).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, l.location)
}

// count writes a count of orders, which may be a bound.
func count(c openapi.OrderCount) string {
	if c.More {
		return "more than " + number(c.Count)
	}
	return number(c.Count)
}
