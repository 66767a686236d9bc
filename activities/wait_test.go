package activities

import (
	"context"
	"testing"
	"testing/synctest"
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

// called counts the requests of the operation.
func (w *fixture) called(operation string) (n int) {
	for _, name := range w.operations() {
		if name == operation {
			n++
		}
	}
	return n
}

// For a while, reads of AWS alternate between the old and the new state.
func TestWaitStableNeedsTwoReadsInARow(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.sim.Inject(awssim.Fault{Operation: "ListAccountAliases", Nth: 2, Kind: awssim.StaleRead})
	_, err := once(w, 1, w.acts.SetAlias, w.work())
	require.NoError(t, err)
	require.Equal(t, []string{"AssumeRole", "GetCallerIdentity", "CreateAccountAlias",
		"ListAccountAliases", "ListAccountAliases", // seen, and then not
		"ListAccountAliases", "ListAccountAliases", // seen twice
	}, w.operations())
}

func TestWaitShownNeedsTwoReadsInARowOnlyAfterOneThatDidNotShowIt(t *testing.T) {
	t.Parallel()
	for stale, want := range map[int]int{0: 1, 1: 3, 2: 4} {
		w := setup(t)
		if stale > 0 {
			w.sim.Inject(awssim.Fault{Operation: "GetExport", Times: stale, Kind: awssim.StaleRead})
		}
		_, err := once(w, 1, w.acts.SetUpReport, SetUpReport{Work: w.work()})
		require.NoError(t, err)
		require.Equal(t, want, w.called("GetExport"), "after %d stale reads", stale)
	}
}

// Two stale reads in quick succession must not show that something is gone.
func TestOnlyTheWaitForAbsenceBeginsWithALongPause(t *testing.T) {
	t.Parallel()
	acts := &Activities{Timings: Timings{VisibleFor: time.Hour, PollEvery: time.Hour}}
	read := func(seen bool) func(context.Context) (bool, error) {
		return func(context.Context) (bool, error) { return seen, nil }
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		seen, err := acts.waitStable(t.Context(), read(true))
		require.NoError(t, err)
		require.True(t, seen)
		require.Less(t, time.Since(began), acts.Timings.PollEvery/10)
		began = time.Now()
		gone, err := acts.waitGone(t.Context(), read(false))
		require.NoError(t, err)
		require.True(t, gone)
		require.GreaterOrEqual(t, time.Since(began), acts.Timings.PollEvery)
	})
}

// The pauses grow from a fraction of PollEvery to 3 times PollEvery.
func TestPausesGrow(t *testing.T) {
	t.Parallel()
	acts := &Activities{Timings: Timings{PollEvery: time.Second}}
	synctest.Test(t, func(t *testing.T) {
		for n, least := range []int64{62, 125, 250, 500, 1000, 2000, 2000} {
			began := time.Now()
			require.NoError(t, acts.pause(t.Context(), n))
			pause := time.Since(began).Milliseconds()
			require.GreaterOrEqual(t, pause, least)
			require.LessOrEqual(t, pause, least*3/2+1)
		}
	})
}

func TestWhatIsNotVisibleInTimeIsRetried(t *testing.T) {
	t.Parallel()
	w := setup(t)
	user, err := once(w, 1, w.acts.CreateUser, w.work())
	require.NoError(t, err)
	in := EnableSignIn{Work: w.work(), User: user}
	remove := w.sim.Inject(awssim.Fault{Operation: "GetLoginProfile", Kind: awssim.StaleRead})
	for attempt := range int32(2) {
		_, err = once(w, attempt+1, w.acts.EnableSignIn, in)
		w.requireFailure(err, provision.CodeNotYetVisible)
	}
	remove()
	_, err = once(w, 3, w.acts.EnableSignIn, in)
	require.NoError(t, err)
	require.Equal(t, 1, w.effects("CreateLoginProfile"))
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
			require.Equal(t, 2, w.called(c.create))
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
