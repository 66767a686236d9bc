package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

func TestOnlyTroubleOfTheDatabaseIsUnavailability(t *testing.T) {
	t.Parallel()
	sqlState := func(code pqerror.Code) error { return &pq.Error{Code: code, Message: "of the server"} }
	for name, test := range map[string]struct {
		err         error
		unavailable bool
	}{
		"connection lost":               {&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, true},
		"connection closed":             {&net.OpError{Op: "write", Net: "tcp", Err: net.ErrClosed}, true},
		"end of the stream":             {io.ErrUnexpectedEOF, true},
		"bad connection":                {driver.ErrBadConn, true},
		"the transaction was ended":     {sql.ErrTxDone, true},
		"out of time":                   {context.DeadlineExceeded, true},
		"08006 connection_failure":      {sqlState("08006"), true},
		"53300 too_many_connections":    {sqlState("53300"), true},
		"53100 disk_full":               {sqlState("53100"), true},
		"57014 query_canceled":          {sqlState("57014"), true},
		"57P01 admin_shutdown":          {sqlState("57P01"), true},
		"57P03 cannot_connect_now":      {sqlState("57P03"), true},
		"58030 io_error":                {sqlState("58030"), true},
		"XX000 internal_error":          {sqlState("XX000"), true},
		"55P03 lock_not_available":      {sqlState("55P03"), true},
		"40001 serialization_failure":   {sqlState("40001"), true},
		"40P01 deadlock_detected":       {sqlState("40P01"), true},
		"25P03 idle in transaction":     {sqlState("25P03"), true},
		"25006 read-only, a standby":    {sqlState("25006"), true},
		"23505 unique_violation":        {sqlState("23505"), false},
		"23514 check_violation":         {sqlState("23514"), false},
		"23503 foreign_key_violation":   {sqlState("23503"), false},
		"22P02 invalid text":            {sqlState("22P02"), false},
		"42P01 undefined_table":         {sqlState("42P01"), false},
		"25P02 in_failed_transaction":   {sqlState("25P02"), false},
		"55000 not in the right state":  {sqlState("55000"), false},
		"no row":                        {sql.ErrNoRows, false},
		"not found":                     {provision.ErrNotFound, false},
		"a failure of the order itself": {&provision.Failure{Code: provision.CodeOrderNotInProgress}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrapped := fmt.Errorf("reading: %w", test.err)
			err := postgres.Classify(t.Context(), wrapped)
			require.ErrorIs(t, err, test.err, "what it was stays visible")
			if !test.unavailable {
				require.Equal(t, wrapped, err)
				return
			}
			require.ErrorIs(t, err, provision.ErrUnavailable)
			require.Equal(t, err, postgres.Classify(t.Context(), err), "it is said once")

			canceled, cancel := context.WithCancel(t.Context())
			cancel()
			err = postgres.Classify(canceled, wrapped)
			require.ErrorIs(t, err, context.Canceled, "the caller gave up")
			require.NotErrorIs(t, err, provision.ErrUnavailable)
			late, cancel := context.WithTimeout(t.Context(), 0)
			defer cancel()
			err = postgres.Classify(late, wrapped)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, provision.ErrUnavailable)
			require.ErrorIs(t, err, test.err)
		})
	}
	require.NoError(t, postgres.Classify(t.Context(), nil))
}
