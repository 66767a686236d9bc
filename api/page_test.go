package api

import (
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDocumentAndItsPageAreCompressedAndCached(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, target := range []string{"/v1/openapi.json", "/docs", "/docs/reference.css"} {
		plain := w.send("", http.MethodGet, target, "")
		require.Equal(t, http.StatusOK, plain.Code, target)
		require.Empty(t, plain.Header().Get("Content-Encoding"))
		require.Equal(t, "no-cache", plain.Header().Get("Cache-Control"))
		require.Contains(t, plain.Header().Values("Vary"), "Accept-Encoding")

		small := w.send("", http.MethodGet, target, "", "Accept-Encoding", "br, gzip")
		require.Equal(t, "gzip", small.Header().Get("Content-Encoding"))
		require.Less(t, small.Body.Len(), plain.Body.Len()/2)
		reader, err := gzip.NewReader(small.Body)
		require.NoError(t, err)
		text, err := io.ReadAll(reader)
		require.NoError(t, err)
		require.Equal(t, plain.Body.String(), string(text))

		tag, smallTag := plain.Header().Get("ETag"), small.Header().Get("ETag")
		require.Regexp(t, `^"[\w-]+"$`, tag)
		require.NotEqual(t, tag, smallTag, "two forms are two representations")
		known := w.send("", http.MethodGet, target, "", "If-None-Match", tag)
		require.Equal(t, http.StatusNotModified, known.Code)
		require.Equal(t, tag, known.Header().Get("ETag"))
		require.Empty(t, known.Body.String())
		known = w.send("", http.MethodGet, target, "", "If-None-Match", "W/"+smallTag, "Accept-Encoding", "gzip")
		require.Equal(t, http.StatusNotModified, known.Code)
		require.Empty(t, known.Header().Get("Content-Encoding"))
		require.Equal(t, http.StatusOK, w.send("", http.MethodGet, target, "", "If-None-Match", `"other"`).Code)
	}
}

func TestGzipIsSentOnlyToThoseWhoReadIt(t *testing.T) {
	t.Parallel()
	for header, accepted := range map[string]bool{
		"": false, "gzip": true, "deflate, GZIP;q=0.5": true, "gzip;q=0": false, "*": true, "*, gzip; q=0.0": false,
		"*;q=0": false, "identity": false, "x-gzip2": false, "gzip;q=many": false,
	} {
		require.Equal(t, accepted, acceptsGzip(http.Header{"Accept-Encoding": {header}}), header)
	}
}

// The page loads nothing but its style sheet, and its policy forbids everything else.
func TestTheReferencePageIsSelfContained(t *testing.T) {
	t.Parallel()
	w := setup(t)
	answer := w.send("", http.MethodGet, "/docs", "")
	require.Equal(t, "text/html; charset=UTF-8", answer.Header().Get("Content-Type"))
	require.Equal(t, []string{referencePolicy}, answer.Header().Values("Content-Security-Policy"))
	html := answer.Body.String()
	for _, forbidden := range []string{"<script", "<style", " style=", "<img", "<iframe", " onclick="} {
		require.NotContains(t, html, forbidden)
	}
	loaded := regexp.MustCompile(`<link[^>]* href="([^"]+)"`).FindAllStringSubmatch(html, -1)
	require.Len(t, loaded, 1)
	require.Equal(t, http.StatusOK, w.send("", http.MethodGet, "/"+loaded[0][1], "").Code)
	require.Equal(t, "text/css; charset=utf-8", w.send("", http.MethodGet, "/"+loaded[0][1], "").Header().Get("Content-Type"))
	require.NotContains(t, w.send("", http.MethodGet, "/docs/reference.css", "").Body.String(), "url(")
	for name, op := range w.service.contract.operations {
		require.Contains(t, html, `<article id="`+op.OperationID+`">`, name)
	}
	for schema := range w.service.contract.doc.Components.Schemas {
		require.Contains(t, html, `<article id="`+schema+`">`)
	}
	for _, link := range regexp.MustCompile(` href="#([^"]+)"`).FindAllStringSubmatch(html, -1) {
		require.Contains(t, html, ` id="`+link[1]+`"`, "the page links to #%s", link[1])
	}
}
