//go:build unix

package pgtest

import (
	"fmt"
	"net/url"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/migrations"
)

func TestNewGivesAMigratedDatabase(t *testing.T) {
	t.Parallel()
	db := New(t)
	require.NoError(t, migrations.Check(t.Context(), db.DB))
}

// Eight tests at once write the same key into the same table, and none sees another's row. Their databases are gone afterwards.
func TestNewIsolatesParallelTests(t *testing.T) {
	t.Parallel()
	const tests = 8
	names := make([]string, tests)
	t.Run("at once", func(t *testing.T) {
		for i := range tests {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				db := New(t)
				t.Logf("a migrated database after %v", time.Since(began).Round(time.Millisecond))
				db.MustExec(`CREATE TABLE mine (id int PRIMARY KEY); INSERT INTO mine VALUES (1)`)
				require.NoError(t, db.Get(&names[i], `SELECT current_database()`))
			})
		}
	})

	seen := make(map[string]bool)
	for _, name := range names {
		require.NotEmpty(t, name)
		seen[name] = true
		var exists bool
		require.NoError(t, shared.admin.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists))
		require.False(t, exists, "database %s outlived its test", name)
	}
	require.Len(t, seen, tests)
}

func TestEmptyHasNoTables(t *testing.T) {
	t.Parallel()
	db := Empty(t)
	var tables int
	require.NoError(t, db.Get(&tables, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`))
	require.Zero(t, tables)
}

// A server that outlives the tests: the template is built once by whoever comes first, again when the migrations change,
// and a half-built one is not mistaken for it.
func TestEnsureTemplateOnALastingServer(t *testing.T) {
	t.Parallel()
	server, db := setup(t, Options{})
	address, err := url.Parse(server.URL("postgres"))
	require.NoError(t, err)
	files := migrations.FS()
	name, err := templateName(files)
	require.NoError(t, err)
	db.MustExec(`CREATE DATABASE ` + name + `_building`) // of a run that was killed

	var group errgroup.Group
	for range 3 {
		group.Go(func() error {
			got, err := ensureTemplate(t.Context(), db.DB, *address, files)
			if err == nil && got != name {
				err = fmt.Errorf("got the template %s, want %s", got, name)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())

	var databases []string
	require.NoError(t, db.Select(&databases, `SELECT datname FROM pg_database WHERE datname LIKE 'qm%'`))
	require.Equal(t, []string{name}, databases)
	changed, err := templateName(fstest.MapFS{"00001_init.sql": {Data: []byte("-- +goose Up\n")}})
	require.NoError(t, err)
	require.NotEqual(t, name, changed)
}

func TestAnExistingServerIsUsedAndLeftClean(t *testing.T) {
	t.Parallel()
	server, db := setup(t, Options{})
	out, err := runSelf(t, "TestNewGivesAMigratedDatabase", EnvURL+"="+server.URL("postgres"))
	require.NoError(t, err, out)
	require.Contains(t, out, "--- PASS: TestNewGivesAMigratedDatabase")

	var databases []string
	require.NoError(t, db.Select(&databases, `SELECT datname FROM pg_database WHERE datname LIKE 'qm%'`))
	require.Len(t, databases, 1, "the template stays, the test's own database goes")
	require.Contains(t, databases[0], templatePrefix)
}

func TestAMissingPostgresFailsTheTest(t *testing.T) {
	t.Parallel()
	out, err := runSelf(t, "TestNewGivesAMigratedDatabase", EnvURL+"=", "PG_BINDIR="+t.TempDir())
	require.Error(t, err, out)
	require.Contains(t, out, "--- FAIL: TestNewGivesAMigratedDatabase")
	require.Contains(t, out, "set it to the folder that holds initdb and postgres, or unset it")
}

func TestServerURLIsNeverRepeatedInAnError(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"host=db password=hush", "mysql://root:hush@db/x", "postgres://u:hush@[db/x", "postgres:///x?password=hush"} {
		_, err := parseServerURL(address)
		require.ErrorContains(t, err, EnvURL+" is not a URL such as postgres://")
		require.NotContains(t, err.Error(), "hush")
	}
}
