package console

import (
	"io"
	"net/http"

	"quartermaster/api/client"
)

// download passes on a file of the API as the browser's download.
func (p *page) download(answer *http.Response, err error) error {
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		_, err := client.Body(answer, nil)
		return err
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
