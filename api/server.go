package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
	"quartermaster/internal/webhooks"
)

// Workflows is what the API needs of Temporal.
type Workflows interface {
	// StartOrder starts the order's workflow, once. When there is one already, it returns that one's order and the hash of
	// its request. Errors wrap provision.ErrUnavailable when it is unknown whether the workflow was started.
	StartOrder(ctx context.Context, order provision.Order, hash []byte) (started bool, existing *provision.Order, existingHash []byte, err error)
	// OrderNotYetStored reads an order that was started and has no row yet. Errors: provision.ErrNotFound.
	OrderNotYetStored(ctx context.Context, key provision.OrderKey) (*provision.Order, error)
	// Correct replaces fields of an order that asks for them, and returns when that is done. Errors: a *provision.Failure when
	// the order refuses (NotAsked, InputRefused) or has ended (TooLate); provision.ErrUnavailable when it is unknown whether the order
	// heard of it.
	Correct(ctx context.Context, key provision.OrderKey, fields provision.Correction, by provision.Intervention) error
	// Act does one of workflows.UpdateRetry, UpdateCancel, UpdateFail, UpdateSwap to an order. It returns when the order has
	// taken note, not when everything is undone. Errors: as Correct.
	Act(ctx context.Context, key provision.OrderKey, verb string, by provision.Intervention) error
	// VerifyDue has the accounts verified that are due. It is a hint: the schedule does so too.
	VerifyDue(ctx context.Context) error
	// RemoveLeftovers starts the removal of what an order left in an account, unless it runs. Errors wrap provision.ErrUnavailable when it is
	// unknown whether it was started.
	RemoveLeftovers(ctx context.Context, removal provision.LeftoverRemoval) error
	// WakeWebhooks has webhooks send what they have to send. It is a hint: the schedule does so too.
	WakeWebhooks(ctx context.Context, keys []provision.WebhookKey) error
	// StartImport starts the workflow of an import whose file is about to be kept. Errors wrap provision.ErrUnavailable when it is unknown
	// whether it was started.
	StartImport(ctx context.Context, key provision.ImportKey) error
	// ImportKept tells the workflow of an import that its file is kept. It is a hint: the workflow looks by itself.
	ImportKept(ctx context.Context, key provision.ImportKey) error
	// WakeOrders tells waiting orders to look for an account. It is a hint: an order that misses it looks by itself later.
	WakeOrders(ctx context.Context, keys []provision.OrderKey) error
}

// Opener opens a password that was sealed for a purpose; for another purpose it does not open.
type Opener interface {
	Open(sealed []byte, purpose string) ([]byte, error)
}

// Signer signs for a purpose and recognizes its signatures, and those of every other replica.
type Signer interface {
	Sign(message []byte, purpose string) []byte
	Verify(message, signature []byte, purpose string) bool
}

// Config is what the API is made of. Database, Workflows, Opener, Sealer, Signer and PublicURL are required.
type Config struct {
	Database
	Workflows Workflows
	Opener    Opener
	Sealer    Sealer
	Signer    Signer       // signs the tokens of password links
	Log       *slog.Logger // default: slog.Default()
	// TemporalUsable says why Temporal cannot be used yet, and returns nil from the moment when it could be. Default: it can.
	TemporalUsable func() error

	// PublicURL is where customers and marketplaces reach this service, e.g. https://aws.provider.example.
	PublicURL string
	// Models are the account models that may be named. Default: SPAM and ECAM.
	Models []provision.Model
	// ProtectedIDs are AWS account ids that enter no pool of any provider: payers and our own. Each provider protects more of them: see
	// ProtectedAccounts.
	ProtectedIDs []string
	// RequestsPerSecond is the limit of each API key that has none of its own, and of each address for requests without a valid
	// key. Default 50.
	RequestsPerSecond float64
	// Burst is how many requests may come at the same moment. Default: twice RequestsPerSecond. A key with a limit of its own
	// may send twice that.
	Burst int
	// TrustedProxies are the networks whose X-Forwarded-For is believed. Default: none, the peer's address counts.
	TrustedProxies []netip.Prefix
	// Metrics takes the metrics of requests. Default: there are none.
	Metrics prometheus.Registerer
	// WebhookPolicy says where webhooks may go.
	WebhookPolicy webhooks.Policy
	// EventHints tells streams that there are new events. Default: they look every two seconds.
	EventHints EventHints
	// StreamLifetime is after how long a stream of events ends and its reader reconnects. Default: an hour.
	StreamLifetime time.Duration
	// Simulated says that this service runs against a simulator: results say so.
	Simulated bool
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

const (
	bodyLimit      = "64K"            // an order form has about 1 KB
	requestTimeout = 15 * time.Second // of a whole request, database and Temporal included
)

// service implements StrictServerInterface: the handlers stand in a file of each resource.
type service struct {
	Config
	contract *contract
	baseURL  string // PublicURL without a slash at the end
	basePath string // its path, for Location headers
	budgets  budgets
	seen     seenKeys
	streams  streamCounter
}

// New builds the HTTP handler with every route of the API. It fails when the configuration is incomplete, or when the
// routes and the OpenAPI document disagree.
func New(cfg Config) (http.Handler, error) {
	s, err := newService(cfg)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	handler, err := s.routes()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return handler, nil
}

func (s *service) routes() (_ http.Handler, err error) {
	e := s.echo()
	if s.Metrics != nil {
		measured, err := s.measure()
		if err != nil {
			return nil, fmt.Errorf("api: metrics: %w", err)
		}
		e.Pre(measured)
	}
	op := server.ServerInterfaceWrapper{Handler: server.NewStrictHandler(s, nil)}
	v1 := func(method, path string, handler echo.HandlerFunc) {
		operation := s.contract.claim(method, path)
		if operation == nil {
			err = errors.Join(err, fmt.Errorf("route %s %s is not in openapi.yaml", method, path))
			return
		}
		e.Add(method, path, handler, s.authenticate(operation), s.limit, s.authorize(operation), s.checkRequest(operation))
	}

	v1(http.MethodPost, "/v1/orders", op.CreateOrder)
	v1(http.MethodGet, "/v1/orders", op.ListOrders)
	v1(http.MethodPost, "/v1/orders/validate", op.ValidateOrder)
	v1(http.MethodGet, "/v1/orders/:order_id", op.GetOrder)
	v1(http.MethodGet, "/v1/orders/:order_id/history", op.ListOrderHistory)
	v1(http.MethodPatch, "/v1/orders/:order_id", op.CorrectOrder)
	v1(http.MethodPost, "/v1/orders/:order_id/cancel", op.CancelOrder)
	v1(http.MethodPost, "/v1/orders/:order_id/retry", op.RetryOrder)
	v1(http.MethodPost, "/v1/orders/:order_id/fail", op.FailOrder)
	v1(http.MethodPost, "/v1/orders/:order_id/end-undo", op.EndUndo)
	v1(http.MethodPost, "/v1/orders/:order_id/swap", op.SwapOrder)
	v1(http.MethodPost, "/v1/accounts", op.CreateAccount)
	v1(http.MethodGet, "/v1/accounts", op.ListAccounts)
	v1(http.MethodGet, "/v1/accounts/export", op.ExportAccounts)
	v1(http.MethodGet, "/v1/accounts/:account_id", op.GetAccount)
	v1(http.MethodPatch, "/v1/accounts/:account_id", op.UpdateAccount)
	v1(http.MethodDelete, "/v1/accounts/:account_id", op.DeleteAccount)
	v1(http.MethodPost, "/v1/accounts/:account_id/invalidate", op.InvalidateAccount)
	v1(http.MethodPost, "/v1/accounts/:account_id/return", op.ReturnAccount)
	v1(http.MethodPost, "/v1/accounts/:account_id/remove-leftovers", op.RemoveLeftovers)
	v1(http.MethodPost, "/v1/accounts/:account_id/verify", op.VerifyAccount)
	v1(http.MethodGet, "/v1/accounts/:account_id/history", op.ListAccountHistory)
	v1(http.MethodGet, "/v1/api-keys", op.ListAPIKeys)
	v1(http.MethodPost, "/v1/api-keys", op.CreateAPIKey)
	v1(http.MethodGet, "/v1/api-keys/:key_id", op.GetAPIKey)
	v1(http.MethodPost, "/v1/api-keys/:key_id/rotate", op.RotateAPIKey)
	v1(http.MethodPost, "/v1/api-keys/:key_id/revoke", op.RevokeAPIKey)
	v1(http.MethodGet, "/v1/pools", op.ListPools)
	v1(http.MethodPost, "/v1/pools", op.CreatePool)
	v1(http.MethodGet, "/v1/pools/:marketplace/:environment", op.GetPool)
	v1(http.MethodPatch, "/v1/pools/:marketplace/:environment", op.UpdatePool)
	v1(http.MethodGet, "/v1/pools/:marketplace/:environment/history", op.ListPoolHistory)
	v1(http.MethodGet, "/v1/protected-accounts", op.ListProtectedAccounts)
	v1(http.MethodPut, "/v1/protected-accounts/:account_id", op.ProtectAccount)
	v1(http.MethodDelete, "/v1/protected-accounts/:account_id", op.UnprotectAccount)
	v1(http.MethodGet, "/v1/stock", op.GetStock)
	v1(http.MethodGet, "/v1/stock-alerts", op.ListStockAlerts)
	v1(http.MethodPost, "/v1/stock-alerts/:alert_id/acknowledge", op.AcknowledgeStockAlert)
	v1(http.MethodPost, "/v1/webhooks", op.CreateWebhook)
	v1(http.MethodGet, "/v1/webhooks", op.ListWebhooks)
	v1(http.MethodGet, "/v1/webhooks/:webhook_id", op.GetWebhook)
	v1(http.MethodPatch, "/v1/webhooks/:webhook_id", op.UpdateWebhook)
	v1(http.MethodDelete, "/v1/webhooks/:webhook_id", op.DeleteWebhook)
	v1(http.MethodPost, "/v1/webhooks/:webhook_id/rotate-secret", op.RotateWebhookSecret)
	v1(http.MethodPost, "/v1/webhooks/:webhook_id/test", op.TestWebhook)
	v1(http.MethodPost, "/v1/webhooks/:webhook_id/replay", op.ReplayWebhook)
	v1(http.MethodGet, "/v1/webhooks/:webhook_id/deliveries", op.ListDeliveries)
	v1(http.MethodGet, "/v1/webhooks/:webhook_id/deliveries/:delivery_id", op.GetDelivery)
	v1(http.MethodPost, "/v1/webhooks/:webhook_id/deliveries/:delivery_id/resend", op.ResendDelivery)
	v1(http.MethodGet, "/v1/callback-secret", op.GetCallbackSecret)
	v1(http.MethodPost, "/v1/callback-secret/rotate", op.RotateCallbackSecret)
	v1(http.MethodGet, "/v1/events", op.ListEvents)
	v1(http.MethodGet, streamPath, op.StreamEvents)
	v1(http.MethodPost, "/v1/account-imports", op.ImportAccounts)
	v1(http.MethodGet, "/v1/account-imports", op.ListAccountImports)
	v1(http.MethodGet, "/v1/account-imports/template", op.GetAccountImportTemplate)
	v1(http.MethodGet, "/v1/account-imports/:import_id", op.GetAccountImport)
	v1(http.MethodGet, "/v1/account-imports/:import_id/results", op.ListAccountImportResults)
	v1(http.MethodPost, "/v1/password-reveals", op.RevealPassword)
	v1(http.MethodGet, "/v1/openapi.json", op.GetOpenAPI)

	e.GET("/reveal", revealPage("index.html"))
	e.GET("/reveal/reveal.js", revealPage("reveal.js"))
	e.GET("/reveal/reveal.css", revealPage("reveal.css"))

	e.GET("/livez", s.live)
	e.GET("/readyz", s.ready)

	if missing := s.contract.unclaimed(); len(missing) > 0 {
		err = errors.Join(err, fmt.Errorf("openapi.yaml has operations without a route: %s", strings.Join(missing, ", ")))
	}
	return e, err
}

func newService(cfg Config) (*service, error) {
	if !cfg.complete() || cfg.Workflows == nil || cfg.Opener == nil || cfg.Sealer == nil || cfg.Signer == nil {
		return nil, errors.New("Database, Workflows, Opener, Sealer and Signer are needed")
	}
	public, err := url.Parse(cfg.PublicURL)
	if err != nil || public.Host == "" || public.Scheme != "http" && public.Scheme != "https" || public.RawQuery != "" || public.Fragment != "" || public.User != nil {
		return nil, fmt.Errorf("public URL %q: write it as https://host, without user, query and fragment", cfg.PublicURL)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.TemporalUsable == nil {
		cfg.TemporalUsable = func() error { return nil }
	}
	if len(cfg.Models) == 0 {
		cfg.Models = []provision.Model{provision.ModelSPAM, provision.ModelECAM}
	}
	if cfg.RequestsPerSecond <= 0 {
		cfg.RequestsPerSecond = 50
	}
	if cfg.Burst <= 0 {
		cfg.Burst = max(1, int(2*cfg.RequestsPerSecond))
	}
	if cfg.StreamLifetime <= 0 {
		cfg.StreamLifetime = streamLifetime
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	contract, err := loadContract()
	if err != nil {
		return nil, err
	}
	return &service{
		Config:   cfg,
		contract: contract,
		baseURL:  strings.TrimSuffix(cfg.PublicURL, "/"),
		basePath: strings.TrimSuffix(public.EscapedPath(), "/"),
		budgets:  budgets{of: map[string]*rate.Limiter{}},
	}, nil
}

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// contentPolicy allows what the reveal page needs, its own script and style, and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// echo is an Echo without routes: what holds for every request.
func (s *service) echo() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.writeProblem
	e.IPExtractor = ipExtractor(s.TrustedProxies)

	e.Pre(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			// A caller may bring its own request id, but neither a line break for the logs nor a kilobyte.
			if !requestIDPattern.MatchString(c.Request().Header.Get(echo.HeaderXRequestID)) {
				c.Request().Header.Del(echo.HeaderXRequestID)
			}
			c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
			return next(c)
		}
	})
	e.Pre(middleware.RequestID())
	e.Use(s.requestLog(), s.recoverPanics())
	e.Use(middleware.SecureWithConfig(middleware.SecureConfig{
		ContentTypeNosniff:    "nosniff",
		XFrameOptions:         "DENY",
		HSTSMaxAge:            int((365 * 24 * time.Hour).Seconds()),
		ContentSecurityPolicy: contentPolicy,
		ReferrerPolicy:        "no-referrer",
	}))
	e.Use(middleware.BodyLimitWithConfig(middleware.BodyLimitConfig{Limit: bodyLimit, Skipper: s.takesFile}))
	e.Use(middleware.ContextTimeoutWithConfig(middleware.ContextTimeoutConfig{
		Skipper:      func(c echo.Context) bool { return c.Path() == streamPath },
		Timeout:      requestTimeout,
		ErrorHandler: func(err error, _ echo.Context) error { return err }, // errors.go knows what a deadline is
	}))
	return e
}

// takesFile tells the operations whose body is a file: they have a limit of their own, which holds behind the authentication.
func (s *service) takesFile(c echo.Context) bool {
	op := s.contract.operations[c.Request().Method+" "+c.Path()]
	return op != nil && op.maxBytes > 0
}

// requestLog writes one line a request. It names the route's pattern, never the address that was asked for, and no body:
// addresses and bodies may hold tokens and the customer's data. A refusal is logged by its code, because its message may
// quote the customer's input; only our own faults are logged with their text.
func (s *service) requestLog() echo.MiddlewareFunc {
	return middleware.RequestLoggerWithConfig(middleware.RequestLoggerConfig{
		HandleError: true, LogError: true, LogLatency: true, LogMethod: true, LogRemoteIP: true, LogRequestID: true, LogStatus: true,
		LogValuesFunc: func(c echo.Context, v middleware.RequestLoggerValues) error {
			route := c.Path()
			if route == "" {
				route = "(none)"
			}
			level := slog.LevelInfo
			who := callerOf(c.Request().Context())
			attrs := []slog.Attr{
				slog.String("method", v.Method), slog.String("route", route), slog.Int("status", v.Status),
				slog.Duration("took", v.Latency), slog.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)),
				slog.String("ip", v.RemoteIP), slog.String("provider", who.Provider), slog.String("key", who.KeyID),
			}
			if code, ok := c.Get(problemCode).(provision.Code); ok {
				attrs = append(attrs, slog.String("code", string(code)))
			}
			if v.Status >= http.StatusInternalServerError {
				level = slog.LevelError
				if v.Error != nil {
					attrs = append(attrs, slog.String("error", v.Error.Error()))
				}
			}
			s.Log.LogAttrs(context.WithoutCancel(c.Request().Context()), level, "request", attrs...)
			return nil
		},
	})
}

func (s *service) recoverPanics() echo.MiddlewareFunc {
	return middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisableStackAll:     true,
		DisableErrorHandler: true, // the request log hands it on, and has the status then
		LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
			s.Log.LogAttrs(context.WithoutCancel(c.Request().Context()), slog.LevelError, "panic",
				slog.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)), slog.String("stack", string(stack)))
			return fmt.Errorf("panic: %w", err)
		},
	})
}

// ipExtractor believes X-Forwarded-For only from the proxies named.
func ipExtractor(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, prefix := range trusted {
		prefix = prefix.Masked()
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// live answers as long as the process serves at all.
func (s *service) live(c echo.Context) error { return c.NoContent(http.StatusNoContent) }

// ready answers when the database does and Temporal could be used since the start: without its namespace every order is refused. Once it
// could be used, Temporal is not asked any more: without it reading still works, and without workers orders are accepted and safe, so a
// replica that is taken out of service helps no one.
func (s *service) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), 2*time.Second)
	defer cancel()
	if err := s.Ping(ctx); err != nil {
		return problem(codeUnavailable, "the database does not answer").because(err)
	}
	if err := s.TemporalUsable(); err != nil {
		return problem(codeUnavailable, "%s", err).because(err)
	}
	return c.NoContent(http.StatusNoContent)
}

// GetOpenAPI answers GET /v1/openapi.json.
func (s *service) GetOpenAPI(context.Context, server.GetOpenAPIRequestObject) (server.GetOpenAPIResponseObject, error) {
	return documentAnswer(s.contract.json), nil
}

// documentAnswer writes the document as it is.
type documentAnswer []byte

// VisitGetOpenAPIResponse makes documentAnswer an answer of GetOpenAPI.
func (d documentAnswer) VisitGetOpenAPIResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(d)
	return err
}

func (s *service) modelKnown(m provision.Model) bool { return slices.Contains(s.Models, m) }
