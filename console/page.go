package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// handler answers a request for a page. An error becomes a page that explains it.
type handler func(*page) error

// page is one request, and what its templates see.
type page struct {
	*look
	console *console
	w       http.ResponseWriter
	r       *http.Request

	Title   string            // of the tab and the heading
	Session provision.Session // of the browser; empty: no one is signed in
	Grant   provision.Grant   // what the session may do at Provider
	API     *openapi.Client   // calls operations with the rights of the session at Provider; nil: no one is signed in
	Now     time.Time
	Said    string     // a sentence about what the last form did
	Live    string     // how the page keeps up: empty (it does not change), "events", or a number of seconds
	Order   string     // the order whose events alone the page follows; empty: all events
	Data    any        // what the page itself shows
	kept    url.Values // what a form had before a sign-in interrupted it

	attention chan counts // the numbers in the menu
}

// Provider is whose page it is.
func (p *page) Provider() string { return p.Grant.Provider }

// May reports whether the session has the scope at this provider.
func (p *page) May(scope provision.Scope) bool { return p.Grant.May(scope) }

// ctx is the context of the request.
func (p *page) ctx() context.Context { return p.r.Context() }

// URL returns the address of a page of this provider. Each part is one segment of the path: a text, or a pointer to one.
func (p *page) URL(parts ...any) string {
	escaped := make([]string, len(parts))
	for i, part := range parts {
		escaped[i] = url.PathEscape(fmt.Sprint(reflect.Indirect(reflect.ValueOf(part))))
	}
	return p.console.base + "/" + p.Provider() + "/" + strings.Join(escaped, "/")
}

// Front is the address of the first page of this provider that the person may see.
func (p *page) Front() string { return p.URL(firstPage(p.Grant)) }

// Home is the address of the console, before a provider is known.
func (p *page) Home() string { return p.console.base + "/" }

// Here is the address of this page.
func (p *page) Here() string {
	return strings.TrimSuffix(p.console.base, "/console") + p.r.URL.RequestURI()
}

// With returns the address of this page with other query parameters: pairs of name and value. An empty value removes one.
func (p *page) With(pairs ...string) string {
	query := p.r.URL.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		if query.Del(pairs[i]); pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	path := strings.TrimSuffix(p.console.base, "/console") + p.r.URL.Path
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// Query returns a parameter of the address.
func (p *page) Query(name string) string { return p.r.URL.Query().Get(name) }

// answer turns a handler into an http.HandlerFunc.
func (c *console) answer(handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		written := &statusWriter{ResponseWriter: w}
		p := &page{console: c, w: written, r: r, look: lookOf(r), Now: c.Now()}
		p.Said = p.takeSaid()
		p.kept, _ = r.Context().Value(keptKey{}).(url.Values)
		p.now = p.Now
		if err := handle(p); err != nil {
			p.explain(err) //nolint:contextcheck // the page has the context of the request
		}
		c.Log.LogAttrs(context.WithoutCancel(r.Context()), levelOf(written.status), "page", pageAttrs(p, written.status, time.Since(began))...)
	}
}

// needs wraps a page that only a signed-in owner of the scope may see. An empty scope needs a sign-in alone.
func needs(scope provision.Scope, handle handler) handler {
	return func(p *page) error {
		switch err := p.findSession(); {
		case errors.Is(err, provision.ErrNotFound):
			return p.askToSignIn("Your session has ended. Sign in to go on.")
		case err != nil:
			return err
		}
		provider := p.r.PathValue("provider")
		who, ok := p.Session.Principal(provider)
		if !ok {
			return &problem{status: http.StatusNotFound, title: "Not found",
				detail: fmt.Sprintf("There is no provider %q, or you have no role there.", provider)}
		}
		p.Grant, p.API = who.Grant, p.console.client(p.console.API.As(who, p.console.API.ClientAddress(p.r)))
		if p.kept == nil {
			p.kept = p.takeForm()
		}
		if p.r.Method == http.MethodGet && !strings.HasSuffix(p.r.Pattern, "/live") {
			p.count() // while the page is read; forms mostly lead on to another page
		}
		if scope != "" && !p.May(scope) {
			return p.forbidden(scope)
		}
		return handle(p)
	}
}

// client returns a client of the API.
func (c *console) client(transport http.RoundTripper) *openapi.Client {
	client, err := openapi.NewClient("http://quartermaster.internal", openapi.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		panic(err) // the address is a constant
	}
	return client
}

// show answers with a page.
func (p *page) show(name, title string, data any) error {
	return p.showStatus(http.StatusOK, name, title, data)
}

func (p *page) showStatus(status int, name, title string, data any) error {
	p.Title, p.Data = title, data
	var text bytes.Buffer
	if err := p.console.pages.execute(&text, name, p); err != nil {
		return err
	}
	p.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	p.w.WriteHeader(status)
	_, err := p.w.Write(text.Bytes())
	if err != nil {
		p.console.Log.DebugContext(p.ctx(), "the browser did not read the page", "error", err)
	}
	return nil
}

// fragment answers the script with a part of a page: the template with that name in the file of the page.
func (p *page) fragment(file, name string, data any) error {
	var text bytes.Buffer
	if err := p.console.pages[file].ExecuteTemplate(&text, name, data); err != nil {
		return err
	}
	p.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if _, err := p.w.Write(text.Bytes()); err != nil {
		p.console.Log.DebugContext(p.ctx(), "the browser did not read the fragment", "error", err)
	}
	return nil
}

// redirect leads the browser to another page after a form, with a sentence that says what was done; empty: none.
func (p *page) redirect(to, said string) error {
	if said != "" {
		p.say(said)
	}
	http.Redirect(p.w, p.r, to, http.StatusSeeOther)
	return nil
}

// noPage answers an address that has no page.
func noPage(*page) error {
	return &problem{status: http.StatusNotFound, title: "Not found", detail: "There is no page at this address. Use the menu or the search."}
}
