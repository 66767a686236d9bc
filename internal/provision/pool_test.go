package provision

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRegionsThatAreNotEnabledEverywhereCauseAWarning(t *testing.T) {
	t.Parallel()
	warned := 0
	for _, region := range bucketRegions {
		c := DefaultPool(Pool{Provider: "acme", Marketplace: "store", Environment: Test})
		c.Settings.ReportRegion = region
		require.Empty(t, c.Validate(nil), region)
		warned += len(c.Warnings())
	}
	require.Equal(t, len(bucketRegions)-17, warned, "17 regions are enabled in every account")
	c := DefaultPool(Pool{})
	require.Empty(t, c.Warnings())
	c.Settings.ReportRegion = "me-south-1"
	require.Equal(t, []string{
		"report_region: AWS does not enable the region me-south-1 automatically; enable it in every account of the pool",
	}, c.Warnings())
}
