package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// asProgram is the variable that turns this test binary into the program itself.
const asProgram = "QUARTERMASTER_TEST_IS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	pgtest.Main(m)
}

// result is what a command did.
type result struct {
	out  string
	logs string
	err  error
}

// call runs the program as its user does.
func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	r := callWith(t.Context(), streams{in: strings.NewReader("")}, args...)
	return r.out, r.err
}

// callWith runs the program with a standard input and, if the streams say so, at a terminal.
func callWith(ctx context.Context, std streams, args ...string) result {
	var out, logs bytes.Buffer
	std.out, std.logs = &out, &logs
	err := run(ctx, args, std)
	return result{out.String(), logs.String(), err}
}

// atTerminal are the streams of a person who answers questions with the text.
func atTerminal(answer string) streams {
	return streams{in: io.LimitReader(strings.NewReader(answer), 1<<20), answerable: true}
}

// setupStock creates acme and globex, with a pool nordic/production each.
func setupStock(t *testing.T) (url string, store *postgres.DB) {
	t.Helper()
	url = pgtest.URL(t)
	store, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	for _, provider := range []string{"acme", "globex"} {
		require.NoError(t, store.Providers.Create(t.Context(), provider, provider))
		pool := provision.Pool{Provider: provider, Marketplace: "nordic", Environment: provision.Production}
		_, err := store.Pools.Create(t.Context(), "test", provision.DefaultPool(pool))
		require.NoError(t, err)
	}
	return url, store
}

// lines is an output that can be read while a command writes it.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
