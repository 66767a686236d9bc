package apitest

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/api"
	"quartermaster/internal/apikey"
	"quartermaster/internal/health"
	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/internal/webhooks"
)

// API is an API on a database of its own, with the providers acme, which has the pools nordic/production, nordic/test and
// baltic/production, and globex, which has nordic/production.
type API struct {
	Handler   *api.Handler
	DB        *postgres.DB
	SQL       *sqlx.DB
	Seed      *Seed // of acme's nordic/production
	Workflows *Workflows
	Temporal  *Temporal
	Ring      *secrets.Ring
	Log       *Log
}

// Pools are the pools of the two providers.
var Pools = []provision.Pool{
	{Provider: "acme", Marketplace: "nordic", Environment: provision.Production},
	{Provider: "acme", Marketplace: "nordic", Environment: provision.Test},
	{Provider: "acme", Marketplace: "baltic", Environment: provision.Production},
	{Provider: "globex", Marketplace: "nordic", Environment: provision.Production},
}

// New returns an API whose configuration each change has changed.
func New(t testing.TB, change ...func(*api.Config)) *API {
	t.Helper()
	connections := pgtest.New(t)
	db := postgres.New(connections)
	for _, provider := range []string{"acme", "globex"} {
		require.NoError(t, db.Providers.Create(t.Context(), provider, provider))
	}
	for _, pool := range Pools {
		_, err := db.Pools.Create(t.Context(), "test", provision.DefaultPool(pool))
		require.NoError(t, err)
	}
	ring, err := secrets.NewRing(secrets.Key{ID: "k1", Secret: bytes.Repeat([]byte{7}, secrets.KeySize)})
	require.NoError(t, err)
	a := &API{
		DB: db, SQL: connections, Seed: &Seed{DB: db, Pool: Pools[0]}, Workflows: &Workflows{DB: db}, Temporal: &Temporal{Workers: 2},
		Ring: ring, Log: &Log{},
	}
	cfg := api.Config{
		Database: databaseOf(db), Workflows: a.Workflows,
		Health: health.Examiner{Temporal: a.Temporal, Ping: db.Ping, SchemaFits: fits, Concerns: db.Providers.Concerns},
		Opener: ring, Sealer: ring, Signer: ring,
		PublicURL: "https://aws.provider.example", RequestsPerSecond: 1e6, WebhookPolicy: webhooks.Policy{Loopback: true},
		Log: slog.New(slog.NewJSONHandler(a.Log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, do := range change {
		do(&cfg)
	}
	a.Handler, err = api.New(cfg)
	require.NoError(t, err)
	return a
}

// Key creates an API key and returns its text.
func (a *API) Key(t testing.TB, provider string, role provision.Role, change ...func(*provision.APIKey)) string {
	t.Helper()
	text, key := apikey.New(provider, "test", role)
	for _, do := range change {
		do(&key)
	}
	_, err := a.DB.APIKeys.Create(t.Context(), "test", key)
	require.NoError(t, err)
	return text
}

// fits says that the schema is that of this program.
func fits(context.Context) (bool, error) { return true, nil }

func databaseOf(db *postgres.DB) api.Database {
	return api.Database{
		Accounts: db.Accounts, APIKeys: db.APIKeys, Batches: db.Batches, Deliveries: db.Deliveries, Events: db.Events, History: db.History,
		IdempotencyKeys: db.IdempotencyKeys, Imports: db.Imports, Leftovers: db.Leftovers, Models: db.Models, Orders: db.Orders,
		Passwords: db.Passwords, Pools: db.Pools, Processes: db.Processes, ProtectedAccounts: db.ProtectedAccounts,
		SavedFilters: db.SavedFilters, Sessions: db.Sessions, Stock: db.Stock, Webhooks: db.Webhooks, Ping: db.Ping,
	}
}

// Log keeps what is logged.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(text)
}

// String returns everything that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
