package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// lib/pq waits for a server that does not answer, even after the context of the call has ended. Therefore the
// network connection is closed: shortly after the context has ended, which leaves a healthy server the time to
// cancel the statement, or when the call takes longer than any statement may. Nothing else ends a read from a
// server that is frozen or unreachable.
const (
	graceToCancel = 300 * time.Millisecond
	cancelLimit   = time.Second      // of a cancel request, which has a connection of its own
	connectLimit  = 10 * time.Second // of connecting, the handshake included
	closeLimit    = time.Second      // of telling the server that the connection closes
	callMargin    = 5 * time.Second  // how much longer than its statement a call may take
)

// The network probes a connection on which nothing arrives and gives it up after half a minute. A dead idle
// connection of the pool is therefore known before its next use.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// bounded connects like pq, limits the time of every use of a connection, and keeps statements prepared.
type bounded struct {
	*pq.Connector
	callLimit time.Duration // of one call; 0: as long as its context
	prepares  bool
}

func newBounded(dsn string, callLimit time.Duration, prepares bool) (*bounded, error) {
	connector, err := pq.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	connector.Dialer(&dialer{net.Dialer{KeepAliveConfig: keepAlive}})
	return &bounded{connector, callLimit, prepares}, nil
}

// Connect opens a connection.
func (b *bounded) Connect(ctx context.Context) (driver.Conn, error) {
	w := &wire{}
	done := w.bound(ctx, 0, connectLimit)
	defer done()
	opened, err := b.Connector.Connect(context.WithValue(ctx, wireKey{}, w))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConnect, err)
	}
	pqOpened, ok := opened.(pqConn)
	if !ok {
		return nil, fmt.Errorf("%w: lib/pq returned an unexpected connection: %T", errConnect, opened)
	}
	c := &conn{pqConn: pqOpened, wire: w, limit: b.callLimit}
	if b.prepares {
		c.prepared = map[string]*stmt{}
	}
	return c, nil
}

// wireKey is the context key that passes the wire to the dialer of pq.
type wireKey struct{}

// wire is the network connection below a connection.
type wire struct {
	mu     sync.Mutex
	conn   net.Conn
	closed bool
}

// carry makes c what close closes. pq may try several hosts, one after the other.
func (w *wire) carry(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = c
	if w.closed {
		_ = c.Close()
	}
}

func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.conn != nil {
		_ = w.conn.Close()
	}
}

// bound closes the wire unless the caller calls done in time: before the limit is reached, and at most one grace
// period after the context ends. A limit of 0 is no limit.
func (w *wire) bound(ctx context.Context, grace, limit time.Duration) (done func()) {
	stopTimer := func() bool { return true }
	if limit > 0 {
		stopTimer = time.AfterFunc(limit, w.close).Stop
	}
	if ctx.Done() == nil {
		return func() { stopTimer() }
	}
	over := make(chan struct{})
	stopWatching := context.AfterFunc(ctx, func() {
		patience := time.NewTimer(grace)
		defer patience.Stop()
		select {
		case <-patience.C:
			w.close()
		case <-over:
		}
	})
	return sync.OnceFunc(func() {
		stopWatching()
		stopTimer()
		close(over)
	})
}

// dialer dials for pq. A dial without a wire in its context belongs to a cancel request.
type dialer struct{ net.Dialer }

// DialTimeout is never called, because the dialer has DialContext.
func (d *dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext dials.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	w, isConnection := ctx.Value(wireKey{}).(*wire)
	if !isConnection {
		w = &wire{}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cancelLimit)
		defer cancel()
	}
	c, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.carry(c)
	if !isConnection {
		time.AfterFunc(cancelLimit, w.close)
	}
	return c, nil
}

// pqConn has the methods of the connections of pq.
type pqConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// conn is a connection of pq with time limits. One goroutine uses it at a time.
type conn struct {
	pqConn
	wire     *wire
	limit    time.Duration
	prepared map[string]*stmt // by their text: see statement; nil: none
	unusable bool
}

func (c *conn) bound(ctx context.Context) (done func()) {
	return c.wire.bound(ctx, graceToCancel, c.limit)
}

// errReadOnly wraps the error of a server that accepts no writes, such as a primary that became a standby in a
// failover.
var errReadOnly = errors.New("the server does not let us write")

// seen marks the connection as unusable when the error of a statement says that the server accepts no writes.
// database/sql then discards it, and the next connection leads to the server that is the primary now.
func (c *conn) seen(err error, readOnlyToo ...pqerror.Code) error {
	refusal := pq.As(err)
	if refusal == nil || refusal.Code != "25006" && !slices.Contains(readOnlyToo, refusal.Code) {
		return err
	}
	c.unusable = true
	return fmt.Errorf("%w: %w", errReadOnly, err)
}

// IsValid reports whether the connection may be used again.
func (c *conn) IsValid() bool { return !c.unusable && c.pqConn.IsValid() }

// Close closes the connection.
func (c *conn) Close() error {
	done := c.wire.bound(context.Background(), 0, closeLimit)
	defer done()
	return c.pqConn.Close()
}

// Ping checks that the server answers.
func (c *conn) Ping(ctx context.Context) error {
	done := c.bound(ctx)
	defer done()
	return c.pqConn.Ping(ctx)
}

// ExecContext runs a statement.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if s, err := c.statement(ctx, query, args); s != nil || err != nil {
		if err != nil {
			return nil, err
		}
		result, err := s.ExecContext(ctx, args)
		return result, c.stale(err)
	}
	done := c.bound(ctx)
	defer done()
	result, err := c.pqConn.ExecContext(ctx, query, args)
	return result, c.seen(err)
}

// QueryContext runs a query. Its rows are bounded by the same context.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if s, err := c.statement(ctx, query, args); s != nil || err != nil {
		if err != nil {
			return nil, err
		}
		found, err := s.QueryContext(ctx, args)
		return found, c.stale(err)
	}
	done := c.bound(ctx)
	defer done()
	return c.rows(ctx)(c.pqConn.QueryContext(ctx, query, args))
}

// PrepareContext prepares a statement.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	done := c.bound(ctx)
	defer done()
	prepared, err := c.pqConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	pqPrepared, ok := prepared.(pqStmt)
	if !ok {
		return prepared, nil // COPY, which is bounded by its transaction
	}
	return &stmt{pqPrepared, c}, nil
}

// BeginTx begins a transaction, which is bounded by the context until its end.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	done := c.bound(ctx)
	begun, err := c.pqConn.BeginTx(ctx, opts)
	done()
	if err != nil {
		return nil, c.seen(err, "0A000") // feature_not_supported, says a standby when a transaction is to write
	}
	return &tx{begun, c, c.wire.bound(ctx, graceToCancel, 0)}, nil
}

type tx struct {
	driver.Tx
	conn  *conn
	ended func()
}

// Commit commits.
func (t *tx) Commit() error {
	defer t.ended()
	done := t.conn.bound(context.Background())
	defer done()
	return t.Tx.Commit()
}

// Rollback rolls back.
func (t *tx) Rollback() error {
	defer t.ended()
	done := t.conn.bound(context.Background())
	defer done()
	return t.Tx.Rollback()
}

// pqStmt has the methods of the statements of pq.
type pqStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type stmt struct {
	pqStmt
	conn *conn
}

// Close forgets the statement.
func (s *stmt) Close() error {
	done := s.conn.bound(context.Background())
	defer done()
	return s.pqStmt.Close()
}

// ExecContext runs the statement.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	done := s.conn.bound(ctx)
	defer done()
	result, err := s.pqStmt.ExecContext(ctx, args)
	return result, s.conn.seen(err)
}

// QueryContext runs the query.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	done := s.conn.bound(ctx)
	defer done()
	return s.conn.rows(ctx)(s.pqStmt.QueryContext(ctx, args))
}

// pqRows has the methods of the rows of pq.
type pqRows interface {
	driver.RowsNextResultSet
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

type rows struct {
	pqRows
	conn   *conn
	closed func()
}

// rows bounds what a query returns, until it is closed.
func (c *conn) rows(ctx context.Context) func(driver.Rows, error) (driver.Rows, error) {
	return func(found driver.Rows, err error) (driver.Rows, error) {
		if err != nil {
			return nil, c.seen(err)
		}
		pqFound, ok := found.(pqRows)
		if !ok {
			_ = found.Close()
			return nil, fmt.Errorf("lib/pq returned unexpected rows: %T", found)
		}
		return &rows{pqFound, c, c.wire.bound(ctx, graceToCancel, 0)}, nil
	}
}

// Next reads the next row.
func (r *rows) Next(dest []driver.Value) error {
	done := r.conn.bound(context.Background())
	defer done()
	return r.pqRows.Next(dest)
}

// NextResultSet goes on to the next result.
func (r *rows) NextResultSet() error {
	done := r.conn.bound(context.Background())
	defer done()
	return r.pqRows.NextResultSet()
}

// Close reads what is left.
func (r *rows) Close() error {
	defer r.closed()
	done := r.conn.bound(context.Background())
	defer done()
	return r.pqRows.Close()
}
