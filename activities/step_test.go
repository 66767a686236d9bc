package activities

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// inAccount returns the activities that work in an order's account, each called once.
func (w *fixture) inAccount(d done) map[string]func() error {
	user := UserUndo{Work: w.work(), UserID: d.user.ID}
	return map[string]func() error{
		"Inspect":         func() error { _, err := once(w, 1, w.acts.Inspect, w.work()); return err },
		"CreateUser":      func() error { _, err := once(w, 1, w.acts.CreateUser, w.work()); return err },
		"SetContacts":     func() error { _, err := once(w, 1, w.acts.SetContacts, d.setContacts(w.work())); return err },
		"SetAlias":        func() error { _, err := once(w, 1, w.acts.SetAlias, w.work()); return err },
		"SetUpReport":     func() error { _, err := once(w, 1, w.acts.SetUpReport, SetUpReport{Work: w.work()}); return err },
		"EnableSignIn":    func() error { _, err := once(w, 1, w.acts.EnableSignIn, EnableSignIn{w.work(), d.user}); return err },
		"DisableSignIn":   func() error { _, err := once(w, 1, w.acts.DisableSignIn, user); return err },
		"RemoveUser":      func() error { _, err := once(w, 1, w.acts.RemoveUser, user); return err },
		"RestoreContacts": func() error { _, err := once(w, 1, w.acts.RestoreContacts, d.restoreContacts(w.work())); return err },
		"RestoreAlias":    func() error { _, err := once(w, 1, w.acts.RestoreAlias, d.restoreAlias(w.work())); return err },
		"RemoveReport": func() error {
			_, err := once(w, 1, w.acts.RemoveReport, RemoveReport{Work: w.work(), Report: d.report})
			return err
		},
		"CompareWithJournal": func() error { _, err := once(w, 1, w.acts.CompareWithJournal, d.compare(w.work())); return err },
		"SetPassword":        func() error { _, err := once(w, 1, w.acts.SetPassword, d.asked.in(w)); return err },
	}
}

// readers are those that change nothing.
var readers = []string{"Inspect", "CompareWithJournal"}

// undos are those that undo a step.
var undos = []string{"DisableSignIn", "RemoveUser", "RestoreContacts", "RestoreAlias", "RemoveReport"}

// halfDone returns an account in which the activity has something to change: for an undo all steps are done, for a step only those
// before it.
func halfDone(t *testing.T, name string) (*fixture, done) {
	t.Helper()
	w := setup(t, quick)
	if slices.Contains(undos, name) {
		d := w.mustDo()
		return w, d
	}
	if name == "SetPassword" {
		d := w.handOver()
		d.asked = w.ask("1")
		return w, d
	}
	inspected, err := run(w, w.acts.Inspect, w.work())
	require.NoError(t, err)
	d := done{inspected: inspected}
	if name == "EnableSignIn" {
		d.user, err = run(w, w.acts.CreateUser, w.work())
		require.NoError(t, err)
	}
	return w, d
}

// TestAPausedAttemptChangesNothing pauses the process right after the database has said that the order holds the account. When the
// process continues, another order may hold the account.
func TestAPausedAttemptChangesNothing(t *testing.T) {
	t.Parallel()
	for name := range setup(t).inAccount(done{}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, d := halfDone(t, name)
			before := string(w.sim.Snapshot(accountID))
			clock := w.clock()
			w.store.asked = func() { clock.pause(time.Minute) }
			err := w.inAccount(d)[name]()
			require.Error(t, err)
			requireStopped(t, err)
			require.Equal(t, before, string(w.sim.Snapshot(accountID)))
			open := 0
			for _, row := range w.stepRows() {
				open += row.AttemptsOpen + row.UndosOpen
			}
			require.Equal(t, 1, open, "the paused attempt has not recorded its end")

			w.store.asked = nil
			require.NoError(t, w.inAccount(d)[name](), "the next attempt does the work")
			if !slices.Contains(readers, name) {
				require.NotEqual(t, before, string(w.sim.Snapshot(accountID)), "the activity changed nothing, so the test proves nothing")
			}
		})
	}
}

// TestHeartbeatsKeepALease pauses the process between a read and the write that depends on it.
func TestHeartbeatsKeepALease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		paused time.Duration
		answer error // to the heartbeats after the pause
		takes  time.Duration
		writes bool
	}{
		"not paused":                      {writes: true},
		"paused, and a heartbeat":         {paused: time.Hour, takes: 24 * time.Hour, writes: true},
		"paused, and no answer":           {paused: time.Hour, takes: 24 * time.Hour, answer: serviceerror.NewUnavailable("no route")},
		"paused, and superseded":          {paused: time.Hour, takes: 24 * time.Hour, answer: serviceerror.NewNotFound("no such activity")},
		"paused beyond the attempt's end": {paused: time.Hour, takes: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.takes = c.takes
			clock := w.clock()
			paused := make(chan struct{})
			server := w.heartbeat(30*time.Millisecond, func(int) error {
				select {
				case <-paused:
					return c.answer
				default:
					return nil
				}
			})
			var pause sync.Once
			w.onRequest(func(operation, _ string) {
				if operation != "GetContactInformation" {
					return
				}
				pause.Do(func() {
					clock.pause(c.paused)
					close(paused)
					next := server.heard() + 1
					if c.answer == nil {
						next++ // the first may have been on its way already
					}
					require.Eventually(t, func() bool { return server.heard() >= next }, time.Minute, time.Millisecond)
				})
			})
			_, err := once(w, 1, w.acts.SetContacts, SetContacts{Work: w.work()})
			if c.writes {
				require.NoError(t, err)
				require.Equal(t, w.w.Request.ContactName, w.account().Contact.FullName)
				return
			}
			require.Error(t, err)
			require.Empty(t, w.sim.Effects())
		})
	}
}

// The database keeps the password that AWS has, no matter which attempt set it.
func TestAPausedAttemptLeavesThePasswordAlone(t *testing.T) {
	t.Parallel()
	t.Run("replaced", func(t *testing.T) {
		t.Parallel()
		w, d := halfDone(t, "EnableSignIn")
		clock := w.clock()
		w.sim.Inject(awssim.Fault{Operation: "CreateLoginProfile", Kind: awssim.Error, Code: "PasswordPolicyViolation", Status: 400})
		var kept string
		w.onRequest(func(operation, _ string) {
			if operation == "CreateLoginProfile" {
				kept = w.password()
				clock.pause(time.Minute)
			}
		})
		requireStopped(t, w.inAccount(d)["EnableSignIn"]())
		require.Equal(t, kept, w.password())
	})
	t.Run("withdrawn", func(t *testing.T) {
		t.Parallel()
		w, d := halfDone(t, "DisableSignIn")
		clock := w.clock()
		w.onRequest(func(operation, _ string) {
			if operation == "DeleteLoginProfile" {
				clock.pause(time.Minute)
			}
		})
		requireStopped(t, w.inAccount(d)["DisableSignIn"]())
		require.NotEmpty(t, w.password())
	})
}

// The record is written although the context of the attempt is over.
func TestACanceledStepIsStopped(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"CreateUser", "SetContacts", "SetAlias", "SetUpReport", "EnableSignIn", "Inspect", "CompareWithJournal", "SetPassword",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, d := halfDone(t, name)
			w.clock()
			w.forgetSteps()
			w.sim.Inject(awssim.Fault{AccountID: accountID, Kind: awssim.Timeout})
			w.heartbeat(30*time.Millisecond, func(beat int) error {
				if beat < 3 {
					return nil
				}
				return temporal.NewCanceledError()
			})
			requireStopped(t, w.inAccount(d)[name]())
			rows := w.stepRows()
			require.Len(t, rows, 1)
			require.Equal(t, provision.StepStopped, rows[0].State)
			require.Zero(t, rows[0].AttemptsOpen)
		})
	}
}

// undoOfAlias sets the alias that an undo removes.
func undoOfAlias(t *testing.T) (*fixture, RestoreAlias) {
	t.Helper()
	w := setup(t, quick)
	d := w.mustDo()
	return w, d.restoreAlias(w.work())
}

// openAttempt begins an attempt to set the alias that does not record its end.
func (w *fixture) openAttempt() {
	w.t.Helper()
	_, err := w.store.Steps.Begin(w.t.Context(), w.w.Order, accountID, provision.StepAlias, 2)
	require.NoError(w.t, err)
}

func TestAnUndoWaitsUntilTheLeasesOfItsStepAreOver(t *testing.T) {
	t.Parallel()
	w, in := undoOfAlias(t)
	w.openAttempt()
	w.clock()
	server := w.heartbeat(30*time.Millisecond, nil)
	w.store.lease = 300 * time.Millisecond
	var asked time.Time
	w.store.asked = func() { asked = time.Now() }
	var first time.Duration
	beats := 0
	w.onRequest(func(string, string) {
		if first == 0 {
			first, beats = time.Since(asked), server.heard()
		}
	})
	_, err := once(w, 1, w.acts.RestoreAlias, in)
	require.NoError(t, err)
	require.GreaterOrEqual(t, first, w.store.lease)
	require.Greater(t, beats, 2, "it heartbeats while it waits")
	require.Equal(t, "old-alias", w.account().Alias)
	require.Equal(t, provision.StepUndone, w.stepRow(provision.StepAlias).State)

	w.store.lease = time.Hour
	require.NoError(t, w.store.Steps.End(t.Context(), w.w.Order, accountID, provision.StepAlias,
		provision.AttemptEnd{State: provision.StepDone}))
	_, err = once(w, 2, w.acts.RestoreAlias, in)
	require.NoError(t, err, "every attempt has recorded its end, so the undo does not wait")
}

// An undo that was stopped has not waited long enough, so the next attempt must wait as well.
func TestAnUndoThatIsStoppedDuringItsWaitMustWaitAgain(t *testing.T) {
	t.Parallel()
	w, in := undoOfAlias(t)
	w.openAttempt()
	w.store.lease = time.Hour
	w.heartbeat(30*time.Millisecond, func(beat int) error {
		if beat < 3 {
			return nil
		}
		return temporal.NewCanceledError()
	})
	asked := len(w.sim.Requests())
	_, err := once(w, 1, w.acts.RestoreAlias, in)
	requireStopped(t, err)
	require.Len(t, w.sim.Requests(), asked)
	row := w.stepRow(provision.StepAlias)
	require.Equal(t, provision.StepUndoing, row.State)
	require.Equal(t, 1, row.AttemptsOpen)
	require.Equal(t, 1, row.UndosOpen)
}

// So the next attempt does not wait for it.
func TestAnUndoThatFailsRecordsItsEnd(t *testing.T) {
	t.Parallel()
	w, in := undoOfAlias(t)
	w.store.lease = time.Hour
	remove := w.sim.Inject(awssim.Fault{Operation: "DeleteAccountAlias", Kind: awssim.Throttle})
	_, err := once(w, 1, w.acts.RestoreAlias, in)
	w.requireFailure(err, provision.CodeThrottled)
	require.Equal(t, provision.StepUndoing, w.stepRow(provision.StepAlias).State)
	require.Contains(t, w.stepRow(provision.StepAlias).Problem, "iam:DeleteAccountAlias")
	_, err = once(w, 2, w.acts.SetAlias, in.Work)
	w.requireFailure(err, provision.CodeOrderNotInProgress)
	remove()
	_, err = once(w, 2, w.acts.RestoreAlias, in)
	require.NoError(t, err)
	require.Equal(t, provision.StepUndone, w.stepRow(provision.StepAlias).State)
	_, err = once(w, 2, w.acts.SetAlias, in.Work)
	w.requireFailure(err, provision.CodeOrderNotInProgress)
}

// An attempt that sends heartbeats, but has not asked the database, may write nothing.
func TestAWriteWithoutACheckOfTheOrderIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.heartbeat(time.Minute, nil)
	s, err := w.acts.Cloud.OpenSession(t.Context(), w.w.Account, "order-1")
	require.NoError(t, err)
	err = inAttempt(w, func(ctx context.Context) error {
		_, err := createUser(ctx, s, w.w)
		return conclude(ctx, err, provision.StepUser)
	})
	require.Error(t, err)
	requireStopped(t, err)
	require.Empty(t, w.sim.Effects())
}
