package activities

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// defaultPool gives the pool the settings that it has until its provider changes them.
func defaultPool(from *initialState) { from.w.Settings = provision.DefaultPool(testPool).Settings }

// An order with everything in it sends these calls and no others, when AWS shows each write at once. Look at docs/aws.md before you add
// one.
func TestTheCallsOfAnOrder(t *testing.T) {
	t.Parallel()
	w := setup(t, defaultPool)
	s, err := w.acts.Cloud.OpenSession(t.Context(), w.w.Account, "an earlier order of this worker")
	require.NoError(t, err)
	for _, arn := range w.w.Settings.UserPolicyARNs {
		_, err := s.Policy(t.Context(), arn)
		require.NoError(t, err)
	}
	before := len(w.sim.Requests())
	w.mustDo()
	calls, total := map[string]int{}, 0
	for _, operation := range w.operations()[before:] {
		calls[operation]++
		total++
	}
	require.Equal(t, map[string]int{
		"AssumeRole": 1, "GetCallerIdentity": 1, // once for all steps
		"GetAccountInformation": 1, "ListUsers": 1, "GetAccountPasswordPolicy": 1, // Inspect
		"GetContactInformation": 3, "GetAlternateContact": 6, // Inspect, before the write, after it
		"CreateUser": 1, "AttachUserPolicy": 2,
		"PutContactInformation": 1, "PutAlternateContact": 3,
		"CreateAccountAlias": 1, "ListAccountAliases": 3, // Inspect, and twice after the write
		"GetBucketTagging": 1, "CreateBucket": 1, "PutPublicAccessBlock": 1, "PutBucketPolicy": 1, // the first only in us-east-1
		"CreateExport": 1, "GetExport": 1,
		"GetUser": 1, "CreateLoginProfile": 1, "GetLoginProfile": 2,
	}, calls)
	require.Equal(t, 35, total)
}

// The first order of a worker reads AWS's own policies, and the next ones within the hour do not.
func TestPoliciesOfAWSAreReadOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, defaultPool, func(from *initialState) {
		from.w.Settings.PermissionsBoundary = boundaryARN
		from.account.PolicyDocuments = map[string]string{
			boundaryARN: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`}
	})
	for range 3 {
		_, err := run(w, w.acts.Inspect, w.work())
		require.NoError(t, err)
	}
	const ofAWS, boundaries = 2, 3 // a policy of the account is read every time
	require.Equal(t, ofAWS+boundaries, w.called("GetPolicy"))
	require.Equal(t, ofAWS+boundaries, w.called("GetPolicyVersion"))
}

// Each of the reads is answered only when all have been sent.
func TestIndependentReadsAreSentInParallel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(*fixture) error
		reads []string
		n     int // how many requests
	}{
		"inspect": {func(w *fixture) error {
			_, err := once(w, 1, w.acts.Inspect, w.work())
			return err
		}, []string{"GetAccountInformation", "ListAccountAliases", "GetContactInformation", "GetAlternateContact", "ListUsers",
			"GetAccountPasswordPolicy", "GetPolicy"}, 9},
		"contacts": {func(w *fixture) error {
			_, err := once(w, 1, w.acts.SetContacts, SetContacts{Work: w.work()})
			return err
		}, []string{"GetAlternateContact"}, 3},
		"verification": {func(w *fixture) error {
			w.forgetSteps()
			_, err := once(w, 1, w.acts.VerifyAccount, accountID)
			return err
		}, []string{"ListAccountAliases", "GetContactInformation", "GetAlternateContact"}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change := func(*initialState) {}
			if name == "verification" {
				change = waiting
			}
			w := setup(t, change)
			arrived, all := make(chan struct{}, c.n), make(chan struct{})
			go func() {
				for range c.n {
					<-arrived
				}
				close(all)
			}()
			together := func(_ *awssim.Sim, ask func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
				arrived <- struct{}{}
				select {
				case <-all:
				case <-time.After(4 * time.Second): // less than the timeout of a call
					t.Error("a read waits for the answer to another")
				}
				return ask()
			}
			altered := alterations{}
			for _, operation := range c.reads {
				altered[operation] = together
			}
			w.proxy.alter(altered)
			require.NoError(t, c.do(w))
		})
	}
}

// The failure does not depend on which read is answered first.
func TestTheFirstFailureOfParallelReadsIsThatOfTheList(t *testing.T) {
	t.Parallel()
	w := setup(t, func(from *initialState) { from.account.State = awssim.StatePendingActivation })
	for _, operation := range []string{"ListUsers", "GetAlternateContact", "GetAccountPasswordPolicy"} {
		w.sim.Inject(awssim.Fault{Operation: operation, Kind: awssim.AccessDenied})
	}
	w.sim.Inject(awssim.Fault{Operation: "GetAccountInformation", Kind: awssim.Slow, Delay: 100 * time.Millisecond})
	_, err := once(w, 1, w.acts.Inspect, w.work())
	w.requireFailure(err, provision.CodeAccountSuspended)
}

// AWS may not accept the writes of several contacts at once. An order as a whole stays within AWS's limits.
func TestAnOrderStaysWithinAWSsLimits(t *testing.T) {
	t.Parallel()
	w := setup(t, defaultPool, func(from *initialState) {
		from.sim.RateLimits = true
		from.cloud.Limits = awscloud.DefaultLimits()
	})
	w.sim.Inject(awssim.Fault{Operation: "PutAlternateContact", Kind: awssim.Throttle, Times: 2})
	inspected, err := once(w, 1, w.acts.Inspect, w.work())
	require.NoError(t, err)
	_, err = once(w, 1, w.acts.SetContacts, done{inspected: inspected}.setContacts(w.work()))
	require.NoError(t, err, "a throttled contact is written again in the same attempt")
	w.mustDo()
	for _, r := range w.sim.Requests() {
		require.NotEqual(t, "TooManyRequestsException", r.Decision, r.Operation)
	}
}
