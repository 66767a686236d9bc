package awscloud

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// HomeRegion is the region of the aws partition's global services: IAM, Account Management, Cost and Usage Reports, and Data
// Exports. Requests are sent there and signed for it. The SDK chooses it automatically except for Cost and Usage Reports, and for no
// service when a base endpoint is set, so every client is pinned to it.
const HomeRegion = "us-east-1"

// partition is the only supported partition: credentials do not work across partitions, and the others have other regions.
const partition = "aws"

// The defaults of Options.
const (
	defaultSessionPrefix   = "ord-"
	defaultSessionLifetime = 15 * time.Minute
	defaultCallTimeout     = 10 * time.Second
	defaultOpenTimeout     = 30 * time.Second
	defaultRetryDelay      = 5 * time.Second
)

// sessionMargin is how long before its expiry a session's credentials are renewed.
const sessionMargin = time.Minute

// Options configure a Cloud.
type Options struct {
	// Config holds the service's own credentials and region, as config.LoadDefaultConfig finds them. Nothing else in it
	// is used, so its logging and its retries do not affect the calls.
	Config aws.Config
	// Endpoint is empty for the real AWS. Otherwise it is the address of a simulator on the loopback interface, which
	// receives the calls to all services, with path-style addresses for S3.
	Endpoint string
	// SessionPrefix is the first part of every role session's name. The role's trust policy allows two: "ord-" for orders
	// (the default) and "verify-" for checks that no order needs.
	SessionPrefix string
	// SessionLifetime is how long assumed credentials live before they are renewed: 15 minutes (the default) to 1 hour.
	SessionLifetime time.Duration
	// SourceIdentity also sets the session's source identity to order-<id>. It is off by default: a trust policy that does
	// not allow sts:SetSourceIdentity refuses an AssumeRole call that sets one.
	SourceIdentity bool
	// CallTimeout bounds one HTTP exchange; default 10 s.
	CallTimeout time.Duration
	// OpenTimeout bounds how long it may take to open a session, including all retries; default 30 s. It is well below the
	// timeout of an attempt, so that the attempt can still report which call did not answer.
	OpenTimeout time.Duration
	// RetryDelay is the longest pause before a read is repeated; default 5 s.
	RetryDelay time.Duration
	// Retryer decides which calls in a session are sent again, and when. The default sends a read up to three times and
	// a write once. Another one may let the SDK repeat writes whose replies were lost; the activities tolerate that.
	Retryer func() aws.Retryer
	// Limits pace the calls to one account; the zero value paces nothing. See DefaultLimits.
	Limits Limits
	// Now is the clock of the session cache; default time.Now.
	Now func() time.Time
}

// Cloud opens sessions in accounts. It is safe for concurrent use.
type Cloud struct {
	opts Options
	http aws.HTTPClient

	sts     *sts.Client // in the service's own region
	stsHome *sts.Client // in the only region where no account can deactivate STS

	mu       sync.Mutex
	sessions map[sessionKey]*cachedSession
	swept    time.Time // when unused sessions were last removed
	pacer    *pacer
	policies *policyCache
}

// New checks the options and returns a Cloud. It sends no request.
func New(opts Options) (*Cloud, error) {
	if opts.Endpoint != "" {
		if err := checkLoopback(opts.Endpoint); err != nil {
			return nil, err
		}
	}
	if opts.Config.Credentials == nil {
		return nil, errors.New("AWS credentials are missing: " +
			"give the service a role, a profile or access keys that may assume the roles of the accounts")
	}
	setDefault(&opts.SessionPrefix, defaultSessionPrefix)
	setDefault(&opts.SessionLifetime, defaultSessionLifetime)
	setDefault(&opts.CallTimeout, defaultCallTimeout)
	setDefault(&opts.OpenTimeout, defaultOpenTimeout)
	setDefault(&opts.RetryDelay, defaultRetryDelay)
	if opts.SessionLifetime < 15*time.Minute || opts.SessionLifetime > time.Hour {
		return nil, fmt.Errorf("session lifetime %s is out of range: AWS allows 15m to 1h when one role assumes another",
			opts.SessionLifetime)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Retryer == nil {
		opts.Retryer = func() aws.Retryer { return newRetryer(opts.RetryDelay) }
	}
	c := &Cloud{
		opts:     opts,
		http:     httpClient(opts.CallTimeout),
		sessions: map[sessionKey]*cachedSession{},
		pacer:    newPacer(opts.Limits),
		policies: newPolicyCache(opts.Now),
	}
	c.sts, c.stsHome = c.callersSTS(c.callerRegion()), c.callersSTS(HomeRegion)
	return c, nil
}

func setDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// checkLoopback returns an error when the endpoint is not on this machine, because real credentials must not be sent elsewhere.
func checkLoopback(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf(
			"AWS endpoint %q is not a URL: use http://127.0.0.1:<port> for a simulator, or leave it empty for the real AWS",
			endpoint,
		)
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("AWS endpoint %q is not on the loopback interface: "+
			"use a simulator on this machine, or leave the endpoint empty for the real AWS", endpoint)
	}
	return nil
}

// httpClient returns the HTTP client of all calls. It keeps connections to the regional endpoints open.
func httpClient(timeout time.Duration) aws.HTTPClient {
	return awshttp.NewBuildableClient().
		WithTimeout(timeout).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = timeout / 2 }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = timeout / 2
			t.MaxIdleConns, t.MaxIdleConnsPerHost = 1000, 250 // one endpoint serves all accounts
			t.IdleConnTimeout = 90 * time.Second
		})
}

// callersSTS returns the client that assumes roles in the region. AssumeRole changes nothing, so it may be sent again. AWS counts the
// calls of all our processes together, against the account of our own credentials. So the client slows down when AWS throttles it, and
// becomes faster again when AWS does not: that divides AWS's limit among the processes, however many there are.
func (c *Cloud) callersSTS(region string) *sts.Client {
	return sts.New(sts.Options{Region: region, Credentials: c.opts.Config.Credentials, BaseEndpoint: c.endpoint(),
		HTTPClient: c.http, Retryer: adaptive(c.opts.RetryDelay)})
}

func (c *Cloud) endpoint() *string {
	if c.opts.Endpoint == "" {
		return nil
	}
	return aws.String(c.opts.Endpoint)
}

// callerRegion returns the region whose STS receives AssumeRole. AWS recommends the regional endpoint nearest to the caller.
func (c *Cloud) callerRegion() string {
	if c.opts.Config.Region == "" {
		return HomeRegion
	}
	return c.opts.Config.Region
}
