package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/api"
	"quartermaster/internal/health"
	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows/control"
)

// setupAPI serves the API on a database and returns a function that reads a path with an admin key of the provider.
func setupAPI(t *testing.T, url string) (get func(path string) string) {
	t.Helper()
	db, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	ring := ringOf(t, secrets.GenerateKey("k1"))
	handler, err := api.New(api.Config{
		Database:       databaseOf(db),
		Workflows:      (*control.Temporal)(nil),
		Health:         health.Examiner{},
		Opener:         ring,
		Sealer:         ring,
		Signer:         ring,
		TemporalUsable: func() error { return nil },
		PublicURL:      "http://127.0.0.1:8080",
		Log:            slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	key, err := call(t, "keys", "create", "--provider=acme", "--name=admin", "--role=admin", "--expires=0", "--database-url="+url)
	require.NoError(t, err)
	return func(path string) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(key))
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode, string(body))
		return string(body)
	}
}

// createWebhook creates an endpoint for the webhooks of acme.
func createWebhook(t *testing.T, url string) {
	t.Helper()
	db, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = db.Webhooks.Create(t.Context(), "test", provision.Webhook{
		ID:         uuid.NewString(),
		Provider:   "acme",
		URL:        "https://hooks.example.com/",
		EventTypes: []string{"order.*"},
	}, []byte("sealed"))
	require.NoError(t, err)
}

// itemsOf returns the items of a page of the API, one a line.
func itemsOf(t *testing.T, page string) string {
	t.Helper()
	var list struct{ Items []json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(page), &list))
	require.NotEmpty(t, list.Items)
	lines := make([]string, len(list.Items))
	for i, item := range list.Items {
		lines[i] = string(item)
	}
	return strings.Join(lines, "\n")
}

func TestTheCommandLinePrintsTheJSONOfTheAPI(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	database, north := "--database-url="+url, []string{"--provider=acme", "--marketplace=north"}
	must := func(args ...string) string {
		t.Helper()
		out, err := call(t, append(args, database)...)
		require.NoError(t, err, "%v", args)
		return strings.TrimSpace(out)
	}
	must("providers", "create", "acme")
	must(append([]string{"pools", "create", "--threshold=3", "--model-threshold=ECAM=2",
		"--on-failure=park", "--instructions=SPAM=Sign in"}, north...)...)
	account := must(append([]string{"accounts", "create", "--model=SPAM", "--name=First", "--root-email=root@acme.example", "111122223333",
		"--role-arn=arn:aws:iam::111122223333:role/quartermaster"}, north...)...)
	must("pools", "protect", "--provider=acme", "--note=payer", "999988887777")
	get := setupAPI(t, url)
	createWebhook(t, url)

	require.JSONEq(t, get("/v1/accounts/111122223333"), account)
	require.JSONEq(t, get("/v1/pools/north/production"), must(append([]string{"pools", "show"}, north...)...))
	require.JSONEq(t, get("/v1/pools/north/production"), must(append([]string{"pools", "update", "--threshold=3"}, north...)...))
	for path, args := range map[string][]string{
		"/v1/accounts":           {"accounts", "list", "--json"},
		"/v1/pools":              {"pools", "list", "--json"},
		"/v1/protected-accounts": {"pools", "protected", "--json"},
		"/v1/stock":              {"stock", "--json"},
		"/v1/api-keys":           {"keys", "list", "--json"},
		"/v1/webhooks":           {"webhooks", "list", "--json"},
	} {
		require.Equal(t, itemsOf(t, get(path)), must(append(args, "--provider=acme")...), path)
	}
	_, err := call(t, "stock", "--json", database)
	require.ErrorContains(t, err, "--json needs --provider")
}
