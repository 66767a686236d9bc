package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// TestWhatAResultPromises: usage is promised from when the report holds it, and older usage only where there is some.
func TestWhatAResultPromises(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	later, earlier := now.Add(time.Hour), now.Add(-time.Hour)
	for name, c := range map[string]struct {
		report provision.Report
		from   time.Time
		older  bool
	}{
		"a new report":                   {provision.Report{}, now.Add(24 * time.Hour), false},
		"a linked one":                   {provision.Report{Existing: true}, now, true},
		"one that has not delivered yet": {provision.Report{Existing: true, UsageFrom: &later}, later, false},
		"one that was about to":          {provision.Report{Existing: true, UsageFrom: &earlier}, now, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := (&orderRun{account: &held{report: c.report}}).result(now)
			require.Equal(t, c.from, result.UsageAvailableFrom)
			require.Equal(t, c.older, result.OlderUsageAvailable)
			require.Nil(t, result.Warnings)
		})
	}
	result := (&orderRun{account: &held{report: provision.Report{Existing: true, Warnings: []string{"of the report"}},
		inspected: activities.Inspection{Warnings: []string{"of the inspection"}}}}).result(now)
	require.Equal(t, []string{"of the report", "of the inspection"}, result.Warnings)
}
