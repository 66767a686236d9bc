package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

const (
	callerWaits = 500 * time.Millisecond  // the caller's time limit
	atTheLatest = 2500 * time.Millisecond // with a second for a cancel request, and another one for a busy machine
)

// stalled is a database that can be made not to answer.
type stalled struct {
	db            *sqlx.DB
	stall, resume func(t *testing.T)
}

// through is the address of a database behind the proxy.
func through(t *testing.T, proxy *pgtest.Proxy, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.Host = proxy.Addr()
	return u.String()
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Host
}

func openDB(t *testing.T, address string) *sqlx.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db.SQL()
}

func proxied(t *testing.T) (*pgtest.Proxy, *sqlx.DB) {
	t.Helper()
	address := pgtest.URL(t)
	proxy, err := pgtest.NewProxy(hostOf(t, address))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	return proxy, openDB(t, through(t, proxy, address))
}

// ownServer is a server that other tests do not use.
func ownServer(t *testing.T, options pgtest.Options) *pgtest.Server {
	t.Helper()
	server, err := pgtest.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// restarted is a server that has ended, and was started again on the same data and port.
func restarted(t *testing.T, server *pgtest.Server) *pgtest.Server {
	t.Helper()
	server, err := server.Restart(t.Context())
	require.NoError(t, err)
	return server
}

// stalls are the ways in which a database does not answer.
var stalls = map[string]func(t *testing.T) stalled{
	"frozen server": func(t *testing.T) stalled {
		t.Helper()
		server := ownServer(t, pgtest.Options{})
		t.Cleanup(func() { _ = server.Thaw() }) // a frozen one would not stop
		return stalled{
			db:     openDB(t, server.URL("postgres")),
			stall:  func(t *testing.T) { t.Helper(); require.NoError(t, server.Freeze()) },
			resume: func(t *testing.T) { t.Helper(); require.NoError(t, server.Thaw()) },
		}
	},
	"packets into a black hole": func(t *testing.T) stalled {
		t.Helper()
		proxy, db := proxied(t)
		return stalled{db: db, stall: func(*testing.T) { proxy.Stall() }, resume: func(*testing.T) { proxy.Resume() }}
	},
	"connections that are accepted and never answered": func(t *testing.T) stalled {
		t.Helper()
		proxy, db := proxied(t)
		return stalled{db: db, stall: func(*testing.T) { proxy.Stall(); proxy.Cut() }, resume: func(*testing.T) { proxy.Resume() }}
	},
	"connections refused": func(t *testing.T) stalled {
		t.Helper()
		server := ownServer(t, pgtest.Options{})
		return stalled{
			db:     openDB(t, server.URL("postgres")),
			stall:  func(t *testing.T) { t.Helper(); require.NoError(t, server.Kill()) },
			resume: func(t *testing.T) { t.Helper(); server = restarted(t, server) },
		}
	},
}

// calls are the ways in which the database is used. Each prepares something and returns the call to make during the stall.
var calls = map[string]func(ctx context.Context, db *sqlx.DB) (during func() error, err error){
	"ping": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		return func() error { return db.PingContext(ctx) }, nil
	},
	"query": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		return func() error {
			var one int
			return db.GetContext(ctx, &one, `SELECT $1::int`, 1)
		}, nil
	},
	"statement": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		return func() error { _, err := db.ExecContext(ctx, `SELECT 1`); return err }, nil
	},
	"prepared statement": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		prepared, err := db.PreparexContext(ctx, `SELECT $1::int`)
		return func() error {
			var one int
			err := prepared.GetContext(ctx, &one, 1)
			_ = prepared.Close()
			return err
		}, err
	},
	"begin": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		return func() error { _, err := db.BeginTxx(ctx, nil); return err }, nil
	},
	"statement in a transaction": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		tx, err := db.BeginTxx(ctx, nil)
		return func() error {
			_, err := tx.ExecContext(ctx, `SELECT 1`)
			_ = tx.Rollback()
			return err
		}, err
	},
	"commit": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		tx, err := db.BeginTxx(ctx, nil)
		return func() error { return tx.Commit() }, err
	},
	"rollback": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		tx, err := db.BeginTxx(ctx, nil)
		return func() error { return tx.Rollback() }, err
	},
	"rows": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		rows, err := db.QueryxContext(ctx, `SELECT repeat('x', 1000) FROM generate_series(1, 1000000)`)
		return func() error {
			read := 0
			for rows.Next() {
				read++
			}
			_ = rows.Close()
			if read == 1_000_000 {
				return errors.New("the stall came too late")
			}
			return rows.Err()
		}, err
	},
	"store": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		return func() error {
			_, err := postgres.New(db).Orders.Status(ctx, provision.OrderKey{Provider: "acme", ID: "o"})
			return judgement(err)
		}, nil
	},
	"store, in a transaction": func(ctx context.Context, db *sqlx.DB) (func() error, error) {
		return func() error {
			return judgement(postgres.New(db).Orders.BeginUndo(ctx, provision.OrderKey{Provider: "acme", ID: "o"}, provision.Failure{}))
		}, nil
	},
}

// judgement is a store's error, which has to say by itself that the database is not available.
func judgement(err error) error {
	if err != nil && !errors.Is(err, provision.ErrUnavailable) {
		return fmt.Errorf("not classified: %v", err) //nolint:errorlint // or classify would unwrap it
	}
	return err
}

// For each kind of stall and each kind of call: the call ends soon after its context, and the same pool of
// connections works again when the stall is over.
func TestEveryCallEndsInTimeWhateverTheConnectionDoes(t *testing.T) {
	t.Parallel()
	for kind, prepare := range stalls {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := prepare(t)
			for what, call := range calls {
				ctx, cancel := context.WithTimeout(t.Context(), callerWaits)
				during, err := call(ctx, s.db)
				require.NoError(t, err, what)
				s.stall(t)
				began := time.Now()
				err = during()
				took := time.Since(began)
				cancel()
				require.Error(t, err, what)
				require.Less(t, took, atTheLatest, "%s: %v", what, err)
				require.ErrorIs(t, postgres.Classify(t.Context(), err), provision.ErrUnavailable, what)
				s.resume(t)
				works(t, s.db)
			}
		})
	}
}

// works requires that the database answers again at once.
func works(t *testing.T, db *sqlx.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var one int
	require.NoError(t, db.GetContext(ctx, &one, `SELECT 1`))
}

func TestACallWithoutATimeLimitEndsWhenItsStatementMustHaveEnded(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t)
	proxy, err := pgtest.NewProxy(hostOf(t, address))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	db := openDB(t, through(t, proxy, address)+"&statement_timeout=1s")
	tx, err := db.BeginTxx(t.Context(), nil)
	require.NoError(t, err)
	proxy.Stall()
	var all sync.WaitGroup
	for what, call := range map[string]func() error{
		"ping":   func() error { return db.PingContext(t.Context()) },
		"query":  func() error { _, err := db.ExecContext(t.Context(), `SELECT 1`); return err },
		"commit": func() error { return tx.Commit() },
	} {
		all.Go(func() {
			began := time.Now()
			if err := call(); err == nil || time.Since(began) > 30*time.Second {
				t.Errorf("%s: %v after %v", what, err, time.Since(began))
			}
		})
	}
	all.Wait()
	proxy.Resume()
	works(t, db)
}

func TestACallThatGetsNoConnectionEndsInTime(t *testing.T) {
	t.Parallel()
	db := openDB(t, pgtest.URL(t))
	db.SetMaxOpenConns(2)
	var held []*sql.Conn
	for range 2 {
		c, err := db.Conn(t.Context())
		require.NoError(t, err)
		held = append(held, c)
	}
	for what, call := range calls {
		if what == "prepared statement" || strings.Contains(what, "transaction") && what != "store, in a transaction" || what == "commit" ||
			what == "rollback" || what == "rows" {
			continue // they need a connection before
		}
		ctx, cancel := context.WithTimeout(t.Context(), callerWaits)
		during, err := call(ctx, db)
		require.NoError(t, err)
		began := time.Now()
		err = during()
		cancel()
		require.ErrorIs(t, postgres.Classify(t.Context(), err), provision.ErrUnavailable, what)
		require.Less(t, time.Since(began), atTheLatest, what)
	}
	for _, c := range held {
		require.NoError(t, c.Close())
	}
	works(t, db)
}

// In a healthy server the end of the context still cancels the statement.
func TestAnEndedContextCancelsItsStatement(t *testing.T) {
	t.Parallel()
	db := openDB(t, pgtest.URL(t))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := db.ExecContext(ctx, `SELECT pg_sleep(60)`)
	require.ErrorIs(t, postgres.Classify(ctx, err), provision.ErrUnavailable)
	require.Eventually(t, func() bool {
		var running bool
		require.NoError(t, db.GetContext(t.Context(), &running,
			`SELECT EXISTS (SELECT 1 FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'active' AND query LIKE 'SELECT pg_sleep%')`))
		return !running
	}, 20*time.Second, 10*time.Millisecond)
}

func TestOpenRefusesATimeLimitThatItCannotRead(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(t.Context(), "postgres://localhost/x?statement_timeout=soon")
	require.ErrorContains(t, err, "statement_timeout=soon")
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t)
	proxy, err := pgtest.NewProxy(hostOf(t, address))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	proxy.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), callerWaits)
	defer cancel()
	began := time.Now()
	_, err = postgres.Open(ctx, through(t, proxy, address))
	require.ErrorIs(t, err, provision.ErrUnavailable)
	require.Less(t, time.Since(began), atTheLatest)
}

// lines is a log whose lines can be waited for.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	select {
	case l <- string(line):
	default:
	}
	return len(line), nil
}

func TestListeningRecoversFromAStall(t *testing.T) {
	t.Parallel()
	ctx, address := t.Context(), pgtest.URL(t)
	db := openDB(t, address)
	store := postgres.New(db)
	require.NoError(t, store.Providers.Create(ctx, "acme", "Acme"))
	proxy, err := pgtest.NewProxy(hostOf(t, address))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	warnings := make(lines, 100)
	hints, cancel := postgres.ListenEventsImpatiently(ctx, through(t, proxy, address),
		slog.New(slog.NewTextHandler(warnings, nil))).Subscribe("acme")
	defer cancel()
	hinted := func(message string) {
		t.Helper()
		require.Eventually(t, func() bool {
			emit(t, db, "acme", "stock.low", "x")
			select {
			case <-hints:
				return true
			case <-time.After(100 * time.Millisecond):
				return false
			}
		}, 20*time.Second, 10*time.Millisecond, message)
	}
	hinted("it listens")
	proxy.Stall()
	select {
	case <-warnings:
	case <-time.After(20 * time.Second):
		require.Fail(t, "a silent connection is not noticed")
	}
	proxy.Resume()
	for len(hints) > 0 {
		<-hints
	}
	hinted("it listens again")
}

func TestAConnectionToAServerThatDoesNotLetUsWriteIsGivenUp(t *testing.T) {
	t.Parallel()
	ctx, address := t.Context(), pgtest.URL(t)
	admin := openDB(t, address)
	readOnly := func(on string) {
		var statement string
		require.NoError(t, admin.GetContext(ctx, &statement,
			`SELECT format('ALTER DATABASE %I SET default_transaction_read_only = ', current_database()) || $1`, on))
		tx, err := admin.BeginTxx(ctx, nil) // which may write whatever the default is
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, statement)
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
	}
	readOnly("on")
	db := openDB(t, address)
	store := postgres.New(db)
	require.ErrorIs(t, store.Providers.Create(ctx, "acme", "Acme"), provision.ErrUnavailable)
	readOnly("off")
	require.NoError(t, store.Providers.Create(ctx, "acme", "Acme"), "what the first connection leads to is a standby for good")
}

func TestAStandbyIsUnavailableUntilItIsPromoted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := ownServer(t, pgtest.Options{Settings: []string{"wal_level=replica"}})
	require.NoError(t, server.Kill())
	// #nosec G306 -- the server's user reads it
	require.NoError(t, os.WriteFile(filepath.Join(server.DataDir(), "standby.signal"), nil, 0o644))
	server = restarted(t, server)
	db := openDB(t, server.URL("postgres"))
	store := postgres.New(db)
	require.NoError(t, store.Ping(ctx))
	require.ErrorIs(t, store.Orders.BeginUndo(ctx, provision.OrderKey{}, why), provision.ErrUnavailable)
	_, err := db.ExecContext(ctx, `CREATE TABLE x ()`)
	require.ErrorIs(t, postgres.Classify(ctx, err), provision.ErrUnavailable)
	_, err = db.ExecContext(ctx, `SELECT pg_promote()`)
	require.NoError(t, err)
	_, err = db.ExecContext(ctx, `CREATE TABLE x ()`)
	require.NoError(t, err)
	require.NotErrorIs(t, store.Orders.BeginUndo(ctx, provision.OrderKey{}, why), provision.ErrUnavailable,
		"there are no tables, but it lets us write")
}
