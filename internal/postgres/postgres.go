// Package postgres keeps orders, accounts and pools. SQL stands above the method that runs it; what must always hold
// stands in the schema (migrations), and the errors of its constraints come back as provision's.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Store is the database. Its methods are safe for concurrent use and safe to repeat.
type Store struct{ db *sqlx.DB }

// New makes a Store of an open database.
func New(db *sqlx.DB) *Store { return &Store{db} }

const (
	maxConns        = 16 // the best throughput of claims on two cores; 64 halve it
	connMaxLifetime = 30 * time.Minute
)

// Open connects to a PostgreSQL URL (postgres://user@host/db?sslmode=…). Every connection gets bounds, unless the URL
// sets them: a statement may take 10 s, wait 3 s for a lock, and a transaction may idle 30 s.
func Open(ctx context.Context, databaseURL string) (*sqlx.DB, error) {
	return open(ctx, databaseURL, map[string]string{
		"statement_timeout":                   "10s",
		"lock_timeout":                        "3s",
		"idle_in_transaction_session_timeout": "30s",
	})
}

// OpenToMigrate connects like Open, but without the bounds: a migration takes the time it takes.
func OpenToMigrate(ctx context.Context, databaseURL string) (*sqlx.DB, error) {
	return open(ctx, databaseURL, map[string]string{})
}

func open(ctx context.Context, databaseURL string, settings map[string]string) (*sqlx.DB, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("the database URL is not of the form postgres://user:password@host:port/name?sslmode=…") // never print it: it holds the password
	}
	query := u.Query()
	settings["application_name"], settings["connect_timeout"] = "quartermaster", "5"
	for name, value := range settings {
		if !query.Has(name) {
			query.Set(name, value)
		}
	}
	u.RawQuery = query.Encode()
	connector, err := pq.NewConnector(u.String())
	if err != nil {
		return nil, fmt.Errorf("the database URL: %w", err)
	}
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	db.SetConnMaxLifetime(connMaxLifetime)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("connecting to PostgreSQL at %s: %w", u.Host, err)
	}
	return db, nil
}

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// tx runs work in one transaction in the name of the actor, who stands in every audit row it causes.
func (s *Store) tx(ctx context.Context, actor string, work func(*sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit this does nothing
	if _, err := tx.ExecContext(ctx, `SELECT set_config('qm.actor', $1, true)`, actor); err != nil {
		return err
	}
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// lockPool makes the matching of one pool's stock and queue one thing at a time, until the transaction ends.
func lockPool(ctx context.Context, tx *sqlx.Tx, pool provision.Pool) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('pool ' || $1, 0))`, pool.String())
	return err
}

// The row is locked as an update of its state would lock it, which does not keep others from referring to it.
const lockOrderSQL = `SELECT state FROM orders WHERE provider = $1 AND id = $2 FOR NO KEY UPDATE`

// lockOrder locks the order until the transaction ends. What locks more takes the locks in this sequence: pool, order, account.
func lockOrder(ctx context.Context, tx *sqlx.Tx, key provision.OrderKey) (state provision.OrderState, err error) {
	err = tx.GetContext(ctx, &state, lockOrderSQL, key.Provider, key.ID)
	return state, notFound(err, "order %s", key)
}

// orderActor is how an order signs its audit rows.
func orderActor(key provision.OrderKey) string { return "order " + key.String() }

// notFound turns "no row" into provision.ErrNotFound.
func notFound(err error, what string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: %w", fmt.Sprintf(what, args...), provision.ErrNotFound)
	}
	return err
}

// violates tells whether a constraint of that name refused the statement.
func violates(err error, constraint string) bool {
	pqErr := pq.As(err)
	return pqErr != nil && pqErr.Constraint == constraint
}
