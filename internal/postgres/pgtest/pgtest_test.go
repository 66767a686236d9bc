//go:build unix

package pgtest

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/migrations"
)

func TestNewGivesAMigratedDatabase(t *testing.T) {
	t.Parallel()
	require.NoError(t, migrations.Check(t.Context(), New(t).DB))
}

// Eight parallel tests create the same table, and none sees another's. Their databases are dropped, because their schema has changed.
func TestNewIsolatesParallelTests(t *testing.T) {
	t.Parallel()
	names := make([]string, 8)
	t.Run("parallel", func(t *testing.T) {
		for i := range names {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				db := New(t)
				db.MustExec(`CREATE TABLE mine (id int PRIMARY KEY)`)
				names[i] = nameOf(t, db)
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

// content lists the rows of every table and the state of every sequence.
const content = `SELECT string_agg(part, E'\n' ORDER BY part) FROM (
	SELECT tablename || query_to_xml('SELECT * FROM public.' || quote_ident(tablename), false, true, '')::text part
	FROM pg_tables WHERE schemaname = 'public'
	UNION ALL SELECT sequencename || coalesce(last_value::text, ' unused') FROM pg_sequences WHERE schemaname = 'public') parts`

// Another test gets the database without a trace of the first, whose connections are gone.
func TestADatabaseIsClearedForTheNextTest(t *testing.T) {
	t.Parallel()
	var untouched string
	require.NoError(t, New(t).Get(&untouched, content))
	for name, change := range map[string]string{
		"rows":             `INSERT INTO providers (id, name) VALUES ('acme', 'Acme')`,
		"migrated rows":    `UPDATE account_models SET title = 'other'`,
		"deleted rows":     `DELETE FROM order_transitions`,
		"a sequence":       `SELECT nextval('orders_queue')`,
		"an open session":  `SELECT pg_advisory_lock(1)`,
		"no change at all": `SELECT 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := New(t)
			database := nameOf(t, db)
			db.MustExec(change)
			require.True(t, cleared(t.Context(), database))
			var now string
			require.NoError(t, db.Get(&now, content))
			require.Equal(t, untouched, now)
			var sessions int
			require.NoError(t, db.Get(&sessions, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`))
			require.Zero(t, sessions)
		})
	}
}

// What clearing cannot bring back makes the database unfit for another test.
func TestADatabaseThatCannotBeClearedIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"a table":      `CREATE TABLE mine ()`,
		"a column":     `ALTER TABLE orders ADD COLUMN mine text`,
		"a constraint": `ALTER TABLE orders ADD CONSTRAINT mine CHECK (true)`,
		"a function":   `CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		"a trigger":    `ALTER TABLE orders DISABLE TRIGGER USER`,
		"statistics":   `INSERT INTO providers (id, name) VALUES ('acme', 'Acme'); ANALYZE providers`,
		"growth":       `INSERT INTO providers (id, name) SELECT 'p' || n, repeat(md5(n::text), 3) FROM generate_series(1, 30000) n`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := New(t)
			database := nameOf(t, db)
			db.MustExec(change)
			require.False(t, cleared(t.Context(), database))
		})
	}
}

func nameOf(t *testing.T, db *sqlx.DB) (name string) {
	t.Helper()
	require.NoError(t, db.Get(&name, `SELECT current_database()`))
	return name
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

func TestMissingPostgresFailsTheTest(t *testing.T) {
	t.Parallel()
	out, err := runSelf(t, "PG_BINDIR="+t.TempDir())
	require.Error(t, err, out)
	require.Contains(t, out, "which holds no initdb and postgres of version 15 or newer: correct or unset it")
}
