package activities

import (
	"slices"
	"strings"
	"testing"

	curtypes "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestTheRegionsOfLegacyReportsAreThoseThatTheSDKKnows(t *testing.T) {
	t.Parallel()
	var wanted []string
	for _, region := range curtypes.AWSRegion("").Values() {
		if !strings.HasPrefix(string(region), "cn-") { // another partition
			wanted = append(wanted, string(region))
		}
	}
	slices.Sort(wanted)
	require.Equal(t, wanted, provision.LegacyReportRegions(), "a pool takes what AWS takes, and AWS has changed it")
}
