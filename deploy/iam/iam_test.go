package iam_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/deploy/iam"
)

const (
	account  = "111122223333"
	boundary = "arn:aws:iam::111122223333:policy/Boundary"
	// managedPolicyLimit is the quota of non-blank characters of an IAM managed policy.
	managedPolicyLimit = 6144
)

type policy struct {
	Statement []struct {
		Sid       string
		Principal struct{ AWS string }
		Action    []string
		Resource  []string
		Condition map[string]map[string]any
	}
}

func parse(t *testing.T, text string) (p policy) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &p), text)
	return p
}

// condition returns the values of a condition key in the first statement that allows the action.
func (p policy) condition(action, operator, key string) any {
	for _, st := range p.Statement {
		if slices.Contains(st.Action, action) {
			return st.Condition[operator][key]
		}
	}
	return nil
}

func TestPoliciesAreFilledInAndFit(t *testing.T) {
	t.Parallel()
	nine := make([]string, 9) // and IAMUserChangePassword: as many as AWS attaches to a user
	for i := range nine {
		nine[i] = "arn:aws:iam::111122223333:policy/" + strings.Repeat(string(rune('a'+i)), 64)
	}
	for name, text := range map[string]string{
		"role":                iam.RolePolicy(iam.Role{AccountID: account}),
		"role, many policies": iam.RolePolicy(iam.Role{AccountID: account, UserPolicyARNs: nine, PermissionsBoundary: boundary}),
		"trust":               iam.TrustPolicy("arn:aws:iam::999988887777:role/provisioner", "an-external-id"),
		"service":             iam.ServicePolicy("quartermaster"),
		"bucket":              iam.ReportBucketPolicy("mp-cur-111122223333-1", account),
	} {
		require.Truef(t, json.Valid([]byte(text)), "%s is not JSON:\n%s", name, text)
		require.NotContainsf(t, text, "${", "%s keeps a placeholder", name)
		blank := regexp.MustCompile(`\s`)
		require.Lessf(t, len(blank.ReplaceAllString(text, "")), managedPolicyLimit, "%s is too long for AWS", name)
	}
}

func TestRolePolicyListsThePoolsPolicies(t *testing.T) {
	t.Parallel()
	const change, custom = "arn:aws:iam::aws:policy/IAMUserChangePassword", "arn:aws:iam::111122223333:policy/Customer"
	for _, c := range []struct{ pool, attachable []string }{
		{nil, []string{change}},
		{[]string{custom, change}, []string{change, custom}},
		{[]string{custom, "arn:aws:iam::aws:policy/ReadOnlyAccess"}, []string{change, custom, "arn:aws:iam::aws:policy/ReadOnlyAccess"}},
	} {
		got := parse(t, iam.RolePolicy(iam.Role{AccountID: account, UserPolicyARNs: c.pool}))
		var want []any
		for _, arn := range c.attachable {
			want = append(want, arn)
		}
		require.Equal(t, want, got.condition("iam:AttachUserPolicy", "ArnEquals", "iam:PolicyARN"))
	}
}

func TestRolePolicyDemandsThePoolsBoundary(t *testing.T) {
	t.Parallel()
	with := parse(t, iam.RolePolicy(iam.Role{AccountID: account, PermissionsBoundary: boundary}))
	require.Equal(t, []any{boundary}, with.condition("iam:CreateUser", "StringEquals", "iam:PermissionsBoundary"))
	require.NotNil(t, with.condition("iam:CreateUser", "StringLike", "aws:RequestTag/mp:order-id"))

	without := parse(t, iam.RolePolicy(iam.Role{AccountID: account}))
	require.Nil(t, without.condition("iam:CreateUser", "StringEquals", "iam:PermissionsBoundary"))
	require.NotNil(t, without.condition("iam:CreateUser", "StringLike", "aws:RequestTag/mp:order-id"))
}

func TestServicePolicyAssumesOneRoleAndNothingMore(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"team/quartermaster", "/team/quartermaster"} {
		p := parse(t, iam.ServicePolicy(name))
		require.Len(t, p.Statement, 1)
		require.Equal(t, []string{"sts:AssumeRole"}, p.Statement[0].Action)
		require.Equal(t, []string{"arn:aws:iam::*:role/team/quartermaster"}, p.Statement[0].Resource)
		require.Empty(t, p.Statement[0].Condition,
			"a condition on the region would keep us from us-east-1 when STS is switched off elsewhere")
	}
}

func TestTrustPolicyNamesPrincipalExternalIDAndSessions(t *testing.T) {
	t.Parallel()
	p := parse(t, iam.TrustPolicy("arn:aws:iam::999988887777:role/p", `quo"te`))
	require.Len(t, p.Statement, 1)
	require.Equal(t, "arn:aws:iam::999988887777:role/p", p.Statement[0].Principal.AWS)
	require.Equal(t, []string{"sts:AssumeRole"}, p.Statement[0].Action)
	require.Equal(t, `quo"te`, p.Statement[0].Condition["StringEquals"]["sts:ExternalId"])
	require.Equal(t, []any{"ord-*", "verify-*"}, p.Statement[0].Condition["StringLike"]["sts:RoleSessionName"])
}
