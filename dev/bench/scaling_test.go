package bench

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSizesFollowFromTheCosts(t *testing.T) {
	t.Parallel()
	require.Empty(t, Costs{}.Sizing(), "nothing was measured")
	table := Costs{
		CPU:    map[string]float64{"temporal": 50, "postgres": 47, "worker": 31, "api": 2},
		Writes: 16, TemporalWrites: 60, Log: 200, Calls: 62, STSCalls: 6, Tasks: 20, Seconds: 11.8,
	}.Sizing()
	for _, row := range []string{
		"| cores, temporal | 50 ms | 0.10 | 0.90 | 8.40 |",
		"| history shards | 60 writes, 150 a second each | 4 | 4 | 64 |",
		"| partitions of the task queue | 20 tasks, 300 a second each | 1 | 1 | 7 |",
		"| orders in progress at a time | 11.8 s | 11.8 | 118 | 1180 |",
		"| STS calls/s, 600 allowed | 6 | 6 | 60 | 600 |",
	} {
		require.Contains(t, strings.Split(table, "\n"), row)
	}
}
