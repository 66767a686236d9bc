package stack_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/dev/stack"
	"quartermaster/dev/temporal"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

// Two stacks, one after the other, use the servers that DATABASE_URL and TEMPORAL_ADDRESS name, and leave them running.
func TestExistingServersAreUsedAndKept(t *testing.T) {
	ctx := setup(t)
	keys := secrets.GenerateKey("existing")
	database, err := pgtest.Start(ctx, pgtest.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, database.Stop()) })
	server, err := temporal.Start(ctx, temporalProgram, temporal.Options{IP: "127.0.0.1", UIPort: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })

	for round := range 2 {
		s, err := stack.Start(ctx, stack.Options{
			DatabaseURL: database.URL("postgres"), TemporalURL: server.Address(), SealKeys: keys,
			Program: playground.Program, Delay: 20 * time.Millisecond,
		})
		require.NoError(t, err)
		client, err := s.Seed(ctx, 1)
		require.NoError(t, err)
		order := stack.NewOrder(fmt.Sprintf("existing-%d", round), provision.ModelECAM)
		order.Marketplace = stack.NewReports
		_, _, err = client.PlaceOrder(ctx, order)
		require.NoError(t, err)
		p := &stack.Playground{Stack: s, Client: client}
		ended, err := p.Ended(ctx, order.ID)
		require.NoError(t, err)
		require.Equal(t, provision.Completed, ended.State, "%+v", ended.Failure)
		if round == 1 {
			first, err := client.Order(ctx, "existing-0")
			require.NoError(t, err)
			require.Equal(t, provision.Completed, first.State, "the order of the first stack is still there")
			require.NotEqual(t, first.Result.AccountID, ended.Result.AccountID)
		}
		require.NoError(t, s.Stop())
	}
}
