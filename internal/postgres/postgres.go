// Package postgres keeps orders, accounts and pools. SQL stands above the method that runs it; what must always hold
// stands in the schema (migrations), and the errors of its constraints come back as provision's.
package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// Store is the database. Its methods are safe for concurrent use and safe to repeat.
type Store struct {
	db database

	mu    sync.Mutex
	gates map[provision.Pool]chan struct{}
}

// New makes a Store of an open database.
func New(db *sqlx.DB) *Store { return &Store{db: database{db}} }

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
	limit, err := callLimit(query.Get("statement_timeout"))
	if err != nil {
		return nil, fmt.Errorf("the database URL: %w", err)
	}
	connector, err := newBounded(u.String(), limit)
	if err != nil {
		return nil, fmt.Errorf("the database URL: %w", err)
	}
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	db.SetConnMaxLifetime(connMaxLifetime)
	if err := (database{db}).PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("connecting to PostgreSQL at %s: %w", u.Host, err)
	}
	return db, nil
}

var statementTimeout = regexp.MustCompile(`^ *([0-9]+) *(us|ms|s|min|h|d)? *$`)

// callLimit is how long a call may take when PostgreSQL's statement_timeout is the given one; 0: as long as its context.
func callLimit(setting string) (time.Duration, error) {
	parts := statementTimeout.FindStringSubmatch(cmp.Or(setting, "0"))
	if parts == nil {
		return 0, fmt.Errorf("statement_timeout=%s is not a time such as 10s", setting)
	}
	unit := map[string]time.Duration{"us": time.Microsecond, "": time.Millisecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[parts[2]]
	count, err := strconv.Atoi(parts[1])
	if err != nil || count == 0 {
		return 0, err
	}
	return time.Duration(count)*unit + callMargin, nil
}

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// tx runs work in one transaction in the name of the actor, who stands in every audit row it causes.
func (s *Store) tx(ctx context.Context, actor string, work func(*sqlx.Tx) error) error {
	return judged(ctx, inTx(ctx, s.db, actor, work))
}

func inTx(ctx context.Context, db database, actor string, work func(*sqlx.Tx) error) error {
	tx, err := db.BeginTxx(ctx, nil)
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

// The two locks of a pool, held until the transaction ends: one to match its stock to its queue, and a shared one to come
// into the queue.
const (
	lockPoolSQL  = `SELECT pg_advisory_xact_lock(hashtextextended('pool ' || $1, 0))`
	sharePoolSQL = `SELECT pg_advisory_xact_lock_shared(hashtextextended('pool ' || $1, 0))`
)

// callsOfPool is how many calls of this process hold a connection because of one pool's lock, or wait for one.
const callsOfPool = 2

// poolTx is tx with the pool locked. Only callsOfPool calls use a connection to wait for the lock; the others wait for them
// without one, so that a busy pool does not take all connections of the process.
func (s *Store) poolTx(ctx context.Context, actor string, pool provision.Pool, lock string, work func(*sqlx.Tx) error) error {
	s.mu.Lock()
	if s.gates == nil {
		s.gates = map[provision.Pool]chan struct{}{}
	}
	gate := s.gates[pool]
	if gate == nil {
		gate = make(chan struct{}, callsOfPool)
		s.gates[pool] = gate
	}
	s.mu.Unlock()
	select {
	case gate <- struct{}{}:
	case <-ctx.Done():
		return judged(ctx, fmt.Errorf("waiting for the lock of pool %s: %w", pool, ctx.Err()))
	}
	defer func() { <-gate }()
	return s.tx(ctx, actor, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, lock, pool.String()); err != nil {
			return err
		}
		return work(tx)
	})
}

// queuedOrder is an order in the queue of a pool.
type queuedOrder struct {
	provision.Pool
	State provision.OrderState `db:"state"`
}

const queuedOrderSQL = `SELECT provider, marketplace, environment, state FROM orders WHERE provider = $1 AND id = $2`

// NO KEY UPDATE is the lock that an update of the state takes. FOR UPDATE would also block inserts that refer to the order, and
// deadlock with those that have locked the account.
const lockOrderSQL = queuedOrderSQL + ` FOR NO KEY UPDATE`

// lockOrder locks the order until the transaction ends. What locks more takes the locks in this sequence: pool, order, account.
func lockOrder(ctx context.Context, tx *sqlx.Tx, key provision.OrderKey) (o queuedOrder, err error) {
	err = tx.GetContext(ctx, &o, lockOrderSQL, key.Provider, key.ID)
	return o, notFound(err, "order %s", key)
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
