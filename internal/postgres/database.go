package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"

	"quartermaster/internal/provision"
)

// queryer is the database or a transaction.
type queryer interface {
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
}

// database runs the statements and transactions of all aggregates. Its errors are classified: see classify.
type database struct {
	*sqlx.DB

	mu    sync.Mutex
	gates map[provision.Pool]chan struct{} // see poolTx
}

// GetContext reads one row.
func (db *database) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	return classify(ctx, db.DB.GetContext(ctx, dest, query, args...))
}

// SelectContext reads rows.
func (db *database) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	return classify(ctx, db.DB.SelectContext(ctx, dest, query, args...))
}

// ExecContext runs a statement.
func (db *database) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	result, err := db.DB.ExecContext(ctx, query, args...)
	return result, classify(ctx, err)
}

// PingContext returns an error when the database does not answer.
func (db *database) PingContext(ctx context.Context) error {
	return classify(ctx, db.DB.PingContext(ctx))
}

// tx runs work in one transaction. The history rows that the transaction causes name the actor. If the context has a request that
// takes effect only once, the transaction records it first: see recordOnce.
func (db *database) tx(ctx context.Context, actor string, work func(*sqlx.Tx) error) error {
	return classify(ctx, db.runTx(ctx, work, setActorSQL, actor))
}

// setActorSQL names the actor of the history rows that the transaction causes.
const setActorSQL = `SELECT set_config('qm.actor', $1, true)`

// setReason says why the actor makes the changes of the transaction, for the history rows that triggers write.
func setReason(ctx context.Context, tx *sqlx.Tx, reason string) error {
	_, err := tx.ExecContext(ctx, `SELECT set_config('qm.reason', $1, true)`, reason)
	return err
}

// runTx runs work in one transaction, after the statement that sets the actor and takes the lock.
func (db *database) runTx(ctx context.Context, work func(*sqlx.Tx) error, begin string, args ...any) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit this does nothing
	if _, err := tx.ExecContext(ctx, begin, args...); err != nil {
		return err
	}
	if err := recordOnce(ctx, tx, provision.OnceOf(ctx)); err != nil {
		return err
	}
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// A pool has one advisory lock, held until the transaction ends. A transaction that matches the stock of the pool
// to its queue takes it exclusively. A transaction that appends to the queue shares it.
const (
	lockPoolSQL  = `SELECT pg_advisory_xact_lock(hashtextextended('pool ' || $2, 0)), set_config('qm.actor', $1, true)`
	sharePoolSQL = `SELECT pg_advisory_xact_lock_shared(hashtextextended('pool ' || $2, 0)), set_config('qm.actor', $1, true)`
)

// connectionsPerPool is how many connections of this process may hold a pool's lock or wait for it.
const connectionsPerPool = 2

// poolTx is tx with the pool locked.
func (db *database) poolTx(ctx context.Context, actor string, pool provision.Pool, work func(*sqlx.Tx) error) error {
	return db.lockedTx(ctx, actor, pool, lockPoolSQL, work)
}

// sharedPoolTx is tx with the pool's lock shared.
func (db *database) sharedPoolTx(ctx context.Context, actor string, pool provision.Pool, work func(*sqlx.Tx) error) error {
	return db.lockedTx(ctx, actor, pool, sharePoolSQL, work)
}

// lockedTx takes the lock first. Only connectionsPerPool calls use a connection to wait for the lock; further
// calls wait without one, so that a busy pool does not take all connections of the process.
func (db *database) lockedTx(ctx context.Context, actor string, pool provision.Pool, lock string, work func(*sqlx.Tx) error) error {
	gate := db.gate(pool)
	select {
	case gate <- struct{}{}:
	case <-ctx.Done():
		return classify(ctx, fmt.Errorf("waiting for the lock of pool %s: %w", pool, ctx.Err()))
	}
	defer func() { <-gate }()
	return classify(ctx, db.runTx(ctx, work, lock, actor, pool.String()))
}

// gate returns the channel that counts the connections which the pool uses.
func (db *database) gate(pool provision.Pool) chan struct{} {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.gates == nil {
		db.gates = map[provision.Pool]chan struct{}{}
	}
	if db.gates[pool] == nil {
		db.gates[pool] = make(chan struct{}, connectionsPerPool)
	}
	return db.gates[pool]
}
