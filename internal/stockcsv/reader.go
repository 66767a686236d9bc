package stockcsv

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"quartermaster/internal/provision"
)

// Place is where in a file a row begins.
type Place struct {
	Offset int64 // bytes before it
	Line   int   // from 1
}

// Row is one row of a file.
type Row struct {
	Line    int  // physical line at which it begins, from 1
	Lines   int  // how many lines it has: more than one when a quoted cell has line breaks
	Broken  bool // its cells could not be told apart: it has one fault and no account
	Account provision.Account
	Faults  []provision.RowFault // nil: the account is valid, as far as the file alone can show
}

// Reader reads a file row by row. It holds one row at a time.
type Reader struct {
	header *header
	lines  *lines
	csv    *csv.Reader
}

// NewReader begins a text that Scan has returned: it reads the header. Errors: *FileError when the file cannot be read at all.
func NewReader(in io.Reader) (*Reader, error) {
	source := &lines{in: bufio.NewReaderSize(in, 64<<10), number: 1}
	first, err := source.next()
	for err == nil && beforeHeader(first.text) {
		first, err = source.next()
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil, refuse(1, 1, "", "the file is empty: begin with the template")
	case err != nil:
		return nil, err
	case first.long:
		return nil, refuse(first.number, 1, "", "the header has more than %d bytes: is this a CSV file with lines?", MaxRow)
	case bytes.ContainsRune(first.text, 0):
		return nil, refuse(first.number, 1, "", "the header has NUL bytes, so this is no text: %s", saveAsUTF8)
	case bytes.ContainsRune(first.text, '\r'):
		return nil, refuse(first.number, 1, "",
			"some lines end with a carriage return alone and others do not: save the file with line ends CR LF or LF")
	}
	separator := separatorOf(first.text)
	parser := csv.NewReader(bytes.NewReader(first.text))
	parser.Comma = separator
	names, err := parser.Read()
	if err != nil {
		return nil, refuse(first.number, len(names)+1, "", "the header has a broken quote: it needs none at all")
	}
	for i, name := range names {
		if !utf8.ValidString(name) {
			return nil, refuse(first.number, i+1, "", "the file is not UTF-8 (%s): %s", wrongByte(name), saveAsUTF8)
		}
	}
	head, err := newHeader(names, first.number, separator)
	if err != nil {
		return nil, err
	}
	r := &Reader{header: head, lines: source}
	r.restart()
	return r, nil
}

const saveAsUTF8 = `save it as "CSV UTF-8"`

// Continue reads the same file from another place on; in begins there.
func (r *Reader) Continue(in io.Reader, at Place) *Reader {
	other := &Reader{header: r.header, lines: &lines{in: bufio.NewReaderSize(in, 64<<10), number: at.Line, offset: at.Offset}}
	other.restart()
	return other
}

// Place is where the next row begins, or blank lines before it.
func (r *Reader) Place() Place { return r.lines.place() }

// File is a file that Scan has read.
type File struct {
	Text  []byte // UTF-8, lines end with LF, and are as many as in the file
	Rows  int    // blank ones do not count
	First Place  // in Text
}

// Scan reads a whole file without judging its rows: it decodes it, counts its rows, and says where the first one begins. Errors:
// *FileError when the header is wrong or there are too many rows.
func Scan(file []byte) (f File, err error) {
	if f.Text, err = decode(file); err != nil {
		return f, err
	}
	r, err := NewReader(bytes.NewReader(f.Text))
	if err != nil {
		return f, err
	}
	f.First = r.Place()
	for {
		_, row, err := r.record()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, err
		}
		if f.Rows++; f.Rows > MaxRows {
			return f, refuse(row.Line, 1, "", "the file has more than %d rows: split it here", MaxRows)
		}
	}
}

func (r *Reader) restart() {
	r.csv = csv.NewReader(r.lines)
	r.csv.Comma = r.header.separator
	r.csv.FieldsPerRecord = -1 // we have better words for it
	r.csv.ReuseRecord = true
}

// record reads the cells of the next row that is not blank. A broken row has its fault and no cells, and is one line long: the
// lines after it are read as rows of their own, so that a quote which is never closed spoils no other row. Errors: io.EOF, and
// what reading runs into.
func (r *Reader) record() (cells []string, row Row, err error) {
	for {
		r.lines.begin()
		if cells, err = r.csv.Read(); err != nil || !blank(cells) {
			return r.judge(cells, err)
		}
	}
}

// judge makes a row of what encoding/csv returned, and finds what is broken.
func (r *Reader) judge(cells []string, err error) (_ []string, row Row, _ error) {
	if err == nil {
		cells = r.header.fit(cells)
	}
	syntax, isSyntax := errors.AsType[*csv.ParseError](err)
	message := ""
	switch {
	case len(r.lines.row) == 0 && err != nil: // the end, or an error of the file's
		return nil, row, err
	case errors.Is(err, errRowTooLong) && len(r.lines.row) == 1:
		cells, message = nil, fmt.Sprintf("the row has more than %d bytes: is a line break missing?", MaxRow)
	case errors.Is(err, errRowTooLong):
		cells, message = cells[:len(cells)-1], unclosed // the last one is the open one
	case isSyntax && errors.Is(syntax.Err, csv.ErrBareQuote):
		message = `there is a quote inside the cell: put the whole cell in quotes and write the quote inside twice ("")`
	case isSyntax && (len(r.lines.row) > 1 || endsInQuotes(r.lines.row[0].text)):
		message = unclosed
	case isSyntax:
		message = `the cell goes on behind its closing quote: write a quote inside a quoted cell twice ("")`
	case err != nil:
		return nil, row, err
	case len(cells) != len(r.header.names):
		message = fmt.Sprintf("the row has %d cells and the header has %d: give every column a cell, an empty one included, "+
			"and put a value that holds %s in quotes",
			len(cells), len(r.header.names), separators[r.header.separator])
		cells = cells[:min(len(cells), len(r.header.names))]
		if i := slices.IndexFunc(cells, func(cell string) bool { return strings.Contains(cell, "\n") }); i >= 0 {
			cells, message = cells[:i], unclosed
		}
	}
	row.Line, row.Lines = r.lines.row[0].number, len(r.lines.row)
	if message == "" {
		return cells, row, nil
	}
	at := len(cells) // the cells before the broken one
	row.Lines, row.Broken = 1, true
	row.Faults = []provision.RowFault{{Line: row.Line, Column: r.header.name(at), Position: at + 1, Message: message}}
	r.lines.back()
	r.restart()
	return nil, row, nil
}

const unclosed = "a quote opens a cell and is not closed where the cell ends: close it, or write it twice inside a quoted cell; " +
	"reading went on with the next line"

// endsInQuotes tells a line that ends inside a quoted cell: its quotes do not pair.
func endsInQuotes(text []byte) bool { return bytes.Count(text, []byte(`"`))%2 == 1 }

// Next reads and checks the next row. At the end the error is io.EOF; any other one is the file's, and ends the reading.
func (r *Reader) Next() (Row, error) {
	cells, row, err := r.record()
	if err != nil || row.Broken {
		return row, err
	}
	fault := func(index int, format string, args ...any) {
		row.Faults = append(row.Faults, provision.RowFault{
			Line: row.Line, Column: r.header.name(index), Position: index + 1, Message: fmt.Sprintf(format, args...),
		})
	}
	for i, cell := range cells {
		switch name := r.header.names[i]; {
		case !utf8.ValidString(cell):
			fault(i, `the cell is not UTF-8 (%s): save the file as "CSV UTF-8"`, wrongByte(cell))
		case len(cell) > MaxCell && (name == ExternalID || slices.Contains(Required, name)):
			fault(i, "the cell has %d bytes: no valid value has more than %d", len(cell), MaxCell)
		}
	}
	cell := func(name string) string {
		if i, there := r.header.at[name]; there {
			cell := strings.Clone(cells[i]) // not a part of the row that keeps all of it
			return strings.TrimSpace(Unprotect(strings.TrimSpace(cell)))
		}
		return ""
	}
	row.Account = provision.Account{
		ID:    accountID(cell(AccountID)),
		Pool:  provision.Pool{Marketplace: cell(Marketplace), Environment: provision.Environment(cell(Environment))},
		Model: provision.Model(cell(Model)), Name: cell(Name), RootEmail: cell(RootEmail),
		RoleARN: cell(RoleARN), ExternalID: cell(ExternalID),
	}
	for _, wrong := range validate(row.Account) {
		i := r.header.at[columnOf(wrong.Field)]
		if slices.ContainsFunc(row.Faults, func(f provision.RowFault) bool { return f.Position == i+1 }) {
			continue // what is not even text has one fault
		}
		message := wrong.Message
		if strings.Contains(cells[i], "\n") {
			message += fmt.Sprintf(" (a line break: this row goes from line %d to line %d)", row.Line, row.Line+row.Lines-1)
		}
		fault(i, "%s", message)
	}
	slices.SortStableFunc(row.Faults, func(a, b provision.RowFault) int { return a.Position - b.Position })
	return row, nil
}

// Fault is a fault of a row in one of its columns, for what the file alone does not tell.
func (r *Reader) Fault(row Row, column, format string, args ...any) provision.RowFault {
	return provision.RowFault{Line: row.Line, Column: column, Position: r.header.at[column] + 1, Message: fmt.Sprintf(format, args...)}
}

// columnOf is the column of a field as the API names it.
func columnOf(field string) string {
	if field == "id" {
		return AccountID
	}
	return field
}

// groupedID is an account id as the AWS console shows it, or as people make text of it in a spreadsheet ('…, ="…").
var groupedID = regexp.MustCompile(`^(?:'|=")?([0-9]{4})[-\pZ‐‑‒–]?([0-9]{4})[-\pZ‐‑‒–]?([0-9]{4})"?$`)

// accountID returns the 12 digits of an account id that is written in groups. It returns any other text as it is.
func accountID(text string) string { return groupedID.ReplaceAllString(text, "$1$2$3") }

// numberID is what a spreadsheet leaves of an account id that it took for a number.
var numberID = regexp.MustCompile(`^([0-9]{1,11}|[0-9]+[.,]0+|[0-9]([.,][0-9]+)?[eE]\+?[0-9]+|#+)$`)

// validate is provision.ValidateAccount without what only follows from a wrong account id.
func validate(a provision.Account) []provision.FieldError {
	found := provision.ValidateAccount(a)
	i := slices.IndexFunc(found, func(e provision.FieldError) bool { return e.Field == "id" })
	if i < 0 {
		return found
	}
	if numberID.MatchString(a.ID) {
		found[i].Message += "; a spreadsheet has made a number of it, and digits may be lost: format the column as text " +
			"and enter the id again"
	}
	if parts := strings.Split(a.RoleARN, ":"); len(parts) > 4 {
		a.ID = parts[4]
	}
	if !slices.ContainsFunc(provision.ValidateAccount(a), func(e provision.FieldError) bool { return e.Field == "role_arn" }) {
		found = slices.DeleteFunc(found, func(e provision.FieldError) bool { return e.Field == "role_arn" })
	}
	return found
}
