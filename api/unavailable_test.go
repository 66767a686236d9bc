package api

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// connected returns the database of the walk over connections with those settings.
func (w *walk) connected(t *testing.T, settings string) *postgres.DB {
	t.Helper()
	address, err := url.Parse(pgtest.URL(t))
	require.NoError(t, err)
	var name string
	require.NoError(t, w.db.Get(&name, `SELECT current_database()`))
	address.Path = "/" + name
	address.RawQuery += "&" + settings
	db, err := postgres.Open(t.Context(), address.String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// locked locks every table that is not needed to find out who calls, until the returned function is called.
func (w *walk) locked(t *testing.T) (unlock func()) {
	t.Helper()
	var tables []string
	require.NoError(t, w.db.Select(&tables, `SELECT quote_ident(tablename) FROM pg_tables
		WHERE schemaname = 'public' AND tablename NOT IN ('api_keys', 'providers', 'api_key_marketplaces')`))
	tx, err := w.db.Begin()
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), `LOCK TABLE `+strings.Join(tables, ", ")+` IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback()) }
}

// A database that cannot answer now is answered with 503 and Retry-After by every operation, and never with 500.
func TestADatabaseInTroubleIsUnavailability(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings string
		kills    bool
	}{
		"the tables are locked":        {settings: "lock_timeout=50ms"},
		"the statements take too long": {settings: "lock_timeout=0&statement_timeout=150ms"},
		"the connections are broken":   {settings: "lock_timeout=0&statement_timeout=0", kills: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setupWalk(t, fault{})
			limited := w.connected(t, c.settings)
			w.change(func(cfg *Config) { cfg.Database = databaseOf(limited) })
			w.around = w.handler
			if c.kills {
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					again := time.NewTicker(20 * time.Millisecond)
					defer again.Stop()
					for ctx.Err() == nil {
						<-again.C
						_, _ = w.db.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
							WHERE datname = current_database() AND application_name = 'quartermaster' AND wait_event_type = 'Lock'`)
					}
				}()
				defer func() { stop(); <-ended }()
			}
			unavailable := 0
			for _, id := range slices.Sorted(maps.Keys(w.contract.operations)) {
				op := w.contract.operations[id]
				how, names := w.table[op.OperationID], maps.Clone(w.shared)
				for _, p := range op.route.PathItem.Parameters {
					parameter := p.Value.Name
					if other, ok := how.path[parameter]; ok {
						parameter = other
					}
					maps.Copy(names, fixtures[parameter](w))
				}
				unlock := w.locked(t)
				answer := w.call(op, how, w.keys["acme"][provision.RoleAdmin], how.body, "", names)
				unlock()
				switch {
				case answer.Code == http.StatusServiceUnavailable:
					unavailable++
					require.Equal(t, "5", answer.Header().Get("Retry-After"), id)
				case answer.Code/100 == 2 || how.answer == answer.Code:
					require.True(t, len(op.scopes) == 0 || strings.HasPrefix(string(op.scopes[0]), "keys:") ||
						slices.Contains([]string{"getAccountImportTemplate", "getHealth", "streamEvents"}, op.OperationID),
						"%s needs a table that is locked: %d", id, answer.Code)
				default:
					t.Errorf("%s: %d %s", id, answer.Code, answer.Body)
				}
			}
			require.Greater(t, unavailable, 20)
		})
	}
}
