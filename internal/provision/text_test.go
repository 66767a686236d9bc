package provision

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFreeTextHasOneRule(t *testing.T) {
	t.Parallel()
	for text, fault := range map[string]string{
		"Anna Berg":                      "",
		"Zoë O’Neil-Łukasz (née 李), 3rd": "",
		"a\u00a0b\u3000c":                "", // spaces of other widths
		"e\u0301":                        "", // not normalized
		"\u0645\u06cc\u200c\u062e\u0648": "", // Persian, which needs the non-joiner
		"\u0d28\u0d4d\u200d":             "a joiner outside of a word",
		"\u0915\u094d\u200d\u0937":       "", // Devanagari, which needs the joiner
		"a\u200db":                       "a joiner outside of a word that needs it, U+200D, as its character 2: remove it",
		"\u0645\u200c":                   "a joiner outside of a word",
		"\U0001F469\u200d\U0001F4BB":     "a joiner outside of a word",
		"\u26a0\ufe0f careful":           "", // an emoji and its presentation
		"\u845b\U000e0100":               "", // an ideograph and its variant
		"a\ufe0f":                        "a variation selector without",
		"":                               "needs 1 to 50 characters; it has 0",
		strings.Repeat("\U0001F680", 50): "", // code points, neither bytes nor UTF-16 units
		strings.Repeat("\U0001F680", 51): "needs 1 to 50 characters; it has 51",
		" Anna":                          "begins or ends with white space",
		"Anna\u00a0":                     "begins or ends with white space",
		"a\x00b":                         "a control character, U+0000, as its character 2: remove it",
		"a\tb":                           "a control character, U+0009",
		"a\nb":                           "a control character, U+000A",
		"a\x7fb":                         "a control character, U+007F",
		"a\u009bb":                       "a control character, U+009B",
		"a\u2028b":                       "a line or paragraph separator, U+2028",
		"a\u2029b":                       "a line or paragraph separator, U+2029",
		"\u202eanna":                     "changes the direction of the text, U+202E, as its character 1",
		"a\u200fb":                       "changes the direction",
		"a\u061cb":                       "changes the direction",
		"a\u2066b":                       "changes the direction",
		"a\u200bb":                       "an invisible character, U+200B",
		"a\u2060b":                       "an invisible character",
		"a\u00adb":                       "an invisible character",
		"\ufeffAnna":                     "an invisible character",
		"\u3164":                         "an invisible character", // the Hangul filler, which Unicode counts as a letter
		"a\U000e0041":                    "an invisible character", // a tag
		"\u2800":                         "no visible character",
		"\u0301":                         "no visible character",
		"a\ufffdb":                       "the mark of a character that was lost before",
		"a\ufffeb":                       "a code point that is no character",
		"a\xffb":                         "is not valid Unicode",
		"a\xed\xa0\x80b":                 "is not valid Unicode", // a lone surrogate
	} {
		got := TextFault(text, 50)
		if fault == "" {
			require.Empty(t, got, "%q", text)
		} else {
			require.Contains(t, got, fault, "%q", text)
			require.NotContains(t, got, "Anna", "a fault never quotes the text")
		}
	}
}

func TestParagraphsMayHaveLinesAndTabs(t *testing.T) {
	t.Parallel()
	require.Empty(t, ParagraphsFault("1. Sign in.\n\n2.\tOpen a case.", 100))
	require.Contains(t, ParagraphsFault("a\rb", 100), "U+000D")
	require.Contains(t, ParagraphsFault("a\u2028b", 100), "U+2028")
	require.Contains(t, ParagraphsFault("\n", 100), "white space")
}

func TestTextIsTrimmedBeforeItIsJudged(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Anna Berg", CleanText(" \u00a0\tAnna Berg\r\n"))
	require.Equal(t, "a\nb", CleanText("a\r\nb\r\n"))
	require.Empty(t, CleanText("\u3000\u0085 "))
}
