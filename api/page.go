package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"quartermaster/api/openapi"
	"quartermaster/api/reference"
)

const (
	headerContentEncoding = "Content-Encoding"
	contentEncodingGzip   = "gzip"
)

// referencePolicy allows what the reference page needs: its own style, and no script.
const referencePolicy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page is a text that does not change while the process runs. It is kept in both forms in which it is served.
type page struct {
	contentType     string
	plain, gzipped  []byte
	etag, gzippedAs string // strong validators: each form has its own. Source: RFC 9110, section 8.8.3
}

func newPage(contentType string, text []byte) page {
	var compressed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&compressed, gzip.BestCompression) // fails only for a level that does not exist
	_, _ = w.Write(text)                                           // to memory: cannot fail
	_ = w.Close()
	hash := sha256.Sum256(text)
	version := base64.RawURLEncoding.EncodeToString(hash[:12])
	return page{
		contentType: contentType, plain: text, gzipped: compressed.Bytes(),
		etag: strconv.Quote(version), gzippedAs: strconv.Quote(version + "-gzip"),
	}
}

// serve answers with the page, compressed if the caller accepts that. Caches may keep it if they ask whether it is current.
func (p page) serve(c echo.Context) error {
	header := c.Response().Header()
	header.Set(echo.HeaderCacheControl, "no-cache")
	header.Add(echo.HeaderVary, echo.HeaderAcceptEncoding)
	text, etag := p.plain, p.etag
	if acceptsGzip(c.Request().Header) {
		text, etag = p.gzipped, p.gzippedAs
		header.Set(headerContentEncoding, contentEncodingGzip)
	}
	header.Set(headerETag, etag)
	return c.Blob(http.StatusOK, p.contentType, text)
}

// serveReference is serve for the reference page, which needs less than other pages.
func (p page) serveReference(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderContentSecurityPolicy, referencePolicy)
	return p.serve(c)
}

// acceptsGzip reports whether the caller reads gzip: Accept-Encoding names it, or everything, with a weight above 0.
// Source: RFC 9110, section 12.5.3.
func acceptsGzip(header http.Header) bool {
	accepted := false
	for coding := range strings.SplitSeq(strings.Join(header.Values(echo.HeaderAcceptEncoding), ","), ",") {
		name, parameters, _ := strings.Cut(coding, ";")
		_, weight, weighted := strings.Cut(strings.ToLower(parameters), "q=")
		q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		accepts := !weighted || err == nil && q > 0
		switch strings.ToLower(strings.TrimSpace(name)) {
		case contentEncodingGzip:
			return accepts
		case "*":
			accepted = accepts
		}
	}
	return accepted
}

// pages are the pages about the API itself. They are made once, because they are large and the same for every service.
type pages struct{ document, reference, style page }

var ourPages = sync.OnceValues(func() (pages, error) {
	document, err := ourDocument()
	if err != nil {
		return pages{}, err
	}
	html, err := reference.Page(openapi.Document)
	if err != nil {
		return pages{}, err
	}
	return pages{
		document:  newPage(echo.MIMEApplicationJSON, document.json),
		reference: newPage(echo.MIMETextHTMLCharsetUTF8, html),
		style:     newPage("text/css; charset=utf-8", reference.Style),
	}, nil
})
