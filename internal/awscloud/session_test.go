package awscloud_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/awssim"
)

// silentServer starts a server that accepts connections and never answers. It counts the AssumeRole requests.
func silentServer(t *testing.T) (endpoint string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && strings.Contains(string(body), "Action=AssumeRole") {
			asked.Add(1)
		}
		<-ended
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		close(ended)
		_ = server.Close()
	})
	return "http://" + listener.Addr().String(), asked
}

func silentCloud(t *testing.T, change func(*awscloud.Options)) (*awscloud.Cloud, *atomic.Int32) {
	t.Helper()
	endpoint, asked := silentServer(t)
	opts := awscloud.Options{
		Config:   aws.Config{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider(keyID, "not-a-secret", "")},
		Endpoint: endpoint, RetryDelay: time.Millisecond, CallTimeout: 300 * time.Millisecond, OpenTimeout: time.Second,
	}
	if change != nil {
		change(&opts)
	}
	cloud, err := awscloud.New(opts)
	require.NoError(t, err)
	return cloud, asked
}

// A caller that opens a session soon learns that AssumeRole does not answer, and no retry multiplies another one.
func TestAWSAcceptsConnectionsAndNeverAnswers(t *testing.T) {
	t.Parallel()
	requireNoAnswer := func(t *testing.T, err error) {
		t.Helper()
		require.Error(t, err)
		service, operation := awscloud.Operation(err)
		require.Equal(t, "STS AssumeRole", service+" "+operation, "%v", err)
		require.True(t, awscloud.IsAmbiguous(err), "%v", err)
	}
	t.Run("one caller", func(t *testing.T) {
		t.Parallel()
		cloud, asked := silentCloud(t, nil)
		began := time.Now()
		_, err := cloud.OpenSession(t.Context(), pooled, "one")
		requireNoAnswer(t, err)
		require.Less(t, time.Since(began), 10*time.Second)
		require.LessOrEqual(t, asked.Load(), int32(3))
	})
	t.Run("all retries together are bounded", func(t *testing.T) {
		t.Parallel()
		cloud, asked := silentCloud(t, func(o *awscloud.Options) { o.CallTimeout, o.OpenTimeout = time.Minute, 100*time.Millisecond })
		began := time.Now()
		_, err := cloud.OpenSession(t.Context(), pooled, "one")
		requireNoAnswer(t, err)
		require.Less(t, time.Since(began), 10*time.Second)
		require.Equal(t, int32(1), asked.Load())
	})
	t.Run("the attempt ends first", func(t *testing.T) {
		t.Parallel()
		cloud, _ := silentCloud(t, func(o *awscloud.Options) { o.CallTimeout, o.OpenTimeout = time.Minute, time.Minute })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := cloud.OpenSession(ctx, pooled, "one")
		requireNoAnswer(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("the steps of an order together", func(t *testing.T) {
		t.Parallel()
		cloud, asked := silentCloud(t, nil)
		errs := make([]error, 4)
		var wg sync.WaitGroup
		began := time.Now()
		for i := range errs {
			wg.Go(func() { _, errs[i] = cloud.OpenSession(t.Context(), pooled, "one") })
		}
		wg.Wait()
		require.Less(t, time.Since(began), 3*time.Second, "they wait for one timeout together")
		for _, err := range errs {
			requireNoAnswer(t, err)
		}
		require.LessOrEqual(t, asked.Load(), int32(3))
	})
	t.Run("without the external id", func(t *testing.T) {
		t.Parallel()
		cloud, asked := silentCloud(t, nil)
		_, err := cloud.AssumableWithoutExternalID(t.Context(), pooled)
		requireNoAnswer(t, err)
		require.LessOrEqual(t, asked.Load(), int32(3))
	})
}

// The next caller asks AWS itself.
func TestACanceledCallerDoesNotFailTheOthers(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, nil)
	sim.Inject(awssim.Fault{Operation: "AssumeRole", Kind: awssim.Timeout, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := cloud.OpenSession(ctx, pooled, "one")
		first <- err
	}()
	require.Eventually(t, func() bool { return count(sim, "AssumeRole") == 1 }, 10*time.Second, time.Millisecond)
	second := make(chan error, 1)
	go func() {
		_, err := cloud.OpenSession(t.Context(), pooled, "one")
		second <- err
	}()
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	require.NoError(t, <-second)
}

// The session's credentials expire in the middle of the work. The call that needs new ones does not repeat AssumeRole's retries, and its
// error names AssumeRole.
func TestACallIsNotRepeatedWhenItsRoleCannotBeAssumed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault awssim.Fault
		calls int
	}{
		"refused":   {awssim.Fault{Kind: awssim.AccessDenied}, 1},
		"no answer": {awssim.Fault{Kind: awssim.Timeout}, 3},
		"an outage": {awssim.Fault{Kind: awssim.Unavailable}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud, sim := setup(t, func(o *awscloud.Options) { o.CallTimeout = time.Second })
			s, err := cloud.OpenSession(t.Context(), pooled, "one")
			require.NoError(t, err)
			sim.Inject(awssim.Fault{Operation: "GetUser", Kind: awssim.ExpiredToken})
			c.fault.Operation = "AssumeRole"
			sim.Inject(c.fault)
			_, err = s.IAM.GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String("alice")})
			require.True(t, awscloud.IsAssumeRole(err), "%v", err)
			require.Equal(t, 1, count(sim, "GetUser"))
			require.Equal(t, 1+c.calls, count(sim, "AssumeRole"))
		})
	}
}

// The role was deleted and created again, which ends its sessions. The call fails, and the next one assumes the new role.
func TestCredentialsThatAWSDoesNotKnowAreReplaced(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, nil)
	s, err := cloud.OpenSession(t.Context(), pooled, "one")
	require.NoError(t, err)
	sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Error, Code: "InvalidClientTokenId", Status: 403, Times: 1})
	_, err = s.IAM.CreateUser(leased(t), createAlice())
	require.True(t, awscloud.IsBadCredentials(err), "%v", err)
	require.Equal(t, 1, count(sim, "CreateUser"), "a write is not repeated")
	_, err = s.IAM.CreateUser(leased(t), createAlice())
	require.NoError(t, err)
	require.Equal(t, 2, count(sim, "AssumeRole"))
}

// The error shows the operator which call did not answer.
func TestOperationNamesTheCallThatTheDeadlineEnded(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]awssim.Fault{
		"no answer":            {Kind: awssim.Timeout},
		"between two attempts": {Kind: awssim.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud, sim := setup(t, func(o *awscloud.Options) { o.RetryDelay = time.Hour })
			s, err := cloud.OpenSession(t.Context(), pooled, "one")
			require.NoError(t, err)
			fault.Operation = "GetUser"
			sim.Inject(fault)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err = s.IAM.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("alice")})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			service, operation := awscloud.Operation(err)
			require.Equal(t, "IAM GetUser", service+" "+operation)
		})
	}
}

// An account can deactivate STS in every region except us-east-1.
func TestSTSIsDeactivatedInOurRegion(t *testing.T) {
	t.Parallel()
	off := awssim.Fault{Kind: awssim.Error, Code: "RegionDisabledException", Status: 403}
	t.Run("AssumeRole", func(t *testing.T) {
		t.Parallel()
		cloud, sim, asked := setupRegions(t)
		refused := off
		refused.Operation, refused.Nth = "AssumeRole", 1
		sim.Inject(refused)
		_, err := cloud.OpenSession(t.Context(), pooled, "one")
		require.NoError(t, err)
		require.Equal(
			t,
			[]string{"eu-west-1", "us-east-1", "us-east-1"},
			asked(),
			"GetCallerIdentity is sent to the region that issued the credentials",
		)
	})
	t.Run("GetCallerIdentity", func(t *testing.T) {
		t.Parallel()
		cloud, sim, asked := setupRegions(t)
		refused := off
		refused.Operation, refused.Nth = "GetCallerIdentity", 1
		sim.Inject(refused)
		_, err := cloud.OpenSession(t.Context(), pooled, "one")
		require.NoError(t, err)
		require.Equal(t, []string{"eu-west-1", "eu-west-1", "us-east-1"}, asked())
	})
	t.Run("our own identity", func(t *testing.T) {
		t.Parallel()
		cloud, sim, asked := setupRegions(t)
		refused := off
		refused.Operation, refused.Nth = "GetCallerIdentity", 1
		sim.Inject(refused)
		arn, err := cloud.OwnIdentity(t.Context())
		require.NoError(t, err)
		require.Regexp(t, `^arn:aws:(iam|sts)::[0-9]{12}:`, arn)
		require.Equal(t, []string{"eu-west-1", "us-east-1"}, asked())
	})
	t.Run("everywhere", func(t *testing.T) {
		t.Parallel()
		cloud, sim := setup(t, nil)
		refused := off
		refused.Operation = "AssumeRole"
		sim.Inject(refused)
		_, err := cloud.OpenSession(t.Context(), pooled, "one")
		require.True(t, awscloud.IsRegionDisabled(err) && awscloud.IsAssumeRole(err), "%v", err)
		require.Equal(t, 2, count(sim, "AssumeRole"))
	})
	t.Run("without the external id", func(t *testing.T) {
		t.Parallel()
		cloud, sim := setup(t, nil)
		refused := off
		refused.Operation, refused.Nth = "AssumeRole", 1
		sim.Inject(refused)
		assumable, err := cloud.AssumableWithoutExternalID(t.Context(), pooled)
		require.NoError(t, err)
		require.False(t, assumable)
	})
}

var scope = regexp.MustCompile(`Credential=[^/]+/[0-9]+/([^/]+)/`)

// setupRegions is setup, plus a function that returns the regions for which the requests were signed.
func setupRegions(t *testing.T) (cloud *awscloud.Cloud, sim *awssim.Sim, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var regions []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		regions = append(regions, scope.FindStringSubmatch(r.Header.Get("Authorization"))[1])
		mu.Unlock()
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	cloud, sim = setup(t, func(o *awscloud.Options) { o.Endpoint = server.URL })
	return cloud, sim, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(regions)
	}
}
