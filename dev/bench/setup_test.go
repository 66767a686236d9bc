package bench

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/dev/stack"
	"quartermaster/internal/postgres/pgtest"
)

// setup starts PostgreSQL without the product.
func setup(t *testing.T) *servers {
	t.Helper()
	running := &stack.Stack{Dir: t.TempDir()}
	server, err := pgtest.Start(t.Context(), pgtest.Options{Settings: settings, LogFile: running.LogFile(stack.PartPostgres)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	running.Database = server.URL("postgres")
	s := &servers{Playground: &stack.Playground{Stack: running}}
	t.Cleanup(func() { require.NoError(t, s.close()) })
	require.NoError(t, s.connect(t.Context(), Options{}))
	return s
}
