package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
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
		"25P04 transaction timeout":     {sqlState("25P04"), true},
		"40003 completion unknown":      {sqlState("40003"), true},
		"53200 out_of_memory":           {sqlState("53200"), true},
		"57P02 crash_shutdown":          {sqlState("57P02"), true},
		"57P04 database_dropped":        {sqlState("57P04"), true},
		"57P05 idle_session_timeout":    {sqlState("57P05"), true},
		"40002 deferred constraint":     {sqlState("40002"), false},
		"22021 not UTF-8":               {sqlState("22021"), false},
		"22008 time out of range":       {sqlState("22008"), false},
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

// A real server reports these states, and each of them is unavailability.
func TestARealServerInTroubleIsUnavailability(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.MustExec(`CREATE TABLE things (id int PRIMARY KEY, n int); INSERT INTO things VALUES (1, 0), (2, 0)`)
	var begun []*sqlx.Tx
	begin := func(statements ...string) *sqlx.Tx {
		tx, err := db.Beginx()
		require.NoError(t, err)
		begun = append(begun, tx)
		for _, statement := range statements {
			_, err := tx.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		return tx
	}
	run := func(tx *sqlx.Tx, statement string) error {
		_, err := tx.ExecContext(t.Context(), statement)
		return err
	}
	const one, two = `UPDATE things SET n = n + 1 WHERE id = 1`, `UPDATE things SET n = n + 1 WHERE id = 2`
	for state, provoke := range map[pqerror.Code]func() error{
		"55P03": func() error {
			holder := begin(`LOCK TABLE things IN ACCESS EXCLUSIVE MODE`)
			defer func() { require.NoError(t, holder.Rollback()) }()
			return run(begin(`SET LOCAL lock_timeout = '20ms'`), one)
		},
		"57014": func() error { return run(begin(`SET LOCAL statement_timeout = '20ms'`), `SELECT pg_sleep(10)`) },
		"57P01": func() error { return run(begin(), `SELECT pg_terminate_backend(pg_backend_pid())`) },
		"25006": func() error { return run(begin(`SET TRANSACTION READ ONLY`), one) },
		"25P03": func() error {
			tx := begin(`SET LOCAL idle_in_transaction_session_timeout = '20ms'`)
			require.Eventually(t, func() bool {
				return db.QueryRow(`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`).
					Scan(new(int)) != nil
			}, 5*time.Second, 10*time.Millisecond)
			return run(tx, `SELECT 1`)
		},
		"40001": func() error {
			const level = `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`
			late := begin(level, `SELECT * FROM things`)
			db.MustExec(one)
			return run(late, one)
		},
		"40P01": func() error {
			first, second := begin(`SET LOCAL deadlock_timeout = '20ms'`, one), begin(`SET LOCAL deadlock_timeout = '20ms'`, two)
			other := make(chan error, 1)
			go func() { other <- run(second, one) }()
			err := run(first, two)
			_ = first.Rollback()
			if theirs := <-other; err == nil {
				err = theirs
			}
			return err
		},
		"53300": func() error {
			var name string
			require.NoError(t, db.Get(&name, `SELECT current_database()`))
			db.MustExec(`CREATE ROLE ` + name + ` LOGIN PASSWORD 'x' CONNECTION LIMIT 0`)
			defer db.MustExec(`DROP ROLE ` + name)
			address, err := url.Parse(pgtest.URL(t))
			require.NoError(t, err)
			address.User, address.Path = url.UserPassword(name, "x"), "/"+name
			_, err = postgres.Open(t.Context(), address.String())
			return err
		},
	} {
		err := provoke()
		for _, tx := range begun { // the states come in any order, and none may wait for another's locks
			_ = tx.Rollback()
		}
		require.Error(t, err, state)
		if refusal := pq.As(err); state != "25P03" && state != "57P01" || refusal != nil { // pq may only see that the connection is closed
			require.NotNil(t, refusal, "%s: %v", state, err)
			require.Equal(t, state, refusal.Code)
		}
		require.ErrorIs(t, postgres.Classify(t.Context(), err), provision.ErrUnavailable, state)
	}
}
