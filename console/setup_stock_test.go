package console

import (
	"bytes"
	"html"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"

	"github.com/PuerkitoBio/goquery"
	"github.com/stretchr/testify/require"
)

// hostile is what others may write wherever text is free.
const hostile = `<script>alert(1)</script> שלום javascript:alert(1) "'`

// upload sends a file as the form of the import does.
func (b *browser) upload(path, name, text string) answer {
	b.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", name)
	require.NoError(b.t, err)
	_, err = part.Write([]byte(text))
	require.NoError(b.t, err)
	require.NoError(b.t, form.Close())
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.w.server.URL+path, &body)
	require.NoError(b.t, err)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", b.w.server.URL)
	return b.do(r)
}

// fields are the fields of the form with that address, as a browser would send them, and the given ones instead: pairs.
func (a answer) fields(action string, pairs ...string) (fields []string) {
	given := map[string]bool{}
	for i := 0; i < len(pairs); i += 2 {
		given[pairs[i]] = true
	}
	form := a.Find(`form[action="` + action + `"]`)
	for _, at := range form.Find("input[name], textarea[name], select[name]").EachIter() {
		name, _ := at.Attr("name")
		kind, _ := at.Attr("type")
		_, checked := at.Attr("checked")
		if given[name] || (kind == "checkbox" || kind == "radio") && !checked {
			continue
		}
		value, _ := at.Attr("value")
		switch {
		case at.Is("textarea"):
			value = at.Text()
		case at.Is("select"):
			value, _ = at.Find("option[selected]").Attr("value")
		}
		fields = append(fields, name, value)
	}
	return append(fields, pairs...)
}

var tags = regexp.MustCompile(`<[^>]*>`)

// words are the text of what a selector finds, with a single space between words and elements.
func (a answer) words(selector string) string {
	var text strings.Builder
	for _, found := range a.Find(selector).EachIter() {
		markup, _ := goquery.OuterHtml(found) // what was parsed can be written
		text.WriteString(html.UnescapeString(tags.ReplaceAllString(markup, " ")))
	}
	return strings.Join(strings.Fields(text.String()), " ")
}
