package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// ErrMismatch is wrapped by the error of [Check] when the database's schema is not the one that this program was built for.
var ErrMismatch = errors.New("database schema does not fit this program")

// lockRetry and lockRetries say how often, in seconds, and how many times Up asks for the lock while another process migrates.
// Together they are ten minutes: longer than any migration may take.
const (
	lockRetry   = 1
	lockRetries = 600
)

// Up applies the files that the database does not have yet, oldest first, and returns their names. Any number of processes may
// call it at once: a session lock lets one of them work while the others wait. It needs a direct connection, because a pooler
// in transaction mode would lose the lock. After an error, the files before the failed one stay applied, and Up returns their names.
func Up(ctx context.Context, db *sql.DB) (applied []string, err error) { return up(ctx, db, files) }

// Check returns nil when the database's schema is exactly the newest one here, and otherwise an error that wraps [ErrMismatch]
// and names both versions. It only reads, so a role without the right to create tables can call it.
func Check(ctx context.Context, db *sql.DB) error {
	p, err := provider(db, files)
	if err != nil {
		return err
	}
	sources := p.ListSources() // ascending, and never empty: goose refuses to start without a file
	want := sources[len(sources)-1].Version
	got, err := version(ctx, db)
	switch {
	case err != nil:
		return err
	case got < want:
		return fmt.Errorf("%w: the database is at version %d, this program needs version %d: run `quartermaster migrate`",
			ErrMismatch, got, want)
	case got > want:
		return fmt.Errorf("%w: the database is at version %d, this program knows versions up to %d: "+
			"deploy the newer release whose `quartermaster migrate` has run already", ErrMismatch, got, want)
	}
	return nil
}

// provider returns goose for the files at the root of fsys.
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

func up(ctx context.Context, db *sql.DB, fsys fs.FS) (applied []string, err error) {
	p, err := provider(db, fsys)
	if err != nil {
		return nil, err
	}
	results, err := p.Up(ctx)
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		results = partial.Applied
		err = fmt.Errorf("migration %s: %w", path.Base(partial.Failed.Source.Path), partial.Err)
	} else if err != nil {
		err = fmt.Errorf("migrate the database: %w", err)
	}
	for _, result := range results {
		applied = append(applied, path.Base(result.Source.Path))
	}
	return applied, err
}

// version returns the newest version that the database has, or 0 when it has none. goose's own query creates its table when
// that is missing, which a check at the start of a program must not do.
func version(ctx context.Context, db *sql.DB) (int64, error) {
	var newest sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM "+goose.DefaultTablename).Scan(&newest)
	if pq.As(err, pqerror.UndefinedTable) != nil {
		return 0, nil //nolint:nilerr // without the table, no migration was ever applied
	}
	if err != nil {
		return 0, fmt.Errorf("read the database's schema version: %w", err)
	}
	return newest.Int64, nil
}
