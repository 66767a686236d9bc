package stockcsv_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"

	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
)

const head = "account_id,marketplace,environment,model,name,root_email,role_arn\n"

func id(i int) string { return fmt.Sprintf("%012d", i) }

// line is a valid row.
func line(i int) string {
	return fmt.Sprintf("%s,nordic,production,SPAM,Pool %d,aws+%d@acme.example,arn:aws:iam::%s:role/quartermaster\n", id(i), i, i, id(i))
}

func readAll(t require.TestingT, r *stockcsv.Reader) (rows []stockcsv.Row) {
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows
		}
		require.NoError(t, err)
		rows = append(rows, row)
	}
}

// read reads a file as an import does.
func read(t require.TestingT, file string) []stockcsv.Row {
	scanned, err := stockcsv.Scan([]byte(file))
	require.NoError(t, err)
	r, err := stockcsv.NewReader(bytes.NewReader(scanned.Text))
	require.NoError(t, err)
	rows := readAll(t, r)
	require.Len(t, rows, scanned.Rows)
	return rows
}

// faults are those of all rows, as line:column-name:position: message.
func faults(rows []stockcsv.Row) (found []string) {
	for _, row := range rows {
		for _, f := range row.Faults {
			found = append(found, fmt.Sprintf("%d:%s:%d: %s", f.Line, f.Column, f.Position, f.Message))
		}
	}
	return found
}

func TestAFileIsReadWhateverItsLineEndsAndSeparator(t *testing.T) {
	t.Parallel()
	plain := head + line(1) + line(2)
	want := read(t, plain)
	require.Len(t, want, 2)
	require.Empty(t, faults(want))
	require.Equal(t, provision.Account{
		ID: id(1), Pool: provision.Pool{Marketplace: "nordic", Environment: provision.Production}, Model: provision.ModelSPAM,
		Name: "Pool 1", RootEmail: "aws+1@acme.example", RoleARN: "arn:aws:iam::" + id(1) + ":role/quartermaster",
	}, want[0].Account)
	require.Equal(t, []int{2, 3}, []int{want[0].Line, want[1].Line})
	for name, text := range map[string]string{
		"CR LF":                    strings.ReplaceAll(plain, "\n", "\r\n"),
		"no end of the last line":  strings.TrimSuffix(plain, "\n"),
		"a CR at the end":          strings.TrimSuffix(plain, "\n") + "\r",
		"a byte order mark":        "\ufeff" + plain,
		"semicolons":               strings.ReplaceAll(plain, ",", ";"),
		"tabs":                     strings.ReplaceAll(plain, ",", "\t"),
		"quotes around everything": `"` + strings.NewReplacer(",", `","`, "\n", "\"\n\"").Replace(strings.TrimSuffix(plain, "\n")) + `"`,
		"vertical bars":            strings.ReplaceAll(plain, ",", "|"),
		"CR alone":                 strings.ReplaceAll(plain, "\n", "\r"),
		"CR CR LF":                 strings.ReplaceAll(plain, "\n", "\r\r\n"),
		"Unicode text":             inUTF16(t, unicode.LittleEndian, unicode.UseBOM, strings.ReplaceAll(plain, ",", "\t")),
		"UTF-16, high byte first":  inUTF16(t, unicode.BigEndian, unicode.UseBOM, plain),
		"UTF-16 without a mark":    inUTF16(t, unicode.LittleEndian, unicode.IgnoreBOM, plain),
		"the same, high first":     inUTF16(t, unicode.BigEndian, unicode.IgnoreBOM, plain),
		"blank lines at the end":   plain + "\n\r\n\n",
		"rows of separators":       plain + ",,,,,,\n,,,\n\"\",\" \",,,,,\n,,,,,,,,,,\n",
		"rows of blanks":           plain + " \t \n\u00a0,\u00a0,,,,,\n\"\n\",,,,,,\n",
		"columns without a name":   strings.ReplaceAll(plain, "\n", ",, ,\n"),
		"a header in capitals":     strings.ToUpper(head) + line(1) + line(2),
		"a header of words":        strings.ReplaceAll(head, "_", " ") + line(1) + line(2),
		"blanks around each cell":  strings.NewReplacer(",", "\u00a0 , ", "\n", " \n").Replace(plain),
	} {
		require.Equal(t, want, read(t, text), name)
	}
	for name, first := range map[string]string{
		"names the separator": "sep=;\n", "in capitals": "SEP=,\r\n", "in quotes": "\"sep=\t\"\n", "a program added cells": "sep=;,,,,,,\n",
		"blank cells": ",,,,,,\n", "a blank line": "\n",
	} {
		for i, row := range read(t, "\ufeff"+first+plain) {
			require.Equal(t, want[i].Account, row.Account, name)
			require.Equal(t, want[i].Line+1, row.Line, name)
		}
	}
}

func TestColumnsMayStandInAnyOrderAndThoseOfTheExportAreIgnored(t *testing.T) {
	t.Parallel()
	rows := read(t, "status,role_arn,root_email,name,model,external_id,environment,marketplace,account_id\n"+
		"allocated,arn:aws:iam::"+id(7)+":role/q,a@b.example,'=Seven,ECAM,qm-1234567890123456,test,nordic,"+id(7)+"\n")
	require.Empty(t, faults(rows))
	require.Equal(t, provision.Account{
		ID: id(7), Pool: provision.Pool{Marketplace: "nordic", Environment: provision.Test}, Model: provision.ModelECAM,
		Name: "=Seven", RootEmail: "a@b.example", RoleARN: "arn:aws:iam::" + id(7) + ":role/q", ExternalID: "qm-1234567890123456",
	}, rows[0].Account, "the apostrophe of the export is taken off")
}

func TestAnAccountIDIsReadAsPeopleWriteIt(t *testing.T) {
	t.Parallel()
	for _, written := range []string{
		"0000-0000-0001", "0000 0000 0001", "0000\u00a00000\u00a00001", "0000\u20110000\u20110001", "0000–0000–0001",
		" 000000000001\u00a0", "'000000000001", `"=""000000000001"""`,
	} {
		rows := read(t, head+strings.Replace(line(1), id(1), written, 1))
		require.Empty(t, faults(rows), written)
		require.Equal(t, id(1), rows[0].Account.ID, written)
	}
}

func TestARowMayLackOnlyColumnsThatAnImportDoesNotNeed(t *testing.T) {
	t.Parallel()
	short := strings.TrimSuffix(head, "\n") + ",external_id,status,reason\n" + line(1)
	rows := read(t, short)
	require.Empty(t, faults(rows), "a spreadsheet leaves out blank cells at the end of a row")
	require.Equal(t, id(1), rows[0].Account.ID)
	require.Contains(t, faults(read(t, short+strings.Replace(line(2), ",Pool 2", "", 1)))[0], "3:role_arn:7: the row has 6 cells")
}

func TestGhostRowsDoNotCount(t *testing.T) {
	t.Parallel()
	file, err := stockcsv.Scan([]byte(head + strings.Repeat(",,,,,,\r\n", 20_000) + line(1)))
	require.NoError(t, err)
	require.Equal(t, 1, file.Rows)
	rows := read(t, string(file.Text))
	require.Len(t, rows, 1)
	require.Equal(t, 20_002, rows[0].Line, "lines are those of the file")
}

func TestAFileThatCannotBeReadAtAllSaysWhyOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, message string
		line          int
	}{
		"empty":             {"", "the file is empty", 1},
		"only blank lines":  {"\n\r\n", "the file is empty", 1},
		"only separators":   {"sep=;\n;;;\n", "the file is empty", 1},
		"UTF-16":            {"\xff\xfea\x00c\x00", `unknown: "ac" (column 1)`, 1},
		"half of UTF-16":    {"\xff\xfea\x00c", `unknown: "a�" (column 1)`, 1},
		"UTF-32":            {"\xff\xfe\x00\x00a\x00\x00\x00", "NUL bytes", 1},
		"Latin-1":           {"account_id,na\xefve\n", "not UTF-8 (byte 0xEF at place 3 of the cell, which is 'ï' in Windows-1252)", 1},
		"no byte of a page": {"account_id,na\x81ve\n", "not UTF-8 (byte 0x81 at place 3 of the cell)", 1},
		"carriage returns":  {strings.ReplaceAll(head+line(1), "\n", "\r") + "\n", "carriage return alone", 1},
		"an unknown column": {"\n" + strings.Replace(head, "name", "Titel", 1), `unknown: "Titel" (column 5); missing: name`, 2},
		"no name":           {strings.Replace(head, "name", "name,", 1), `unknown: "" (column 6)`, 1},
		"smart quotes":      {"“account_id”," + head, `unknown: "“account_id”" (column 1)`, 1},
		"a column twice":    {"Name," + head, "given twice: name (columns 1 and 6)", 1},
		"a column missing":  {strings.Replace(head, ",role_arn", "", 1), "missing: role_arn. It needs account_id, ", 1},
		"another separator": {strings.ReplaceAll(head, ",", "^"), `unknown: "account_id^marketplace^`, 1},
		"a broken quote":    {`account_id,"name` + "\n", "broken quote", 1},
		"no lines":          {strings.Repeat("x", 20<<10), "is this a CSV file", 1},
	} {
		_, err := stockcsv.Scan([]byte(c.text))
		var refused *stockcsv.FileError
		require.ErrorAs(t, err, &refused, name)
		require.Contains(t, refused.Error(), c.message, name)
		require.Equal(t, c.line, refused.Line, name)
		require.Positive(t, refused.Position, name)
	}
}

func TestEveryFaultNamesItsLineAndColumn(t *testing.T) {
	t.Parallel()
	good := line(1)
	for name, c := range map[string]struct{ row, at, message string }{
		"no account id":          {strings.Replace(good, id(1), "", 1), "2:account_id:1: ", `"" is not an AWS account id`},
		"a spreadsheet's number": {strings.Replace(good, id(1), "1.11122E+11", 1), "2:account_id:1: ", "format the column as text"},
		"with a comma":           {strings.Replace(good, id(1), `"1,11122e11"`, 1), "2:account_id:1: ", "format the column as text"},
		"a round number":         {strings.Replace(good, id(1), "1E+11", 1), "2:account_id:1: ", "format the column as text"},
		"a fraction":             {strings.Replace(good, id(1), "111122223333.0", 1), "2:account_id:1: ", "format the column as text"},
		"a narrow column":        {strings.Replace(good, id(1), "#######", 1), "2:account_id:1: ", "format the column as text"},
		"leading zeros lost":     {strings.Replace(good, id(1), "1", 1), "2:account_id:1: ", "format the column as text"},
		"other groups":           {strings.Replace(good, id(1), "00000-000-0001", 1), "2:account_id:1: ", "is not an AWS account id"},
		"an invisible character": {strings.Replace(good, id(1), "\u202a"+id(1), 1), "2:account_id:1: ", `"\u202a000000000001" is not`},
		"a carriage return":      {strings.Replace(good, "Pool", "Po\rol", 1), "2:name:5: ", "has a control character, U+000D"},
		"smart quotes":           {strings.Replace(good, "nordic", "“nordic”", 1), "2:marketplace:2: ", "lower-case letters"},
		"a lost character":       {strings.Replace(good, "Pool", "P�l", 1), "2:name:5: ", "a character that was lost before"},
		"marketplace":            {strings.Replace(good, "nordic", "Nordic", 1), "2:marketplace:2: ", "lower-case letters"},
		"environment":            {strings.Replace(good, "production", "prod", 1), "2:environment:3: ", "use production or test"},
		"model":                  {strings.Replace(good, "SPAM", "", 1), "2:model:4: ", "needs 1 to 40 characters"},
		"name":                   {strings.Replace(good, "Pool 1", "\u202ePool", 1), "2:name:5: ", "changes the direction of the text"},
		"a name of two lines":    {strings.Replace(good, "Pool 1", "\"Pool\n1\"", 1), "2:name:5: ", "this row goes from line 2 to line 3"},
		"root_email":             {strings.Replace(good, "aws+1@", "aws", 1), "2:root_email:6: ", "name@domain.tld"},
		"role_arn":               {strings.Replace(good, ":role/", ":user/", 1), "2:role_arn:7: ", "is not a role"},
		"a role elsewhere":       {strings.Replace(good, "::"+id(1), "::"+id(9), 1), "2:role_arn:7: ", "the role is in account " + id(9)},
		"Latin-1": {strings.Replace(good, "Pool", "P\xf6\xf6l", 1), "2:name:5: ",
			"not UTF-8 (byte 0xF6 at place 2 of the cell, which is 'ö' in Windows-1252)"},
		"a huge cell": {strings.Replace(good, "Pool 1", strings.Repeat("x", 2000), 1), "2:name:5: ", "the cell has 2000 bytes"},
		"a huge row": {strings.Replace(good, "Pool 1", strings.Repeat("x", 70<<10), 1), "2:account_id:1: ",
			"is a line break missing"},
		"too few cells":            {strings.Replace(good, ",Pool 1", "", 1), "2:role_arn:7: ", "has 6 cells and the header has 7"},
		"too many cells":           {strings.Replace(good, "Pool 1", "Pool,1", 1), "2::8: ", "has 8 cells and the header has 7"},
		"a value without a column": {strings.Replace(good, "\n", ",,note,\n", 1), "2::8: ", "has 9 cells and the header has 7"},
		"a quote inside":           {strings.Replace(good, "Pool 1", `Pool "1"`, 1), "2:name:5: ", "write the quote inside twice"},
		"text behind a quote":      {strings.Replace(good, "Pool 1", `"Pool" 1`, 1), "2:name:5: ", "goes on behind its closing quote"},
		"an open quote":            {strings.Replace(good, "Pool 1", `"Pool 1`, 1), "2:name:5: ", "reading went on with the next line"},
	} {
		extra := 0
		if strings.Count(c.row, "\n") > 1 {
			extra = 1
		}
		for where, after := range map[string]string{
			"rows follow":          line(2) + line(3),
			"a quoted row follows": strings.Replace(line(2), "Pool 2", `"Pool, 2"`, 1) + line(3),
		} {
			rows := read(t, head+c.row+after)
			found := faults(rows)
			require.Len(t, found, 1, "%s, %s: %q", name, where, found)
			require.True(t, strings.HasPrefix(found[0], c.at), "%s: %s", name, found[0])
			require.Contains(t, found[0], c.message, name)
			require.Len(t, rows, 3, "%s, %s: the rows after it are read", name, where)
			require.Equal(t, []int{3 + extra, 4 + extra}, []int{rows[1].Line, rows[2].Line}, name)
		}
	}
}

func TestARowNamesAllItsFaults(t *testing.T) {
	t.Parallel()
	rows := read(t, head+"12,Nordic,prod,,,x,y\n")
	require.Len(t, faults(rows), 7)
}

func TestAnOpenQuoteTakesNothingWithIt(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(head)
	text.WriteString(strings.Replace(line(1), "Pool 1", `"Pool 1`, 1))
	for i := 2; i <= 2000; i++ { // no other quote in 200 KB
		text.WriteString(line(i))
	}
	rows := read(t, text.String())
	require.Len(t, rows, 2000)
	require.Len(t, faults(rows), 1)
	require.Contains(t, faults(rows)[0], "2:name:5: a quote opens a cell and is not closed")
	require.True(t, rows[0].Broken)
}

func TestReadingGoesOnAtEveryPlace(t *testing.T) {
	t.Parallel()
	text := "sep=,\n" + head + line(1) + "\n,,,,,,\n" + strings.Replace(line(2), "Pool 2", "\"Pool\n2\"", 1) +
		strings.Replace(line(3), "Pool 3", `"Pool 3`, 1) + line(4) + "\n" + line(5)
	want := read(t, text)
	require.Len(t, want, 5)
	r, err := stockcsv.NewReader(strings.NewReader(text))
	require.NoError(t, err)
	var got []stockcsv.Row
	for at := r.Place(); ; {
		next := r.Continue(strings.NewReader(text[at.Offset:]), at)
		row, err := next.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		got, at = append(got, row), next.Place()
	}
	require.Equal(t, want, got, "each row by a reader of its own")
}

func TestScanCountsTheRowsAndBoundsThem(t *testing.T) {
	t.Parallel()
	file, err := stockcsv.Scan([]byte(head + line(1) + strings.Replace(line(2), "Pool 2", `"Pool 2`, 1) + line(3)))
	require.NoError(t, err)
	require.Equal(t, 3, file.Rows)
	require.Equal(t, stockcsv.Place{Offset: int64(len(head)), Line: 2}, file.First)

	many := head + strings.Repeat(line(1), stockcsv.MaxRows)
	_, err = stockcsv.Scan([]byte(many))
	require.NoError(t, err)
	_, err = stockcsv.Scan([]byte(many + line(1)))
	require.ErrorContains(t, err, "line 10002: the file has more than 10000 rows")
}

func TestAnErrorOfTheFileEndsTheReading(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	r, err := stockcsv.NewReader(io.MultiReader(strings.NewReader(head+line(1)+id(2)+`,"no`), iotest.ErrReader(lost)))
	require.NoError(t, err)
	_, err = r.Next()
	require.NoError(t, err)
	_, err = r.Next()
	require.ErrorIs(t, err, lost)
}

// Whatever the file: no panic, every line is in exactly one row or is blank, every row is valid or says what is wrong, and
// reading from any place gives the same rows.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"", "\xff\xfe", head, head + line(1), "\ufeff" + head + line(1) + line(2),
		head + "\"\n\"\"\n\",\"\n" + line(3), head + "a,\"b\nc\",d\n" + line(1),
		strings.ReplaceAll(head+line(1), ",", ";"), head + strings.Replace(line(1), "Pool", "\"Po\r\nol", 1),
		head + "\r\r\n\n\r\n,,,,,,\n,,,,,,,\n\"\"\"\"\n", head + line(1) + "\r", "sep=;\n" + head + line(1),
		head + "0000-0000-0001,\"\n\"\n,,\n" + line(1), strings.ReplaceAll(head+line(1), "\n", "\r"),
		inUTF16(f, unicode.LittleEndian, unicode.UseBOM, head+line(1)), "\xff\xfe\x00\xd8" + head,
		strings.ToUpper(strings.ReplaceAll(head, "\n", ",,\n")) + line(1) + "\u00a0\n,\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		scanned, err := stockcsv.Scan(file)
		if err != nil {
			var refused *stockcsv.FileError
			require.ErrorAs(t, err, &refused)
			require.NotEmpty(t, refused.Message)
			return
		}
		text := string(scanned.Text)
		r, err := stockcsv.NewReader(strings.NewReader(text))
		require.NoError(t, err)
		begin := r.Place()
		require.Equal(t, begin, scanned.First)
		rows := readAll(t, r)
		require.Len(t, rows, scanned.Rows)
		physical := strings.SplitAfter(text, "\n")
		next := begin.Line
		skip := func(to int) {
			for ; next < to; next++ {
				require.Empty(t, strings.Trim(physical[next-1], "\",;|\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005"+
					"\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"), "line %d is neither in a row nor blank", next)
			}
		}
		for _, row := range rows {
			skip(row.Line)
			require.Equal(t, next, row.Line, "a line in two rows")
			require.Positive(t, row.Lines)
			next += row.Lines
			if len(row.Faults) == 0 {
				require.Empty(t, provision.ValidateAccount(row.Account))
			}
			for _, fault := range row.Faults {
				require.Equal(t, row.Line, fault.Line)
				require.Positive(t, fault.Position)
				require.NotEmpty(t, fault.Message)
			}
		}
		skip(len(physical) + 1)
		other := r.Continue(strings.NewReader(text[begin.Offset:]), begin)
		require.Equal(t, rows, readAll(t, other))
	})
}
