package stockcsv

import (
	"bytes"
	"fmt"
	"regexp"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

const (
	utf8Mark       = "\xef\xbb\xbf"
	utf16LowFirst  = "\xff\xfe"
	utf16HighFirst = "\xfe\xff"
)

// decode returns a file as UTF-8 without a byte order mark, and with as many lines, which end with LF. It reads UTF-8, and UTF-16
// as spreadsheets write it ("Unicode text"). Bytes that are not UTF-8 stay as they are: the cell that has them is faulty.
// Half a character of UTF-16 becomes U+FFFD, which no column accepts.
func decode(file []byte) ([]byte, error) {
	text, marked := bytes.CutPrefix(file, []byte(utf8Mark))
	if marked || len(file) < 2 {
		return lineEnds(text), nil
	}
	order, policy := unicode.BigEndian, unicode.IgnoreBOM
	switch start := string(file[:2]); {
	case start == utf16LowFirst, start == utf16HighFirst:
		policy = unicode.ExpectBOM
	case file[0] != 0 && file[1] == 0: // the header is ASCII: this is UTF-16 without a mark
		order = unicode.LittleEndian
	case file[0] != 0 || file[1] == 0:
		return lineEnds(text), nil
	}
	text, err := unicode.UTF16(order, policy).NewDecoder().Bytes(file)
	return lineEnds(text), err
}

var severalReturns = regexp.MustCompile(`\r+(\n|$)`)

// lineEnds writes CR LF as LF, and CR too where no line ends with LF. A CR elsewhere is a character of a cell, which no column
// accepts.
func lineEnds(text []byte) []byte {
	if !bytes.Contains(text, []byte("\n")) {
		return bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	}
	return severalReturns.ReplaceAll(text, []byte("\n"))
}

// wrongByte describes the first byte that is not UTF-8.
func wrongByte(text string) string {
	for i, c := range text {
		if c != utf8.RuneError {
			continue
		}
		if _, size := utf8.DecodeRuneInString(text[i:]); size > 1 {
			continue
		}
		meant := ""
		if r := charmap.Windows1252.DecodeByte(text[i]); r != utf8.RuneError {
			meant = fmt.Sprintf(", which is %q in Windows-1252", r)
		}
		return fmt.Sprintf("byte 0x%02X at place %d of the cell%s", text[i], i+1, meant)
	}
	return "it ends too early"
}
