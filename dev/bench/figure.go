package bench

import (
	"fmt"
	"io"
	"strings"
)

// Figure is one line of the result: what was measured, and its limit, measured in the same run.
type Figure struct {
	Name    string
	Value   float64
	Unit    string
	Limit   float64 // 0: there is none
	LimitIs string  // what the limit is
	Target  Target
	Count   bool   // the value hardly depends on the machine
	Detail  string // for the reader who wants to know why
}

// Target is a bound of a figure.
type Target struct {
	Bound   float64
	AtLeast bool // else at most
	OfLimit bool // the bound is of the ratio to the limit, else of the value
}

// Targets of a ratio, and of a value.
func ratioAtMost(r float64) Target  { return Target{Bound: r, OfLimit: true} }
func ratioAtLeast(r float64) Target { return Target{Bound: r, OfLimit: true, AtLeast: true} }
func atMost(v float64) Target       { return Target{Bound: v} }

// Ratio returns the value divided by the limit; 0 when there is no limit.
func (f Figure) Ratio() float64 {
	if f.Limit == 0 {
		return 0
	}
	return f.Value / f.Limit
}

// Met reports whether the figure meets its target. A figure without a target does.
func (f Figure) Met() bool {
	measured := f.Value
	if f.Target.OfLimit {
		measured = f.Ratio()
	}
	switch {
	case f.Target == Target{}:
		return true
	case f.Target.AtLeast:
		return measured >= f.Target.Bound
	}
	return measured <= f.Target.Bound
}

// verdict is "met", "missed", or "–" for a figure without a target.
func (f Figure) verdict() string {
	switch {
	case f.Target == Target{}:
		return "–"
	case f.Met():
		return "met"
	}
	return "**missed**"
}

func (t Target) text(unit string) string {
	if (t == Target{}) {
		return "–"
	}
	sign := "≤"
	if t.AtLeast {
		sign = "≥"
	}
	if t.OfLimit {
		return fmt.Sprintf("%s %s ×", sign, number(t.Bound))
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", sign, number(t.Bound), unit))
}

// number prints three significant digits.
func number(v float64) string {
	switch {
	case v == float64(int64(v)) && v < 1e6:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// WriteTable writes the figures as a Markdown table.
func WriteTable(w io.Writer, figures []Figure) error {
	var out strings.Builder
	out.WriteString("| figure | measured | limit | ratio | target | |\n|---|---|---|--:|---|---|\n")
	for _, f := range figures {
		limit, ratio := "–", "–"
		if f.Limit != 0 {
			limit, ratio = fmt.Sprintf("%s %s, %s", number(f.Limit), f.Unit, f.LimitIs), number(f.Ratio())
		}
		measured := strings.TrimSpace(number(f.Value) + " " + f.Unit)
		if f.Detail != "" {
			measured += " (" + f.Detail + ")"
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s | %s |\n", f.Name, measured, limit, ratio, f.Target.text(f.Unit), f.verdict())
	}
	_, err := io.WriteString(w, out.String())
	return err
}
