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

// silent accepts connections and never answers. It counts the AssumeRole requests that it was sent.
func silent(t *testing.T) (endpoint string, asked *atomic.Int32) {
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

func enterSilent(t *testing.T, change func(*awscloud.Options)) (*awscloud.Cloud, *atomic.Int32) {
	t.Helper()
	endpoint, asked := silent(t)
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

// TestAWSAcceptsConnectionsAndNeverAnswers: who waits for the way into an account learns soon that it is AssumeRole that does not
// answer, and no retry multiplies another one.
func TestAWSAcceptsConnectionsAndNeverAnswers(t *testing.T) {
	t.Parallel()
	requireNoAnswer := func(t *testing.T, err error) {
		t.Helper()
		require.Error(t, err)
		service, operation := awscloud.Operation(err)
		require.Equal(t, "STS AssumeRole", service+" "+operation, "%v", err)
		require.True(t, awscloud.IsAmbiguous(err), "%v", err)
	}
	t.Run("one", func(t *testing.T) {
		t.Parallel()
		cloud, asked := enterSilent(t, nil)
		began := time.Now()
		_, err := cloud.OpenSession(t.Context(), pooled, "one")
		requireNoAnswer(t, err)
		require.Less(t, time.Since(began), 10*time.Second)
		require.LessOrEqual(t, asked.Load(), int32(3))
	})
	t.Run("the time of all tries together is bounded", func(t *testing.T) {
		t.Parallel()
		cloud, asked := enterSilent(t, func(o *awscloud.Options) { o.CallTimeout, o.OpenTimeout = time.Minute, 100*time.Millisecond })
		began := time.Now()
		_, err := cloud.OpenSession(t.Context(), pooled, "one")
		requireNoAnswer(t, err)
		require.Less(t, time.Since(began), 10*time.Second)
		require.Equal(t, int32(1), asked.Load())
	})
	t.Run("the attempt ends first", func(t *testing.T) {
		t.Parallel()
		cloud, _ := enterSilent(t, func(o *awscloud.Options) { o.CallTimeout, o.OpenTimeout = time.Minute, time.Minute })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := cloud.OpenSession(ctx, pooled, "one")
		requireNoAnswer(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("the steps of an order together", func(t *testing.T) {
		t.Parallel()
		cloud, asked := enterSilent(t, nil)
		errs := make([]error, 4)
		var wg sync.WaitGroup
		began := time.Now()
		for i := range errs {
			wg.Go(func() { _, errs[i] = cloud.OpenSession(t.Context(), pooled, "one") })
		}
		wg.Wait()
		require.Less(t, time.Since(began), 3*time.Second, "they wait for it once, not one after the other")
		for _, err := range errs {
			requireNoAnswer(t, err)
		}
		require.LessOrEqual(t, asked.Load(), int32(3))
	})
	t.Run("without the external id", func(t *testing.T) {
		t.Parallel()
		cloud, asked := enterSilent(t, nil)
		_, err := cloud.AssumableWithoutExternalID(t.Context(), pooled)
		requireNoAnswer(t, err)
		require.LessOrEqual(t, asked.Load(), int32(3))
	})
}

// TestTheCallerWhoGoesAwaySaysNothingAboutTheAccount: the next one asks AWS itself.
func TestTheCallerWhoGoesAwaySaysNothingAboutTheAccount(t *testing.T) {
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

// TestARoleThatCannotBeAssumedAnyMoreIsNotAskedForAgainAndAgain: the session's credentials have expired in the middle of the work. The
// call that needs new ones is not repeated by its own retries, and says what did not work.
func TestARoleThatCannotBeAssumedAnyMoreIsNotAskedForAgainAndAgain(t *testing.T) {
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

// TestASessionThatAWSDoesNotKnowAnyMore: the role was deleted and made anew. The call fails, and the next one assumes the new role.
func TestASessionThatAWSDoesNotKnowAnyMore(t *testing.T) {
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

// TestOperationOfACallThatTheDeadlineEnds: the operator is told what did not answer.
func TestOperationOfACallThatTheDeadlineEnds(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]awssim.Fault{"no answer": {Kind: awssim.Timeout}, "between two tries": {Kind: awssim.Unavailable}} {
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

// TestSTSIsSwitchedOffInOurRegion: the account's owner may switch it off in every region but us-east-1.
func TestSTSIsSwitchedOffInOurRegion(t *testing.T) {
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
		require.Equal(t, []string{"eu-west-1", "us-east-1", "us-east-1"}, asked(), "the identity is asked for where it works")
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
	t.Run("in the test without the external id", func(t *testing.T) {
		t.Parallel()
		cloud, sim := setup(t, nil)
		refused := off
		refused.Operation, refused.Nth = "AssumeRole", 1
		sim.Inject(refused)
		entered, err := cloud.AssumableWithoutExternalID(t.Context(), pooled)
		require.NoError(t, err)
		require.False(t, entered)
	})
}

var scope = regexp.MustCompile(`Credential=[^/]+/[0-9]+/([^/]+)/`)

// setupRegions is setup with the regions that the requests were signed for.
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
