package awscloud_test

import (
	"slices"
	"strings"
	"testing"

	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// The list is S3's own, without the regions of other partitions and the old name EU.
func TestBucketRegionsAreThoseOfS3(t *testing.T) {
	t.Parallel()
	want := []string{"us-east-1"} // which S3 wants to be left out
	for _, region := range s3types.BucketLocationConstraint("").Values() {
		other := region == s3types.BucketLocationConstraintEu || strings.HasPrefix(string(region), "cn-") ||
			strings.HasPrefix(string(region), "us-gov-")
		if !other {
			want = append(want, string(region))
		}
	}
	slices.Sort(want)
	require.Equal(t, want, provision.BucketRegions())
}
