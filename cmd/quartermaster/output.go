package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"quartermaster/api/client"
)

// table prints rows in aligned columns.
type table struct{ out *tabwriter.Writer }

func newTable(out io.Writer, headings ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	fmt.Fprintln(t.out, strings.Join(headings, "\t"))
	return t
}

func (t table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = oneLine(fmt.Sprint(cell))
	}
	fmt.Fprintln(t.out, strings.Join(texts, "\t"))
}

// flush prints the rows. Nothing is printed before.
func (t table) flush() error { return t.out.Flush() }

// oneLine replaces what would break a row or drive a terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// printable replaces what would drive a terminal, and keeps the lines.
func printable(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = oneLine(line)
	}
	return strings.Join(lines, "\n")
}

// facts prints names and values, one a line. Values that are empty are left out.
type facts struct{ out *tabwriter.Writer }

func newFacts(out io.Writer) facts { return facts{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)} }

func (f facts) add(name string, value any) {
	if text := oneLine(fmt.Sprint(value)); text != "" {
		fmt.Fprintf(f.out, "%s\t%s\n", name, text)
	}
}

// listing is a list of the API.
type listing[T any] struct {
	get      func(limit *int, cursor *string) (*http.Response, error)
	keep     func(T) bool // which items are printed; nil: all
	headings []string
	cells    func(T) []any
	id       func(T) string
}

// write prints the list as the options say.
func (l listing[T]) write(e *env, output outputOptions, pages pageOptions) error {
	if pages.Limit < 1 {
		return usage("--limit is %d: use 1 or more, or --all", pages.Limit)
	}
	rows := newTable(e.out, l.headings...)
	printed, more := 0, false
	for item, err := range client.List[T](l.get) {
		if err != nil {
			return err
		}
		if l.keep != nil && !l.keep(item.Value) {
			continue
		}
		if more = !pages.All && printed == pages.Limit; more {
			break
		}
		printed++
		switch {
		case output.JSON:
			fmt.Fprintf(e.out, "%s\n", item.Raw)
		case output.Quiet:
			fmt.Fprintln(e.out, l.id(item.Value))
		default:
			rows.row(l.cells(item.Value)...)
		}
	}
	if more {
		defer fmt.Fprintf(e.logs, "there are more than these %d: use --all, or --limit\n", printed)
	}
	if output.JSON || output.Quiet {
		return nil
	}
	return rows.flush()
}

// all returns every item of the list.
func (l listing[T]) all() (items []T, err error) {
	for item, err := range client.List[T](l.get) {
		if err != nil {
			return nil, err
		}
		if l.keep == nil || l.keep(item.Value) {
			items = append(items, item.Value)
		}
	}
	return items, nil
}

// writeObject prints an object of the API as the options say.
func writeObject[T any](e *env, output outputOptions, object T, raw []byte, id string, show func(*env, T) error) error {
	switch {
	case output.JSON:
		return writeRaw(e, raw)
	case output.Quiet:
		_, err := fmt.Fprintln(e.out, id)
		return err
	}
	return show(e, object)
}

// writeRaw prints JSON as the API sent it.
func writeRaw(e *env, raw []byte) error {
	_, err := fmt.Fprintf(e.out, "%s\n", strings.TrimSuffix(string(raw), "\n"))
	return err
}

// writeJSON prints v as JSON on one line.
func writeJSON(e *env, v any) error {
	return json.NewEncoder(e.out).Encode(v)
}

// writeIndentedJSON prints v as JSON for people.
func writeIndentedJSON(e *env, v any) error {
	encoder := json.NewEncoder(e.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// when formats a time: short and local for a person, complete and in UTC for a program.
func (e *env) when(t time.Time) string {
	if e.terminal {
		return t.Local().Format("2006-01-02 15:04")
	}
	return t.UTC().Format(time.RFC3339)
}

// whenOr formats a time, or returns none when there is no time.
func (e *env) whenOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return e.when(*t)
}

// numberOrDash formats a number that may be missing.
func numberOrDash(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}
