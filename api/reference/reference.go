package reference

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"go.yaml.in/yaml/v3"
)

// Style is the style sheet of the page, which the page expects at docs/reference.css.
//
//go:embed reference.css
var Style []byte

//go:embed page.html
var pageText string

// Page renders an OpenAPI document as an HTML page.
func Page(openAPI []byte) ([]byte, error) {
	var r renderer
	if err := yaml.Unmarshal(openAPI, &r.document); err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	groups, err := r.groups()
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	page, err := template.New("page").Funcs(template.FuncMap{
		"markdown": r.markdown, "inline": r.inline, "fields": r.fields, "kind": r.kind, "rules": rules,
		"examples": r.examples, "lower": strings.ToLower,
	}).Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	var html bytes.Buffer
	err = page.Execute(&html, map[string]any{
		"Document": r.document, "Groups": groups, "Catalog": r.schemas(true), "Schemas": r.schemas(false),
	})
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	return html.Bytes(), nil
}

type renderer struct{ document document }

// group is the operations of one tag.
type group struct {
	tag
	Operations []endpoint
}

// endpoint is an operation with everything that the page shows of it.
type endpoint struct {
	operation
	Method, Path string
	Scope        string // empty: the operation needs no key
	Parameters   []parameter
	Responses    []answer
}

// answer is a response of an operation.
type answer struct {
	response
	Status  string
	Headers []member[header]
	Problem bool
}

// ID is the anchor of a tag.
func (t tag) ID() string { return "tag-" + strings.ReplaceAll(strings.ToLower(t.Name), " ", "-") }

func (r renderer) groups() ([]group, error) {
	groups := make([]group, len(r.document.Tags))
	for i, t := range r.document.Tags {
		groups[i].tag = t
	}
	for _, from := range []struct {
		items ordered[pathItem]
		verb  string // empty: that of the operation
	}{{r.document.Paths, ""}, {r.document.Webhooks, "EVENT"}} {
		for _, item := range from.items {
			for _, op := range item.Value.operations() {
				e, err := r.endpoint(op.Name, item, *op.Value)
				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", op.Name, item.Name, err)
				}
				if from.verb != "" {
					e.Method = from.verb
				}
				i := slices.IndexFunc(groups, func(g group) bool { return slices.Contains(e.Tags, g.Name) })
				if i < 0 {
					return nil, fmt.Errorf("%s %s: the document has no tag %q", op.Name, item.Name, e.Tags)
				}
				groups[i].Operations = append(groups[i].Operations, e)
			}
		}
	}
	return groups, nil
}

func (p pathItem) operations() (found []member[*operation]) {
	for _, m := range []member[*operation]{{"POST", p.Post}, {"GET", p.Get}, {"PUT", p.Put}, {"PATCH", p.Patch}, {"DELETE", p.Delete}} {
		if m.Value != nil {
			found = append(found, m)
		}
	}
	return found
}

func (r renderer) endpoint(method string, at member[pathItem], op operation) (e endpoint, err error) {
	e = endpoint{operation: op, Method: method, Path: at.Name}
	for _, security := range op.Security {
		for _, scopes := range security {
			e.Scope = strings.Join(scopes, ", ")
		}
	}
	for _, p := range slices.Concat(at.Value.Parameters, op.Parameters) {
		if p.Ref != "" {
			if p, err = r.document.Components.Parameters.named(p.Ref); err != nil {
				return e, err
			}
		}
		e.Parameters = append(e.Parameters, p)
	}
	for _, m := range op.Responses {
		a := answer{response: m.Value, Status: m.Name, Problem: m.Name >= "400"}
		if a.Ref != "" {
			if a.response, err = r.document.Components.Responses.named(a.Ref); err != nil {
				return e, err
			}
		}
		for _, h := range a.response.Headers {
			if h.Value.Ref != "" {
				if h.Value, err = r.document.Components.Headers.named(h.Value.Ref); err != nil {
					return e, err
				}
			}
			a.Headers = append(a.Headers, h)
		}
		e.Responses = append(e.Responses, a)
	}
	return e, nil
}

// schemas returns the schemas that list codes, or all others.
func (r renderer) schemas(catalog bool) (found []member[schema]) {
	for _, m := range r.document.Components.Schemas {
		if (len(m.Value.Extensible) > 0) == catalog {
			found = append(found, m)
		}
	}
	return found
}

// shownExample is an example as text.
type shownExample struct{ Summary, Text string }

// examples returns the examples of a body.
func (r renderer) examples(mediaType string, c content) (shown []shownExample, err error) {
	all := c.Examples
	if !c.Example.IsZero() {
		all = append(ordered[example]{{Value: example{Value: c.Example}}}, all...)
	}
	for _, m := range all {
		e := m.Value
		if e.Ref != "" {
			if e, err = r.document.Components.Examples.named(e.Ref); err != nil {
				return nil, err
			}
		}
		text := e.Value.Value
		if strings.HasSuffix(mediaType, "json") {
			if text, err = indentedJSON(&e.Value); err != nil {
				return nil, err
			}
		}
		shown = append(shown, shownExample{e.Summary, text})
	}
	return shown, nil
}

var (
	converter    = goldmark.New(goldmark.WithExtensions(extension.Table)) // leaves out HTML of the text
	codeSpan     = regexp.MustCompile(`<code>([A-Za-z]+)</code>`)
	oneParagraph = regexp.MustCompile(`^<p>([\s\S]*)</p>\n$`)
)

// markdown renders a description. A schema that it names becomes a link.
func (r renderer) markdown(text string) (template.HTML, error) {
	var html bytes.Buffer
	if err := converter.Convert([]byte(text), &html); err != nil {
		return "", err
	}
	linked := codeSpan.ReplaceAllStringFunc(html.String(), func(span string) string {
		name := codeSpan.FindStringSubmatch(span)[1]
		if _, err := r.document.Components.Schemas.named(name); err != nil {
			return span
		}
		return `<a href="#` + name + `">` + span + `</a>`
	})
	wide := strings.NewReplacer("<table>", `<div class="wide"><table>`, "</table>", "</table></div>").Replace(linked)
	return template.HTML(wide), nil //nolint:gosec // goldmark escapes the text
}

// inline renders the first paragraph of a description, without a paragraph of its own.
func (r renderer) inline(text string) (template.HTML, error) {
	first, _, _ := strings.Cut(text, "\n\n")
	html, err := r.markdown(first)
	return template.HTML(oneParagraph.ReplaceAllString(string(html), "$1")), err //nolint:gosec // as above
}
