package console

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/stretchr/testify/require"

	"quartermaster/api"
	"quartermaster/api/apitest"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// testConsole is a console over a real API.
type testConsole struct {
	*apitest.API
	server  *httptest.Server
	handler http.Handler
	now     time.Time // zero: the real time
}

func setup(t *testing.T, change ...func(*api.Config)) *testConsole {
	t.Helper()
	w := &testConsole{API: apitest.New(t, change...)}
	// Browsers keep cookies with the prefix __Host- over TLS only.
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		w.handler.ServeHTTP(answer, r)
	}))
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	w.serve(t, nil)
	return w
}

// serve makes the pages, with an issuer or without one.
func (w *testConsole) serve(t *testing.T, issuer *OIDC) {
	t.Helper()
	pages, err := New(Config{
		API: w.Handler, Sessions: w.DB.Sessions, PublicURL: w.server.URL, OIDC: issuer, Log: slog.New(slog.NewJSONHandler(w.Log, nil)),
		Now: func() time.Time {
			if w.now.IsZero() {
				return time.Now()
			}
			return w.now
		},
	})
	require.NoError(t, err)
	w.handler = pages
}

// browser is a person's browser without JavaScript.
type browser struct {
	t    *testing.T
	w    *testConsole
	http *http.Client

	headers map[string]string // of all requests
}

// visitor returns a browser in which no one is signed in.
func (w *testConsole) visitor(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{t: t, w: w, http: &http.Client{
		Jar:           jar,
		Transport:     w.server.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// as returns a browser in which a new key of acme with the role is signed in.
func (w *testConsole) as(t *testing.T, role provision.Role, change ...func(*provision.APIKey)) *browser {
	t.Helper()
	if role == provision.RoleMarketplace {
		change = append([]func(*provision.APIKey){func(k *provision.APIKey) { k.Marketplaces = []string{"nordic"} }}, change...)
	}
	b := w.visitor(t)
	b.signIn(w.Key(t, "acme", role, change...))
	return b
}

func (b *browser) signIn(key string) {
	b.t.Helper()
	answer := b.post("/console/sign-in", "key", key)
	require.Equal(b.t, http.StatusSeeOther, answer.status, answer.text)
}

// answer is what a browser got.
type answer struct {
	*goquery.Document
	status   int
	text     string
	location string
	header   http.Header
}

// said is the sentence of the page in role=status.
func (a answer) said() string { return strings.TrimSpace(a.Find(".said-done").Text()) }

func (b *browser) get(path string, headers ...string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.w.server.URL+path, http.NoBody)
	require.NoError(b.t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return b.do(r)
}

// post sends a form, in pairs of name and value, as a browser does from a page of the console.
func (b *browser) post(path string, fields ...string) answer {
	b.t.Helper()
	return b.do(b.request(path, fields...))
}

// request is what post sends.
func (b *browser) request(path string, fields ...string) *http.Request {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.w.server.URL+path, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", b.w.server.URL)
	return r
}

func (b *browser) do(r *http.Request) answer {
	b.t.Helper()
	for name, value := range b.headers {
		r.Header.Set(name, value)
	}
	got, err := b.http.Do(r)
	require.NoError(b.t, err)
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	require.NoError(b.t, err)
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(string(text)))
	require.NoError(b.t, err)
	return answer{doc, got.StatusCode, string(text), got.Header.Get("Location"), got.Header}
}

// follow sends a form and reads the page to which it leads.
func (b *browser) follow(path string, fields ...string) answer {
	b.t.Helper()
	sent := b.post(path, fields...)
	require.Equal(b.t, http.StatusSeeOther, sent.status, sent.text)
	return b.get(sent.location)
}

// page reads a page that must be there.
func (b *browser) page(path string) answer {
	b.t.Helper()
	got := b.get(path)
	require.Equal(b.t, http.StatusOK, got.status, got.text)
	return got
}
