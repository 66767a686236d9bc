package main

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	tables "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// checkMarkdown reports what is wrong with the documents under the root.
func checkMarkdown(root string, files []source) (problems []problem) {
	documents := map[string]*document{}
	for _, f := range files {
		documents[f.name] = parse(f)
	}
	linked := map[string]bool{"README.md": true} // documents that another one links to
	for _, f := range files {
		d := documents[f.name]
		d.checkLines()
		d.checkBlocks()
		d.checkHeadings()
		d.checkLinks(root, documents, linked)
	}
	for _, f := range files {
		d := documents[f.name]
		if strings.HasPrefix(f.name, "docs/") && !linked[f.name] {
			d.report(1, "no document links to this one")
		}
		slices.SortStableFunc(d.problems, func(a, b problem) int { return a.line - b.line })
		problems = append(problems, d.problems...)
	}
	return problems
}

// A document is one parsed Markdown file.
type document struct {
	source
	lines    []string
	root     ast.Node
	anchors  map[string]bool
	problems []problem
}

var parser = goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser()

func parse(f source) *document {
	d := &document{
		source:  f,
		lines:   strings.Split(string(f.content), "\n"),
		root:    parser.Parse(text.NewReader(f.content)),
		anchors: map[string]bool{},
	}
	d.walk(func(n ast.Node) {
		if heading, ok := n.(*ast.Heading); ok {
			d.addAnchor(textOf(heading, f.content))
		}
	})
	return d
}

// walk calls visit for every node.
func (d *document) walk(visit func(ast.Node)) {
	_ = ast.Walk(d.root, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // visit returns no error
		if entering {
			visit(n)
		}
		return ast.WalkContinue, nil
	})
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}\p{M}\-_ ]`)

// addAnchor adds the anchor that GitHub gives a heading; headings with the same text get numbers.
func (d *document) addAnchor(heading string) {
	anchor := strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
	unique := anchor
	for i := 1; d.anchors[unique]; i++ {
		unique = fmt.Sprintf("%s-%d", anchor, i)
	}
	d.anchors[unique] = true
}

func (d *document) report(line int, format string, args ...any) {
	d.problems = append(d.problems, problem{d.name, line, fmt.Sprintf(format, args...)})
}

// lineOf returns the number of the line with the byte at the offset.
func (d *document) lineOf(offset int) int { return 1 + bytes.Count(d.content[:offset], []byte("\n")) }

func (d *document) isBlank(line int) bool {
	return line < 1 || line > len(d.lines) || strings.TrimSpace(d.lines[line-1]) == ""
}

// checkLines checks white space. Two spaces at the end of a line would be an invisible line break.
func (d *document) checkLines() {
	if !bytes.HasSuffix(d.content, []byte("\n")) || bytes.HasSuffix(d.content, []byte("\n\n")) {
		d.report(len(d.lines), "a document ends with one line break")
	}
	for i, line := range d.lines {
		if strings.TrimRight(line, " \t\r") != line {
			d.report(i+1, "white space at the end of the line")
		}
		if i > 0 && i < len(d.lines)-1 && line == "" && d.lines[i-1] == "" {
			d.report(i+1, "more than one blank line")
		}
	}
}

// checkBlocks checks blank lines around blocks, the languages of code, and the rows of tables.
func (d *document) checkBlocks() {
	d.walk(func(n ast.Node) {
		if n.Parent() == d.root {
			if first := d.firstLine(n); first > 1 && !d.isBlank(first-1) {
				d.report(first, "a blank line is missing before this %s", strings.ToLower(n.Kind().String()))
			}
		}
		switch n := n.(type) {
		case *ast.FencedCodeBlock:
			if len(n.Language(d.content)) == 0 {
				d.report(d.firstLine(n), "code without a language: use text where there is none")
			}
		case *tables.Table:
			d.checkTable(d.firstLine(n))
		case *ast.ListItem:
			d.checkLazyLines(n)
		}
	})
}

// checkLazyLines reports text below a list that has no blank line before it: Markdown takes it as a part of the list.
func (d *document) checkLazyLines(item *ast.ListItem) {
	for child := item.FirstChild(); child != nil; child = child.NextSibling() {
		if child.Kind() != ast.KindParagraph && child.Kind() != ast.KindTextBlock {
			continue
		}
		for i := 1; i < child.Lines().Len(); i++ {
			line := d.lineOf(child.Lines().At(i).Start)
			if !strings.HasPrefix(d.lines[line-1], " ") && !strings.HasPrefix(d.lines[line-1], "\t") {
				d.report(line, "indent this line of the list, or put a blank line before it")
			}
		}
	}
}

// checkTable checks that all rows of the table whose header is at the line have as many cells as the header. GitHub drops
// what is too much.
func (d *document) checkTable(header int) {
	columns := cells(d.lines[header-1])
	for line := header; !d.isBlank(line); line++ {
		if !strings.HasPrefix(strings.TrimSpace(d.lines[line-1]), "|") {
			d.report(line, "a blank line is missing after the table")
			return
		}
		if got := cells(d.lines[line-1]); got != columns {
			d.report(line, "the row has %d cells, the header has %d", got, columns)
		}
	}
}

// cells counts the cells of a row that begins and ends with a bar. A bar inside code ends a cell, too, unless a backslash is before it.
func cells(row string) int {
	row = strings.ReplaceAll(row, `\|`, "")
	return strings.Count(row, "|") - 1
}

// checkHeadings checks that there is one title, at the top, and that no level is left out.
func (d *document) checkHeadings() {
	level := 0
	d.walk(func(n ast.Node) {
		heading, ok := n.(*ast.Heading)
		if !ok {
			return
		}
		line := d.firstLine(heading)
		switch {
		case level == 0 && heading.Level != 1:
			d.report(line, "the first heading must be the title, with one #")
		case level > 0 && heading.Level == 1:
			d.report(line, "a document has one title")
		case heading.Level > level+1:
			d.report(line, "the heading skips a level")
		}
		level = heading.Level
	})
	if level == 0 {
		d.report(1, "the document has no title")
	}
}

// checkLinks checks that relative links and anchors lead somewhere, and notes which documents are linked to.
func (d *document) checkLinks(root string, documents map[string]*document, linked map[string]bool) {
	d.walk(func(n ast.Node) {
		var destination string
		switch n := n.(type) {
		case *ast.Link:
			destination = string(n.Destination)
		case *ast.Image:
			destination = string(n.Destination)
		default:
			return
		}
		target, err := url.Parse(destination)
		line := d.lineOfLink(n)
		switch {
		case err != nil:
			d.report(line, "%q is no link: %v", destination, err)
			return
		case target.Scheme != "" || target.Host != "":
			return
		case strings.HasPrefix(target.Path, "/"):
			d.report(line, "%s: links inside the repository are relative", destination)
			return
		}
		name := d.name
		if target.Path != "" {
			name = path.Join(path.Dir(d.name), target.Path)
			if _, err := os.Stat(filepath.Join(root, name)); err != nil { //nolint:gosec // a link of the repository
				d.report(line, "%s does not exist", destination)
				return
			}
		}
		if name != d.name {
			linked[name] = true
			linked[path.Join(name, "README.md")] = true // a link to a folder shows its README
		}
		if to := documents[name]; target.Fragment != "" && to != nil && !to.anchors[target.Fragment] {
			d.report(line, "%s has no heading #%s", name, target.Fragment)
		}
	})
}

// lineOfLink returns the line of the text of a link; an image without text has that of its block.
func (d *document) lineOfLink(link ast.Node) int {
	for n := link; n != nil; n = n.Parent() {
		if line := d.firstLine(n); line > 0 {
			return line
		}
	}
	return 1
}

// firstLine returns the number of the first line of a node, 0 when it has no text.
func (d *document) firstLine(n ast.Node) int {
	if code, ok := n.(*ast.FencedCodeBlock); ok {
		switch {
		case code.Info != nil:
			return d.lineOf(code.Info.Segment.Start)
		case code.Lines().Len() > 0:
			return d.lineOf(code.Lines().At(0).Start) - 1
		}
		return 0
	}
	if t, ok := n.(*ast.Text); ok {
		return d.lineOf(t.Segment.Start)
	}
	if n.Type() == ast.TypeBlock && n.Lines() != nil && n.Lines().Len() > 0 {
		return d.lineOf(n.Lines().At(0).Start)
	}
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if line := d.firstLine(child); line > 0 {
			return line
		}
	}
	return 0
}

// textOf returns the text of a node without its marks.
func textOf(n ast.Node, content []byte) string {
	var text strings.Builder
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if t, ok := child.(*ast.Text); ok {
			text.Write(t.Segment.Value(content))
		} else {
			text.WriteString(textOf(child, content))
		}
	}
	return text.String()
}
