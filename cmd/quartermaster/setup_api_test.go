package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api"
	"quartermaster/api/apitest"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/internal/webhooks"
)

// service is the API of acme on a database, with an admin's key.
type service struct {
	t         *testing.T
	database  string
	store     *postgres.DB
	seed      *apitest.Seed
	workflows *apitest.Workflows
	temporal  *apitest.Temporal
	url       string
	keyFile   string
	retryFor  string
}

func setupAPI(t *testing.T) *service {
	t.Helper()
	url, store := setupStock(t)
	s := &service{t: t, database: url, store: store, retryFor: "2s", temporal: &apitest.Temporal{Workers: 2},
		seed: &apitest.Seed{DB: store, Pool: nordicPool}, workflows: &apitest.Workflows{DB: store, Protected: []string{protectedByConfiguration}}}
	ring := ringOf(t, secrets.GenerateKey("k1"))
	handler, err := api.New(api.Config{
		Database:          databaseOf(store),
		Workflows:         s.workflows,
		Health:            examinerOf(store, s.temporal),
		Opener:            ring,
		Sealer:            ring,
		Signer:            ring,
		PublicURL:         "http://127.0.0.1:8080",
		ProtectedIDs:      []string{protectedByConfiguration},
		RequestsPerSecond: 10_000,
		WebhookPolicy:     webhooks.Policy{Loopback: true},
		Log:               slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	text, err := call(t, "providers", "key", "acme", "--database-url="+url)
	require.NoError(t, err)
	s.url, s.keyFile = server.URL, keyFile(t, text)
	return s
}

// protectedByConfiguration is an account that the service's configuration protects.
const protectedByConfiguration = "000000020003"

func keyFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// options are what every command that goes through the API needs.
func (s *service) options() []string {
	return []string{"--api-url=" + s.url, "--api-key-file=" + s.keyFile, "--retry-wait=1ms", "--retry-for=" + s.retryFor}
}

// with runs a command with these streams.
func (s *service) with(std streams, args ...string) result {
	if std.in == nil {
		std.in = strings.NewReader("")
	}
	return callWith(s.t.Context(), std, append(args, s.options()...)...)
}

// run runs a command without a terminal.
func (s *service) run(args ...string) result { return s.with(streams{}, args...) }

// must runs a command that succeeds, and returns its output.
func (s *service) must(args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	require.NoError(s.t, r.err, "%v: %s", args, r.logs)
	return strings.TrimSpace(r.out)
}

// get reads a path of the API.
func (s *service) get(path string) string {
	s.t.Helper()
	key, err := os.ReadFile(s.keyFile)
	require.NoError(s.t, err)
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, http.NoBody)
	require.NoError(s.t, err)
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	answer, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, answer.StatusCode, string(body))
	return strings.TrimSpace(string(body))
}

// nordicPool is the pool of acme.
var nordicPool = provision.Pool{Provider: "acme", Marketplace: "nordic", Environment: provision.Production}

// order creates an order in a state, with an account if it needs one.
func (s *service) order(id string, state provision.OrderState) {
	s.t.Helper()
	s.seed.Order(s.t, id, state)
}

// account creates an account of acme.
func (s *service) account(id string, status provision.AccountStatus) {
	s.t.Helper()
	s.seed.Account(s.t, id, status)
}
