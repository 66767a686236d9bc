package console

import (
	"io"
	"net/http"

	"quartermaster/api/client"
)

// listLimit is how many rows a list shows.
const listLimit = 50

// cursor is the place in a list that the address names; nil: the beginning.
func (p *page) cursor() *string {
	if text := p.Query("cursor"); text != "" {
		return &text
	}
	return nil
}

// nextPage is the address of the next page of a list; empty: this is the last one.
func (p *page) nextPage(cursor *string, pairs ...string) string {
	if cursor == nil {
		return ""
	}
	return p.With(append(pairs, "cursor", *cursor)...)
}

// done reads the answer of an operation that returns nothing.
func done(answer *http.Response, err error) error {
	_, err = client.Body(answer, err)
	return err
}

// download passes on a file of the API as the browser's download.
func (p *page) download(answer *http.Response, err error) error {
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return done(answer, nil)
	}
	defer func() { _ = answer.Body.Close() }()
	for _, name := range []string{"Content-Type", "Content-Disposition"} {
		p.w.Header().Set(name, answer.Header.Get(name))
	}
	p.w.WriteHeader(http.StatusOK)
	if _, err := io.Copy(p.w, answer.Body); err != nil {
		// The browser must not take a part for the whole: the connection breaks instead of ending.
		p.console.Log.WarnContext(p.ctx(), "a download broke off", "page", p.r.Pattern, "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}
