//go:build unix

package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFrozenServerAnswersNothingUntilItThaws(t *testing.T) {
	t.Parallel()
	server, db := setup(t, Options{})
	require.NoError(t, db.PingContext(t.Context()))

	require.NoError(t, server.Freeze())
	answered := make(chan error, 1)
	go func() { _, err := db.ExecContext(context.WithoutCancel(t.Context()), "SELECT 1"); answered <- err }()
	select {
	case err := <-answered:
		require.FailNow(t, "a frozen server answered", "%v", err)
	case <-time.After(300 * time.Millisecond):
	}

	require.NoError(t, server.Thaw())
	require.NoError(t, <-answered, "what was sent to the frozen server is answered then")
	require.NoError(t, server.Thaw(), "thawing twice does nothing")
}

func TestAFrozenServerCanBeKilled(t *testing.T) {
	t.Parallel()
	server, db := setup(t, Options{})
	require.NoError(t, db.PingContext(t.Context()))
	pids := family(t, server)
	require.NoError(t, server.Freeze())
	require.NoError(t, server.Kill())
	requireGone(t, pids)
}
