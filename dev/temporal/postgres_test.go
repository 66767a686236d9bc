package temporal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"quartermaster/internal/postgres/pgtest"
)

// A server on PostgreSQL creates its databases, and another one on the same PostgreSQL continues with what is there.
func TestPostgresKeepsEverything(t *testing.T) {
	t.Parallel()
	database, err := pgtest.Start(t.Context(), pgtest.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, database.Stop()) })
	o := Options{Namespace: "paint", UIPort: -1, SearchAttributes: attributes, PostgresURL: database.URL("postgres")}

	first := setup(t, o)
	require.Equal(t, "Hello, Temporal", runGreet(t, dial(t, first), "one"))
	info, err := dial(t, first).WorkflowService().GetClusterInfo(t.Context(), &workflowservice.GetClusterInfoRequest{})
	require.NoError(t, err)
	require.Equal(t, "postgres12", info.GetPersistenceStore())
	require.EqualValues(t, 4, info.GetHistoryShardCount())
	require.NoError(t, first.Stop())

	second := dial(t, setup(t, o))
	require.Equal(t, "Hello, Temporal", runGreet(t, second, "two"))
	require.Eventually(t, func() bool { return count(t, second, "Color = 'green' AND WaitingSince IS NOT NULL") == 2 },
		30*time.Second, 100*time.Millisecond)
}
