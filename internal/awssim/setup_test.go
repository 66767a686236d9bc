package awssim_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/account"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

const (
	accountID    = "111122223333"
	otherID      = "444455556666"
	suspendedID  = "777788889999"
	externalID   = "ext-111122223333"
	principalARN = "arn:aws:iam::999988887777:role/provisioner"
	roleARN      = "arn:aws:iam::" + accountID + ":role/quartermaster"
	userName     = "alice"
	password     = "Corr3ct-horse+battery"
	allPowers    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
)

// clock is a clock that only tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a simulator behind a real listener, with the clients of the account's role.
type world struct {
	t     *testing.T
	sim   *awssim.Sim
	url   string
	clock *clock

	sts     *sts.Client // with the caller's long-lived keys
	iam     *iam.Client
	account *account.Client
	cur     *cur.Client
	exports *bcmdataexports.Client
	s3      *s3.Client
}

type option func(*awssim.Options, *awssim.Seed)

func withDelay(d time.Duration) option {
	return func(o *awssim.Options, _ *awssim.Seed) { o.Delay = d }
}

// withPolicy gives the account's role another policy than the shipped one.
func withPolicy(policy string) option {
	return func(_ *awssim.Options, s *awssim.Seed) { s.Accounts[0].Role.Policy = json.RawMessage(policy) }
}

func withAccount(f func(*awssim.Account)) option {
	return func(_ *awssim.Options, s *awssim.Seed) { f(&s.Accounts[0]) }
}

func seed() awssim.Seed {
	return awssim.Seed{
		Callers: []awssim.Caller{
			{AccessKeyID: "AKIAPROVISIONER00000", SecretAccessKey: "provisioner-secret", ARN: principalARN},
			{AccessKeyID: "AKIASTRANGER00000000", SecretAccessKey: "stranger-secret", ARN: "arn:aws:iam::999988887777:user/stranger"},
		},
		Accounts: []awssim.Account{
			{
				ID: accountID, Name: "Pool 1", Email: "root+1@example.com",
				Created: time.Date(2025, 3, 1, 9, 0, 0, 0, time.UTC),
				Role:    awssim.Role{Name: "quartermaster", ExternalID: externalID, TrustedPrincipal: principalARN},
				Contact: &awssim.Contact{
					FullName: "Provider Ltd", AddressLine1: "1 Main St", City: "Berlin", StateOrRegion: "BE", PostalCode: "10115",
					CountryCode: "DE", PhoneNumber: "+49 30 1234567",
				},
			},
			{
				ID: otherID, Email: "root+2@example.com", Alias: "taken-alias",
				Role:    awssim.Role{Name: "quartermaster", ExternalID: "ext-" + otherID, TrustedPrincipal: principalARN},
				Buckets: map[string]awssim.Bucket{"foreign-bucket": {}},
			},
			{
				ID: suspendedID, Email: "root+3@example.com", State: awssim.StateSuspended,
				Role: awssim.Role{Name: "quartermaster", ExternalID: "ext-" + suspendedID, TrustedPrincipal: principalARN},
			},
		},
	}
}

func setup(t *testing.T, options ...option) *world {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	opts, seed := awssim.Options{Now: c.Now, Seed: 7}, seed()
	for _, o := range options {
		o(&opts, &seed)
	}
	w := &world{t: t, sim: awssim.New(opts), clock: c}
	require.NoError(t, w.sim.Load(seed))
	server := httptest.NewServer(w.sim)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.sts = sts.NewFromConfig(w.config("AKIAPROVISIONER00000", "provisioner-secret", ""))
	w.use(w.config(w.assume(accountID)))
	return w
}

// config builds a client configuration without retries, so that a test sees every single answer.
func (w *world) config(key, secret, token string) aws.Config {
	transport := &http.Transport{DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true}
	w.t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(w.url), HTTPClient: &http.Client{Transport: transport, Timeout: 10 * time.Second},
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, token),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// use points the clients of the world at credentials.
func (w *world) use(config aws.Config) {
	w.iam, w.account, w.cur = iam.NewFromConfig(config), account.NewFromConfig(config), cur.NewFromConfig(config)
	w.exports = bcmdataexports.NewFromConfig(config)
	w.s3 = s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
}

func (w *world) assumeInput(account string) *sts.AssumeRoleInput {
	return &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::" + account + ":role/quartermaster"), RoleSessionName: aws.String("ord-1"),
		ExternalId: aws.String("ext-" + account),
	}
}

func (w *world) assume(account string) (key, secret, token string) {
	w.t.Helper()
	out, err := w.sts.AssumeRole(w.t.Context(), w.assumeInput(account))
	require.NoError(w.t, err)
	c := out.Credentials
	return *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken
}

// patient returns a configuration with the SDK's standard retryer of three attempts, without its pauses.
func patient(config aws.Config) aws.Config {
	config.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 3
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	}
	return config
}

// requireCode asserts an AWS error's code and returns its message.
func requireCode(t *testing.T, err error, code string) string {
	t.Helper()
	var apiError smithy.APIError
	require.ErrorAs(t, err, &apiError)
	require.Equal(t, code, apiError.ErrorCode(), apiError.ErrorMessage())
	return apiError.ErrorMessage()
}

// requireStatus asserts the HTTP status behind an error.
func requireStatus(t *testing.T, err error, status int) {
	t.Helper()
	var response interface{ HTTPStatusCode() int }
	require.ErrorAs(t, err, &response)
	require.Equal(t, status, response.HTTPStatusCode())
}

// effects returns the changes of the account as "resource: what".
func (w *world) effects() []string {
	var out []string
	for _, e := range w.sim.Effects() {
		out = append(out, e.Resource+": "+e.What)
	}
	return out
}

// mustUser creates the flow's user and waits out the delay.
func (w *world) mustUser(ctx context.Context) {
	w.t.Helper()
	_, err := w.iam.CreateUser(ctx, createUserInput(userName))
	require.NoError(w.t, err)
	w.clock.Advance(time.Hour / 2)
}

// last returns the last request that the simulator saw.
func (w *world) last() awssim.Request {
	all := w.sim.Requests()
	return all[len(all)-1]
}
