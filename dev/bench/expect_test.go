package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAQuickRunIsCompared(t *testing.T) {
	t.Parallel()
	measured := func(calls, cpu, rate float64) []Figure {
		return []Figure{
			{Name: "calls", Value: calls, Limit: 36, Count: true},
			{Name: "cpu", Value: cpu, Limit: 100, Target: ratioAtMost(1)},
			{Name: "rate", Value: rate, Limit: 20, Target: ratioAtLeast(1)},
		}
	}
	file := filepath.Join(t.TempDir(), "expected.json")
	var text bytes.Buffer
	require.NoError(t, WriteExpectations(&text, measured(60, 120, 14)))
	require.NoError(t, os.WriteFile(file, text.Bytes(), 0o600))
	expected, err := ReadExpectations(file)
	require.NoError(t, err)

	require.Empty(t, Compare(measured(60, 120, 14), expected))
	require.Empty(t, Compare(measured(30, 60, 28), expected), "better than expected")
	require.Empty(t, Compare(measured(64, 175, 10), expected), "a busy machine")
	require.Len(t, Compare(measured(80, 185, 9), expected), 2, "a rate is not compared")
	require.Len(t, Compare(measured(60, 120, 14)[:1], expected), 1, "not measured")
	require.Empty(t, Compare(Better(measured(80, 120, 9), measured(60, 185, 14)), expected), "the better of two")
}
