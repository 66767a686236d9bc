//go:build unix

package pgtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/migrations"
)

// EnvURL is the environment variable that makes tests use an existing server instead of one of their own: a postgres:// URL
// of a role that may create databases. Test databases are dropped; one template for each state of the migrations stays there.
const EnvURL = "QM_TEST_DATABASE_URL"

const (
	databaseTimeout = time.Minute // to create or drop a database on a busy machine
	poolSize        = 10          // connections of a test's pool; many tests share the server's 200
	templatePrefix  = "qm_template_"
	databasePrefix  = "qm_test_"
)

// shared is the one server of this test process. It is started by the first test that needs it.
var shared struct {
	once   sync.Once
	err    error
	admin  *sql.DB // on a database that always exists
	url    url.URL // of the same
	name   string  // of the migrated template
	server *Server // nil when the server is not ours
}

// Main runs a package's tests and then stops the server that [New] started: func TestMain(m *testing.M) { pgtest.Main(m) }.
// Without it the server ends with the process too, but its temporary files stay until a later run sweeps them away.
func Main(m *testing.M) {
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func stopShared() error {
	if shared.admin == nil {
		return nil
	}
	err := shared.admin.Close()
	if shared.server != nil {
		err = errors.Join(err, shared.server.Stop())
	}
	return err
}

// New returns a connection pool on a fresh, migrated database that is the test's own and is dropped when the test ends.
// Without PostgreSQL the test fails, with a sentence that says how to install it.
func New(t testing.TB) *sqlx.DB {
	t.Helper()
	return open(t, URL(t))
}

// Empty is New without the migrations, for tests of the migrations themselves.
func Empty(t testing.TB) *sqlx.DB {
	t.Helper()
	return open(t, EmptyURL(t))
}

// EmptyURL is Empty for code that connects by itself.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return create(t, "template0")
}

// URL is New for code that connects by itself: it returns the address of the test's own database.
func URL(t testing.TB) string {
	t.Helper()
	return create(t, "")
}

// Dir returns a folder for [Options.Dir] that is removed when the test ends. testing.TB's own TempDir does not serve: it
// can be entered by nobody but root when root runs the tests, and the server is then another user.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", scratchName+"test-") //nolint:usetesting // see above
	if err != nil {
		t.Fatalf("create a data directory: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the data directory: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil { // #nosec G302 -- the server's user has to pass through
		t.Fatalf("create a data directory: %v", err)
	}
	return filepath.Join(dir, "data")
}

// open returns a pool that closes when the test ends, which is before its database is dropped.
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

// create makes a database for the test from the template, the migrated one when none is named, and returns its address.
func create(t testing.TB, template string) string {
	t.Helper()
	shared.once.Do(func() { shared.err = startShared() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), databaseTimeout)
	defer cancel()
	name := databasePrefix + strings.ToLower(rand.Text())
	if err := clone(ctx, shared.admin, cmp.Or(template, shared.name), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context ends before its clean-up runs.
		ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout) //nolint:usetesting // see above
		defer cancel()
		// FORCE, because a test that failed half-way may have left connections open.
		if _, err := shared.admin.ExecContext(ctx, "DROP DATABASE "+pq.QuoteIdentifier(name)+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	return onDatabase(shared.url, name)
}

// onDatabase returns the address of another database of the same server.
func onDatabase(server url.URL, name string) string {
	server.Path = "/" + name
	return server.String()
}

// clone creates a database as a copy of the template's files: quicker than the default, which writes every page to the log.
func clone(ctx context.Context, admin *sql.DB, template, name string) error {
	_, err := admin.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name)+" TEMPLATE "+pq.QuoteIdentifier(template)+" STRATEGY file_copy")
	if err != nil {
		return fmt.Errorf("create the database %s from %s: %w", name, template, err)
	}
	return nil
}

// startShared connects to the server and prepares the template.
func startShared() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*startTimeout)
	defer cancel()
	address := os.Getenv(EnvURL)
	if address == "" {
		server, err := Start(ctx, Options{})
		if err != nil {
			return err
		}
		shared.server, address = server, server.URL("postgres")
	}
	parsed, err := parseServerURL(address)
	if err != nil {
		return err
	}
	shared.url = *parsed
	if shared.admin, err = sql.Open("postgres", address); err != nil {
		return fmt.Errorf("open the test server: %w", err)
	}
	shared.name, err = ensureTemplate(ctx, shared.admin, shared.url, migrations.FS())
	return err
}

// parseServerURL reads an address without ever repeating it in an error: it holds a password.
func parseServerURL(address string) (*url.URL, error) {
	parsed, err := url.Parse(address)
	if err != nil || (parsed.Scheme != "postgres" && parsed.Scheme != "postgresql") || parsed.Host == "" {
		return nil, fmt.Errorf("%s is not a URL such as postgres://user:password@127.0.0.1:5432/postgres?sslmode=disable", EnvURL)
	}
	return parsed, nil
}

// ensureTemplate returns the name of a database that holds the schema of the migrations. The name is made from the files,
// so on a server that outlives the tests another state of the migrations gets another template. Several test processes may
// come at once: an advisory lock lets one build, and a template bears its final name only when it is complete.
func ensureTemplate(ctx context.Context, admin *sql.DB, server url.URL, files fs.FS) (_ string, err error) {
	name, err := templateName(files)
	if err != nil {
		return "", err
	}
	conn, err := admin.Conn(ctx)
	if err != nil {
		return "", fmt.Errorf("connect to the test server: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var major int
	if err := conn.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::int / 10000").Scan(&major); err != nil {
		return "", fmt.Errorf("ask the test server for its version: %w", err)
	}
	if major < MinimumMajor {
		return "", fmt.Errorf("%s is served by PostgreSQL %d: %d or newer is needed", EnvURL, major, MinimumMajor)
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", name); err != nil {
		return "", fmt.Errorf("lock the template database: %w", err)
	}
	defer func() {
		_, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(hashtextextended($1, 0))", name)
		err = errors.Join(err, unlockErr)
	}()
	var exists bool
	if err := conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil {
		return "", fmt.Errorf("look for the template database: %w", err)
	}
	if exists {
		return name, nil
	}
	building := name + "_building"
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS " + pq.QuoteIdentifier(building) + " WITH (FORCE)", // of a run that was killed
		"CREATE DATABASE " + pq.QuoteIdentifier(building) + " TEMPLATE template0",
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return "", fmt.Errorf("create the template database: %w", err)
		}
	}
	if err := migrate(ctx, onDatabase(server, building)); err != nil {
		return "", fmt.Errorf("migrate the template database: %w", err)
	}
	for _, statement := range []string{
		// The template's last connection is closed, but its backend may take a moment longer to leave, and a database
		// cannot be renamed or copied while somebody is in it. Nobody may come in after that.
		"ALTER DATABASE " + pq.QuoteIdentifier(building) + " WITH ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = " + pq.QuoteLiteral(building),
		"ALTER DATABASE " + pq.QuoteIdentifier(building) + " RENAME TO " + pq.QuoteIdentifier(name),
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return "", fmt.Errorf("finish the template database: %w", err)
		}
	}
	return name, nil
}

// migrate brings the database at the address to the newest schema.
func migrate(ctx context.Context, address string) (err error) {
	db, err := sql.Open("postgres", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = migrations.Up(ctx, db)
	return err
}

// templateName is made from the names and contents of all the files.
func templateName(files fs.FS) (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(sum, "%s %d\n%s", path, len(content), content)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the migrations: %w", err)
	}
	return templatePrefix + hex.EncodeToString(sum.Sum(nil)[:8]), nil
}
