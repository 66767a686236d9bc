package console

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"quartermaster/api"
	"quartermaster/api/apitest"
	"quartermaster/console"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// chromium starts the browser of all tests of the package. It ends with the process. A start may fail on a busy machine, so there are
// several.
var chromium = sync.OnceValues(func() (ctx context.Context, err error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-breakpad", true), chromedp.Flag("disable-crash-reporter", true))
	for range 3 {
		allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, _ = chromedp.NewContext(allocator)
		if err = chromedp.Do(ctx); err == nil {
			return ctx, nil
		}
	}
	return nil, err
})

// site is a console at an address of the loopback. Chromium keeps Secure cookies there without TLS.
type site struct {
	*apitest.API
	t       *testing.T
	url     string
	handler http.Handler
}

func setup(t *testing.T, change ...func(*api.Config)) *site {
	t.Helper()
	s := &site{t: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	s.url = server.URL
	s.API = apitest.New(t, append([]func(*api.Config){func(c *api.Config) { c.PublicURL = server.URL }}, change...)...)
	s.serve(t, nil)
	return s
}

// serve makes the pages, with an issuer or without one.
func (s *site) serve(t *testing.T, issuer *console.OIDC) {
	t.Helper()
	pages, err := console.New(console.Config{API: s.Handler, Sessions: s.DB.Sessions, PublicURL: s.url, OIDC: issuer,
		Log: slog.New(slog.NewTextHandler(io.MultiWriter(s.Log), nil))})
	require.NoError(t, err)
	s.handler = pages
}

// view is how a page is looked at.
type view struct {
	name   string
	width  int
	height int
	scheme string
}

// The views of the tests: the widths of a phone and a desk, in both schemes.
var (
	desk      = view{"desk-light", 1280, 900, "light"}
	deskDark  = view{"desk-dark", 1280, 900, "dark"}
	phone     = view{"phone-light", 390, 844, "light"}
	phoneDark = view{"phone-dark", 390, 844, "dark"}
)

// tab is a tab of the browser.
type tab struct {
	t    *testing.T
	site *site
	ctx  context.Context
}

// tabTimeout is how long a test may use its tab.
const tabTimeout = 5 * time.Minute

// open opens a tab with cookies of its own.
func (s *site) open(t *testing.T, v view) *tab {
	t.Helper()
	running, err := chromium()
	require.NoError(t, err, "Chromium: install it with your package manager")
	ctx, closeTab := chromedp.NewContext(running, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	require.NoError(t, chromedp.Do(ctx)) // the first call must have no limit
	ctx, cancel := context.WithTimeout(ctx, tabTimeout)
	t.Cleanup(cancel)
	b := &tab{t: t, site: s, ctx: ctx}
	b.look(v)
	return b
}

// look gives the tab another size and scheme.
func (b *tab) look(v view) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(int64(v.width), int64(v.height)), chromedp.Func(func(ctx context.Context, to *chromedp.Target) error {
		_, err := cdp.Call(ctx, to, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}},
		})
		return err
	}))
}

// do runs actions that must succeed.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, actions...))
}

// visit opens a page of the console.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.site.url + path))
}

// signIn signs in with a new key of acme.
func (b *tab) signIn(role provision.Role) {
	b.t.Helper()
	var change []func(*provision.APIKey)
	if role == provision.RoleMarketplace {
		change = append(change, func(k *provision.APIKey) { k.Marketplaces = []string{"nordic"} })
	}
	b.visit("/console/")
	b.do(chromedp.SendKeys("#f-key", b.site.Key(b.t, "acme", role, change...)), chromedp.Submit("#f-key"))
	b.until(`!!document.querySelector(".who")`)
}

// overwrite types into a field with that id, over what it has, and then presses what follows in keys.
func (b *tab) overwrite(id, keys string) {
	b.t.Helper()
	b.do(chromedp.Focus("#" + id))
	b.until(fmt.Sprintf("document.getElementById(%q).select() === undefined", id))
	b.do(chromedp.KeyEvent(keys))
}

// until waits until an expression is true on the page. A navigation in between does no harm.
func (b *tab) until(expression string) {
	b.t.Helper()
	var last error
	require.Eventually(b.t, func() bool {
		var is bool
		is, last = chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		return is && last == nil
	}, 15*time.Second, 30*time.Millisecond, "%s: %v\n%s", expression, last, b.text())
}

// text is what the page says.
func (b *tab) text() string {
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\n" + (document.body?.innerText ?? "")`))
	if err != nil {
		return err.Error()
	}
	return text
}

// photograph takes a picture of the whole page as WebP, which is a third of a PNG.
func photograph(ctx context.Context, to *chromedp.Target) ([]byte, error) {
	shot, err := cdp.Call(ctx, to, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{
		Format: cdppage.CaptureScreenshotFormatWebp, Quality: new(int64(80)), CaptureBeyondViewport: new(true), FromSurface: new(true),
	})
	if err != nil {
		return nil, err
	}
	return shot.Data, nil
}

// keep keeps a picture of the whole page, if someone wants to look at it.
func (b *tab) keep(name string) {
	b.t.Helper()
	folder := os.Getenv("CONSOLE_PICTURES")
	if folder == "" {
		return
	}
	shot, err := chromedp.Run(b.ctx, photograph)
	require.NoError(b.t, err)
	require.NoError(b.t, os.MkdirAll(folder, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(folder, name+".webp"), shot, 0o600))
}
