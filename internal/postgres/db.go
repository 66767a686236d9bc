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
	"time"

	"github.com/jmoiron/sqlx"
)

// DB is the database: its connections, and a type for each aggregate that it keeps.
type DB struct {
	db *database

	Accounts          Accounts
	APIKeys           APIKeys
	Batches           Batches
	Deliveries        Deliveries
	Events            Events
	History           History
	IdempotencyKeys   IdempotencyKeys
	Imports           Imports
	Leftovers         Leftovers
	Models            Models
	Orders            Orders
	Passwords         Passwords
	Pools             Pools
	Processes         Processes
	ProtectedAccounts ProtectedAccounts
	Providers         Providers
	Reconciliation    Reconciliation
	SavedFilters      SavedFilters
	SealKeys          SealKeys
	Sessions          Sessions
	Steps             Steps
	Stock             Stock
	Verifications     Verifications
	Webhooks          Webhooks
}

// New returns a DB that uses the given connections.
func New(connections *sqlx.DB) *DB {
	db := &database{DB: connections}
	return &DB{
		db:                db,
		Accounts:          Accounts{db},
		APIKeys:           APIKeys{db},
		Batches:           Batches{db},
		Deliveries:        Deliveries{db},
		Events:            Events{db},
		History:           History{db},
		IdempotencyKeys:   IdempotencyKeys{db},
		Imports:           Imports{db},
		Leftovers:         Leftovers{db},
		Models:            Models{db},
		Orders:            Orders{db},
		Passwords:         Passwords{db},
		Pools:             Pools{db},
		Processes:         Processes{db},
		ProtectedAccounts: ProtectedAccounts{db},
		Providers:         Providers{db},
		Reconciliation:    Reconciliation{db},
		SavedFilters:      SavedFilters{db},
		SealKeys:          SealKeys{db},
		Sessions:          Sessions{db},
		Steps:             Steps{db},
		Stock:             Stock{db},
		Verifications:     Verifications{db},
		Webhooks:          Webhooks{db},
	}
}

const (
	maxConns        = 16 // gives the best throughput of claims on two cores; 64 halve it
	connMaxLifetime = 30 * time.Minute
)

// Open connects to a PostgreSQL URL (postgres://user@host/db?sslmode=…). Unless the URL sets other limits, a
// statement may take 10 seconds and wait 3 seconds for a lock, and a transaction may idle for 30 seconds. Connections keep
// their statements prepared, unless the URL has binary_parameters=yes, which poolers need that give each transaction another
// connection.
func Open(ctx context.Context, databaseURL string) (*DB, error) {
	connections, err := open(ctx, databaseURL, map[string]string{
		"statement_timeout":                   "10s",
		"lock_timeout":                        "3s",
		"idle_in_transaction_session_timeout": "30s",
	})
	if err != nil {
		return nil, err
	}
	return New(connections), nil
}

// OpenToMigrate connects like Open, but without limits, because a migration may take long.
func OpenToMigrate(ctx context.Context, databaseURL string) (*sqlx.DB, error) {
	return open(ctx, databaseURL, map[string]string{})
}

func open(ctx context.Context, databaseURL string, settings map[string]string) (*sqlx.DB, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" { // the error must not show the URL, which holds the password
		return nil, errors.New("the database URL is not of the form postgres://user:password@host:port/name?sslmode=…")
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
	connector, err := newBounded(u.String(), limit, query.Get("binary_parameters") != "yes")
	if err != nil {
		return nil, fmt.Errorf("the database URL: %w", err)
	}
	connections := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	connections.SetMaxOpenConns(maxConns)
	connections.SetMaxIdleConns(maxConns)
	connections.SetConnMaxLifetime(connMaxLifetime)
	if err := (&database{DB: connections}).PingContext(ctx); err != nil {
		_ = connections.Close()
		return nil, fmt.Errorf("connecting to PostgreSQL at %s: %w", u.Host, err)
	}
	return connections, nil
}

var statementTimeout = regexp.MustCompile(`^ *([0-9]+) *(us|ms|s|min|h|d)? *$`)

// timeUnits are those of PostgreSQL's settings. A number without a unit is in milliseconds.
var timeUnits = map[string]time.Duration{
	"us": time.Microsecond, "": time.Millisecond, "ms": time.Millisecond,
	"s": time.Second, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
}

// callLimit returns how long a call may take when PostgreSQL's statement_timeout is the given one. 0 means as long
// as its context.
func callLimit(setting string) (time.Duration, error) {
	parts := statementTimeout.FindStringSubmatch(cmp.Or(setting, "0"))
	if parts == nil {
		return 0, fmt.Errorf("statement_timeout=%s is not a time such as 10s", setting)
	}
	count, err := strconv.Atoi(parts[1])
	if err != nil || count == 0 {
		return 0, err
	}
	return time.Duration(count)*timeUnits[parts[2]] + callMargin, nil
}

// Ping returns an error when the database does not answer.
func (db *DB) Ping(ctx context.Context) error { return db.db.PingContext(ctx) }

// Close closes all connections.
func (db *DB) Close() error { return db.db.Close() }

// SQL returns the connections, for statements that belong to no aggregate: those of migrations and of tests.
func (db *DB) SQL() *sqlx.DB { return db.db.DB }
