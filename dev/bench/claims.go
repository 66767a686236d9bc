package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"quartermaster/dev/stack"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/migrations"
)

const (
	fewAccounts   = 10_000 // what a claim among many accounts is compared with
	claimsInBlock = 50
	claimBlocks   = 5
)

// claimPool is the pool whose accounts are claimed; no accounts are ever in the emptyPool.
var (
	claimPool = provision.Pool{Provider: stack.Provider, Marketplace: "claims", Environment: provision.Production}
	emptyPool = provision.Pool{Provider: stack.Provider, Marketplace: "empty", Environment: provision.Production}
)

// stockroom is a database of its own that holds nothing but accounts and orders.
type stockroom struct {
	name  string
	url   string
	db    *sqlx.DB
	store *postgres.DB
	next  int // number of the next order that claims
}

// measureClaims measures the claim in two databases in turns, with few accounts and with many, next to pgbench, which runs the same
// statements.
func measureClaims(ctx context.Context, s *servers, o Options) (figures []Figure, err error) {
	few, err := s.newStockroom(ctx, o, "claims_few", fewAccounts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, few.close()) }()
	many, err := s.newStockroom(ctx, o, "claims_many", o.Accounts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, many.close()) }()
	script, err := s.pgbenchScript(ctx, many)
	if err != nil {
		return nil, err
	}
	var claimsFew, claimsMany []time.Duration
	var rates, pgbenchRates []float64
	for block := range claimBlocks {
		took, err := few.claim(ctx, claimsInBlock)
		if err != nil {
			return nil, err
		}
		claimsFew = append(claimsFew, took...)
		if took, err = many.claim(ctx, claimsInBlock); err != nil {
			return nil, err
		}
		claimsMany = append(claimsMany, took...)
		rates = append(rates, rate(took))
		tps, err := script.run(ctx, block*claimsInBlock, claimsInBlock)
		if err != nil {
			return nil, err
		}
		pgbenchRates = append(pgbenchRates, tps)
	}
	if err := many.claimed(ctx, "pgbench-", claimBlocks*claimsInBlock); err != nil {
		return nil, err
	}
	figures = []Figure{{
		Name: fmt.Sprintf("claim, p50, among %s accounts, a tenth Ready", thousands(o.Accounts)), Unit: "ms",
		Value: milliseconds(median(claimsMany)), Limit: milliseconds(median(claimsFew)), LimitIs: "among " + thousands(fewAccounts),
		Target: ratioAtMost(1.3),
	}, {
		Name: fmt.Sprintf("claims a second, one after the other, among %s accounts", thousands(o.Accounts)), Unit: "/s",
		Value: median(rates), Limit: median(pgbenchRates), LimitIs: "pgbench with the same SQL", Target: ratioAtLeast(0.9),
	}}
	waiting, err := many.waitingFigure(ctx)
	return append(figures, waiting), err
}

// newStockroom creates a migrated database with so many accounts, the newest tenth of them Ready, and with orders that can claim.
func (s *servers) newStockroom(ctx context.Context, o Options, name string, accounts int) (*stockroom, error) {
	if _, err := s.measures.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	address, err := s.databaseURL(name)
	if err != nil {
		return nil, err
	}
	r := &stockroom{name: name, url: address}
	if r.db, err = postgres.OpenToMigrate(ctx, address); err != nil {
		return nil, err
	}
	if _, err := migrations.Up(ctx, r.db.DB); err != nil {
		return nil, errors.Join(err, r.db.Close())
	}
	if r.store, err = postgres.Open(ctx, address); err != nil {
		return nil, errors.Join(err, r.db.Close())
	}
	o.say("adding %s accounts to database %s", thousands(accounts), name)
	err = r.fill(ctx, accounts)
	return r, err
}

func (r *stockroom) fill(ctx context.Context, accounts int) error {
	if err := r.store.Providers.Create(ctx, stack.Provider, "Acme"); err != nil {
		return err
	}
	for _, pool := range []provision.Pool{claimPool, emptyPool} {
		if _, err := r.store.Pools.Create(ctx, "benchmark", provision.DefaultPool(pool)); err != nil {
			return err
		}
	}
	unsold := accounts - accounts/10
	if err := insertUnsold(ctx, r.db, claimPool, 1, unsold); err != nil {
		return err
	}
	if err := insertReady(ctx, r.db, claimPool, unsold+1, accounts); err != nil {
		return err
	}
	for prefix, n := range map[string]int{"claim-": claimBlocks * claimsInBlock, "pgbench-": claimBlocks * claimsInBlock, probe: 1} {
		if err := inTx(ctx, r.db, insertOrdersSQL, claimPool.Provider, claimPool.Marketplace, prefix, n); err != nil {
			return err
		}
	}
	if err := asReplica(ctx, r.db, []string{insertWaitingSQL}, emptyPool.Provider, emptyPool.Marketplace, manyWaiting); err != nil {
		return err
	}
	_, err := r.db.ExecContext(ctx, `VACUUM ANALYZE`)
	return err
}

// insertOrdersSQL adds the accepted orders <prefix>0 to <prefix>n-1.
const insertOrdersSQL = `
INSERT INTO orders (provider, id, marketplace, environment, request, request_sha256, settings, created_at)
SELECT $1, $3::text || n, $2, 'production', '{}', '', '{}', now() FROM generate_series(0, $4::int - 1) n`

// insertWaitingSQL adds orders that wait.
const insertWaitingSQL = `
INSERT INTO orders (provider, id, marketplace, environment, request, request_sha256, settings, created_at, state, step, queue_position)
SELECT $1, 'waiting-' || n, $2, 'production', '{}', '', '{}', now(), 'waiting_for_account', 'claim_account', nextval('orders_queue')
FROM generate_series(0, $3::int - 1) n`

// claim lets n orders claim an account each, one after the other.
func (r *stockroom) claim(ctx context.Context, n int) (took []time.Duration, err error) {
	for range n {
		key := provision.OrderKey{Provider: stack.Provider, ID: fmt.Sprintf("claim-%d", r.next)}
		r.next++
		var claim provision.Claim
		each, err := timed(func() (err error) { claim, err = r.store.Orders.Claim(ctx, key); return err })
		if err != nil {
			return nil, err
		}
		if claim.Account == nil {
			return nil, fmt.Errorf("order %s claimed no account", key)
		}
		took = append(took, each)
	}
	return took, nil
}

// claimed checks that so many orders hold an account.
func (r *stockroom) claimed(ctx context.Context, prefix string, n int) error {
	var held int
	if err := r.db.GetContext(ctx, &held, `SELECT count(*) FROM accounts WHERE status = 'provisioning' AND order_id LIKE $1`,
		prefix+"%"); err != nil {
		return err
	}
	if held != n {
		return fmt.Errorf("%d orders %s… hold an account, expected %d", held, prefix, n)
	}
	return nil
}

// waitingFigure measures a claim that finds nothing while many orders wait.
func (r *stockroom) waitingFigure(ctx context.Context) (Figure, error) {
	var claims, reads []time.Duration
	for i := range claimBlocks * claimsInBlock {
		key := provision.OrderKey{Provider: stack.Provider, ID: fmt.Sprintf("waiting-%d", 7*i)}
		took, err := timed(func() error { _, err := r.store.Orders.Claim(ctx, key); return err })
		if err != nil {
			return Figure{}, err
		}
		claims = append(claims, took)
		var state string
		if took, err = timed(func() error {
			return r.store.SQL().GetContext(ctx, &state, `SELECT state FROM orders WHERE provider = $1 AND id = $2`, key.Provider, key.ID)
		}); err != nil {
			return Figure{}, err
		}
		reads = append(reads, took)
	}
	return Figure{
		Name: fmt.Sprintf("claim while %s orders wait and nothing is Ready, p50", thousands(manyWaiting)), Unit: "ms",
		Value: milliseconds(median(claims)), Limit: milliseconds(median(reads)), LimitIs: "a read of one row", Target: atMost(2),
	}, nil
}

func (r *stockroom) close() error { return errors.Join(r.store.Close(), r.db.Close()) }

func rate(took []time.Duration) float64 {
	var total time.Duration
	for _, d := range took {
		total += d
	}
	return float64(len(took)) / total.Seconds()
}

func thousands(n int) string {
	switch {
	case n%1_000_000 == 0:
		return fmt.Sprintf("%d million", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%d,000", n/1000)
	}
	return fmt.Sprint(n)
}
