package awscloud

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/account"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"quartermaster/internal/provision"
)

// Session is the access to one account. AWS has confirmed that the credentials belong to that account. The clients renew them
// automatically.
type Session struct {
	AccountID string

	IAM     *iam.Client
	Account *account.Client
	CUR     *cur.Client
	Exports *bcmdataexports.Client

	credentials *roleCredentials
	sts         func(region string) *sts.Client
	assumedIn   string // the region whose STS issued the credentials
	policies    *policyCache
	newS3       func(region string) *s3.Client

	mu sync.Mutex
	s3 map[string]*s3.Client // by region
}

// S3 returns a client for buckets in the region.
func (s *Session) S3(region string) *s3.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	client, ok := s.s3[region]
	if !ok {
		client = s.newS3(region)
		s.s3[region] = client
	}
	return client
}

// sessionKey identifies a session in the cache. Two orders never share credentials, and a change of the role or of its external
// id ends the use of earlier credentials.
type sessionKey struct{ roleARN, externalID, orderID string }

// cachedSession is a session in the cache. The caller that opens it holds opening; only that caller uses session and until.
type cachedSession struct {
	opening *single
	session *Session
	until   time.Time

	used time.Time // guarded by the Cloud's mutex
}

// idleSession is how long an unused session is kept. The steps of an order follow each other within seconds.
const idleSession = 2 * time.Minute

// IdentityError reports that the assumed role is not in the account that was asked for. Nothing was changed.
type IdentityError struct {
	Want, Got string // account ids
}

// Error names both accounts.
func (e *IdentityError) Error() string {
	return fmt.Sprintf("the role is in account %s, but it should be in account %s", e.Got, e.Want)
}

// OpenSession assumes the account's role for the order and returns a session in the account, after AWS has confirmed that it is
// that account. The session is cached while it is used and until it expires, so opening it again soon sends no request.
//
// The error is AWS's answer to AssumeRole or GetCallerIdentity, or an *IdentityError.
func (c *Cloud) OpenSession(ctx context.Context, account provision.Account, orderID string) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.OpenTimeout)
	defer cancel()
	now := c.opts.Now()
	s := c.cached(sessionKey{account.RoleARN, account.ExternalID, orderID}, now)
	var session *Session
	err := s.opening.do(ctx, func(ctx context.Context) (err error) { // the first step of an order opens it, the others wait
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

// OpenFreshSession is OpenSession without the cache: it shows whether a session in the account can be opened now. The purpose
// appears in the account's CloudTrail, where OpenSession writes the order's id.
func (c *Cloud) OpenFreshSession(ctx context.Context, account provision.Account, purpose string) (*Session, error) {
	if got := account.Partition(); got != partition {
		return nil, fmt.Errorf("account %s is in partition %q: only %q is supported", account.ID, got, partition)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.OpenTimeout)
	defer cancel()
	session := c.newSession(account, purpose)
	if _, err := session.credentials.Retrieve(ctx); err != nil { // now, so that its retries do not run inside those of the first call
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

// AssumableWithoutExternalID reports whether AWS lets us assume the account's role without the external id. Such an account is
// unusable: anyone who knows the role's name could make us work in it (the confused deputy problem).
// Source: IAM User Guide, "The confused deputy problem".
func (c *Cloud) AssumableWithoutExternalID(ctx context.Context, account provision.Account) (assumable bool, err error) {
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

// OwnIdentity returns the ARN of the service's own identity, which assumes the roles of the accounts.
func (c *Cloud) OwnIdentity(ctx context.Context) (arn string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.OpenTimeout)
	defer cancel()
	identity, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if IsRegionDisabled(err) {
		identity, err = c.stsHome.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	}
	if err != nil {
		return "", err
	}
	return aws.ToString(identity.Arn), nil
}

// cached returns the cache's entry for the key. Once a minute it removes the entries that are no longer used.
func (c *Cloud) cached(key sessionKey, now time.Time) *cachedSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.swept) >= sweepEvery {
		c.swept = now
		maps.DeleteFunc(c.sessions, func(_ sessionKey, s *cachedSession) bool {
			return s.opening.idle() && now.Sub(s.used) > idleSession
		})
	}
	s, ok := c.sessions[key]
	if !ok {
		s = &cachedSession{opening: newSingle()}
		c.sessions[key] = s
	}
	s.used = now
	return s
}

var unfitForSessionName = regexp.MustCompile(`[^A-Za-z0-9_=,.@-]`)

// sessionName returns the name that the account's CloudTrail shows: the prefix and the order's id, cut to the 64 characters
// that AWS allows. Source: AWS STS API Reference, AssumeRole.
func (c *Cloud) sessionName(orderID string) string {
	name := c.opts.SessionPrefix + unfitForSessionName.ReplaceAllString(orderID, "-")
	return name[:min(len(name), 64)]
}

func (c *Cloud) sourceIdentity(orderID string) string {
	name := "order-" + unfitForSessionName.ReplaceAllString(orderID, "-")
	return name[:min(len(name), 64)]
}

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
	session := &Session{AccountID: acc.ID, policies: c.policies, s3: map[string]*s3.Client{}}
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
	session.newS3 = func(region string) *s3.Client {
		return s3.New(s3.Options{Region: region, Credentials: creds, BaseEndpoint: c.endpoint(),
			UsePathStyle: c.opts.Endpoint != "", HTTPClient: c.http, Retryer: retryer, APIOptions: apiOptions})
	}
	return session
}

// identity asks AWS which account the credentials belong to, in the region that issued them. If STS has since been deactivated
// there, it asks in HomeRegion.
func (s *Session) identity(ctx context.Context) (*sts.GetCallerIdentityOutput, error) {
	identity, err := s.sts(s.assumedIn).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if IsRegionDisabled(err) && s.assumedIn != HomeRegion {
		identity, err = s.sts(HomeRegion).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	}
	return identity, err
}
