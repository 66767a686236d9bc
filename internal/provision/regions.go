package provision

import (
	"fmt"
	"slices"
)

// bucketRegions are those in which S3 makes buckets, in the partition aws.
// Source: Amazon S3 API Reference, CreateBucketConfiguration, LocationConstraint, and us-east-1, which has none.
var bucketRegions = []string{
	"af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2",
	"ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2",
	"eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1",
	"us-east-1", "us-east-2", "us-west-1", "us-west-2",
}

// enabledRegions are enabled in every account. Any other has to be enabled in an account before it can be used there.
// Source: AWS Account Management Reference Guide, "Enable or disable AWS Regions in your account".
var enabledRegions = []string{
	"ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1", "eu-central-1", "eu-north-1",
	"eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
}

// BucketRegions lists the regions in which S3 makes buckets.
func BucketRegions() []string { return slices.Clone(bucketRegions) }

// Warnings says what is allowed in the settings of the pool and still needs somebody's care.
func (c PoolConfig) Warnings() (warnings []string) {
	s := c.Settings
	if region := s.ReportRegion; slices.Contains(bucketRegions, region) && !slices.Contains(enabledRegions, region) {
		warnings = append(warnings, fmt.Sprintf("report_region: AWS does not enable the region %s by itself, so it must be enabled in every account of the pool", region))
	}
	if _, known := BoundaryAllowsFirstSignIn(s.PermissionsBoundary); !known {
		warnings = append(warnings, fmt.Sprintf("permissions_boundary_arn: %s must allow iam:ChangePassword and iam:GetAccountPasswordPolicy in every account of the pool, "+
			"or customers cannot change the first password and so cannot sign in", s.PermissionsBoundary))
	}
	return warnings
}
