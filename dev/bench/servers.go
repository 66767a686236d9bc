package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"time"

	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"

	"quartermaster/dev/child"
	"quartermaster/dev/stack"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// servers is the running product with the clients of the benchmark.
type servers struct {
	*stack.Playground
	bareClient client.Client // seals nothing
	bare       *child.Process
	measures   *sqlx.DB // a database of its own, so that looking at the statistics does not count
	product    *sqlx.DB
	accounts   int   // in the simulated AWS so far
	costs      Costs // measured so far
}

// settings of PostgreSQL, for a small server.
var settings = []string{
	"shared_buffers=512MB", "max_connections=300", "max_locks_per_transaction=256",
	"wal_keep_size=2GB", // the log is read after each round
}

// start starts the product and the worker of Bare8.
func start(ctx context.Context, o Options) (_ *servers, err error) {
	options := stack.Options{
		Progress: o.Progress, TemporalInPostgres: true, PostgresSettings: settings, Program: o.Program,
		// Nothing but the load of the benchmark, and no limit that only other customers need.
		Env: []string{"QM_REQUESTS_PER_SECOND=100000"},
	}
	if o.Profile != "" {
		options.PostgresSettings = append(options.PostgresSettings, "shared_preload_libraries=pg_stat_statements",
			"pg_stat_statements.max=10000", "pg_stat_statements.track=all", "track_io_timing=on")
	}
	running, err := stack.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	s := &servers{}
	defer func() {
		if err != nil {
			err = errors.Join(err, running.Stop(), s.close())
		}
	}()
	if s.Playground, err = stack.NewPlayground(ctx, running); err != nil {
		return nil, err
	}
	if s.bareClient, err = client.DialContext(ctx, client.Options{HostPort: s.Temporal, Logger: stack.Quiet()}); err != nil {
		return nil, err
	}
	if err := s.startBare(); err != nil {
		return nil, err
	}
	err = s.connect(ctx, o)
	return s, err
}

// startBare runs this program again, as the worker of Bare8.
func (s *servers) startBare() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.bare, err = child.Start(exec.Command(self, "bare-worker", s.Temporal)) //nolint:noctx // it ends with close
	return err
}

// connect connects to the product's database, and to another one on the same server for the benchmark's own questions.
func (s *servers) connect(ctx context.Context, o Options) error {
	product, err := postgres.OpenToMigrate(ctx, s.Database)
	if err != nil {
		return err
	}
	s.product = product
	if _, err := s.product.ExecContext(ctx, `CREATE DATABASE measures`); err != nil {
		return err
	}
	address, err := s.databaseURL("measures")
	if err != nil {
		return err
	}
	if s.measures, err = sqlx.ConnectContext(ctx, "postgres", address); err != nil {
		return err
	}
	if _, err := s.measures.ExecContext(ctx, `CREATE EXTENSION pg_walinspect`); err != nil {
		return fmt.Errorf("%w: install the contrib modules of PostgreSQL", err)
	}
	if o.Profile != "" {
		_, err = s.measures.ExecContext(ctx, `CREATE EXTENSION pg_stat_statements`)
	}
	return err
}

// databaseURL returns the URL of another database of the server.
func (s *servers) databaseURL(name string) (string, error) {
	address, err := url.Parse(s.Database)
	if err != nil {
		return "", err
	}
	address.Path = "/" + name
	return address.String(), nil
}

// stop stops everything.
func (s *servers) stop() error { return errors.Join(s.close(), s.Stop()) }

func (s *servers) close() (err error) {
	if s.bareClient != nil {
		s.bareClient.Close()
	}
	if s.bare != nil {
		err = s.bare.Stop(10 * time.Second)
	}
	for _, db := range []*sqlx.DB{s.measures, s.product} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return err
}

// stock creates the pool of a marketplace with n Ready accounts.
func (s *servers) stock(ctx context.Context, marketplace string, n int) error {
	return s.stockOf(ctx, stack.Provider, marketplace, n)
}

// stockOf is stock for a provider.
func (s *servers) stockOf(ctx context.Context, provider, marketplace string, n int) error {
	pool := provision.Pool{Provider: provider, Marketplace: marketplace, Environment: provision.Production}
	if _, err := s.Store.Pools.Create(ctx, "benchmark", provision.DefaultPool(pool)); err != nil {
		return err
	}
	return s.addStock(ctx, pool, n)
}

// addStock adds n Ready accounts to a pool, and to the simulated AWS.
func (s *servers) addStock(ctx context.Context, pool provision.Pool, n int) error {
	first := s.accounts + 1
	s.accounts += n
	if err := insertReady(ctx, s.product, pool, first, s.accounts); err != nil {
		return err
	}
	for number := first; number <= s.accounts; number++ {
		id := stack.Stocked{Number: number}.ID()
		err := s.Simulate(provision.Account{
			ID: id, Model: provision.ModelECAM, RootEmail: "aws+" + id + "@acme.example", ExternalID: "external-id-of-" + id,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// insertAccountsSQL adds the accounts with the numbers $4 to $5, as verified a moment ago.
const insertAccountsSQL = `
INSERT INTO accounts (id, provider, marketplace, environment, model, name, root_email, role_arn, external_id, status, reason, verified_at,
	checked_at, verify_at)
SELECT id, $1, $2, 'production', $3, 'Stock ' || n, 'aws+' || id || '@acme.example', 'arn:aws:iam::' || id || ':role/quartermaster',
	'external-id-of-' || id, $6::text, CASE WHEN $6 = 'ready' THEN '' ELSE 'a benchmark fills the table' END,
	now(), now(), now() + interval '7 days'
FROM (SELECT n, '1110' || to_char(n, 'FM00000000') AS id FROM generate_series($4::int, $5::int) n) numbered`

// insertBatch is how many accounts one transaction inserts: each takes a lock until its end.
const insertBatch = 5000

// insertReady adds Ready accounts by SQL: a verification of each would take longer than the benchmark.
func insertReady(ctx context.Context, db *sqlx.DB, pool provision.Pool, first, last int) error {
	for from := first; from <= last; from += insertBatch {
		if err := inTx(ctx, db, insertAccountsSQL, pool.Provider, pool.Marketplace, provision.ModelECAM, from, min(from+insertBatch-1, last),
			provision.AccountReady); err != nil {
			return fmt.Errorf("adding accounts: %w", err)
		}
	}
	return nil
}

// insertUnsold adds Invalid accounts, which only fill the table.
func insertUnsold(ctx context.Context, db *sqlx.DB, pool provision.Pool, first, last int) error {
	return asReplica(ctx, db, []string{insertAccountsSQL}, pool.Provider, pool.Marketplace, provision.ModelECAM, first, last,
		provision.AccountInvalid)
}

// inTx runs a statement in a transaction whose history names the benchmark.
func inTx(ctx context.Context, db *sqlx.DB, statement string, args ...any) error {
	return run(ctx, db, `SET LOCAL qm.actor = 'benchmark'`, []string{statement}, args...)
}

// asReplica runs statements in a transaction in which no triggers fire: they would take most of the time that it takes to fill a table.
func asReplica(ctx context.Context, db *sqlx.DB, statements []string, args ...any) error {
	return run(ctx, db, `SET LOCAL session_replication_role = replica`, statements, args...)
}

// run runs statements with the same arguments in one transaction with a setting.
func run(ctx context.Context, db *sqlx.DB, setting string, statements []string, args ...any) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, setting); err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}
