package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"quartermaster/internal/provision"
)

// classify adds provision.ErrUnavailable to an error that means that the database or the network is in trouble:
// the caller may repeat the call. When the caller gave up, classify adds context.Canceled instead. It returns
// every other error unchanged.
func classify(ctx context.Context, err error) error {
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

// transientClasses and transientStates are the SQLSTATEs that are about the connection, a time limit or the server, and not
// about the statement: the same statement may succeed later. Source: PostgreSQL documentation, appendix A.
var (
	transientClasses = map[pqerror.Class]string{
		"08": "connection exception",
		"53": "insufficient resources: connections, memory, disk",
		"57": "operator intervention: shutdown, starting up, canceled or timed out",
		"58": "system error, such as one of the disk",
		"XX": "internal error",
	}
	transientStates = map[pqerror.Code]string{
		"25006": "read_only_sql_transaction: a standby after a failover",
		"25P03": "idle_in_transaction_session_timeout",
		"25P04": "transaction_timeout",
		"40001": "serialization_failure",
		"40003": "statement_completion_unknown",
		"40P01": "deadlock_detected",
		"55P03": "lock_not_available: lock_timeout",
	}
)

// isTrouble reports whether an error is about the connection, a time limit or the server, and not about the
// statement.
func isTrouble(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, trouble := range []error{context.DeadlineExceeded, context.Canceled, driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone, io.EOF,
		io.ErrUnexpectedEOF, errConnect, errReadOnly} {
		if errors.Is(err, trouble) {
			return true
		}
	}
	refusal := pq.As(err)
	if refusal == nil {
		return false
	}
	return transientClasses[refusal.Code.Class()] != "" || transientStates[refusal.Code] != ""
}

// errConnect wraps every error of connecting. A wrong password counts as trouble too, because it may just have
// been rotated.
var errConnect = errors.New("connecting to PostgreSQL")
