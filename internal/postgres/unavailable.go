package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"quartermaster/internal/provision"
)

// queryer is the database or a transaction.
type queryer interface {
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
}

// database runs statements outside of transactions, and says of an error whether the database was unavailable.
type database struct{ *sqlx.DB }

// GetContext reads one row.
func (db database) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	return judged(ctx, db.DB.GetContext(ctx, dest, query, args...))
}

// SelectContext reads rows.
func (db database) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	return judged(ctx, db.DB.SelectContext(ctx, dest, query, args...))
}

// ExecContext runs a statement.
func (db database) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	result, err := db.DB.ExecContext(ctx, query, args...)
	return result, judged(ctx, err)
}

// PingContext tells whether the database answers.
func (db database) PingContext(ctx context.Context) error {
	return judged(ctx, db.DB.PingContext(ctx))
}

// judged adds provision.ErrUnavailable to an error that says that the database, or the network, is in trouble: the call may be
// repeated as it is. It adds context.Canceled instead when the caller gave up. Every other error stays as it is.
func judged(ctx context.Context, err error) error {
	switch {
	case err == nil || !isTrouble(err) || errors.Is(err, provision.ErrUnavailable):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: %w", context.Canceled, err)
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("%w: %w", provision.ErrUnavailable, err)
}

// isTrouble reports whether an error is about the connection, the time or the server, and not about the statement.
func isTrouble(err error) bool {
	var broken net.Error
	if errors.As(err, &broken) {
		return true
	}
	for _, trouble := range []error{context.DeadlineExceeded, context.Canceled, driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone, io.EOF, io.ErrUnexpectedEOF, errConnect, errReadOnly} {
		if errors.Is(err, trouble) {
			return true
		}
	}
	refusal := pq.As(err)
	if refusal == nil {
		return false
	}
	switch refusal.Code.Class() {
	case "08", // connection exception
		"53", // insufficient resources: connections, memory, disk
		"57", // operator intervention: shutdown, starting up, cancelled or timed out
		"58", // system error, such as one of the disk
		"XX": // internal error
		return true
	}
	switch refusal.Code {
	case "55P03", // lock_not_available: lock_timeout
		"40001", // serialization_failure
		"40P01", // deadlock_detected
		"25P03", // idle_in_transaction_session_timeout
		"25006": // read_only_sql_transaction: a standby after a failover
		return true
	}
	return false
}

// errConnect is in every error of connecting. A wrong password is our trouble too: it may just be rotated.
var errConnect = errors.New("connecting to PostgreSQL")
