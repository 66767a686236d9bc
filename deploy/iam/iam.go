// Package iam holds the AWS policies that Quartermaster ships: what the role in a pool account may do, who may assume
// it, and what the billing services may do with a report's bucket. The JSON files beside this one are the originals;
// whoever creates the role, tests it or simulates it fills in the same files.
package iam

import (
	_ "embed" // the policies
	"encoding/json"
	"strings"
)

var (
	//go:embed role-policy.json
	rolePolicy string
	//go:embed trust-policy.json
	trustPolicy string
	//go:embed cur-bucket-policy.json
	reportBucketPolicy string
)

// RolePolicy returns the permissions policy of the role in a pool account. customerPolicyARN is one more managed policy
// that may be attached to the customer's user beside the two that are always allowed; empty allows no further one.
func RolePolicy(accountID, customerPolicyARN string) string {
	policy := rolePolicy
	if customerPolicyARN == "" {
		// IAM refuses an empty ARN in a condition, so the whole list element goes.
		policy = dropLastElement(policy, "${CUSTOMER_POLICY_ARN}")
	}
	return fill(policy, "ACCOUNT", accountID, "CUSTOMER_POLICY_ARN", customerPolicyARN)
}

// TrustPolicy returns the trust policy of that role: only principalARN may assume it, and only with the external id,
// which is unique for every account.
func TrustPolicy(principalARN, externalID string) string {
	return fill(trustPolicy, "PRINCIPAL", principalARN, "EXTERNAL_ID", externalID)
}

// ReportBucketPolicy returns the bucket policy that AWS's billing services check before they accept a cost report, and
// need in order to deliver it.
func ReportBucketPolicy(bucket, accountID string) string {
	return fill(reportBucketPolicy, "BUCKET", bucket, "ACCOUNT", accountID)
}

// fill replaces every ${NAME} by its value, escaped for the inside of a JSON string.
func fill(policy string, namesAndValues ...string) string {
	pairs := make([]string, 0, len(namesAndValues))
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		quoted, _ := json.Marshal(namesAndValues[i+1]) // a string always marshals
		pairs = append(pairs, "${"+namesAndValues[i]+"}", string(quoted[1:len(quoted)-1]))
	}
	return strings.NewReplacer(pairs...).Replace(policy)
}

// dropLastElement removes the last string of a JSON list together with the comma before it.
func dropLastElement(policy, element string) string {
	before, after, found := strings.Cut(policy, `"`+element+`"`)
	if !found {
		return policy
	}
	return strings.TrimRight(before, ", \t\n") + after
}
