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

// setup returns an empty database and the names of the released files in order.
func setup(t *testing.T) (db *sqlx.DB, names []string) {
	t.Helper()
	names, err := fs.Glob(migrations.FS(), "*.sql")
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
	got := make([]string, 0, len(applied))
	for _, m := range applied {
		got = append(got, m.Name)
		require.False(t, m.Pending(), m.Name)
		require.Positive(t, m.Duration, m.Name)
	}
	require.Equal(t, names, got)

	again, err := migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	require.Empty(t, again)
}

// Six replicas start at once and each migrates. Without the session lock three of them fail on each other's tables.
func TestUpRunsInSixReplicasAtOnce(t *testing.T) {
	t.Parallel()
	db, names := setup(t)

	applied := make([][]migrations.Migration, 6)
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

func TestStatusTellsPendingFromApplied(t *testing.T) {
	t.Parallel()
	db, names := setup(t)

	before, err := migrations.Status(t.Context(), db.DB)
	require.NoError(t, err)
	require.Len(t, before, len(names))
	for i, m := range before {
		require.Equal(t, names[i], m.Name)
		require.True(t, m.Pending(), m.Name)
	}

	_, err = migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	after, err := migrations.Status(t.Context(), db.DB)
	require.NoError(t, err)
	for _, m := range after {
		require.False(t, m.Pending(), m.Name)
	}
}

func TestUpKeepsWhatWasAppliedBeforeAFailure(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)

	applied, err := migrations.UpFS(t.Context(), db.DB, fstest.MapFS{
		"00001_good.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE good (id int);\n")},
		"00002_broken.sql": {Data: []byte("-- +goose Up\nCREATE TABLE half (id int);\nCREATE TABLE good (id int);\n")},
	})
	require.ErrorContains(t, err, "migration 00002_broken.sql")
	require.Len(t, applied, 1)
	require.Equal(t, "00001_good.sql", applied[0].Name)
	var tables []string
	require.NoError(t, db.Select(&tables, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`))
	require.Equal(t, []string{"good", "goose_db_version"}, tables, "a file is applied as a whole or not at all")
}

// Two branches that both add "the next" migration merge without a conflict; the numbers tell.
func TestFilesAreNumberedWithoutGaps(t *testing.T) {
	t.Parallel()
	_, names := setup(t)
	pattern := regexp.MustCompile(`^(\d{5})_[a-z0-9_]+\.sql$`)
	for i, name := range names {
		match := pattern.FindStringSubmatch(path.Base(name))
		require.NotNil(t, match, "%s: name it <five digits>_<what it does>.sql", name)
		require.Equal(t, fmt.Sprintf("%05d", i+1), match[1], "%s: the next free number is wanted", name)
	}
}

// Keys that were there before keys had roles could do everything, and still can.
func TestKeysFromBeforeRolesAreAdmins(t *testing.T) {
	t.Parallel()
	db, names := setup(t)
	before := fstest.MapFS{}
	for _, name := range names[:3] {
		text, err := fs.ReadFile(migrations.FS(), name)
		require.NoError(t, err)
		before[name] = &fstest.MapFile{Data: text}
	}
	_, err := migrations.UpFS(t.Context(), db.DB, before)
	require.NoError(t, err)
	db.MustExec(`INSERT INTO providers (id, name) VALUES ('acme', 'Acme')`)
	db.MustExec(`INSERT INTO api_keys (id, provider, name, secret_sha256) VALUES ('old', 'acme', 'old', decode(repeat('07', 32), 'hex'))`)
	_, err = migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	var role string
	var scopes *string
	require.NoError(t, db.QueryRow(`SELECT role, scopes::text FROM api_keys WHERE id = 'old'`).Scan(&role, &scopes))
	require.Equal(t, "admin", role)
	require.Nil(t, scopes)
	var unset *string
	require.NoError(t, db.Get(&unset, `SELECT column_default FROM information_schema.columns WHERE table_name = 'api_keys' AND column_name = 'role'`))
	require.Nil(t, unset, "nobody becomes an admin by saying nothing")
}

func TestEveryFileCanBeTakenBack(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	schema := func() (columns []string) {
		require.NoError(t, db.Select(&columns, `SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns
			WHERE table_schema = 'public' AND table_name <> 'goose_db_version' ORDER BY 1`))
		return columns
	}
	_, err := migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	want := schema()
	provider, err := goose.NewProvider(goose.DialectPostgres, db.DB, migrations.FS())
	require.NoError(t, err)
	_, err = provider.DownTo(t.Context(), 0)
	require.NoError(t, err)
	require.Empty(t, schema())
	_, err = migrations.Up(t.Context(), db.DB)
	require.NoError(t, err)
	require.Equal(t, want, schema())
}
