package activities

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// operations lists the operations of the requests, in order.
func (w *fixture) operations() (names []string) {
	for _, r := range w.sim.Requests() {
		names = append(names, r.Operation)
	}
	return names
}

// For a while, reads of AWS alternate between the old and the new state.
func TestWaitStableNeedsTwoReadsInARow(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.sim.Inject(awssim.Fault{Operation: "GetUser", Nth: 3, Kind: awssim.StaleRead})
	_, err := once(w, 1, w.acts.CreateUser, w.work())
	require.NoError(t, err)
	require.Equal(t, []string{"AssumeRole", "GetCallerIdentity",
		"GetUser", "CreateUser",
		"GetUser", "GetUser", // seen, and then not
		"GetUser", "GetUser", // seen twice
		"ListAttachedUserPolicies"}, w.operations()[:9])
}

func TestWhatIsNotVisibleInTimeIsRetried(t *testing.T) {
	t.Parallel()
	w := setup(t)
	remove := w.sim.Inject(awssim.Fault{Operation: "GetUser", Kind: awssim.StaleRead})
	_, err := once(w, 1, w.acts.CreateUser, w.work())
	w.requireFailure(err, provision.CodeNotYetVisible)
	_, err = once(w, 2, w.acts.CreateUser, w.work())
	w.requireFailure(err, provision.CodeNotYetVisible)
	remove()
	_, err = once(w, 3, w.acts.CreateUser, w.work())
	require.NoError(t, err)
	require.Equal(t, 1, w.effects("CreateUser"))
}

// Right after something was created, parts of AWS do not know it, or its permissions, yet.
func TestPassingRefusalsAreAwaited(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"AttachUserPolicy", "CreateLoginProfile", "PutPublicAccessBlock", "PutBucketPolicy"} {
		for _, fault := range []awssim.Fault{
			{Kind: awssim.AccessDenied},
			{Kind: awssim.Error, Code: "NoSuchEntity", Status: 404},
			{Kind: awssim.ConcurrentModification},
		} {
			t.Run(operation+" "+string(fault.Kind), func(t *testing.T) {
				t.Parallel()
				w := setup(t, func(from *initialState) { from.timings.VisibleFor = 10 * time.Second })
				fault.Operation, fault.Times = operation, 3
				w.sim.Inject(fault)
				user, err := once(w, 1, w.acts.CreateUser, w.work())
				require.NoError(t, err)
				_, err = once(w, 1, w.acts.SetUpReport, SetUpReport{Work: w.work()})
				require.NoError(t, err)
				_, err = once(w, 1, w.acts.EnableSignIn, EnableSignIn{Work: w.work(), User: user})
				require.NoError(t, err)
			})
		}
	}
}

// The repeat does not see the report and creates it again, and AWS says that it exists.
func TestAReportWhoseReplyWasLostIsAdopted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind         func(*initialState)
		create, list string
	}{
		"legacy report": {legacyReport, "PutReportDefinition", "DescribeReportDefinitions"},
		"data export":   {func(*initialState) {}, "CreateExport", "ListExports"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, c.kind)
			w.sim.Inject(awssim.Fault{Operation: c.create, Nth: 1, When: awssim.After, Kind: awssim.Reset})
			w.sim.Inject(awssim.Fault{Operation: c.list, Times: 3, Kind: awssim.StaleRead})
			_, err := once(w, 1, w.acts.SetUpReport, SetUpReport{Work: w.work()})
			w.requireFailure(err, provision.CodeAWSUnavailable)
			report, err := once(w, 2, w.acts.SetUpReport, SetUpReport{Work: w.work()})
			require.NoError(t, err)
			require.Equal(t, w.w.reportName(), report.Name)
			require.Equal(t, 1, w.effects(c.create))
			creations := 0
			for _, operation := range w.operations() {
				if operation == c.create {
					creations++
				}
			}
			require.Equal(t, 2, creations)
		})
	}
}

// An undo must not wait for a canceled attempt.
func TestACancelEndsTheWait(t *testing.T) {
	t.Parallel()
	w := setup(t, func(from *initialState) { from.timings = Timings{VisibleFor: time.Hour, PollEvery: time.Hour} })
	ctx, cancel := context.WithCancel(t.Context())
	looked := make(chan struct{})
	ended := make(chan error)
	go func() {
		_, err := w.acts.waitStable(ctx, func(context.Context) (bool, error) { close(looked); return false, nil })
		ended <- err
	}()
	<-looked
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, 15*time.Minute, w.acts.Timings.absentFor(), "a quarter, when it is not set")
}
