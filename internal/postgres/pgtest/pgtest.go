//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
)

const (
	databaseTimeout = time.Minute // to create or drop a database on a busy machine
	poolSize        = 10          // connections of a test's pool; many tests share the server's 200
)

// shared is the server of this test process. The first test that needs it starts it.
var shared struct {
	once     sync.Once
	err      error
	server   *Server
	admin    *sql.DB
	template template // the migrated database that New copies
}

// Main runs a package's tests and then stops the server that they share: func TestMain(m *testing.M) { pgtest.Main(m) }.
func Main(m *testing.M) {
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// New returns a connection pool on a migrated database of the test's own. When the test ends, its connections are closed, and another
// test may get the database with the rows that the migrations made. Without PostgreSQL the test fails, with a sentence that says how
// to install it.
func New(t testing.TB) *sqlx.DB {
	t.Helper()
	return open(t, URL(t))
}

// URL is New for code that connects by itself: it returns the address of the database.
func URL(t testing.TB) string {
	t.Helper()
	startShared(t)
	name := shared.template.take()
	if name == "" {
		name = create(t, shared.template.name)
	}
	t.Cleanup(func() { giveBack(t, name) })
	return shared.server.URL(name)
}

// Empty is New without the migrations, for tests of the migrations themselves.
func Empty(t testing.TB) *sqlx.DB {
	t.Helper()
	return open(t, EmptyURL(t))
}

// EmptyURL is URL without the migrations.
func EmptyURL(t testing.TB) string {
	t.Helper()
	startShared(t)
	name := create(t, "template0")
	t.Cleanup(func() { drop(t, name) })
	return shared.server.URL(name)
}

// open returns a pool that closes when the test ends, before its database is dropped.
func open(t testing.TB, address string) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Open("postgres", address)
	if err != nil {
		t.Fatalf("open the test database: %v", err)
	}
	db.SetMaxOpenConns(poolSize)
	db.SetMaxIdleConns(poolSize)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the test database: %v", err)
		}
	})
	return db
}

// create copies the template to a new database and returns its name.
func create(t testing.TB, template string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), databaseTimeout)
	defer cancel()
	name := "qm_test_" + strings.ToLower(rand.Text())
	// Copying files is quicker than the default, which writes every page to the log.
	if _, err := shared.admin.ExecContext(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template+" STRATEGY file_copy"); err != nil {
		t.Fatalf("create the test database: %v", err)
	}
	return name
}

// drop drops the database of a test that has ended. It uses FORCE, because a test that failed may have left connections open.
func drop(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), databaseTimeout)
	defer cancel()
	if _, err := shared.admin.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
		t.Errorf("drop the test database: %v", err)
	}
}

// startShared makes sure that the server runs and has the migrated template.
func startShared(t testing.TB) {
	t.Helper()
	shared.once.Do(func() {
		// A test that ends does not end the server.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*startTimeout)
		defer cancel()
		shared.err = prepareShared(ctx)
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
}

func prepareShared(ctx context.Context) (err error) {
	if shared.server, err = Start(ctx, Options{}); err != nil {
		return err
	}
	if shared.admin, err = sql.Open("postgres", shared.server.URL("postgres")); err != nil {
		return fmt.Errorf("open the test server: %w", err)
	}
	return shared.template.prepare(ctx)
}

func stopShared() error {
	if shared.admin == nil {
		return nil
	}
	return errors.Join(shared.admin.Close(), shared.server.Stop())
}
