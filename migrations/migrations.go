// Package migrations holds the database's schema as numbered SQL files and brings a database up to it.
//
// A file is named <version>_<what it does>.sql and never changes once it is released; the next change is the next file.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// FS returns the SQL files, for tools that need to know whether they have changed.
func FS() fs.FS { return files }

// Migration is one numbered step of the schema.
type Migration struct {
	// Version is the number that the file's name starts with.
	Version int64
	// Name is the file's name.
	Name string
	// AppliedAt is when the database took it; zero when it is still pending.
	AppliedAt time.Time
	// Duration is how long it took, in the result of [Up] only.
	Duration time.Duration
}

// Pending reports whether the database has yet to take the migration.
func (m Migration) Pending() bool { return m.AppliedAt.IsZero() }

// ErrMismatch is wrapped by the error of [Check] when the database's schema is not the one that this program was built for.
var ErrMismatch = errors.New("database schema does not fit this program")

// lockRetry and lockRetries say how often, in seconds, and how many times Up asks for the lock while another one migrates.
// Together they are ten minutes: more than any migration of ours may take.
const (
	lockRetry   = 1
	lockRetries = 600
)

// Up applies what is pending and returns it, oldest first; nothing when the schema is current. Any number of processes may
// call it at once: a session lock lets one work and the others wait. It needs a direct connection, not a pooler in
// transaction mode, which would lose the lock. On an error the migrations before the failed one stay applied and are returned.
func Up(ctx context.Context, db *sql.DB) ([]Migration, error) { return up(ctx, db, files) }

// Status returns all migrations, oldest first, with the time when the database took them. It changes nothing but
// creates goose's version table when that is missing.
func Status(ctx context.Context, db *sql.DB) ([]Migration, error) { return status(ctx, db, files) }

// Check returns nil when the database's schema is exactly the newest one here, and else an error that wraps [ErrMismatch]
// and names both versions. It only reads, so a role without the right to create tables can call it.
func Check(ctx context.Context, db *sql.DB) error { return check(ctx, db, files) }

// provider returns goose for the files, which lie at the root of fsys.
func provider(db *sql.DB, fsys fs.FS) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockRetry, lockRetries))
	if err != nil {
		return nil, fmt.Errorf("migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, fsys,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, nil
}

func up(ctx context.Context, db *sql.DB, fsys fs.FS) ([]Migration, error) {
	p, err := provider(db, fsys)
	if err != nil {
		return nil, err
	}
	results, err := p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
		err = fmt.Errorf("migration %s: %w", path.Base(partial.Failed.Source.Path), partial.Err)
	} else if err != nil {
		err = fmt.Errorf("migrate the database: %w", err)
	}
	applied := make([]Migration, 0, len(results))
	for _, result := range results {
		applied = append(applied, Migration{
			Version:   result.Source.Version,
			Name:      path.Base(result.Source.Path),
			AppliedAt: time.Now(),
			Duration:  result.Duration,
		})
	}
	return applied, err
}

func status(ctx context.Context, db *sql.DB, fsys fs.FS) ([]Migration, error) {
	p, err := provider(db, fsys)
	if err != nil {
		return nil, err
	}
	rows, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the state of the migrations: %w", err)
	}
	all := make([]Migration, 0, len(rows))
	for _, row := range rows {
		all = append(all, Migration{Version: row.Source.Version, Name: path.Base(row.Source.Path), AppliedAt: row.AppliedAt})
	}
	return all, nil
}

func check(ctx context.Context, db *sql.DB, fsys fs.FS) error {
	p, err := provider(db, fsys)
	if err != nil {
		return err
	}
	sources := p.ListSources() // ascending, and never empty: goose refuses to start without a migration
	want := sources[len(sources)-1].Version
	got, err := version(ctx, db)
	switch {
	case err != nil:
		return err
	case got < want:
		return fmt.Errorf("%w: the database is at version %d, this program needs version %d: run `quartermaster migrate`", ErrMismatch, got, want)
	case got > want:
		return fmt.Errorf("%w: the database is at version %d, this program knows versions up to %d: "+
			"deploy the newer release whose `quartermaster migrate` has run already", ErrMismatch, got, want)
	}
	return nil
}

// version returns the newest version that the database has taken, or 0 when it has taken none. goose's own look-up creates
// its table when that is missing, which a check at the start of a program must not do.
func version(ctx context.Context, db *sql.DB) (int64, error) {
	var newest sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM "+goose.DefaultTablename).Scan(&newest)
	if pq.As(err, pqerror.UndefinedTable) != nil {
		return 0, nil //nolint:nilerr // no table is the answer: no migration was ever applied
	}
	if err != nil {
		return 0, fmt.Errorf("read the database's schema version: %w", err)
	}
	return newest.Int64, nil
}
