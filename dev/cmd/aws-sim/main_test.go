package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// screen is an output that tests read while the program writes to it.
type screen struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(s.written) // the banner is one write
	return s.text.Write(p)
}

func setup(t *testing.T) options {
	t.Helper()
	return options{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Seed: "example-seed.json", IDs: 1}
}

func TestRunServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	out, ended := &screen{written: make(chan struct{})}, make(chan error, 1)
	go func() { ended <- run(ctx, setup(t), out) }()
	select {
	case <-out.written:
	case err := <-ended:
		require.NoError(t, err)
	}
	banner := out.text.String()
	require.Contains(t, banner, "AWS SIMULATOR")
	require.Contains(t, banner, "2 accounts, 1 callers")
	addresses := regexp.MustCompile(`http://127\.0\.0\.1:\d+[^\s]*`).FindAllString(banner, -1)
	require.Len(t, addresses, 2)

	status, body := get(t, addresses[1])
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"provider-pool-1"`)
	status, body = get(t, addresses[0])
	require.Equal(t, http.StatusForbidden, status, "the wire answers only signed requests")
	require.Contains(t, body, "MissingAuthenticationToken")

	stop()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(2 * shutdownTimeout):
		require.Fail(t, "the simulator does not stop")
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, string(body)
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken.json")
	require.NoError(t, os.WriteFile(broken, []byte(`{"acounts":[]}`), 0o600))
	for want, change := range map[string]func(*options){
		`--listen "0.0.0.0:0" is not a loopback address`: func(o *options) { o.Listen = "0.0.0.0:0" },
		`--admin "192.0.2.1:0" is not a loopback`:        func(o *options) { o.Admin = "192.0.2.1:0" },
		`--admin "nonsense" is not HOST:PORT`:            func(o *options) { o.Admin = "nonsense" },
		`--listen ":0" is not a loopback address`:        func(o *options) { o.Listen = ":0" },
		`unknown field "acounts"`:                        func(o *options) { o.Seed = broken },
		`--delay -1s is negative`:                        func(o *options) { o.Delay = -time.Second },
		`no such file`:                                   func(o *options) { o.Seed = "none.json" },
	} {
		opts := setup(t)
		change(&opts)
		require.ErrorContains(t, run(t.Context(), opts, io.Discard), want)
	}
}
