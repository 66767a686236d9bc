package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMarkdownThatBreaksARuleIsReported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"a file that does not exist":    {"# T\n\n[x](missing.md)\n", "docs/a.md:3: missing.md does not exist"},
		"an image that does not exist":  {"# T\n\n![x](x.svg)\n", "docs/a.md:3: x.svg does not exist"},
		"an anchor that does not exist": {"# T\n\ntext\n[x](#u)\n", "docs/a.md:4: docs/a.md has no heading #u"},
		"an anchor of another document": {"# T\n\n[x](../README.md#u)\n", "docs/a.md:3: README.md has no heading #u"},
		"a link from the root": {
			"# T\n\n[x](/README.md)\n",
			"docs/a.md:3: /README.md: links inside the repository are relative",
		},
		"a list right after text": {"# T\n\ntext\n- x\n", "docs/a.md:4: a blank line is missing before this list"},
		"text right after a list": {
			"# T\n\n- x\ntext\n",
			"docs/a.md:4: indent this line of the list, or put a blank line before it",
		},
		"a table right after text": {
			"# T\n\ntext\n| a |\n|---|\n| b |\n",
			"docs/a.md:4: a blank line is missing before this table",
		},
		"text right after a table":         {"# T\n\n| a |\n|---|\n| b |\ntext\n", "docs/a.md:6: a blank line is missing after the table"},
		"a row with a cell too many":       {"# T\n\n| a |\n|---|\n| `b|c` |\n", "docs/a.md:5: the row has 2 cells, the header has 1"},
		"a heading right after text":       {"# T\n\ntext\n## U\n", "docs/a.md:4: a blank line is missing before this heading"},
		"text right after a heading":       {"# T\ntext\n", "docs/a.md:2: a blank line is missing before this paragraph"},
		"a heading that skips a level":     {"# T\n\n### U\n", "docs/a.md:3: the heading skips a level"},
		"two titles":                       {"# T\n\n# U\n", "docs/a.md:3: a document has one title"},
		"no title":                         {"text\n", "docs/a.md:1: the document has no title"},
		"code without a language":          {"# T\n\n```\nx\n```\n", "docs/a.md:3: code without a language: use text where there is none"},
		"text right after code":            {"# T\n\n```go\nx\n```\ntext\n", "docs/a.md:6: a blank line is missing before this paragraph"},
		"white space at the end of a line": {"# T \n", "docs/a.md:1: white space at the end of the line"},
		"two blank lines":                  {"# T\n\n\ntext\n", "docs/a.md:3: more than one blank line"},
		"no line break at the end":         {"# T", "docs/a.md:1: a document ends with one line break"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, checkMarkdown(repository(t), withReadme("[a](docs/a.md)\n", test.text)), test.want)
		})
	}
}

func TestADocumentThatNothingLinksToIsReported(t *testing.T) {
	t.Parallel()
	expect(t, checkMarkdown(repository(t), withReadme("text\n", "# T\n")), "docs/a.md:1: no document links to this one")
}

func TestGoodMarkdownIsNotReported(t *testing.T) {
	t.Parallel()
	const good = "# T\n\ntext [x](#the-code-of-it) [y](https://example.com) [z](../README.md#home)\n\n" +
		"## The `code`, of it\n\n- x\n  y\n\n  z\n- w\n\n| a | b |\n|---|---|\n| `c\\|d` | |\n\n" +
		"```go\n# no heading\n\n\n- no list\n```\n\n1. x\n\n   ```sh\n   y\n   ```\n"
	expect(t, checkMarkdown(repository(t), withReadme("[a](docs/a.md)\n", strings.ReplaceAll(good, "\n\n\n", "\n\n"))))
}

func TestProseWithABannedWordIsReported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, text, want string }{
		"in a document": {"a.md", "x\nIt stands here.\n", `a.md:2: "stands": write is, are, or a verb that says what happens`},
		"in a comment of Go": {
			"a.go", "package a\n\n// A says somebody.\n",
			`a.go:3: "somebody": write someone, no one, an operator, or the customer`,
		},
		"in a string of Go":   {"a.go", "package a\n\nconst é, x = 1, \"anew\"\n", `a.go:3: "anew": write again`},
		"in a comment of SQL": {"a.sql", "-- Whoever.\n", `a.sql:1: "Whoever": write anyone who, or the person`},
		"over a line's end": {
			"a.go", "package a\n\n// It is kept for\n// ever.\n",
			"a.go:3: \"for\\n// ever\": write forever, permanently, or without a limit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, checkProse([]source{{test.file, []byte(test.text)}}), test.want)
		})
	}
}

func TestNamesAndRightUsesAreNotReported(t *testing.T) {
	t.Parallel()
	expect(t, checkProse([]source{
		{"a.go", []byte("package a\n\n// A stands for B, understands, and is besides C.\nfunc stands(anew int) {}\n")},
		{"a.md", []byte("The word `anew` is code.\n")},
		{"a.gen.go", []byte("package a // anew\n")},
		{"testdata.go", []byte("package a // tells Temporal to stop\n")},
	}))
}

// repository returns a repository's folder with the two files that withReadme describes.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range []string{"README.md", "docs/a.md"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func withReadme(readme, document string) []source {
	return []source{{"README.md", []byte("# Home\n\n" + readme)}, {"docs/a.md", []byte(document)}}
}

func expect(t *testing.T, got []problem, want ...string) {
	t.Helper()
	var texts []string
	for _, p := range got {
		texts = append(texts, p.String())
	}
	if !slices.Equal(texts, want) {
		t.Fatalf("reported:\n%q\nexpected:\n%q", texts, want)
	}
}
