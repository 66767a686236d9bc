package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"quartermaster/internal/provision"
)

// API is what the console calls. *api.Handler implements it.
type API interface {
	// As returns a transport of requests that are sent as the principal.
	As(who provision.Principal, from netip.Addr) http.RoundTripper
	// Unauthenticated returns a transport of requests that authenticate themselves by their headers.
	Unauthenticated(from netip.Addr) http.RoundTripper
	// ClientAddress returns the address that the request came from, behind the proxies that are trusted.
	ClientAddress(r *http.Request) netip.Addr
}

// Sessions are the browsers that are signed in. Package internal/postgres implements them.
type Sessions interface {
	// Start stores a new session, and deletes those that ran out or that no one has used since idleBefore. Errors:
	// provision.ErrNotFound when the session's key does not exist.
	Start(ctx context.Context, session provision.Session, idleBefore time.Time) error
	// Find reads the session of the token with that SHA-256. Errors: provision.ErrNotFound when it has ended.
	Find(ctx context.Context, hash []byte) (provision.Session, error)
	// NoteUse records that a person used the session, at most once a minute.
	NoteUse(ctx context.Context, hash []byte, at time.Time) error
	// End ends the session because its owner signed out. It succeeds if there is none.
	End(ctx context.Context, actor string, hash []byte) error
}

// Config configures the console. API, Sessions and PublicURL are required.
type Config struct {
	API      API
	Sessions Sessions
	// PublicURL is the URL at which browsers reach the service, such as https://aws.provider.example. The console is at /console.
	PublicURL string
	// Idle is how long an unused session lives. Default: 30 minutes.
	Idle time.Duration
	// Longest is how long a session lives at most. Default: 12 hours.
	Longest time.Duration
	OIDC    *OIDC            // by whom people sign in; nil: API keys only
	Log     *slog.Logger     // default: slog.Default()
	Now     func() time.Time // default: time.Now
}

// Bounds of sessions, and of what their owner must have proved recently.
const (
	defaultIdle    = 30 * time.Minute
	defaultLongest = 12 * time.Hour
	stepUp         = 15 * time.Minute // the sign-in must be this recent to make or show a secret
)

// console serves the pages.
type console struct {
	Config
	base   string  // the path of the console, such as /console
	issuer *issuer // by whom people sign in; nil: API keys only
	pages  templates
	static static
	mux    *http.ServeMux
	routed []route
}

// route is an address that the console answers, and the scope that it needs.
type route struct {
	pattern string
	scope   provision.Scope // empty: a sign-in is enough
}

// New returns the handler of the console, for all paths below /console/ of the PublicURL.
func New(cfg Config) (http.Handler, error) {
	public, err := url.Parse(cfg.PublicURL)
	if err != nil || public.Host == "" {
		return nil, fmt.Errorf("console: public URL %q must have the form https://host", cfg.PublicURL)
	}
	if cfg.API == nil || cfg.Sessions == nil {
		return nil, errors.New("console: API and Sessions are needed")
	}
	if cfg.Idle <= 0 {
		cfg.Idle = defaultIdle
	}
	if cfg.Longest <= 0 {
		cfg.Longest = defaultLongest
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &console{Config: cfg, base: strings.TrimSuffix(public.EscapedPath(), "/") + "/console"}
	if cfg.OIDC != nil {
		if c.issuer, err = newIssuer(*cfg.OIDC, strings.TrimSuffix(cfg.PublicURL, "/")); err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
	}
	if c.static, err = readStatic(); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if c.pages, err = readTemplates(); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return c.routes(), nil
}

// routes are all pages of the console.
func (c *console) routes() http.Handler {
	c.mux = http.NewServeMux()
	open := func(pattern string, handle handler) { // to anyone
		c.mux.HandleFunc(inConsole(pattern), c.answer(handle))
	}
	with := func(scope provision.Scope, pattern string, handle handler) { // to those who have the scope; empty: to all who are signed in
		open(pattern, needs(scope, handle))
		c.routed = append(c.routed, route{pattern, scope})
	}
	c.mux.Handle(inConsole("GET /-/static/{name}"), c.static)
	open("GET /{$}", start)
	open("GET /sign-in", signInPage)
	open("POST /sign-in", signIn)
	open("POST /sign-out", signOut)
	open("GET /-/enter", enterPage)
	open("POST /-/enter", enter)
	if c.issuer != nil {
		open("GET /-/oidc/start", startOIDC)
		open("GET /-/oidc/callback", finishOIDC)
	}
	with("", "GET /{provider}/live", live)
	with("", "GET /{provider}/{rest...}", noPage)

	with(provision.ScopeStockRead, "GET /{provider}/{$}", overview)

	orderRoutes(with)
	filterRoutes(with)
	batchRoutes(with)

	with(provision.ScopePoolsRead, "GET /{provider}/pools", pools)
	with(provision.ScopePoolsWrite, "GET /{provider}/pools/new", newPool)
	with(provision.ScopePoolsWrite, "POST /{provider}/pools/new", createPool)
	with(provision.ScopePoolsRead, "GET /{provider}/pools/protected", protectedAccounts)
	with(provision.ScopePoolsWrite, "POST /{provider}/pools/protected", protectAccount)
	with(provision.ScopePoolsWrite, "GET /{provider}/pools/protected/{account}/unprotect", unprotectPage)
	with(provision.ScopePoolsWrite, "POST /{provider}/pools/protected/{account}/unprotect", unprotectAccount)
	with(provision.ScopePoolsRead, "GET /{provider}/pools/{marketplace}/{environment}", pool)
	with(provision.ScopePoolsWrite, "GET /{provider}/pools/{marketplace}/{environment}/edit", editPool)
	with(provision.ScopePoolsWrite, "POST /{provider}/pools/{marketplace}/{environment}/edit", updatePool)

	with(provision.ScopeAccountsRead, "GET /{provider}/accounts", accounts)
	with(provision.ScopeAccountsRead, "GET /{provider}/accounts/export", exportAccounts)
	with(provision.ScopeAccountsWrite, "GET /{provider}/accounts/new", newAccount)
	with(provision.ScopeAccountsWrite, "POST /{provider}/accounts/new", createAccount)
	with(provision.ScopeAccountsRead, "GET /{provider}/accounts/import", importPage)
	with(provision.ScopeAccountsWrite, "POST /{provider}/accounts/import", checkImport)
	with(provision.ScopeAccountsRead, "GET /{provider}/accounts/import/template", importTemplate)
	with(provision.ScopeAccountsWrite, "GET /{provider}/accounts/import/start", startPage)
	with(provision.ScopeAccountsWrite, "POST /{provider}/accounts/import/start", startImport)
	with(provision.ScopeAccountsRead, "GET /{provider}/accounts/import/{import}", showImport)
	with(provision.ScopeAccountsRead, "GET /{provider}/accounts/{account}", accountPage)
	with(provision.ScopeAccountsWrite, "GET /{provider}/accounts/{account}/{verb}", reviewAccount)
	with(provision.ScopeAccountsWrite, "POST /{provider}/accounts/{account}/{verb}", actOnAccount)

	with(provision.ScopeStockRead, "GET /{provider}/alerts", alerts)
	with(provision.ScopeStockWrite, "GET /{provider}/alerts/{alert}/acknowledge", acknowledgePage)
	with(provision.ScopeStockWrite, "POST /{provider}/alerts/{alert}/acknowledge", acknowledgeAlert)

	webhookRoutes(with)
	keyRoutes(with)
	with(provision.ScopeOrdersWrite, "GET /{provider}/orders/new", newOrder)
	with(provision.ScopeOrdersWrite, "POST /{provider}/orders/new", placeOrder)
	with(provision.ScopeAccountsRead, "GET /{provider}/history", history)
	with(provision.ScopeAccountsRead, "GET /{provider}/history/export", exportHistory)
	with(provision.ScopeHealthRead, "GET /{provider}/health", health)
	with("", "GET /{provider}/settings", settings)
	with("", "POST /{provider}/settings", saveSettings)
	with(provision.ScopeKeysWrite, "GET /{provider}/settings/end-sessions", endSessionsPage)
	with(provision.ScopeKeysWrite, "POST /{provider}/settings/end-sessions", endSessions)
	return c.secure(c.mux)
}

// inConsole puts the base of the console into a pattern of http.ServeMux. A proxy in front of the service has removed what
// PublicURL has before it.
func inConsole(pattern string) string {
	method, path, _ := strings.Cut(pattern, " ")
	return method + " /console" + path
}
