package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
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
		texts[i] = fmt.Sprint(cell)
	}
	fmt.Fprintln(t.out, strings.Join(texts, "\t"))
}

// flush prints the rows. Nothing is printed before.
func (t table) flush() error { return t.out.Flush() }

// pageSize is how many items a list reads at a time.
const pageSize = 500

// list is a list that is read from the database in pages.
type list[T any] struct {
	read     func(last *T) ([]T, error) // reads the pageSize items after the last one; nil: the first ones
	keep     func(T) bool               // which items are printed; nil: all
	headings []string
	cells    func(T) []any
	json     func(T) any // the item as the API answers it
}

// write prints the list as a table, or as one JSON object a line.
func (l list[T]) write(e *env, asJSON bool) error {
	rows := newTable(e.out, l.headings...)
	var last *T
	for {
		page, err := l.read(last)
		if err != nil {
			return err
		}
		for _, item := range page {
			switch {
			case l.keep != nil && !l.keep(item):
			case asJSON:
				if err := writeJSON(e, l.json(item)); err != nil {
					return err
				}
			default:
				rows.row(l.cells(item)...)
			}
		}
		if len(page) == pageSize {
			last = &page[len(page)-1]
			continue
		}
		if asJSON {
			return nil
		}
		return rows.flush()
	}
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

// timeOr formats a time, or returns none when there is no time.
func timeOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.UTC().Format(time.RFC3339)
}

// numberOrDash formats a number that may be missing.
func numberOrDash(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}
