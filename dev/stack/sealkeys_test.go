package stack

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeysForExistingServersAreKept(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	existing := Options{DatabaseURL: "postgres://somewhere"}
	first, err := sealKeys(existing)
	require.NoError(t, err)
	again, err := sealKeys(existing)
	require.NoError(t, err)
	require.Equal(t, first, again, "what the first stack sealed, the second can open")
	fresh, err := sealKeys(Options{})
	require.NoError(t, err)
	require.NotEqual(t, first, fresh)
}
