package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/lib/pq"
)

// maxPrepared is how many statements a connection keeps prepared. Nearly all texts are constants; those of lists vary with
// their filters.
const maxPrepared = 250

// statement returns the statement for a query, which the connection prepares at its first use and keeps. A prepared
// statement costs one round trip and usually no planning; pq alone parses, plans and asks twice for each call. statement
// returns nil for a query without arguments, which pq sends at once, and when the connection prepares nothing.
func (c *conn) statement(ctx context.Context, query string, args []driver.NamedValue) (*stmt, error) {
	if c.prepared == nil || len(args) == 0 {
		return nil, nil
	}
	if kept := c.prepared[query]; kept != nil {
		return kept, nil
	}
	opened, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	kept, ok := opened.(*stmt)
	if !ok {
		return nil, fmt.Errorf("lib/pq returned an unexpected statement: %T", opened)
	}
	if len(c.prepared) == maxPrepared {
		for text, other := range c.prepared {
			delete(c.prepared, text)
			if err := other.Close(); err != nil { //nolint:contextcheck // driver.Stmt has no other Close
				return nil, err
			}
			break
		}
	}
	c.prepared[query] = kept
	return kept, nil
}

// stale makes the error of a kept statement a driver.ErrBadConn when the server no longer accepts the statement: a
// migration has changed its columns, or the server has forgotten it. The statement has not run, so database/sql may run it
// on another connection.
func (c *conn) stale(err error) error {
	refusal := pq.As(err)
	if refusal == nil || refusal.Code != "0A000" && refusal.Code != "26000" {
		return err
	}
	c.unusable = true
	return fmt.Errorf("%w: %w", driver.ErrBadConn, err)
}
