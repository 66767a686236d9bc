package console

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/stretchr/testify/require"
)

// fill reads a page with a form and returns what a browser would send from it, with other values in pairs of name and value.
func (b *browser) fill(path string, changes ...string) (fields []string) {
	b.t.Helper()
	return b.page(path).fill(b.t, changes...)
}

// fill returns what a browser would send from the page's form, with other values in pairs of name and value.
func (a answer) fill(t *testing.T, changes ...string) (fields []string) {
	t.Helper()
	values := url.Values{}
	form := a.Find("main form[method=post]").Last()
	require.Equal(t, 1, form.Length(), a.text)
	form.Find("input, textarea, select").Each(func(_ int, field *goquery.Selection) {
		name := field.AttrOr("name", "")
		kind, _ := field.Attr("type")
		_, checked := field.Attr("checked")
		switch {
		case goquery.NodeName(field) == "textarea":
			values.Add(name, field.Text())
		case goquery.NodeName(field) == "select":
			chosen := field.Find("option[selected]")
			if chosen.Length() == 0 {
				chosen = field.Find("option").First()
			}
			values.Add(name, chosen.AttrOr("value", ""))
		case kind != "checkbox" && kind != "radio" || checked:
			values.Add(name, field.AttrOr("value", ""))
		}
	})
	for i := 0; i < len(changes); i += 2 {
		values.Del(changes[i])
	}
	for i := 0; i < len(changes); i += 2 {
		values.Add(changes[i], changes[i+1])
	}
	for name, texts := range values {
		for _, text := range texts {
			fields = append(fields, name, text)
		}
	}
	return fields
}

// refused sends a form that must be refused with the status, and shown again.
func (b *browser) refused(status int, path string, fields ...string) answer {
	b.t.Helper()
	got := b.post(path, fields...)
	require.Equal(b.t, status, got.status, got.text)
	require.Contains(b.t, got.Find("title").Text(), "Error:")
	require.Equal(b.t, 1, got.Find(".summary[role=alert]").Length())
	return got
}

// secret sends a form whose answer must show a secret.
func (b *browser) secret(path string, fields ...string) (answer, string) {
	b.t.Helper()
	got := b.post(path, fields...)
	require.Equal(b.t, http.StatusOK, got.status, got.text)
	text := got.Find("#secret").Text()
	require.NotEmpty(b.t, text)
	return got, text
}
