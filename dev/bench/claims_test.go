package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// pgbench does what a claim does: afterwards each of its orders holds an account, or measureClaims fails.
func TestPgbenchClaimsLikeTheProduct(t *testing.T) {
	t.Parallel()
	figures, err := measureClaims(t.Context(), setup(t), Options{Progress: t.Output(), Sizes: Sizes{Accounts: 6000}})
	require.NoError(t, err)
	require.Len(t, figures, 3)
	for _, f := range figures {
		require.Positive(t, f.Value, f.Name)
		require.Positive(t, f.Limit, f.Name)
	}
}
