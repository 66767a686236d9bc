package migrations_test

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// setup returns an empty database and the names of the files in order.
func setup(t *testing.T) (db *sqlx.DB, names []string) {
	t.Helper()
	names, err := fs.Glob(migrations.Files, "*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	slices.Sort(names)
	return pgtest.Empty(t), names
}

func TestUpAppliesEveryFileOnce(t *testing.T) {
	t.Parallel()
	db, names := setup(t)

	applied, err := migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	require.Equal(t, names, applied)

	again, err := migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	require.Empty(t, again)
}

// Six replicas start at once, and each migrates. Without the session lock, three of them fail on each other's tables.
func TestUpRunsInSixReplicasAtOnce(t *testing.T) {
	t.Parallel()
	db, names := setup(t)

	applied := make([][]string, 6)
	group, ctx := errgroup.WithContext(t.Context())
	for i := range applied {
		group.Go(func() (err error) {
			applied[i], err = migrations.Up(ctx, db.DB)
			return err
		})
	}
	require.NoError(t, group.Wait())

	require.Len(t, slices.Concat(applied...), len(names), "each file is applied by exactly one replica")
	require.NoError(t, migrations.Check(t.Context(), db.DB))
}

func TestUpKeepsWhatWasAppliedBeforeAFailure(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)

	applied, err := migrations.UpFS(t.Context(), db.DB, fstest.MapFS{
		"00001_good.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE good (id int);\n")},
		"00002_broken.sql": {Data: []byte("-- +goose Up\nCREATE TABLE half (id int);\nCREATE TABLE good (id int);\n")},
	})
	require.ErrorContains(t, err, "migration 00002_broken.sql")
	require.Equal(t, []string{"00001_good.sql"}, applied)
	var tables []string
	require.NoError(t, db.Select(&tables, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`))
	require.Equal(t, []string{"good", "goose_db_version"}, tables, "a file is applied as a whole or not at all")
}

func TestCheckRefusesAnOlderSchemaWithoutWriting(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)

	err := migrations.Check(t.Context(), db.DB)
	require.ErrorIs(t, err, migrations.ErrMismatch)
	require.ErrorContains(t, err, "the database is at version 0")
	require.ErrorContains(t, err, "run `quartermaster migrate`")
	var tables int
	require.NoError(t, db.Get(&tables, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`))
	require.Zero(t, tables, "a check creates nothing")

	_, err = migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	require.NoError(t, migrations.Check(t.Context(), db.DB))
}

func TestCheckRefusesANewerSchema(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	_, err := migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	db.MustExec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)

	err = migrations.Check(t.Context(), db.DB)
	require.ErrorIs(t, err, migrations.ErrMismatch)
	require.ErrorContains(t, err, "the database is at version 99999")
	require.ErrorContains(t, err, "deploy the newer release")
}

func TestCheckReportsADatabaseThatIsDown(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	require.NoError(t, db.Close())

	err := migrations.Check(t.Context(), db.DB)
	require.Error(t, err)
	require.NotErrorIs(t, err, migrations.ErrMismatch, "a database that is down says nothing about its schema")
}

// Two branches that both add the next migration merge without a conflict; the numbers show it.
func TestFilesAreNumberedWithoutGaps(t *testing.T) {
	t.Parallel()
	_, names := setup(t)
	pattern := regexp.MustCompile(`^(\d{5})_[a-z0-9_]+\.sql$`)
	for i, name := range names {
		match := pattern.FindStringSubmatch(path.Base(name))
		require.NotNil(t, match, "%s: name it <five digits>_<subject>.sql", name)
		require.Equal(t, fmt.Sprintf("%05d", i+1), match[1], "%s: use the next free number", name)
	}
}

// schemaSQL lists everything that the migrations create. Identity sequences, row types and the constraints and indexes of goose's
// own table are left out.
const schemaSQL = `
SELECT format('%s %s.%s %s not null %s default %s', c.relkind, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
              pg_get_expr(d.adbin, d.adrelid))
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE 'goose_db_version%'
UNION ALL SELECT format('%s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conname NOT LIKE 'goose_db_version%'
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'goose_db_version'
UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1`

func TestEveryFileCanBeTakenBack(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	schema := func() (lines []string) {
		require.NoError(t, db.Select(&lines, schemaSQL))
		return lines
	}
	_, err := migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	want := schema()
	require.Greater(t, len(want), 500)
	provider, err := goose.NewProvider(goose.DialectPostgres, db.DB, migrations.Files)
	require.NoError(t, err)
	_, err = provider.DownTo(t.Context(), 0)
	require.NoError(t, err)
	require.Empty(t, schema())
	_, err = migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	require.Equal(t, want, schema())
}

func TestEveryTableSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	var silent []string
	require.NoError(t, pgtest.New(t).Select(&silent, `
		SELECT relname FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'goose_db_version'
		  AND obj_description(oid, 'pg_class') IS NULL`))
	require.Empty(t, silent, "write a COMMENT ON TABLE: what it is for, and who writes it")
}

func TestCreatingAKeyNeedsAnActor(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.MustExec(`INSERT INTO providers (id, name) VALUES ('acme', 'Acme')`)
	const key = `
		INSERT INTO api_keys (id, provider, name, secret_sha256, role)
		VALUES ('k', 'acme', 'k', decode(repeat('07', 32), 'hex'), 'viewer')`
	_, err := db.Exec(key)
	require.ErrorContains(t, err, "this change needs an actor")
	tx := db.MustBegin()
	tx.MustExec(`SELECT set_config('qm.actor', 'operator anna', true)`)
	tx.MustExec(key)
	require.NoError(t, tx.Commit())
	var actors []string
	require.NoError(t, db.Select(&actors, `SELECT created_by FROM api_keys UNION ALL SELECT actor FROM access_history`))
	require.Equal(t, []string{"operator anna", "operator anna"}, actors)
}
