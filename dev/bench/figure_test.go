package bench

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFigureMeetsItsTarget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		figure Figure
		met    bool
	}{
		"no target":                  {Figure{Value: 9}, true},
		"value at most":              {Figure{Value: 35, Target: atMost(35)}, true},
		"value above":                {Figure{Value: 36, Target: atMost(35)}, false},
		"ratio at least":             {Figure{Value: 20, Limit: 20, Target: ratioAtLeast(1)}, true},
		"ratio below":                {Figure{Value: 12, Limit: 20, Target: ratioAtLeast(1)}, false},
		"ratio at most":              {Figure{Value: 12, Limit: 10, Target: ratioAtMost(1.25)}, true},
		"ratio above":                {Figure{Value: 13, Limit: 10, Target: ratioAtMost(1.25)}, false},
		"the limit was not measured": {Figure{Value: 12, Target: ratioAtLeast(1)}, false},
	} {
		require.Equal(t, c.met, c.figure.Met(), name)
	}
}

func TestTheTableHasTheRatioToTheLimit(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, WriteTable(&out, []Figure{
		{Name: "orders/s", Value: 12.34, Unit: "/s", Limit: 20, LimitIs: "Bare8", Target: ratioAtLeast(1), Detail: "two rounds"},
		{Name: "events", Value: 38},
	}))
	require.Equal(t, "| figure | measured | limit | ratio | target | |\n|---|---|---|--:|---|---|\n"+
		"| orders/s | 12.3 /s (two rounds) | 20 /s, Bare8 | 0.62 | ≥ 1 × | **missed** |\n"+
		"| events | 38 | – | – | – | – |\n", out.String())
}
