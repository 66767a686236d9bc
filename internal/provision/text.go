package provision

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Free text is what people write for people: names, titles, descriptions, reasons, notes and instructions. One rule holds for all
// of it, wherever it enters. CleanText is called first, then TextFault or ParagraphsFault. Quartermaster keeps the
// characters as they were written and does not normalize them, because AWS does not either.

// MaxName bounds, in characters, the names and titles that only Quartermaster keeps. Those that AWS keeps are shorter: see
// Request.Validate.
const MaxName = 100

// CleanText removes the white space around a text, and writes line breaks as LF.
func CleanText(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
}

// TextFault says what is wrong with a line of free text of 1 to most characters, and what to do. It returns "" for a good one. It
// never quotes the text, which may be personal. It counts code points, as AWS, JSON Schema and PostgreSQL do.
// Source: Smithy 2.0 specification, "length trait".
func TextFault(s string, most int) string { return textFault(s, most, "") }

// ParagraphsFault is TextFault for a text that may have several lines, and tabs.
func ParagraphsFault(s string, most int) string { return textFault(s, most, "\n\t") }

func textFault(s string, most int, allowed string) string {
	if !utf8.ValidString(s) {
		return "is not valid Unicode: write it in UTF-8"
	}
	if n := utf8.RuneCountInString(s); n < 1 || n > most {
		return fmt.Sprintf("needs 1 to %d characters; it has %d", most, n)
	}
	if CleanText(s) != s {
		return "begins or ends with white space: remove it"
	}
	text := []rune(s)
	visible := false
	for i, r := range text {
		if why := forbidden(text, i); why != "" && !strings.ContainsRune(allowed, r) {
			return fmt.Sprintf("has %s, %U, as its character %d: remove it", why, r, i+1)
		}
		visible = visible || unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && r != blankBraille
	}
	if !visible {
		return "has no visible character: write a word"
	}
	return ""
}

// blankBraille is a symbol without a dot.
const blankBraille = '\u2800'

// forbidden says why the character at a place of a text is not allowed, or returns "".
func forbidden(text []rune, place int) string {
	r := text[place]
	switch {
	case unicode.IsControl(r):
		return "a control character"
	case unicode.In(r, unicode.Zl, unicode.Zp):
		return "a line or paragraph separator"
	case unicode.Is(unicode.Bidi_Control, r):
		return "a character that changes the direction of the text"
	case r == '\u200c' || r == '\u200d':
		if joins(text, place-1) && joins(text, place+1) {
			return ""
		}
		return "a joiner outside of a word that needs it"
	case unicode.Is(unicode.Variation_Selector, r):
		if place > 0 && unicode.In(text[place-1], unicode.S, unicode.Han, unicode.Mongolian) {
			return ""
		}
		return "a variation selector without a character that has variants"
	case unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point):
		return "an invisible character"
	case r == utf8.RuneError:
		return "the mark of a character that was lost before"
	case unicode.Is(unicode.Noncharacter_Code_Point, r):
		return "a code point that is no character"
	}
	return ""
}

// joining are the scripts in whose words a zero-width joiner or non-joiner changes how letters are written.
// Source: Unicode Standard, chapters 9, 12, 13 and 16; Unicode Standard Annex 31, section 2.3.1.
var joining = []*unicode.RangeTable{
	unicode.Arabic, unicode.Syriac, unicode.Nko, unicode.Mandaic, unicode.Mongolian, unicode.Phags_Pa,
	unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu,
	unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Khmer, unicode.Myanmar, unicode.Tibetan, unicode.Thai, unicode.Lao,
}

// joins reports whether there is a letter, or a mark of a letter, of such a script at a place of a text.
func joins(text []rune, place int) bool {
	return place >= 0 && place < len(text) && unicode.In(text[place], joining...) && unicode.In(text[place], unicode.L, unicode.M)
}
