package main

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestListenForwardsEventsSignedLikeAWebhook(t *testing.T) {
	t.Parallel()
	s, r := setupAPI(t), setupReceiver(t)
	r.refuse = []int{http.StatusTeapot}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan result)
	args := append([]string{"listen", "--forward=" + r.URL + "/hooks", "--secret-file=" + keyFile(t, r.secret+"\n"), "--type=order.*",
		"--after=" + startOfEvents}, s.options()...)
	s.order("o-1", provision.Accepted)
	go func() { done <- callWith(ctx, streams{}, args...) }()
	s.order("o-2", provision.Accepted)
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.ids) == 2
	}, time.Minute, 10*time.Millisecond)
	stop()
	listened := <-done
	require.NoError(t, listened.err, "a person stops it with Ctrl-C")
	require.Zero(t, r.forgery, "the reference library accepts the signatures")
	require.Equal(t, []string{"order.accepted o-2"}, r.types)
	require.Regexp(t, `(?m)^\S+Z  order.accepted  \S+  418 the receiver answered 418 I'm a teapot in \S+$`, listened.out)
	require.Regexp(t, `(?m)^\S+Z  order.accepted  \S+  204 accepted in \S+$`, listened.out)
	for id, times := range r.ids {
		require.Equal(t, 1, times)
		require.Contains(t, s.get("/v1/events"), `"id":"`+id+`"`, "the webhook-id is the event's")
	}
}

// startOfEvents is the position before the first event, as the API writes positions.
const startOfEvents = "eyJlIjowfQ"

func TestListenForwardsToThisMachineOnly(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	for wanted, args := range map[string][]string{
		"is not on this machine":            {"--forward=https://hooks.example.com/"},
		"--forward must have the form":      {"--forward=localhost:3000"},
		"is not in the form whsec_<base64>": {"--forward=http://localhost:3000", "--secret-file=" + keyFile(t, "hunter2")},
		"no such file or directory":         {"--forward=http://[::1]:3000", "--secret-file=" + filepath.Join(t.TempDir(), "none")},
	} {
		r := s.run(append([]string{"listen"}, args...)...)
		require.ErrorContains(t, r.err, wanted)
		require.Equal(t, exitUsage, exitCode(r.err), wanted)
		require.NotContains(t, r.err.Error(), "hunter2")
	}
}

func TestEventsAreFollowed(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("o-1", provision.Accepted)
	require.Regexp(t, `(?m)^\S+Z +order.accepted +\S+ +\{.*"order_id": ?"o-1"`, s.must("events", "--type=order.*"))
	require.Empty(t, s.must("events", "--order=o-2", "-q"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, done := &lines{}, make(chan error)
	go func() {
		done <- run(ctx, append([]string{"events", "--follow", "--json"}, s.options()...), streams{out: out, logs: &lines{}})
	}()
	next := 'a'
	require.Eventually(t, func() bool { // until the stream is open, events are of the past
		s.order("next-"+string(next), provision.Accepted)
		next++
		return out.String() != ""
	}, time.Minute, 200*time.Millisecond)
	stop()
	require.ErrorIs(t, <-done, errInterrupted)
	require.NotContains(t, out.String(), "o-1")
	require.Contains(t, out.String(), `"order_id":"next-`)
}
