package awscloud_test

import (
	"slices"
	"strings"
	"testing"

	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// A pool accepts the regions that S3 knows, without the regions of other partitions and the old name EU, and no others.
func TestReportRegionsAreThoseOfS3(t *testing.T) {
	t.Parallel()
	known := []string{"us-east-1"} // S3 has no location constraint for it
	for _, region := range s3types.BucketLocationConstraint("").Values() {
		other := region == s3types.BucketLocationConstraintEu ||
			strings.HasPrefix(string(region), "cn-") || strings.HasPrefix(string(region), "us-gov-")
		if !other {
			known = append(known, string(region))
		}
	}
	slices.Sort(known)
	config := provision.DefaultPool(provision.Pool{Provider: "acme", Marketplace: "store", Environment: provision.Test})
	for _, region := range known {
		config.Settings.ReportRegion = region
		require.Empty(t, config.Validate(nil), region)
	}
	config.Settings.ReportRegion = "eu-central-9"
	wrong := config.Validate(nil)
	require.Len(t, wrong, 1)
	require.True(t, strings.HasSuffix(wrong[0].Message, "use one of "+strings.Join(known, ", ")), wrong[0].Message)
}
