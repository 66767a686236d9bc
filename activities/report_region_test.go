package activities

import (
	"slices"
	"strings"
	"testing"

	curtypes "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// A pool accepts the regions of legacy reports that the SDK knows, and no others.
func TestLegacyReportRegionsAreThoseOfTheSDK(t *testing.T) {
	t.Parallel()
	var known []string
	for _, region := range curtypes.AWSRegion("").Values() {
		if !strings.HasPrefix(string(region), "cn-") { // another partition
			known = append(known, string(region))
		}
	}
	slices.Sort(known)
	config := provision.DefaultPool(provision.Pool{Provider: "acme", Marketplace: "store", Environment: provision.Test})
	config.Settings.ReportKind = provision.LegacyCUR
	for _, region := range known {
		config.Settings.ReportRegion = region
		require.Empty(t, config.Validate(nil), region)
	}
	config.Settings.ReportRegion = "il-central-1"
	wrong := config.Validate(nil)
	require.Len(t, wrong, 1)
	require.Contains(t, wrong[0].Message, "or one of "+strings.Join(known, ", "))
}
