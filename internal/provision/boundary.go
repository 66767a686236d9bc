package provision

import "strings"

// boundariesKnown says which AWS managed policies allow iam:ChangePassword and iam:GetAccountPasswordPolicy. The keys are the
// part of the ARN after arn:aws:iam::aws:policy/.
// Source: AWS Managed Policy Reference Guide.
var boundariesKnown = map[string]bool{
	"AdministratorAccess":   true,
	"IAMFullAccess":         true,
	"IAMUserChangePassword": false, // it covers no user with a path, and all our users have one

	"AmazonEC2FullAccess":                false,
	"AmazonEC2ReadOnlyAccess":            false,
	"AmazonS3FullAccess":                 false,
	"AmazonS3ReadOnlyAccess":             false,
	"AWSBillingReadOnlyAccess":           false,
	"AWSSupportAccess":                   false,
	"CloudWatchReadOnlyAccess":           false,
	"IAMReadOnlyAccess":                  false,
	"PowerUserAccess":                    false,
	"ReadOnlyAccess":                     false,
	"SecurityAudit":                      false,
	"job-function/Billing":               false,
	"job-function/DataScientist":         false,
	"job-function/DatabaseAdministrator": false,
	"job-function/NetworkAdministrator":  false,
	"job-function/SupportUser":           false,
	"job-function/SystemAdministrator":   false,
	"job-function/ViewOnlyAccess":        false,
}

// BoundaryAllowsFirstSignIn reports whether a user with that permissions boundary can change the first password. The boundary must
// allow iam:ChangePassword, and iam:GetAccountPasswordPolicy, with which the console shows the rules for the new password. An empty
// ARN is no boundary, which allows everything. The answer is not known for customer managed policies and for some AWS managed ones.
func BoundaryAllowsFirstSignIn(arn string) (allows, known bool) {
	if arn == "" {
		return true, true
	}
	name, managed := strings.CutPrefix(arn, "arn:aws:iam::aws:policy/")
	allows, known = boundariesKnown[name]
	return allows, known && managed
}
