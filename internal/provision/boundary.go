package provision

import "strings"

// boundariesKnown says of AWS managed policies whether they allow iam:ChangePassword and iam:GetAccountPasswordPolicy, by what stands
// behind arn:aws:iam::aws:policy/.
// Source: AWS Managed Policy Reference Guide.
var boundariesKnown = map[string]bool{
	"AdministratorAccess":   true,
	"IAMFullAccess":         true,
	"IAMUserChangePassword": false, // it covers no user with a path, and so none of ours

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

// BoundaryAllowsFirstSignIn tells whether a user with that permissions boundary can change the first password: the boundary must allow
// iam:ChangePassword, and iam:GetAccountPasswordPolicy, by which the console shows what the new password needs. No boundary allows
// everything. It is not known of a policy that the customer manages, nor of every one that AWS manages.
func BoundaryAllowsFirstSignIn(arn string) (allows, known bool) {
	if arn == "" {
		return true, true
	}
	name, managed := strings.CutPrefix(arn, "arn:aws:iam::aws:policy/")
	allows, known = boundariesKnown[name]
	return allows, known && managed
}
