package awssim

import (
	"fmt"
	"slices"
)

// defaultRegions are the regions that every account has. Sources: Amazon S3, CreateBucketConfiguration; AWS Account
// Management, "Enable or disable AWS Regions in your account".
var defaultRegions = []string{
	"ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1",
	"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
}

// optInRegions are the regions that an account must enable before it can use them.
var optInRegions = []string{
	"af-south-1", "ap-east-1", "ap-east-2", "ap-south-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6",
	"ap-southeast-7", "ca-west-1", "eu-central-2", "eu-south-1", "eu-south-2", "il-central-1", "me-central-1", "me-south-1", "mx-central-1",
}

func knownRegion(region string) bool {
	return slices.Contains(defaultRegions, region) || slices.Contains(optInRegions, region)
}

// hasEnabled reports whether the account can use a region.
func (a *Account) hasEnabled(region string) bool {
	return a.EnabledRegions == nil || !slices.Contains(optInRegions, region) || slices.Contains(a.EnabledRegions, region)
}

// hasSTS reports whether STS is active in a region for the account.
func (a *Account) hasSTS(region string) bool {
	return a.hasEnabled(region) && !slices.Contains(a.DisabledSTSRegions, region)
}

func (a *Account) checkRegions() error {
	for _, region := range a.EnabledRegions {
		if !knownRegion(region) {
			return fmt.Errorf("enabled_regions: %q is not a region of AWS", region)
		}
	}
	for _, region := range a.DisabledSTSRegions {
		if !knownRegion(region) || region == homeRegion {
			return fmt.Errorf("disabled_sts_regions: %q must be a region of AWS other than %s, where STS cannot be switched off",
				region, homeRegion)
		}
	}
	return nil
}
