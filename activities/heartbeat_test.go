package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// fakeTemporal answers heartbeats.
type fakeTemporal struct {
	mu     sync.Mutex
	beats  int
	answer func(beat int) error // beats count from 1; nil: all are accepted
}

func (f *fakeTemporal) RecordActivityHeartbeat(context.Context, []byte, ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beats++
	if f.answer == nil {
		return nil
	}
	return f.answer(f.beats)
}

func (f *fakeTemporal) heard() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.beats
}

// heartbeat makes every attempt send its heartbeats to the fake server.
func (w *fixture) heartbeat(timeout time.Duration, answer func(beat int) error) *fakeTemporal {
	server := &fakeTemporal{answer: answer}
	w.heartbeats.Client, w.heartbeatTimeout = server, timeout
	return server
}

// clock makes the leases run on a clock that the test can move, as a pause of the process does.
func (w *fixture) clock() *fakeClock {
	clock := &fakeClock{now: awscloud.Moment{Boot: time.Hour, Wall: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}}
	w.heartbeats.Now = clock.Now
	return clock
}

type fakeClock struct {
	mu  sync.Mutex
	now awscloud.Moment
}

func (c *fakeClock) Now() awscloud.Moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) pause(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Wall = c.now.Wall.Add(d)
}

// logged collects the lines of a log.
type logged struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

func (l *logged) handler() slog.Handler {
	return slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})
}

// errors returns the lines of the level ERROR.
func (l *logged) errors(t *testing.T) []map[string]any {
	t.Helper()
	return l.from(t, slog.LevelError)
}

// from returns the lines of the level and above.
func (l *logged) from(t *testing.T, level slog.Level) (lines []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.lines.String()) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		var of slog.Level
		require.NoError(t, of.UnmarshalText([]byte(entry["level"].(string)))) //nolint:errcheck // or it panics
		if of >= level {
			lines = append(lines, entry)
		}
	}
	return lines
}

// requireStopped requires the error of an attempt that was stopped: Temporal retries it and logs nothing.
func requireStopped(t *testing.T, err error) {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, string(provision.CodeAttemptEnded), app.Type())
	require.False(t, app.NonRetryable())
	require.Equal(t, temporal.ApplicationErrorCategoryBenign, app.Category())
}

var refusals = map[string]error{
	"given up, or its workflow closed": serviceerror.NewNotFound("workflow execution already completed"),
	"cancelled":                        temporal.NewCanceledError(),
	"paused by an operator":            activity.ErrActivityPaused,
	"reset by an operator":             activity.ErrActivityReset,
}

// Such an attempt waited for a stopped process, or Temporal does not answer.
func TestAnAttemptThatTemporalRefusesDoesNothing(t *testing.T) {
	t.Parallel()
	answers := map[string]error{"no answer": serviceerror.NewUnavailable("connection refused")}
	for name, answer := range refusals {
		answers[name] = answer
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			log := &logged{}
			w.log = log.handler()
			server := w.heartbeat(time.Minute, func(int) error { return answer })
			_, err := once(w, 1, w.acts.CreateUser, w.work())
			requireStopped(t, err)
			_, err = once(w, 1, w.acts.RemoveUser, UserUndo{Work: w.work()})
			requireStopped(t, err)
			require.Equal(t, 2, server.heard())
			require.Empty(t, w.sim.Requests())
			require.Empty(t, w.stepRows())
			require.Empty(t, log.errors(t))
		})
	}
}

func TestAnAttemptHeartbeatsBeforeItBegins(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.heartbeat(time.Minute, func(beat int) error {
		require.Equal(t, 1, beat)
		require.Empty(t, w.stepRow(provision.StepUser))
		require.Empty(t, w.sim.Requests())
		return nil
	})
	_, err := once(w, 1, w.acts.CreateUser, w.work())
	require.NoError(t, err)
	require.Equal(t, provision.StepDone, w.stepRow(provision.StepUser).State)
}

// The step's row says that the attempt was stopped. When Temporal no longer knows the attempt, another one may be running, so the
// row does not change. None of this is an error, so the log stays empty.
func TestARunningAttemptIsStopped(t *testing.T) {
	t.Parallel()
	for name, answer := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			log := &logged{}
			w.log = log.handler()
			w.clock()
			w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Timeout})
			w.heartbeat(30*time.Millisecond, func(int) error {
				if !slices.ContainsFunc(w.sim.Requests(), func(r awssim.Request) bool { return r.Operation == "CreateUser" }) {
					return nil
				}
				return answer
			})
			_, err := once(w, 1, w.acts.CreateUser, w.work())
			requireStopped(t, err)
			want, open := provision.StepStopped, 0
			if superseded(answer) {
				want, open = provision.StepRunning, 1
			}
			require.Equal(t, want, w.stepRow(provision.StepUser).State)
			require.Equal(t, open, w.stepRow(provision.StepUser).AttemptsOpen)
			require.Empty(t, log.errors(t))
		})
	}
}

// TestALostTemporalStopsAnAttempt: an attempt ends when Temporal has accepted no heartbeat for the time of a lease.
func TestALostTemporalStopsAnAttempt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	clock := w.clock()
	w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Timeout})
	server := w.heartbeat(30*time.Millisecond, func(beat int) error {
		if beat == 1 {
			return nil
		}
		clock.pause(10 * time.Millisecond)
		return serviceerror.NewUnavailable("connection refused")
	})
	_, err := once(w, 1, w.acts.CreateUser, w.work())
	require.Error(t, err)
	require.Equal(t, 4, server.heard(), "a heartbeat without an answer is sent again until the lease is over")
	require.Equal(t, provision.StepRunning, w.stepRow(provision.StepUser).State)
	require.Empty(t, w.account().Users)
}
