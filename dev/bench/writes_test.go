package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Transactions count when they change orders or accounts, and all bytes count.
func TestWritesAreReadFromTheLog(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), setup(t)
	s.product.MustExec(`CREATE TABLE orders (id int); CREATE TABLE order_steps (id int); CREATE TABLE processes (id int)`)
	s.measures.MustExec(`CREATE DATABASE temporal`)

	begin, err := s.walPosition(ctx)
	require.NoError(t, err)
	for range 5 {
		s.product.MustExec(`WITH o AS (INSERT INTO orders VALUES (1)) INSERT INTO order_steps VALUES (1)`)
		s.product.MustExec(`INSERT INTO processes VALUES (1)`)
		s.product.MustExec(`SELECT count(*) FROM orders`)
	}
	written, err := s.writesSince(ctx, begin)
	require.NoError(t, err)
	require.EqualValues(t, 5, written.ours.transactions)
	require.Greater(t, written.ours.bytes, 15*50.0)
	require.Zero(t, written.temporal)
}
