package awscloud_test

import (
	"context"
	"net/http/httptrace"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/awssim"
)

// fakeClock is the two clocks of a machine that can be paused.
type fakeClock struct {
	mu  sync.Mutex
	now awscloud.Moment
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: awscloud.Moment{Boot: time.Hour, Wall: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}}
}

func (c *fakeClock) Now() awscloud.Moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// pause advances the two clocks.
func (c *fakeClock) pause(boot, wall time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Boot, c.now.Wall = c.now.Boot+boot, c.now.Wall.Add(wall)
}

const lasts = 15 * time.Second

func TestLeaseExpires(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		happens func(clock *fakeClock, lease *awscloud.Lease)
		left    time.Duration
	}{
		"just granted": {func(*fakeClock, *awscloud.Lease) {}, lasts},
		"a while later": {func(clock *fakeClock, _ *awscloud.Lease) { clock.pause(4*time.Second, 4*time.Second) },
			11 * time.Second},
		"at its end":            {func(clock *fakeClock, _ *awscloud.Lease) { clock.pause(lasts, lasts) }, 0},
		"stopped":               {func(clock *fakeClock, _ *awscloud.Lease) { clock.pause(time.Minute, time.Minute) }, -45 * time.Second},
		"frozen, wall clock":    {func(clock *fakeClock, _ *awscloud.Lease) { clock.pause(0, time.Minute) }, -45 * time.Second},
		"frozen, boot clock":    {func(clock *fakeClock, _ *awscloud.Lease) { clock.pause(time.Minute, 0) }, -45 * time.Second},
		"wall clock set back":   {func(clock *fakeClock, _ *awscloud.Lease) { clock.pause(4*time.Second, -time.Hour) }, 11 * time.Second},
		"ended":                 {func(_ *fakeClock, lease *awscloud.Lease) { lease.End() }, 0},
		"granted after its end": {func(_ *fakeClock, lease *awscloud.Lease) { lease.End(); lease.Grant(lease.Now()) }, 0},
		"the end of the attempt": {func(clock *fakeClock, lease *awscloud.Lease) {
			clock.pause(time.Minute, 0)
			lease.Renew(lease.Now())
		}, 0},
		"renewed": {func(clock *fakeClock, lease *awscloud.Lease) {
			clock.pause(10*time.Second, 0)
			lease.Renew(lease.Now())
			clock.pause(10*time.Second, 0)
		}, 5 * time.Second},
		"a slow heartbeat": {func(clock *fakeClock, lease *awscloud.Lease) {
			sent := lease.Now()
			clock.pause(10*time.Second, 10*time.Second)
			lease.Renew(sent)
		}, 5 * time.Second},
		"heartbeats answered out of order": {func(clock *fakeClock, lease *awscloud.Lease) {
			first := lease.Now()
			clock.pause(10*time.Second, 10*time.Second)
			lease.Renew(lease.Now())
			lease.Renew(first)
		}, lasts},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newFakeClock()
			lease := awscloud.NewLease(lasts, time.Minute, clock.Now)
			require.LessOrEqual(t, lease.Left(), time.Duration(0), "it was never granted")
			lease.Renew(lease.Now())
			require.LessOrEqual(t, lease.Left(), time.Duration(0), "a heartbeat grants nothing")
			lease.Grant(lease.Now())
			c.happens(clock, lease)
			require.Equal(t, c.left, lease.Left())
		})
	}
}

func TestTheClocksRun(t *testing.T) {
	t.Parallel()
	before := awscloud.Now()
	require.Eventually(t, func() bool {
		now := awscloud.Now()
		return now.Boot > before.Boot && now.Wall.After(before.Wall)
	}, time.Minute, time.Millisecond)
	require.Equal(t, before.Wall, before.Wall.Round(0), "Go's own clock would be compared instead of the wall clock")
}

// setupLease returns a session in an account and an attempt whose lease has been granted.
func setupLease(t *testing.T, change func(*awscloud.Options)) (*awscloud.Session, *awssim.Sim, *fakeClock, context.Context) {
	t.Helper()
	cloud, sim := setup(t, change)
	s, err := cloud.OpenSession(t.Context(), pooled, "o")
	require.NoError(t, err)
	clock := newFakeClock()
	lease := awscloud.NewLease(lasts, time.Hour, clock.Now)
	lease.Grant(lease.Now())
	return s, sim, clock, awscloud.WithLease(t.Context(), lease)
}

func TestWithoutALeaseNothingIsWritten(t *testing.T) {
	t.Parallel()
	s, sim, clock, ctx := setupLease(t, nil)
	bucket := aws.String("mp-cur-" + accountID + "-none")
	clock.pause(0, time.Minute)
	for name, ctx := range map[string]context.Context{"none": t.Context(), "expired": ctx} {
		_, err := s.IAM.CreateUser(ctx, createAlice())
		require.ErrorIs(t, err, awscloud.ErrLeaseExpired, name)
		require.False(t, awscloud.IsAmbiguous(err), "it was not sent")
		_, err = s.S3("eu-central-1").DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})
		require.ErrorIs(t, err, awscloud.ErrLeaseExpired, name)
		_, err = s.IAM.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{})
		require.NoError(t, err, "who only reads needs no lease")
	}
	require.Zero(t, count(sim, "CreateUser")+count(sim, "DeleteBucket"))
	require.Empty(t, sim.Effects())

	_, err := s.IAM.CreateUser(leased(t), createAlice())
	require.NoError(t, err)
}

// IsRead judges operations by their names alone, so every operation of the simulator is checked here.
func TestEveryWriteNeedsALease(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, awssim.MutatingOperations)
	for _, operation := range awssim.MutatingOperations {
		require.False(t, awscloud.IsRead(operation.Name), operation.Name)
	}
}

// The process is paused at the last moment: the call was allowed and the connection is made.
func TestAPauseBetweenTheCheckAndTheWrite(t *testing.T) {
	t.Parallel()
	s, sim, clock, ctx := setupLease(t, nil)
	paused := httptrace.WithClientTrace(
		ctx,
		&httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { clock.pause(time.Minute, time.Minute) }},
	)
	_, err := s.IAM.CreateUser(paused, createAlice())
	require.ErrorIs(t, err, awscloud.ErrLeaseExpired)
	require.Empty(t, sim.Effects())
}

// The lease expires during the first attempt of a call.
func TestARetryOfTheSDKNeedsALeaseToo(t *testing.T) {
	t.Parallel()
	s, sim, clock, ctx := setupLease(t, func(o *awscloud.Options) {
		o.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 3, time.Millisecond })
		}
	})
	sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Unavailable, Times: 1})
	paused := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { clock.pause(time.Minute, time.Minute) }})
	_, err := s.IAM.CreateUser(paused, createAlice())
	require.ErrorIs(t, err, awscloud.ErrLeaseExpired)
	require.Equal(t, 1, count(sim, "CreateUser"), "the repeat was not sent")
	require.Empty(t, sim.Effects())
}

// AWS is slow, and the lease is not renewed.
func TestACallIsCutOffWhenItsLeaseExpires(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, nil)
	s, err := cloud.OpenSession(t.Context(), pooled, "o")
	require.NoError(t, err)
	sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Timeout})
	lease := awscloud.NewLease(200*time.Millisecond, time.Hour, awscloud.Now)
	lease.Grant(lease.Now())
	start := time.Now()
	_, err = s.IAM.CreateUser(awscloud.WithLease(t.Context(), lease), createAlice())
	require.ErrorIs(t, err, awscloud.ErrLeaseExpired)
	require.NotErrorIs(t, err, context.Canceled, "the attempt was not canceled")
	require.Less(t, time.Since(start), 5*time.Second, "the call's own timeout is later")
}

// AWS may be slow as long as heartbeats are accepted. The test's clock does not move, which has the effect of constant renewals.
func TestACallGoesOnWhileItsLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	cloud, sim := setup(t, func(o *awscloud.Options) { o.CallTimeout = 300 * time.Millisecond })
	s, err := cloud.OpenSession(t.Context(), pooled, "o")
	require.NoError(t, err)
	sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Timeout})
	lease := awscloud.NewLease(50*time.Millisecond, time.Hour, newFakeClock().Now)
	lease.Grant(lease.Now())
	_, err = s.IAM.CreateUser(awscloud.WithLease(t.Context(), lease), createAlice())
	require.NotErrorIs(t, err, awscloud.ErrLeaseExpired)
	require.True(t, awscloud.IsAmbiguous(err), "its own timeout has ended the call: %v", err)
}
