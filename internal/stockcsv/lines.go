package stockcsv

import (
	"bufio"
	"errors"
	"io"
)

// errRowTooLong ends a row that is longer than MaxRow: a line without an end, or a quote that is never closed.
var errRowTooLong = errors.New("the row is too long")

// line is one physical line with its end.
type line struct {
	text   []byte
	number int   // from 1
	offset int64 // of its first byte in the file
	long   bool  // longer than MaxRow; text is its beginning
}

// blank reports whether encoding/csv skips the line between two rows.
func (l line) blank() bool { return string(l.text) == "\n" }

// lines hands a file to encoding/csv one physical line at a time, so that it never reads beyond the row that it parses, and
// remembers the lines of that row: after a broken one they can be read again.
type lines struct {
	in     *bufio.Reader
	number int   // of the next line of in
	offset int64 // of the same
	again  []line
	row    []line // handed out since the row began
	size   int    // bytes of row
	rest   []byte // of the last line of row, not yet handed out
}

// begin forgets the row before.
func (s *lines) begin() { s.row, s.size, s.rest = s.row[:0], 0, nil }

// back has every line after the first one of the row read again.
func (s *lines) back() {
	if len(s.row) > 1 {
		s.again = append(append([]line{}, s.row[1:]...), s.again...)
	}
}

// place is where the next line begins.
func (s *lines) place() Place {
	if len(s.again) > 0 {
		return Place{s.again[0].offset, s.again[0].number}
	}
	return Place{s.offset, s.number}
}

// Read gives encoding/csv at most the rest of one line.
func (s *lines) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		next, err := s.next()
		if err != nil {
			return 0, err
		}
		if len(s.row) == 0 && next.blank() {
			continue
		}
		s.row = append(s.row, next)
		s.size += len(next.text)
		if next.long || s.size > MaxRow {
			return 0, errRowTooLong
		}
		s.rest = next.text
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *lines) next() (line, error) {
	if len(s.again) > 0 {
		next := s.again[0]
		s.again = s.again[1:]
		return next, nil
	}
	next := line{number: s.number, offset: s.offset}
	for {
		part, err := s.in.ReadSlice('\n')
		s.offset += int64(len(part))
		if room := MaxRow + 1 - len(next.text); len(part) > room {
			part, next.long = part[:room], true
		}
		next.text = append(next.text, part...)
		switch {
		case err == nil:
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(next.text) > 0: // the last line may lack its end
		default:
			return line{}, err
		}
		s.number++
		return next, nil
	}
}
