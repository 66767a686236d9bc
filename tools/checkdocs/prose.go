package main

import (
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A banned word, what to write instead, and its right uses.
type banned struct {
	pattern string
	instead string
	allowed string // a regular expression of the right uses, matched from the word on
}

// words are what the project does not write. A space in a pattern also matches a line break inside a comment.
var words = []banned{
	{`stands?|stood`, "is, are, or a verb that says what happens", `stands? for\b`},
	{`beside`, "next to, as well as, or another", ``},
	{`likewise`, "also, or the same", ``},
	{`anew`, "again", ``},
	{`whoever|whomever`, "anyone who, or the person", ``},
	{`whichever`, "the one that, or any", ``},
	{`for ever`, "forever, permanently, or without a limit", ``},
	{`meanwhile`, "while, until then, or at the same time", ``},
	{`told of`, "notified, or reported", ``},
	{`hears? of`, "learns about, or receives", ``},
	{`(?:of|by) (?:our|your|its|their) (?:own )?making`, "that we create", ``},
	{`(?:trouble|fault)s? of ours`, "our …, or on our side", ``},
	{`tells`, "reports, returns, shows or says", `tells (?:[\w']+ ){1,4}(?:to|apart|from|that|what|which|whether|when|why|how)\b`},
	{`time-outs?`, "timeout", ``},
	{`is to be|are to be`, "must be, is, or should be", ``},
	{`somebody|nobody`, "someone, no one, an operator, or the customer", `nobody"`},
	{`than what`, "than", ``},
	{`all of aws`, "AWS", ``},
	{`the thing itself`, "name it", ``},
	{`audit(?:s|ed|or|ors|ing)?`, "history, reconcile or check", ``},
}

// rules are the words, compiled.
var rules = compile(words)

type rule struct {
	banned
	match   *regexp.Regexp
	allowed *regexp.Regexp // nil: there is no right use
}

func compile(words []banned) (rules []rule) {
	const gap = `(?:\s+(?:(?://|--|#|\*)\s*)?)`
	for _, w := range words {
		r := rule{banned: w, match: regexp.MustCompile(`(?i)\b(?:` + strings.ReplaceAll(w.pattern, " ", gap) + `)\b`)}
		if w.allowed != "" {
			r.allowed = regexp.MustCompile(`(?i)^(?:` + w.allowed + `)`)
		}
		rules = append(rules, r)
	}
	return rules
}

// checkProse reports the banned words in the files. Generated files and test data are not prose of the project.
func checkProse(files []source) (problems []problem) {
	for _, f := range files {
		if strings.HasSuffix(f.name, ".gen.go") || strings.Contains(f.name, "/testdata/") || path.Dir(f.name) == "tools/checkdocs" {
			continue
		}
		text := f.content
		switch path.Ext(f.name) {
		case ".go":
			text = proseOfGo(text)
		case ".md":
			text = blank(text, inlineCode)
		}
		var found []problem
		for _, r := range rules {
			found = append(found, r.find(f.name, text)...)
		}
		slices.SortStableFunc(found, func(a, b problem) int { return a.line - b.line })
		problems = append(problems, found...)
	}
	return problems
}

func (r rule) find(name string, text []byte) (problems []problem) {
	for _, at := range r.match.FindAllIndex(text, -1) {
		if r.allowed != nil && r.allowed.Match(text[at[0]:min(len(text), at[1]+40)]) {
			continue
		}
		problems = append(problems, problem{name, 1 + bytes.Count(text[:at[0]], []byte("\n")),
			fmt.Sprintf("%q: write %s", text[at[0]:at[1]], r.instead)})
	}
	return problems
}

// inlineCode is code inside Markdown text.
var inlineCode = regexp.MustCompile("`[^`\n]*`")

// blank returns the text with spaces where the pattern matches, so that lines keep their numbers.
func blank(text []byte, pattern *regexp.Regexp) []byte {
	return pattern.ReplaceAllFunc(text, func(match []byte) []byte { return bytes.Repeat([]byte(" "), len(match)) })
}

// proseOfGo returns the comments and the string literals of a Go file, with spaces in place of everything else.
func proseOfGo(code []byte) []byte {
	prose := bytes.Repeat([]byte(" "), len(code))
	for i, b := range code {
		if b == '\n' {
			prose[i] = b
		}
	}
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(code))
	var s scanner.Scanner
	s.Init(file, code, func(token.Position, string) {}, scanner.ScanComments)
	for {
		pos, kind, literal := s.Scan()
		if kind == token.EOF {
			return prose
		}
		if kind == token.COMMENT || kind == token.STRING {
			copy(prose[file.Offset(pos):], literal)
		}
	}
}
