package activities

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// One denial decides nothing, because permissions take time to spread; one that lasts does.
func TestARefusalIsFinalWhenItLasts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault    awssim.Fault
		patience func(*Timings) *time.Duration
		first    provision.Code
		last     provision.Code
		mentions string
	}{
		"denied": {awssim.Fault{Kind: awssim.AccessDenied}, func(t *Timings) *time.Duration { return &t.DeniedFor },
			provision.CodePermissionMissing, provision.CodePermissionMissing, "iam:CreateUser"},
		"an answer never seen before": {awssim.Fault{Kind: awssim.Error, Code: "TeapotException", Status: 418, Message: "secret@example.com"},
			func(t *Timings) *time.Duration { return &t.RefusedFor },
			provision.CodeAWSRefused, provision.CodeAWSRefused, "iam:CreateUser"},
		"never ready": {awssim.Fault{Kind: awssim.ConcurrentModification}, func(t *Timings) *time.Duration { return &t.RefusedFor },
			provision.CodeAWSNotReady, provision.CodeAWSRefused, "and this has lasted for 1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			patience := c.patience(&w.acts.Timings)
			*patience = time.Hour
			c.fault.Operation = "CreateUser"
			mend := w.sim.Inject(c.fault)
			attempt := func(n int32) error {
				_, err := once(w, n, w.acts.CreateUser, w.work())
				return err
			}
			for n := int32(1); n <= 3; n++ {
				w.requireAnswer(attempt(n), c.first, false)
				require.Equal(t, provision.StepRetrying, w.stepRow(provision.StepUser).State)
			}
			w.refusedAgo(provision.StepUser, *patience)
			failure := w.requireAnswer(attempt(4), c.last, true)
			require.NotEmpty(t, failure.AWSCode)
			require.NotEmpty(t, failure.RequestID)
			require.Contains(t, failure.Reason, c.mentions)
			require.Equal(t, provision.StepFailed, w.stepRow(provision.StepUser).State)
			problem := w.stepRow(provision.StepUser).Problem
			require.Contains(t, problem, failure.AWSCode)
			require.Contains(t, problem, failure.RequestID)
			require.NotContains(t, problem, "secret@example.com")

			w.requireAnswer(attempt(1), c.first, false) // an operator retries the step, which has the whole time again
			mend()
			require.NoError(t, attempt(2))
		})
	}
}

// What AWS says now has not lasted yet.
func TestAnotherRefusalStartsTheTimeAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.acts.Timings.DeniedFor, w.acts.Timings.RefusedFor = time.Minute, time.Minute
	refuse := func(n int32, kind awssim.Kind) error {
		remove := w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: kind})
		defer remove()
		_, err := once(w, n, w.acts.CreateUser, w.work())
		return err
	}
	w.requireAnswer(refuse(1, awssim.ConcurrentModification), provision.CodeAWSNotReady, false)
	w.refusedAgo(provision.StepUser, time.Hour)
	w.requireAnswer(refuse(2, awssim.AccessDenied), provision.CodePermissionMissing, false)
	w.requireAnswer(refuse(3, awssim.Throttle), provision.CodeThrottled, false)
	w.refusedAgo(provision.StepUser, time.Hour)
	w.requireAnswer(refuse(4, awssim.Unavailable), provision.CodeAWSUnavailable, false) // an outage is no refusal
	w.requireAnswer(refuse(5, awssim.AccessDenied), provision.CodePermissionMissing, true)
}

// What cannot be counted is not believed.
func TestARefusalDuringADatabaseOutageIsRetried(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.AccessDenied})
	w.onRequest(func(operation, _ string) {
		if operation == "CreateUser" {
			w.store.breakWith(provision.ErrUnavailable)
		}
	})
	_, err := once(w, 1, w.acts.CreateUser, w.work())
	w.requireFailure(err, provision.CodeDatabaseUnavailable)
}

// AWS may let us later, but not after an hour.
func TestAnUndoRetriesRefusalsUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault awssim.Fault
		code  provision.Code
	}{
		"denied":                      {awssim.Fault{Kind: awssim.AccessDenied}, provision.CodePermissionMissing},
		"an answer never seen before": {awssim.Fault{Kind: awssim.Error, Code: "TeapotException", Status: 418}, provision.CodeAWSRefused},
		"not signed up":               {awssim.Fault{Kind: awssim.Error, Code: "OptInRequired", Status: 403}, provision.CodeAccountSuspended},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			d := w.mustDo()
			c.fault.Operation = "DeleteAccountAlias"
			w.sim.Inject(c.fault)
			undo := func(until time.Time, final bool) {
				in := d.restoreAlias(w.work())
				in.Until = until
				_, err := once(w, 1, w.acts.RestoreAlias, in)
				failure := w.requireAnswer(err, c.code, final)
				require.NotEmpty(t, failure.AWSCode)
				require.Equal(t, provision.StepUndoing, w.stepRow(provision.StepAlias).State)
				require.Contains(t, w.stepRow(provision.StepAlias).Problem, failure.RequestID,
					"until then the order shows what is retried and why it fails")
			}
			undo(time.Now().Add(time.Hour), false)
			undo(time.Now().Add(-time.Second), true)
		})
	}
	t.Run("an outage has no end", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		d := w.mustDo()
		for kind, code := range map[awssim.Kind]provision.Code{awssim.Throttle: provision.CodeThrottled,
			awssim.Unavailable:   provision.CodeAWSUnavailable,
			awssim.InternalError: provision.CodeAWSUnavailable, awssim.Reset: provision.CodeAWSUnavailable} {
			remove := w.sim.Inject(awssim.Fault{Operation: "DeleteAccountAlias", Kind: kind})
			in := d.restoreAlias(w.work())
			in.Until = time.Now().Add(-time.Hour)
			_, err := once(w, 1, w.acts.RestoreAlias, in)
			w.requireAnswer(err, code, false)
			remove()
		}
	})
	t.Run("the comparison with the journal", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		d := w.mustDo()
		w.sim.Inject(awssim.Fault{Operation: "ListAccountAliases", Kind: awssim.AccessDenied})
		in := d.compare(w.work())
		in.Until = time.Now().Add(time.Hour)
		_, err := once(w, 1, w.acts.CompareWithJournal, in)
		w.requireAnswer(err, provision.CodePermissionMissing, false)
		in.Until = time.Now().Add(-time.Second)
		_, err = once(w, 1, w.acts.CompareWithJournal, in)
		w.requireAnswer(err, provision.CodePermissionMissing, true)
	})
}

// AWS accepts the connection and says nothing, longer than the attempt may take.
func TestAnAttemptNamesTheCallThatDidNotAnswer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.takes = 4 * time.Second // enough to come so far on a busy machine
	w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Timeout})
	_, err := once(w, 1, w.acts.CreateUser, w.work())
	failure := w.requireFailure(err, provision.CodeAWSUnavailable)
	require.Contains(t, failure.Reason, "iam:CreateUser")
	require.Equal(t, provision.StepRetrying, w.stepRow(provision.StepUser).State)
	require.Contains(t, w.stepRow(provision.StepUser).Problem, "AWS did not answer iam:CreateUser before the timeout of the attempt")
}

// What AWS never shows is no trouble of the database.
func TestAnAttemptReportsThatAWSShowsNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.takes = 400 * time.Millisecond
	err := inAttempt(w, func(ctx context.Context) error {
		err := attempt(ctx, provision.StepUser, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if err == nil {
			return errors.New("the attempt had no end")
		}
		return err
	})
	failure := w.requireFailure(err, provision.CodeAWSUnavailable)
	require.Contains(t, failure.Reason, "has not shown")
}
