// Package awscloud builds the AWS clients for one account of the pool: it assumes the account's role, proves that it is
// in the right account, pins the regions, paces the calls, and decides which calls the SDK may send twice.
package awscloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/account"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"quartermaster/internal/provision"
)

// HomeRegion is where the global services of the aws partition live and are signed for: IAM, account management, Cost
// and Usage Reports, Data Exports. The SDK finds that out by itself for all but Cost and Usage Reports, and for none
// when a base endpoint is set, so every client is pinned to it.
const HomeRegion = "us-east-1"

// partition is the only one that is supported: credentials never cross partitions, and the others have other regions.
const partition = "aws"

// The defaults of Options.
const (
	defaultSessionPrefix   = "ord-"
	defaultSessionLifetime = 15 * time.Minute
	defaultCallTimeout     = 10 * time.Second
	defaultOpenTimeout    = 30 * time.Second
	defaultRetryDelay      = 5 * time.Second
)

// sessionMargin is how long before its expiry a session's credentials are renewed.
const sessionMargin = time.Minute

// Options configure a Cloud.
type Options struct {
	// Config holds the caller's own credentials and region, as config.LoadDefaultConfig finds them. Nothing else of it
	// is used, so that neither its logging nor its retries reach the calls.
	Config aws.Config
	// Endpoint is empty for the real AWS. Otherwise every service is asked there, with path-style S3: it is a
	// simulator's, and must be on the loopback interface.
	Endpoint string
	// SessionPrefix begins the name of every role session; the role's trust policy allows ord- and verify-.
	// Default "ord-".
	SessionPrefix string
	// SessionLifetime is how long assumed credentials live before they are renewed: 15 minutes (the default) to 1 hour.
	SessionLifetime time.Duration
	// SourceIdentity also sets the session's source identity to order-<id>. It is off by default because a trust policy
	// that does not allow sts:SetSourceIdentity then refuses the whole call.
	SourceIdentity bool
	// CallTimeout bounds one HTTP exchange; default 10 s.
	CallTimeout time.Duration
	// OpenTimeout bounds how long it may take to enter an account, with all its repeats; default 30 s. It is well below the time
	// of an attempt, so that the attempt can still say what did not answer.
	OpenTimeout time.Duration
	// RetryDelay is the longest pause before a read is repeated; default 5 s.
	RetryDelay time.Duration
	// Retryer decides which calls into an account are sent again, and when. Default: reads, three times; never a write.
	// Whoever sets another one lets the SDK repeat writes whose replies were lost: the activities bear that.
	Retryer func() aws.Retryer
	// Limits pace the calls to one account; the zero value paces nothing. See DefaultLimits.
	Limits Limits
	// Now is the clock of the session cache; default time.Now.
	Now func() time.Time
}

// Cloud hands out sessions in accounts. It is safe for concurrent use.
type Cloud struct {
	opts Options
	http aws.HTTPClient

	sts     *sts.Client // in the region nearest to us
	stsHome *sts.Client // in the only region in which no account can switch STS off

	mu    sync.Mutex
	slots map[sessionKey]*slot
	pacer *pacer
}

// sessionKey makes sure that two orders, or a role whose external id was changed, never share credentials.
type sessionKey struct{ roleARN, externalID, orderID string }

// slot is the place of one session in the cache. Whoever is in its gate may fill it.
type slot struct {
	gate    *gate
	session *Session
	until   time.Time
}

// New checks the options and returns a Cloud. It calls nobody.
func New(opts Options) (*Cloud, error) {
	if opts.Endpoint != "" {
		if err := checkLoopback(opts.Endpoint); err != nil {
			return nil, err
		}
	}
	if opts.Config.Credentials == nil {
		return nil, errors.New("AWS credentials are missing: give the service a role, a profile or keys that may assume the accounts' roles")
	}
	setDefault(&opts.SessionPrefix, defaultSessionPrefix)
	setDefault(&opts.SessionLifetime, defaultSessionLifetime)
	setDefault(&opts.CallTimeout, defaultCallTimeout)
	setDefault(&opts.OpenTimeout, defaultOpenTimeout)
	setDefault(&opts.RetryDelay, defaultRetryDelay)
	if opts.SessionLifetime < 15*time.Minute || opts.SessionLifetime > time.Hour {
		return nil, fmt.Errorf("session lifetime %s: AWS allows 15m to 1h for a role that is assumed from a role", opts.SessionLifetime)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Retryer == nil {
		opts.Retryer = func() aws.Retryer { return newRetryer(opts.RetryDelay) }
	}
	c := &Cloud{
		opts:  opts,
		http:  httpClient(opts.CallTimeout),
		slots: map[sessionKey]*slot{},
		pacer: newPacer(opts.Limits),
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

// checkLoopback refuses an endpoint that is not on this machine: real credentials must not be sent to a stranger.
func checkLoopback(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("AWS endpoint %q is not a URL: write it as http://127.0.0.1:<port>, or leave it out for the real AWS", endpoint)
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("AWS endpoint %q is not on the loopback interface: only a simulator on this machine may stand in for AWS", endpoint)
	}
	return nil
}

// httpClient returns the client of all calls. It keeps connections to many accounts' regional endpoints alive.
func httpClient(timeout time.Duration) aws.HTTPClient {
	return awshttp.NewBuildableClient().
		WithTimeout(timeout).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = timeout / 2 }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = timeout / 2
			t.MaxIdleConnsPerHost = 32
			t.IdleConnTimeout = 90 * time.Second
		})
}

// callersSTS returns the client with which roles are assumed in the region. To assume a role changes nothing: it may be sent again.
func (c *Cloud) callersSTS(region string) *sts.Client {
	return sts.New(sts.Options{Region: region, Credentials: c.opts.Config.Credentials, BaseEndpoint: c.endpoint(),
		HTTPClient: c.http, Retryer: newRetryer(c.opts.RetryDelay)})
}

func (c *Cloud) endpoint() *string {
	if c.opts.Endpoint == "" {
		return nil
	}
	return aws.String(c.opts.Endpoint)
}

// callerRegion is where AssumeRole is asked: the regional endpoint nearest to us is the one to use.
func (c *Cloud) callerRegion() string {
	if c.opts.Config.Region == "" {
		return HomeRegion
	}
	return c.opts.Config.Region
}

// IdentityError says that the assumed role is in another account than the one it was meant for. Nothing was changed.
type IdentityError struct {
	Want, Got string // account ids
}

// Error names both accounts.
func (e *IdentityError) Error() string {
	return fmt.Sprintf("the role is in account %s, but account %s was asked for", e.Got, e.Want)
}

// Enter assumes the account's role for the order and returns a session in the account, after AWS itself has confirmed
// that it is that account. The session is kept until it expires: entering again costs nothing.
//
// Errors are AWS's, of AssumeRole or GetCallerIdentity, or *IdentityError.
func (c *Cloud) OpenSession(ctx context.Context, account provision.Account, orderID string) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.OpenTimeout)
	defer cancel()
	now := c.opts.Now()
	s := c.slotOf(sessionKey{account.RoleARN, account.ExternalID, orderID}, now)
	var session *Session
	err := s.gate.pass(ctx, func(ctx context.Context) (err error) { // the first one enters, the others of the same order wait for it
		if s.session != nil && now.Before(s.until) && s.session.AccountID == account.ID {
			session = s.session
			return nil
		}
		if session, err = c.OpenFreshSession(ctx, account, orderID); err == nil {
			s.session, s.until = session, now.Add(c.opts.SessionLifetime-sessionMargin)
		}
		return err
	})
	return session, err
}

// OpenFreshSession is Enter without the memory of an earlier session: it tells whether the account can be entered now. The purpose
// stands in AWS's own log, as the id of an order does.
func (c *Cloud) OpenFreshSession(ctx context.Context, account provision.Account, purpose string) (*Session, error) {
	if got := account.Partition(); got != partition {
		return nil, fmt.Errorf("account %s is in partition %q: only %q is supported", account.ID, got, partition)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.OpenTimeout)
	defer cancel()
	session := c.newSession(account, purpose)
	if _, err := session.credentials.Retrieve(ctx); err != nil { // before the first call: no retry inside a retried call
		return nil, err
	}
	identity, err := session.identity(ctx)
	if err != nil {
		return nil, err
	}
	if got := aws.ToString(identity.Account); got != account.ID {
		return nil, &IdentityError{Want: account.ID, Got: got}
	}
	return session, nil
}

// AssumableWithoutExternalID tries what a confused deputy would try: to assume the account's role without the external id.
// It returns true when AWS lets it in, which makes the account unusable: anybody could talk us into entering it.
func (c *Cloud) AssumableWithoutExternalID(ctx context.Context, account provision.Account) (entered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.OpenTimeout)
	defer cancel()
	_, _, err = c.assume(ctx, &sts.AssumeRoleInput{
		RoleArn:         aws.String(account.RoleARN),
		RoleSessionName: aws.String(c.sessionName("no-external-id")),
		DurationSeconds: aws.Int32(900),
	})
	if IsAccessDenied(err) {
		return false, nil
	}
	return err == nil, err
}

// slotOf returns the cache's place for the key and forgets the places whose sessions have expired.
func (c *Cloud) slotOf(key sessionKey, now time.Time) *slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, s := range c.slots {
		if other != key && s.gate.idle() && !now.Before(s.until) {
			delete(c.slots, other)
		}
	}
	s, ok := c.slots[key]
	if !ok {
		s = &slot{gate: newGate()}
		c.slots[key] = s
	}
	return s
}

var unfitForSessionName = regexp.MustCompile(`[^A-Za-z0-9_=,.@-]`)

// sessionName is what stands in the account's CloudTrail: the prefix and the order's id, in the 64 characters that AWS
// allows. Source: AWS STS API Reference, AssumeRole.
func (c *Cloud) sessionName(orderID string) string {
	name := c.opts.SessionPrefix + unfitForSessionName.ReplaceAllString(orderID, "-")
	return name[:min(len(name), 64)]
}

func (c *Cloud) sourceIdentity(orderID string) string {
	name := "order-" + unfitForSessionName.ReplaceAllString(orderID, "-")
	return name[:min(len(name), 64)]
}

// Session is a way into one account, with AWS's word that it is this account. Its clients renew their credentials by
// themselves.
type Session struct {
	AccountID string
	Partition string

	IAM     *iam.Client
	Account *account.Client
	CUR     *cur.Client
	Exports *bcmdataexports.Client

	credentials *roleCredentials
	sts         func(region string) *sts.Client
	assumedIn   string // the region whose STS gave the credentials
	bucket      func(region string) *s3.Client
}

// S3 returns a client for buckets of the region.
func (s *Session) S3(region string) *s3.Client { return s.bucket(region) }

func (c *Cloud) newSession(acc provision.Account, orderID string) *Session {
	in := &sts.AssumeRoleInput{
		RoleArn:         aws.String(acc.RoleARN),
		RoleSessionName: aws.String(c.sessionName(orderID)),
		DurationSeconds: aws.Int32(int32(c.opts.SessionLifetime / time.Second)),
		ExternalId:      aws.String(acc.ExternalID),
	}
	if c.opts.SourceIdentity {
		in.SourceIdentity = aws.String(c.sourceIdentity(orderID))
	}
	session := &Session{AccountID: acc.ID, Partition: acc.Partition()}
	creds := newRoleCredentials(c.opts.OpenTimeout, func(ctx context.Context) (creds aws.Credentials, err error) {
		creds, session.assumedIn, err = c.assume(ctx, in)
		return creds, err
	})
	attempts := &attempts{credentials: creds, pace: c.pacer.of(acc.ID)}
	retryer := c.opts.Retryer()
	apiOptions := attempts.apiOptions()

	session.credentials = creds
	session.IAM = iam.New(iam.Options{Region: HomeRegion, Credentials: creds, BaseEndpoint: c.endpoint(),
		HTTPClient: c.http, Retryer: retryer, APIOptions: apiOptions})
	session.Account = account.New(account.Options{Region: HomeRegion, Credentials: creds, BaseEndpoint: c.endpoint(),
		HTTPClient: c.http, Retryer: retryer, APIOptions: apiOptions})
	session.CUR = cur.New(cur.Options{Region: HomeRegion, Credentials: creds, BaseEndpoint: c.endpoint(),
		HTTPClient: c.http, Retryer: retryer, APIOptions: apiOptions})
	session.Exports = bcmdataexports.New(bcmdataexports.Options{Region: HomeRegion, Credentials: creds, BaseEndpoint: c.endpoint(),
		HTTPClient: c.http, Retryer: retryer, APIOptions: apiOptions})
	session.sts = func(region string) *sts.Client {
		return sts.New(sts.Options{Region: region, Credentials: creds, BaseEndpoint: c.endpoint(),
			HTTPClient: c.http, Retryer: retryer, APIOptions: apiOptions})
	}
	session.bucket = func(region string) *s3.Client {
		return s3.New(s3.Options{Region: region, Credentials: creds, BaseEndpoint: c.endpoint(),
			UsePathStyle: c.opts.Endpoint != "", HTTPClient: c.http, Retryer: retryer, APIOptions: apiOptions})
	}
	return session
}

// identity asks AWS whose the credentials are, in the region that gave them. STS may be switched off there since.
func (s *Session) identity(ctx context.Context) (*sts.GetCallerIdentityOutput, error) {
	identity, err := s.sts(s.assumedIn).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if IsRegionDisabled(err) && s.assumedIn != HomeRegion {
		identity, err = s.sts(HomeRegion).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	}
	return identity, err
}
