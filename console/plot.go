package console

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"quartermaster/api/openapi"
)

// Times of plots of the stock.
const (
	plotBack  = 30 * 24 * time.Hour // how much of the past a plot shows
	plotAhead = 10 * 24 * time.Hour // how much of the future
)

// stockPlot is the stock of a pool over time: what was Ready, and what the forecast says.
type stockPlot struct {
	Hours     []openapi.StockHour // oldest first
	Ready     int                 // now
	Threshold *int                // nil: there is none
	Forecast  openapi.Forecast
	Width     int // of the drawing; the style says how large it is shown
	Height    int
}

// Plot draws a stock: steps for the past, a dotted line for the threshold, and a dashed line for the forecast, if there is one. The
// drawing is an image whose name says the same in words. Without a past there is nothing to draw.
func (l *look) Plot(s stockPlot) template.HTML {
	if len(s.Hours) == 0 {
		return `<span class="muted">no history yet</span>`
	}
	d := s.scale(l.now)
	var text strings.Builder
	fmt.Fprintf(&text, `<svg class="spark%s" viewBox="0 0 %d %d" role="img" aria-label="%s">`, s.class(), s.Width, s.Height,
		template.HTMLEscapeString(l.InWords(s)))
	line := d.steps(s)
	fmt.Fprintf(&text, `<polygon class="area" points="%s,%d %s %s,%d"/>`, before(line[0], ","), s.Height, strings.Join(line, " "),
		d.x(l.now), s.Height)
	if s.Threshold != nil {
		fmt.Fprintf(&text, `<line class="limit" x1="0" x2="%d" y1="%s" y2="%s"/>`, s.Width, d.y(*s.Threshold), d.y(*s.Threshold))
	}
	fmt.Fprintf(&text, `<polyline class="line" points="%s"/>`, strings.Join(line, " "))
	if ahead := d.ahead(s); ahead != "" {
		fmt.Fprintf(&text, `<polyline class="ahead" points="%s,%s %s"/>`, d.x(l.now), d.y(s.Ready), ahead)
	}
	text.WriteString(`</svg>`)
	return template.HTML(text.String()) //nolint:gosec // numbers, and a label that is escaped
}

// class colors the plot by how much there is.
func (s stockPlot) class() string {
	switch {
	case s.Ready == 0:
		return " bad"
	case s.Threshold != nil && s.Ready <= *s.Threshold:
		return " ask"
	}
	return ""
}

// drawing turns times and numbers into places.
type drawing struct {
	from          time.Time
	now           time.Time
	width, height float64
	most          float64
}

func (s stockPlot) scale(now time.Time) drawing {
	most := max(s.Ready, 1)
	for _, hour := range s.Hours {
		most = max(most, hour.Ready)
	}
	if s.Threshold != nil {
		most = max(most, *s.Threshold)
	}
	return drawing{now.Add(-plotBack), now, float64(s.Width), float64(s.Height), float64(most)}
}

func (d drawing) x(at time.Time) string {
	share := float64(at.Sub(d.from)) / float64(plotBack+plotAhead)
	return coordinate(min(max(share, 0), 1) * d.width)
}

// y leaves a margin at the top and the bottom, so that no line is cut.
func (d drawing) y(n int) string { return d.height64(float64(n)) }

func (d drawing) height64(n float64) string {
	const margin = 1.0
	return coordinate(d.height - margin - min(max(n, 0), d.most)/d.most*(d.height-2*margin))
}

// coordinate writes a place with at most one digit after the point.
func coordinate(at float64) string {
	return strconv.FormatFloat(float64(int(at*10+0.5))/10, 'f', -1, 64)
}

// steps are the corners of the line of the past, up to now.
func (d drawing) steps(s stockPlot) (points []string) {
	last := -1
	for _, hour := range s.Hours {
		if hour.Ready == last || hour.At.After(d.now) {
			continue
		}
		if last >= 0 {
			points = append(points, d.x(hour.At)+","+d.y(last))
		}
		points = append(points, d.x(hour.At)+","+d.y(hour.Ready))
		last = hour.Ready
	}
	if last >= 0 && last != s.Ready {
		points = append(points, d.x(d.now)+","+d.y(last))
	}
	return append(points, d.x(d.now)+","+d.y(s.Ready))
}

// ahead is the end of the line of the forecast: where the stock is used up, or the edge of the drawing. Empty: there is no forecast.
func (d drawing) ahead(s stockPlot) string {
	if s.Forecast.Days == nil || s.Forecast.AllocationsPerDay == nil || s.Ready == 0 {
		return ""
	}
	days, edge := *s.Forecast.Days, plotAhead.Hours()/24
	if days <= edge {
		return d.x(d.now.Add(time.Duration(days*24*float64(time.Hour)))) + "," + d.y(0)
	}
	return coordinate(d.width) + "," + d.height64(float64(s.Ready)*(1-edge/days))
}

// InWords says what the plot shows; nothing if there is nothing to draw.
func (l *look) InWords(s stockPlot) string {
	if len(s.Hours) == 0 {
		return ""
	}
	least, most := s.Ready, s.Ready
	for _, hour := range s.Hours {
		least, most = min(least, hour.Ready), max(most, hour.Ready)
	}
	text := fmt.Sprintf("Ready accounts since %s: between %s and %s, now %s.", l.Date(later(s.Hours[0].At, l.now.Add(-plotBack))),
		number(least), number(most), number(s.Ready))
	if s.Threshold != nil {
		text += fmt.Sprintf(" The threshold is %s.", number(*s.Threshold))
	}
	if s.Forecast.Days != nil && s.Forecast.AllocationsPerDay != nil {
		text += " " + l.lasts(s.Forecast)
	}
	return text
}

// lasts says in words how long a stock lasts, by a forecast that has days and a rate.
func (l *look) lasts(forecast openapi.Forecast) string {
	days := *forecast.Days
	until := l.Date(l.now.Add(time.Duration(days * 24 * float64(time.Hour))))
	return fmt.Sprintf("At %s a day they last %s, until %s.", rate(*forecast.AllocationsPerDay), plural(int(days), "day", "days"), until)
}

// rate writes a number of allocations per day.
func rate(perDay float64) string {
	switch {
	case perDay < 0.1:
		return "fewer than 0.1 accounts"
	case perDay >= 10:
		return strconv.FormatFloat(perDay, 'f', 0, 64) + " accounts"
	}
	return strconv.FormatFloat(perDay, 'f', 1, 64) + " accounts"
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// before returns the text up to a separator.
func before(text, separator string) string {
	first, _, _ := strings.Cut(text, separator)
	return first
}
