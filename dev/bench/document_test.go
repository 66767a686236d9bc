package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheResultGoesBetweenTheMarkers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "performance.md")
	require.NoError(t, os.WriteFile(file, []byte("# Performance\n\n<!-- bench -->\nold\n<!-- /bench -->\n\nend\n"), 0o600))
	for range 2 {
		require.NoError(t, Insert(file, "bench", "| new |\n"))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "# Performance\n\n<!-- bench -->\n\n| new |\n\n<!-- /bench -->\n\nend\n", string(text))
	require.ErrorContains(t, Insert(file, "soak", "x"), "has no markers")
}
