//go:build unix

package pgtest

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/migrations"
)

func TestNewGivesAMigratedDatabase(t *testing.T) {
	t.Parallel()
	require.NoError(t, migrations.Check(t.Context(), New(t).DB))
}

// Eight parallel tests create the same table, and none sees another's. Their databases are dropped.
func TestNewIsolatesParallelTests(t *testing.T) {
	t.Parallel()
	names := make([]string, 8)
	t.Run("parallel", func(t *testing.T) {
		for i := range names {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				db := New(t)
				db.MustExec(`CREATE TABLE mine (id int PRIMARY KEY)`)
				require.NoError(t, db.Get(&names[i], `SELECT current_database()`))
			})
		}
	})
	for _, name := range names {
		require.NotEmpty(t, name)
		var exists bool
		query := shared.admin.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name)
		require.NoError(t, query.Scan(&exists))
		require.False(t, exists, "database %s outlived its test", name)
	}
}

func TestEmptyHasNoTables(t *testing.T) {
	t.Parallel()
	var tables int
	require.NoError(t, Empty(t).Get(&tables, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`))
	require.Zero(t, tables)
}

// runSelf runs one test of this package in another process with more environment and returns what it printed.
func runSelf(t *testing.T, env ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestNewGivesAMigratedDatabase$")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestExistingServerIsUsedAndLeftClean(t *testing.T) {
	t.Parallel()
	server, db := startServer(t, Options{})
	out, err := runSelf(t, EnvURL+"="+server.URL("postgres"))
	require.NoError(t, err, out)
	require.Contains(t, out, "--- PASS: TestNewGivesAMigratedDatabase")
	var databases []string
	require.NoError(t, db.Select(&databases, `SELECT datname FROM pg_database WHERE datname LIKE 'qm%'`))
	require.Empty(t, databases)
}

func TestMissingPostgresFailsTheTest(t *testing.T) {
	t.Parallel()
	out, err := runSelf(t, EnvURL+"=", "PG_BINDIR="+t.TempDir())
	require.Error(t, err, out)
	require.Contains(t, out, "which holds no initdb and postgres of version 15 or newer: correct or unset it")
}

func TestPasswordOfAServerIsNeverPrinted(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"host=db password=hush", "postgres://u:hush@[db/x", "postgres:///x?password=hush"} {
		out, err := runSelf(t, EnvURL+"="+address)
		require.Error(t, err)
		require.Contains(t, out, EnvURL+" is not a URL such as postgres://")
		require.NotContains(t, out, "hush")
	}
}
