package awscloud_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/account"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

const (
	accountID    = "111122223333"
	otherID      = "444455556666"
	externalID   = "ext-111122223333"
	principalARN = "arn:aws:iam::999988887777:role/provisioner"
	keyID        = "AKIAPROVISIONER00000"
)

var pooled = provision.Account{ID: accountID, RoleARN: "arn:aws:iam::" + accountID + ":role/quartermaster", ExternalID: externalID}

// setup returns a simulator with two accounts and a Cloud that talks to it.
func setup(t *testing.T, change func(*awscloud.Options)) (*awscloud.Cloud, *awssim.Sim) {
	t.Helper()
	sim := awssim.New(awssim.Options{Seed: 1})
	role := awssim.Role{Name: "quartermaster", ExternalID: externalID, TrustedPrincipal: principalARN}
	require.NoError(t, sim.Load(awssim.Seed{
		Callers: []awssim.Caller{{AccessKeyID: keyID, SecretAccessKey: "not-a-secret", ARN: principalARN}},
		Accounts: []awssim.Account{
			{
				ID:    accountID,
				Email: "a@example.com",
				Role:  role,
				Contact: &awssim.Contact{
					FullName: "A", AddressLine1: "B", City: "C", PostalCode: "D", CountryCode: "FR", PhoneNumber: "+33 1",
				},
			},
			{ID: otherID, Email: "b@example.com", Role: role},
		},
	}))
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	opts := awscloud.Options{
		Config:   aws.Config{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider(keyID, "not-a-secret", "")},
		Endpoint: server.URL, RetryDelay: time.Millisecond,
	}
	if change != nil {
		change(&opts)
	}
	cloud, err := awscloud.New(opts)
	require.NoError(t, err)
	return cloud, sim
}

// count returns how many requests of the operation reached AWS.
func count(sim *awssim.Sim, operation string) (n int) {
	for _, r := range sim.Requests() {
		if r.Operation == operation {
			n++
		}
	}
	return n
}

func TestEveryServiceIsCalledInItsRegion(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, nil)
	s, err := cloud.OpenSession(t.Context(), pooled, "order/1: ä")
	require.NoError(t, err)
	require.Equal(t, accountID, s.AccountID)

	// The service's own region is eu-west-1, but every request is sent to and signed for the region of its AWS service: the
	// simulator refuses anything else.
	ctx := t.Context()
	_, err = s.IAM.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{})
	require.NoError(t, err)
	_, err = s.Account.GetContactInformation(ctx, &account.GetContactInformationInput{})
	require.NoError(t, err)
	_, err = s.CUR.DescribeReportDefinitions(ctx, &cur.DescribeReportDefinitionsInput{})
	require.NoError(t, err)
	_, err = s.Exports.ListExports(ctx, &bcmdataexports.ListExportsInput{})
	require.NoError(t, err)
	_, err = s.S3("eu-central-1").GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String("mp-cur-" + accountID + "-none")})
	require.True(t, awscloud.IsNotFound(err), err)

	for _, r := range sim.Requests()[1:] {
		require.Equal(t, "arn:aws:sts::"+accountID+":assumed-role/quartermaster/ord-order-1---", r.CallerARN)
	}
	require.Equal(
		t,
		[]string{"AssumeRole", "GetCallerIdentity", "ListAccountAliases"},
		[]string{
			sim.Requests()[0].Operation,
			sim.Requests()[1].Operation,
			sim.Requests()[2].Operation,
		},
		"the account is confirmed before any other call",
	)
}

func TestSessionsAreCached(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	cloud, sim := setup(t, func(o *awscloud.Options) {
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	var wg sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		wg.Go(func() { _, errs[i] = cloud.OpenSession(t.Context(), pooled, "one") })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 1, count(sim, "AssumeRole"), "the steps of an order share a session")
	require.Equal(t, 1, count(sim, "GetCallerIdentity"))

	_, err := cloud.OpenSession(t.Context(), pooled, "two")
	require.NoError(t, err)
	require.Equal(t, 2, count(sim, "AssumeRole"), "two orders do not")

	mu.Lock()
	now = now.Add(15 * time.Minute)
	mu.Unlock()
	_, err = cloud.OpenSession(t.Context(), pooled, "one")
	require.NoError(t, err)
	require.Equal(t, 3, count(sim, "AssumeRole"), "an expired session is opened again")

	changed := pooled
	changed.ExternalID = "guessed"
	_, err = cloud.OpenSession(t.Context(), changed, "one")
	require.True(t, awscloud.IsAccessDenied(err), "a cached session is not used after the external id has changed")
}

func TestOpenSessionRefusesWrongAccountsAndPartitions(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, nil)

	wrong := pooled
	wrong.ID = otherID
	_, err := cloud.OpenSession(t.Context(), wrong, "o")
	var identity *awscloud.IdentityError
	require.ErrorAs(t, err, &identity)
	require.Equal(t, &awscloud.IdentityError{Want: otherID, Got: accountID}, identity)
	_, err = cloud.OpenSession(t.Context(), wrong, "o")
	require.ErrorAs(t, err, &identity, "the failure is not cached")

	for name, change := range map[string]func(*provision.Account){
		"external id": func(a *provision.Account) { a.ExternalID = "guessed" },
		"role":        func(a *provision.Account) { a.RoleARN = "arn:aws:iam::" + accountID + ":role/other" },
	} {
		a := pooled
		change(&a)
		_, err := cloud.OpenSession(t.Context(), a, "o")
		require.True(t, awscloud.IsAccessDenied(err), name)
		require.True(t, awscloud.IsAssumeRole(err), name)
	}

	china := pooled
	china.RoleARN = "arn:aws-cn:iam::" + accountID + ":role/quartermaster"
	requests := len(sim.Requests())
	_, err = cloud.OpenSession(t.Context(), china, "o")
	require.ErrorContains(t, err, `"aws-cn"`)
	require.Len(t, sim.Requests(), requests, "nothing is sent")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = cloud.OpenSession(ctx, pooled, "new")
	require.ErrorIs(t, err, context.Canceled)
}

func TestAssumableWithoutExternalID(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, func(o *awscloud.Options) { o.SessionPrefix = "verify-" })
	assumable, err := cloud.AssumableWithoutExternalID(t.Context(), pooled)
	require.NoError(t, err)
	require.False(t, assumable)

	require.NoError(t, sim.Edit(accountID, func(a *awssim.Account) {
		a.Role.ExternalID, a.Role.TrustPolicy = "", []byte(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+principalARN+`"},"Action":"sts:AssumeRole"}}`)
	}))
	assumable, err = cloud.AssumableWithoutExternalID(t.Context(), pooled)
	require.NoError(t, err)
	require.True(t, assumable, "the trust policy does not demand the external id")

	sim.Inject(awssim.Fault{Operation: "AssumeRole", Kind: awssim.Unavailable})
	_, err = cloud.AssumableWithoutExternalID(t.Context(), pooled)
	require.Error(t, err, "an outage does not answer the question")
}

// If the SDK sent the call again, the answer would be EntityAlreadyExists, as if the user were someone else's.
func TestAWriteWhoseReplyIsLostIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, kind := range []awssim.Kind{awssim.Reset, awssim.InternalError, awssim.MalformedBody} {
		cloud, sim := setup(t, nil)
		s, err := cloud.OpenSession(t.Context(), pooled, "o")
		require.NoError(t, err)
		sim.Inject(awssim.Fault{Operation: "CreateUser", When: awssim.After, Kind: kind, Times: 1})
		_, err = s.IAM.CreateUser(leased(t), createAlice())
		require.Error(t, err)
		require.True(t, awscloud.IsAmbiguous(err), "%s: %v", kind, err)
		require.False(t, awscloud.IsAlreadyExists(err))
		require.Equal(t, 1, count(sim, "CreateUser"))
		service, operation := awscloud.Operation(err)
		require.Equal(t, "IAM CreateUser", service+" "+operation)
	}
}

// leased returns the context of an attempt that may write.
func leased(t *testing.T) context.Context {
	t.Helper()
	lease := awscloud.NewLease(time.Minute, time.Hour, awscloud.Now)
	lease.Grant(lease.Now())
	return awscloud.WithLease(t.Context(), lease)
}

func createAlice() *iam.CreateUserInput {
	return &iam.CreateUserInput{UserName: aws.String("alice"), Path: aws.String("/marketplace/"),
		Tags: []iamtypes.Tag{{Key: aws.String("mp:order-id"), Value: aws.String("acme/o")}}}
}

func TestRefusedWritesAreNotRepeated(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, nil)
	s, err := cloud.OpenSession(t.Context(), pooled, "o")
	require.NoError(t, err)
	remove := sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Throttle})
	_, err = s.IAM.CreateUser(leased(t), createAlice())
	require.True(t, awscloud.IsThrottled(err))
	require.False(t, awscloud.IsAmbiguous(err))
	require.Equal(t, 1, count(sim, "CreateUser"))
	remove()
}

func TestReadsAreRepeated(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, nil)
	s, err := cloud.OpenSession(t.Context(), pooled, "o")
	require.NoError(t, err)
	sim.Inject(awssim.Fault{Operation: "ListAccountAliases", Times: 2, Kind: awssim.Reset})
	_, err = s.IAM.ListAccountAliases(t.Context(), &iam.ListAccountAliasesInput{})
	require.NoError(t, err)
	require.Equal(t, 3, count(sim, "ListAccountAliases"))

	sim.Inject(awssim.Fault{Operation: "ListAccountAliases", Kind: awssim.Unavailable})
	_, err = s.IAM.ListAccountAliases(t.Context(), &iam.ListAccountAliasesInput{})
	require.True(t, awscloud.IsAmbiguous(err))
	require.Equal(t, 6, count(sim, "ListAccountAliases"), "three attempts, not more")
}

// Whether AWS rejects a read or a write first, the role is assumed again and the call succeeds.
func TestExpiredCredentialsAreRenewed(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, nil)
	s, err := cloud.OpenSession(t.Context(), pooled, "o")
	require.NoError(t, err)
	sim.Inject(awssim.Fault{Operation: "CreateUser", Times: 1, Kind: awssim.ExpiredToken})
	_, err = s.IAM.CreateUser(leased(t), createAlice())
	require.NoError(t, err)
	require.Equal(t, 2, count(sim, "AssumeRole"))
	require.Equal(t, 2, count(sim, "CreateUser"))
	sim.Inject(awssim.Fault{Operation: "GetUser", Times: 1, Kind: awssim.ExpiredToken})
	_, err = s.IAM.GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String("alice")})
	require.NoError(t, err)
	require.Equal(t, 3, count(sim, "AssumeRole"))

	sim.Inject(awssim.Fault{Operation: "GetUser", Kind: awssim.ExpiredToken})
	_, err = s.IAM.GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String("alice")})
	require.True(t, awscloud.IsExpiredToken(err), "a call that is rejected every time fails in the end")
}

func TestACallThatTimesOutIsAmbiguous(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, func(o *awscloud.Options) { o.CallTimeout = 200 * time.Millisecond })
	s, err := cloud.OpenSession(t.Context(), pooled, "o")
	require.NoError(t, err)
	sim.Inject(awssim.Fault{Operation: "CreateUser", When: awssim.After, Kind: awssim.Timeout})
	_, err = s.IAM.CreateUser(leased(t), createAlice())
	require.True(t, awscloud.IsAmbiguous(err), err)
	require.NoError(t, t.Context().Err())
	require.Equal(t, 1, count(sim, "CreateUser"))
}

func TestCallsToAnAccountArePaced(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, func(o *awscloud.Options) {
		o.Limits = awscloud.Limits{IAM: awscloud.Limit{PerSecond: 20, Burst: 1},
			Account: map[string]awscloud.Limit{"GetContactInformation": {PerSecond: 0.001, Burst: 1}}}
	})
	start := time.Now()
	for _, order := range []string{"one", "two"} { // all sessions of an account share the limit
		s, err := cloud.OpenSession(t.Context(), pooled, order)
		require.NoError(t, err)
		for range 3 {
			_, err = s.IAM.ListAccountAliases(t.Context(), &iam.ListAccountAliasesInput{})
			require.NoError(t, err)
		}
	}
	require.GreaterOrEqual(t, time.Since(start), 5*time.Second/20)

	s, err := cloud.OpenSession(t.Context(), pooled, "one")
	require.NoError(t, err)
	_, err = s.Account.GetContactInformation(t.Context(), &account.GetContactInformationInput{})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = s.Account.GetContactInformation(ctx, &account.GetContactInformationInput{})
	require.ErrorIs(t, err, awscloud.ErrPaced)
	require.True(t, awscloud.IsThrottled(err))
	require.Equal(t, 1, count(sim, "GetContactInformation"), "a call that our own limiter rejects is not sent")
}

func TestNewRefusesBadOptions(t *testing.T) {
	t.Parallel()
	creds := aws.Config{Credentials: credentials.NewStaticCredentialsProvider(keyID, "not-a-secret", "")}
	for says, opts := range map[string]awscloud.Options{
		"loopback":            {Config: creds, Endpoint: "http://203.0.113.7:4566"},
		"not a URL":           {Config: creds, Endpoint: "127.0.0.1:4566"},
		"credentials are mis": {Endpoint: "http://127.0.0.1:4566"},
		"session lifetime":    {Config: creds, SessionLifetime: 2 * time.Hour},
	} {
		_, err := awscloud.New(opts)
		require.ErrorContains(t, err, says)
	}
	for _, endpoint := range []string{"", "http://localhost:4566", "http://[::1]:4566"} {
		_, err := awscloud.New(awscloud.Options{Config: creds, Endpoint: endpoint})
		require.NoError(t, err, endpoint)
	}
}
