package stockcsv

import (
	"encoding/csv"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"quartermaster/internal/provision"
)

// Writer writes an export: RFC 4180, lines end with CR LF, every cell safe to open in a spreadsheet.
type Writer struct{ csv *csv.Writer }

// NewWriter begins an export. Nothing is written before the first Flush.
func NewWriter(out io.Writer) *Writer {
	w := &Writer{csv.NewWriter(out)}
	w.csv.UseCRLF = true
	_ = w.csv.Write(Exported) // Flush reports it
	return w
}

// mostOfText bounds cells that only people read, in characters, so that an exported row stays shorter than MaxRow.
const mostOfText = 500

// Write adds an account.
func (w *Writer) Write(a provision.Account) {
	verified := ""
	if a.VerifiedAt != nil {
		verified = a.VerifiedAt.UTC().Format(time.RFC3339)
	}
	cells := []string{
		a.ID, a.Marketplace, string(a.Environment), string(a.Model), a.Name, a.RootEmail, a.RoleARN, a.ExternalID,
		string(a.Status), shorten(a.Reason), shorten(a.Finding), a.OrderID, a.AddedAt.UTC().Format(time.RFC3339), verified,
	}
	for i, cell := range cells {
		cells[i] = Protect(cell)
	}
	_ = w.csv.Write(cells) // as above
}

// Flush writes what is buffered and returns the first error of all writes.
func (w *Writer) Flush() error {
	w.csv.Flush()
	return w.csv.Error()
}

func shorten(text string) string {
	if utf8.RuneCountInString(text) <= mostOfText {
		return text
	}
	return string([]rune(text)[:mostOfText-1]) + "…"
}

// formulas are the characters with which a cell must not begin, or a spreadsheet calculates it. Source: OWASP, "CSV Injection".
const formulas = "=+-@\t\r\n＝＋－＠"

// Protect puts an apostrophe before a value that a spreadsheet would calculate, so that it is shown as text.
func Protect(value string) string {
	if dangerous(value) {
		return "'" + value
	}
	return value
}

// Unprotect removes the apostrophe of Protect. It leaves any other value as it is.
func Unprotect(value string) string {
	if strings.HasPrefix(value, "'") && dangerous(value) {
		return value[1:]
	}
	return value
}

// dangerous values begin with one of formulas, behind any number of apostrophes: one that has an apostrophe of its own gets
// another, or it would lose its own on the way back.
func dangerous(value string) bool {
	value = strings.TrimLeft(value, "'")
	first, size := utf8.DecodeRuneInString(value)
	return size > 0 && strings.ContainsRune(formulas, first)
}
