package iam_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/deploy/iam"
)

const (
	account = "111122223333"
	// managedPolicyLimit is the quota of non-blank characters of an IAM managed policy.
	managedPolicyLimit = 6144
)

func TestPoliciesAreFilledInAndFit(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{
		"role":                    iam.RolePolicy(account, ""),
		"role, customer's policy": iam.RolePolicy(account, "arn:aws:iam::111122223333:policy/"+strings.Repeat("x", 128)),
		"trust":                   iam.TrustPolicy("arn:aws:iam::999988887777:role/provisioner", "an-external-id"),
		"bucket":                  iam.ReportBucketPolicy("mp-cur-111122223333-1", account),
	} {
		require.Truef(t, json.Valid([]byte(policy)), "%s is not JSON:\n%s", name, policy)
		require.NotContainsf(t, policy, "${", "%s keeps a placeholder", name)
		blank := regexp.MustCompile(`\s`)
		require.LessOrEqualf(t, len(blank.ReplaceAllString(policy, "")), managedPolicyLimit, "%s is too long for AWS", name)
	}
}

func TestRolePolicyListsTheCustomersPolicyOnlyWhenThereIsOne(t *testing.T) {
	t.Parallel()
	const custom = "arn:aws:iam::111122223333:policy/Customer"
	require.Contains(t, iam.RolePolicy(account, custom), `"`+custom+`"`)
	require.NotContains(t, iam.RolePolicy(account, ""), `""`)
}

func TestTrustPolicyNamesPrincipalExternalIDAndSessions(t *testing.T) {
	t.Parallel()
	var policy struct {
		Statement []struct {
			Principal struct{ AWS string }
			Condition map[string]map[string]any
		}
	}
	require.NoError(t, json.Unmarshal([]byte(iam.TrustPolicy("arn:aws:iam::999988887777:role/p", `quo"te`)), &policy))
	require.Len(t, policy.Statement, 2)
	for _, statement := range policy.Statement {
		require.Equal(t, "arn:aws:iam::999988887777:role/p", statement.Principal.AWS)
	}
	require.Equal(t, `quo"te`, policy.Statement[0].Condition["StringEquals"]["sts:ExternalId"])
	require.Equal(t, []any{"ord-*", "verify-*", "cli-*"}, policy.Statement[0].Condition["StringLike"]["sts:RoleSessionName"])
}
