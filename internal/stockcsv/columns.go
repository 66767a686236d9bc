package stockcsv

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"quartermaster/internal/provision"
)

// The columns of an import, by their exact names. Their order in the file does not matter.
const (
	AccountID   = "account_id"
	Marketplace = "marketplace"
	Environment = "environment"
	Model       = "model"
	Name        = "name"
	RootEmail   = "root_email"
	RoleARN     = "role_arn"
)

// ExternalID is made by us when the account is added: the export has it for the trust policies of the roles, an import may have
// it only as it is.
const ExternalID = "external_id"

// The columns that only the export has. An import ignores them.
const (
	Status     = "status"
	Reason     = "reason"
	Finding    = "finding"
	OrderID    = "order_id"
	AddedAt    = "added_at"
	VerifiedAt = "verified_at"
)

// Required are the columns that an import must have.
var Required = []string{AccountID, Marketplace, Environment, Model, Name, RootEmail, RoleARN}

// Exported are the columns of an export, in their order.
var Exported = append(slices.Clone(Required), ExternalID, Status, Reason, Finding, OrderID, AddedAt, VerifiedAt)

// Bounds of a file.
const (
	MaxBytes = 5 << 20
	MaxRows  = 10_000
	// MaxRow bounds one row, in bytes. It also bounds how far a quote that is never closed may reach.
	MaxRow = 16 << 10
	// MaxCell bounds a value that is imported, in bytes: no valid one is that long.
	MaxCell = 1 << 10
)

// Template is a file without rows: the header, for people to fill in below it.
func Template() string { return strings.Join(Required, ",") + "\r\n" }

// FileError says why a file cannot be read as a whole.
type FileError struct{ provision.RowFault }

// Error names the line and what is wrong there.
func (e *FileError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

func refuse(line, position int, column, format string, args ...any) *FileError {
	return &FileError{provision.RowFault{Line: line, Column: column, Position: position, Message: fmt.Sprintf(format, args...)}}
}

// header is the first row: the order of the columns.
type header struct {
	names     []string
	separator rune
	at        map[string]int // index by name
}

// newHeader checks the names and says everything that is wrong with them at once. Columns without a name at the end of the file are
// none: a spreadsheet adds them.
func newHeader(names []string, line int, separator rune) (*header, error) {
	for len(names) > 0 && blank(names[len(names)-1:]) {
		names = names[:len(names)-1]
	}
	h := &header{separator: separator, at: map[string]int{}}
	var unknown, twice, missing []string
	first := 0
	for i, written := range names {
		name := columnName(written)
		h.names = append(h.names, name)
		_, seen := h.at[name]
		switch {
		case !slices.Contains(Exported, name):
			unknown = append(unknown, fmt.Sprintf("%.60q (column %d)", written, i+1))
		case seen:
			twice = append(twice, fmt.Sprintf("%s (columns %d and %d)", name, h.at[name]+1, i+1))
		default:
			h.at[name] = i
			continue
		}
		if first == 0 {
			first = i + 1
		}
	}
	for _, name := range Required {
		if _, there := h.at[name]; !there {
			missing = append(missing, name)
		}
	}
	var wrong []string
	for _, problem := range []struct {
		what  string
		names []string
	}{{"unknown", unknown}, {"given twice", twice}, {"missing", missing}} {
		if shown := problem.names; len(shown) > 0 {
			if len(shown) > 10 {
				shown = append(slices.Clone(shown[:10]), "…")
			}
			wrong = append(wrong, problem.what+": "+strings.Join(shown, ", "))
		}
	}
	if len(wrong) == 0 {
		return h, nil
	}
	column := ""
	if first > 0 {
		column = names[first-1]
	} else {
		first = len(names) + 1
	}
	return nil, refuse(line, first, column,
		"the header is not that of an import: %s. It needs %s, each once and in any order; begin with the template",
		strings.Join(wrong, "; "), strings.Join(Required, ", "))
}

// name is the column's name; empty beyond the header.
func (h *header) name(index int) string {
	if index < len(h.names) {
		return h.names[index]
	}
	return ""
}

// columnName returns the name of a column as this package writes it: in lower case, with _ between words.
func columnName(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return c == '-' || unicode.IsSpace(c) })
	return strings.Join(words, "_")
}

// blank reports whether no cell has a value.
func blank(cells []string) bool {
	return !slices.ContainsFunc(cells, func(cell string) bool { return strings.TrimSpace(cell) != "" })
}

// fit removes blank cells behind the last column, and adds those that a spreadsheet left out there. It adds none that an import must
// have, because the row may lack a separator.
func (h *header) fit(cells []string) []string {
	for len(cells) > len(h.names) && blank(cells[len(cells)-1:]) {
		cells = cells[:len(cells)-1]
	}
	for len(cells) < len(h.names) && !slices.ContainsFunc(h.names[len(cells):], required) {
		cells = append(cells, "")
	}
	return cells
}

func required(name string) bool { return slices.Contains(Required, name) }

// separators are the characters that may separate cells. No column name holds any of them.
var separators = map[rune]string{',': "a comma", ';': "a semicolon", '\t': "a tab", '|': "a vertical bar"}

// separatorOf returns the separator of the cells: the first one in the header that is outside of quotes.
func separatorOf(line []byte) rune {
	quoted := false
	for _, c := range string(line) {
		if c == '"' {
			quoted = !quoted
		}
		if _, separates := separators[c]; separates && !quoted {
			return c
		}
	}
	return ','
}

var preamble = regexp.MustCompile(`(?i)^("?sep="?[,;\t|])?["\s\pZ,;|]*$`)

// beforeHeader reports whether a line is blank, or only shows a spreadsheet the separator (sep=;). Only the header decides which
// separator the file has, because a program may have changed it since.
func beforeHeader(line []byte) bool { return preamble.Match(line) }
