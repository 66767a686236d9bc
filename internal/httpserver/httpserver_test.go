package httpserver

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return listener
}

var discard = slog.New(slog.DiscardHandler)

func TestServeFinishesRunningRequests(t *testing.T) {
	t.Parallel()
	listener := listen(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		w.WriteHeader(http.StatusTeapot)
	})
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- Serve(ctx, listener, handler, discard) }()
	answered := make(chan int, 1)
	go func() {
		answer, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			answered <- 0
			return
		}
		_ = answer.Body.Close()
		answered <- answer.StatusCode
	}()
	<-arrived
	stop()
	close(release)
	require.Equal(t, http.StatusTeapot, <-answered)
	require.NoError(t, <-stopped)
	_, err := http.Get("http://" + listener.Addr().String())
	require.Error(t, err, "the server no longer listens")
}

func TestServeSaysWhyItCannotServe(t *testing.T) {
	t.Parallel()
	listener := listen(t)
	require.NoError(t, listener.Close())
	require.ErrorContains(t, Serve(t.Context(), listener, http.NotFoundHandler(), discard), listener.Addr().String())
}

func TestStoppingEndsAHandlerThatStreams(t *testing.T) {
	t.Parallel()
	listener := listen(t)
	arrived := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-Stopping(r.Context())
		w.WriteHeader(http.StatusNoContent)
	})
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- Serve(ctx, listener, handler, discard) }()
	go func() {
		<-arrived
		stop()
	}()
	answer, err := http.Get("http://" + listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
	require.NoError(t, <-stopped)
	require.Nil(t, Stopping(t.Context()), "without a server")
}

func TestStartSaysAtOnceThatAnAddressIsTaken(t *testing.T) {
	t.Parallel()
	taken := listen(t)
	t.Cleanup(func() { require.NoError(t, taken.Close()) })
	ctx, stop := context.WithCancel(t.Context())
	group, ctx := errgroup.WithContext(ctx)
	err := Server{Name: "metrics", Address: taken.Addr().String(), Handler: http.NotFoundHandler()}.Start(ctx, group, discard)
	require.ErrorContains(t, err, "metrics: listen tcp "+taken.Addr().String())
	require.NoError(t, Server{Name: "metrics", Address: "127.0.0.1:0", Handler: http.NotFoundHandler()}.Start(ctx, group, discard))
	stop()
	require.NoError(t, group.Wait())
}
