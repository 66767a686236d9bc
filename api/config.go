package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"quartermaster/api/openapi"
	"quartermaster/internal/health"
	"quartermaster/internal/provision"
	"quartermaster/internal/webhooks"
)

// Workflows is the part of Temporal that the API needs. Package workflows/control implements it.
type Workflows interface {
	// StartOrder starts the order's workflow once. If the workflow exists, it returns that workflow's order and the hash of its
	// request. Errors wrap provision.ErrUnavailable when it is not known whether the workflow was started.
	StartOrder(ctx context.Context, order provision.Order, hash []byte) (started bool, existing *provision.Order,
		existingHash []byte, err error)
	// OrderNotYetStored reads an order of the tenant whose workflow has started and that has no row yet. Errors:
	// provision.ErrNotFound.
	OrderNotYetStored(ctx context.Context, of provision.Tenant, id string) (*provision.Order, error)
	// Correct answers the question of an order by replacing fields, and returns when that is done. Errors: a *provision.Failure when
	// the order refuses (NotAsked, InputRefused) or has ended (TooLate); provision.ErrUnavailable when it is not known whether the
	// order received it.
	Correct(ctx context.Context, key provision.OrderKey, fields provision.Correction, by provision.Intervention) error
	// Act does one of workflows.UpdateRetry, UpdateCancel, UpdateFail, UpdateSwap to an order. It returns when the order has
	// recorded the request, not when everything is undone. Errors: as Correct.
	Act(ctx context.Context, key provision.OrderKey, verb string, by provision.Intervention) error
	// VerifyDue starts the verification of the accounts that are due. It is a hint: the schedule does the same.
	VerifyDue(ctx context.Context) error
	// RemoveLeftovers starts the removal of what an order left in an account, unless it runs. Errors wrap provision.ErrUnavailable when it is
	// not known whether it was started.
	RemoveLeftovers(ctx context.Context, removal provision.LeftoverRemoval) error
	// IssuePassword asks for a new password for the customer of a completed order and waits for the outcome, but not longer than the given
	// time. Errors wrap provision.ErrUnavailable when it is not known whether the request arrived.
	IssuePassword(ctx context.Context, key provision.OrderKey, request provision.PasswordRequest,
		wait time.Duration) (outcome provision.PasswordOutcome, ended bool, err error)
	// WakeWebhooks starts the delivery of what waits for the webhooks. It is a hint: the schedule does the same.
	WakeWebhooks(ctx context.Context, keys []provision.WebhookKey) error
	// StartImport starts the workflow of an import whose file is about to be kept. Errors wrap provision.ErrUnavailable when it is not known
	// whether it was started.
	StartImport(ctx context.Context, key provision.ImportKey) error
	// ImportKept informs the workflow of an import that its file is stored. It is a hint: the workflow looks for the file itself.
	ImportKept(ctx context.Context, key provision.ImportKey) error
	// StartBatch starts the workflow of a batch that is about to be kept, unless it runs. Errors wrap provision.ErrUnavailable when it is not
	// known whether it was started.
	StartBatch(ctx context.Context, key provision.BatchKey) error
	// BatchKept informs the workflow of a batch that it is stored. It is a hint: the workflow looks for the batch itself.
	BatchKept(ctx context.Context, key provision.BatchKey) error
	// WakeOrders tells waiting orders to look for an account. It is a hint: an order that misses it looks later.
	WakeOrders(ctx context.Context, keys []provision.OrderKey) error
}

// Health finds out whether anything is stuck. Package internal/health implements it.
type Health interface {
	Examine(ctx context.Context, provider string) health.Report
}

// Opener opens a password that was sealed for a purpose. It refuses every other purpose.
type Opener interface {
	Open(sealed []byte, purpose string) ([]byte, error)
}

// Signer signs for a purpose, and verifies its own signatures and those of other replicas.
type Signer interface {
	Sign(message []byte, purpose string) []byte
	Verify(message, signature []byte, purpose string) bool
}

// Config configures the API. Database, Workflows, Health, Opener, Sealer, Signer and PublicURL are required.
type Config struct {
	Database
	Workflows Workflows
	Health    Health
	Opener    Opener
	Sealer    Sealer
	Signer    Signer       // signs the tokens of password links
	Log       *slog.Logger // default: slog.Default()
	// TemporalUsable returns why Temporal cannot be used yet, or nil once it has been usable. Default: always nil.
	TemporalUsable func() error

	// PublicURL is the URL at which customers and marketplaces reach this service, such as https://aws.provider.example.
	PublicURL string
	// TemporalWeb is the URL of the Temporal Web UI, and TemporalNamespace the namespace of the workflows there. Default: orders do not
	// link to their workflows.
	TemporalWeb       string
	TemporalNamespace string
	// ProtectedIDs are AWS account ids that enter no pool of any provider: payers and our own. Each provider protects more of them: see
	// ProtectedAccounts.
	ProtectedIDs []string
	// RequestsPerSecond is the limit of each API key without a limit of its own, and of each IPv4 address or IPv6 /64 for requests
	// without a valid key. Default: 50.
	RequestsPerSecond float64
	// Burst is the number of requests that may arrive at the same moment. Default: twice RequestsPerSecond. A key with a limit
	// of its own has a burst of twice that limit.
	Burst int
	// TrustedProxies are the networks whose X-Forwarded-For is trusted. Default: none; the peer's address counts.
	TrustedProxies []netip.Prefix
	// Metrics registers the metrics of requests. Default: no metrics.
	Metrics prometheus.Registerer
	// WebhookPolicy decides to which URLs webhooks may be sent.
	WebhookPolicy webhooks.Policy
	// EventHints reports new events for streams. Default: they are read every two seconds.
	EventHints EventHints
	// StreamLifetime is the time after which a stream ends and its reader reconnects. Default: an hour.
	StreamLifetime time.Duration
	// BodyTimeout is how long a body may take to arrive. A request has 15 seconds in all, and the rest is for the work, so that a
	// slow caller cannot make the service look slow. Default: 10 seconds.
	BodyTimeout time.Duration
	// Simulated marks the results of orders: this service runs against a simulator.
	Simulated bool
	// PrincipalARN is the role or user that the workers run as, which the roles of accounts trust. Default: the one that a worker has
	// reported.
	PrincipalARN string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

const (
	bodyLimit      = "64K"            // an order form has about 1 KB
	requestTimeout = 15 * time.Second // of a whole request, database and Temporal included
	bodyTimeout    = 10 * time.Second
)

// service implements server.StrictServerInterface. Each resource has a file with its handlers.
type service struct {
	Config
	contract *contract
	baseURL  string // PublicURL without a slash at the end
	basePath string // its path, for Location headers
	budgets  budgets
	keys     keyLookup
	streams  streamCounter
	feeds    eventFeeds
	counts   countCache
	models   modelCache
	pools    poolCache
}

func newService(cfg Config) (*service, error) {
	if !cfg.complete() || cfg.Workflows == nil || cfg.Health == nil || cfg.Opener == nil || cfg.Sealer == nil || cfg.Signer == nil {
		return nil, errors.New("Database, Workflows, Health, Opener, Sealer and Signer are needed")
	}
	public, err := url.Parse(cfg.PublicURL)
	if err != nil || public.Host == "" || public.Scheme != "http" && public.Scheme != "https" ||
		public.RawQuery != "" || public.Fragment != "" || public.User != nil {
		return nil, fmt.Errorf("public URL %q must have the form https://host, without user, query and fragment", cfg.PublicURL)
	}
	if web, err := url.Parse(cfg.TemporalWeb); err != nil || cfg.TemporalWeb != "" &&
		(web.Host == "" || web.Scheme != "http" && web.Scheme != "https" || web.RawQuery != "" || web.Fragment != "") {
		return nil, fmt.Errorf("URL %q of the Temporal Web UI must have the form https://host, without query and fragment", cfg.TemporalWeb)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.TemporalUsable == nil {
		cfg.TemporalUsable = func() error { return nil }
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
	if cfg.BodyTimeout <= 0 {
		cfg.BodyTimeout = bodyTimeout
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
		counts:   countCache{seen: map[countKey]openapi.OrderCounts{}},
		budgets:  budgets{of: map[string]*rate.Limiter{}},
		pools:    poolCache{seen: map[provision.Pool]time.Time{}},
		feeds:    eventFeeds{events: cfg.Events, hints: cfg.EventHints, log: cfg.Log},
	}, nil
}
