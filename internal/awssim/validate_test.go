package awssim

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/deploy/iam"
)

func TestEveryModelledOperationIsSimulated(t *testing.T) {
	t.Parallel()
	require.Greater(t, len(shapes), 50)
	for name := range shapes {
		service, operation, _ := strings.Cut(name, ".")
		require.Containsf(t, operations[service], operation, "%s has constraints but is not simulated", name)
	}
	for _, service := range []string{"sts", "iam", "account", "cur", "bcm-data-exports"} {
		for operation := range operations[service] {
			require.Containsf(t, shapes, service+"."+operation, "%s.%s is simulated without constraints", service, operation)
		}
	}
}

// What the shipped role policy allows and what the simulator can do are compared by name, so that neither gains or loses
// an action unnoticed.
func TestShippedRolePolicyAgainstTheOperations(t *testing.T) {
	t.Parallel()
	shipped, err := parsePolicy(iam.RolePolicy(iam.Role{AccountID: "111122223333"}))
	require.NoError(t, err)
	granted := map[string]bool{}
	for _, statement := range shipped.Statement {
		for _, action := range statement.Action {
			granted[action] = granted[action] || statement.Effect == "Allow"
		}
	}
	var simulated []string
	for _, service := range services {
		for name, op := range operations[service] {
			c := &call{sim: New(Options{}), service: service, name: name, op: op, accountID: "1",
				http: httptest.NewRequest(http.MethodGet, "/", nil)}
			c.sim.accounts["1"] = &ledger{current: &Account{ID: "1"}}
			if op.needs == nil {
				continue
			}
			for _, q := range op.needs(c) {
				simulated = append(simulated, q.action)
			}
		}
	}
	// asked for by some requests only
	simulated = append(simulated, "s3:DeleteObjectVersion", "s3:TagResource", "s3:PutBucketOwnershipControls")
	var notGranted, notSimulated []string
	for _, action := range simulated {
		if !granted[action] && !slices.Contains(notGranted, action) {
			notGranted = append(notGranted, action)
		}
	}
	for action, allow := range granted {
		if allow && !slices.Contains(simulated, action) {
			notSimulated = append(notSimulated, action)
		}
	}
	require.ElementsMatch(t, []string{
		"cur:ModifyReportDefinition", "iam:CreateAccessKey", "iam:DeleteUserPermissionsBoundary",
		"iam:ListUserTags", "iam:ListVirtualMFADevices",
		"iam:PutUserPermissionsBoundary", "iam:PutUserPolicy", "s3:DeleteBucketPolicy", "s3:DeleteObject", "s3:GetBucketLocation",
		"s3:GetBucketPublicAccessBlock", "s3:ListBucket", "s3:PutBucketTagging",
	}, notGranted, "simulated, but not for the role to do")
	require.Empty(t, notSimulated, "granted, but the simulator never asks for it")
}

func TestConstraints(t *testing.T) {
	t.Parallel()
	check := func(operation string, input map[string]any) (string, *wrongType) {
		found, mistyped := shapes[operation].check(input)
		if len(found) == 0 {
			return "", mistyped
		}
		return describe(found), mistyped
	}
	long := strings.Repeat("x", 3000)
	for _, c := range []struct {
		operation string
		input     map[string]any
		want      string // "" : valid
	}{
		{"sts.AssumeRole", map[string]any{"RoleArn": "arn:aws:iam::111122223333:role/r", "RoleSessionName": "ord-1",
			"DurationSeconds": "900"}, ""},
		{"sts.AssumeRole", map[string]any{"RoleArn": "arn:aws:iam::111122223333:role/r", "RoleSessionName": "ord-1",
			"DurationSeconds": "899"}, "Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater " +
			"than or equal to 900"},
		{"sts.AssumeRole", map[string]any{"RoleArn": long, "RoleSessionName": "ord 1"}, "2 validation errors detected"},
		{"sts.AssumeRole", map[string]any{"RoleSessionName": "x"},
			"Value null at 'roleArn' failed to satisfy constraint: Member must not be null"},
		{"sts.AssumeRole", map[string]any{"RoleArn": "arn:aws:iam::111122223333:role/r", "RoleSessionName": "ord-1",
			"TransitiveTagKeys": []any{"?"}}, "'transitiveTagKeys.1.member'"},
		{"iam.CreateUser", map[string]any{"UserName": "a\n"}, "regular expression"}, // a pattern must match all of the value
		{"iam.CreateUser", map[string]any{"UserName": "a", "Tags": []any{map[string]any{"Key": "k"}}},
			"Value null at 'tags.1.member.value'"},
		{"iam.CreateUser", map[string]any{"UserName": "a", "Path": "/"}, ""},
		{"iam.CreateUser", map[string]any{"UserName": "a", "Path": "/no-end"}, `(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`},
		{"iam.CreateAccountAlias", map[string]any{"AccountAlias": "a--b"}, `^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`},
		{"iam.CreateLoginProfile", map[string]any{"UserName": "a", "Password": "secret☃"}, "Value at 'password' failed"},
		{"account.PutAlternateContact", map[string]any{"AlternateContactType": "LEGAL", "Name": "n", "Title": "t", "EmailAddress": "a@b.c",
			"PhoneNumber": "1"}, "Member must satisfy enum value set: [BILLING, OPERATIONS, SECURITY]"},
		{"account.PutContactInformation", map[string]any{}, "1 validation error detected: Value null at 'contactInformation'"},
		{"cur.DescribeReportDefinitions", map[string]any{"MaxResults": "6"}, "less than or equal to 5"},
		{"bcm-data-exports.GetExport", map[string]any{"ExportArn": "arn:aws:bcm-data-exports:us-east-1:111122223333:export/x"}, ""},
	} {
		got, mistyped := check(c.operation, c.input)
		require.Nil(t, mistyped)
		if c.want == "" {
			require.Empty(t, got, c.operation)
		} else {
			require.Contains(t, got, c.want, c.operation)
		}
		require.NotContains(t, got, "secret", "a sensitive value is not repeated")
	}
	for operation, input := range map[string]map[string]any{
		"iam.CreateUser":                {"UserName": []any{}},
		"iam.TagUser":                   {"UserName": "a", "Tags": "x"},
		"iam.CreateLoginProfile":        {"UserName": "a", "PasswordResetRequired": "maybe"},
		"sts.AssumeRole":                {"DurationSeconds": "long"},
		"account.PutContactInformation": {"ContactInformation": "x"},
		"cur.TagResource":               {"ReportName": "r", "Tags": []any{"x"}},
	} {
		_, mistyped := check(operation, input)
		require.NotNil(t, mistyped, operation)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	statement := func(rest string) string { return `{"Statement":[{` + rest + `}]}` }
	const allow = `"Effect":"Allow","Action":"iam:*User","Resource":"arn:aws:iam::1:user/m/*"`
	q := func(changes ...func(*question)) question {
		out := question{action: "iam:CreateUser", resource: "arn:aws:iam::1:user/m/a", caller: "arn:aws:sts::9:assumed-role/r/s"}
		for _, c := range changes {
			c(&out)
		}
		return out
	}
	with := func(key string, values ...string) func(*question) {
		return func(q *question) { q.context = map[string][]string{key: values} }
	}
	for _, c := range []struct {
		name, policy string
		q            question
		want         decision
	}{
		{"allowed", statement(allow), q(), allowed},
		{"action ignores case", statement(`"Effect":"Allow","Action":"IAM:createuser","Resource":"*"`), q(), allowed},
		{"another action", statement(allow), q(func(q *question) { q.action = "iam:CreateRole" }), silent},
		{"another resource", statement(allow), q(func(q *question) { q.resource = "arn:aws:iam::1:user/a" }), silent},
		{"deny wins", `{"Statement":[{` + allow + `},{"Effect":"Deny","Action":"iam:Create*","Resource":"*"}]}`, q(), denied},
		{"not action", statement(`"Effect":"Allow","NotAction":"iam:*","Resource":"*"`), q(), silent},
		{"not resource", statement(`"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::*"`), q(), allowed},
		{"condition", statement(allow + `,"Condition":{"StringLike":{"aws:RequestTag/mp:order-id":"?*"}}`),
			q(with("aws:requesttag/mp:order-id", "7")), allowed},
		{"empty value", statement(allow + `,"Condition":{"StringLike":{"aws:RequestTag/mp:order-id":"?*"}}`),
			q(with("aws:requesttag/mp:order-id", "")), silent},
		{"missing key", statement(allow + `,"Condition":{"StringLike":{"aws:RequestTag/mp:order-id":"?*"}}`), q(), silent},
		{"missing key, if exists", statement(allow + `,"Condition":{"StringLikeIfExists":{"a:B":"x"}}`), q(), allowed},
		{"equals takes no wildcard", statement(allow + `,"Condition":{"StringEquals":{"a:B":"x*"}}`), q(with("a:b", "xy")), silent},
		{"not equals", statement(allow + `,"Condition":{"StringNotEquals":{"a:B":["x","y"]}}`), q(with("a:b", "y")), silent},
		{"not equals, missing", statement(allow + `,"Condition":{"StringNotEquals":{"a:B":"x"}}`), q(), allowed},
		{"arn takes wildcards", statement(allow + `,"Condition":{"ArnEquals":{"iam:PolicyARN":["a","arn:aws:iam::aws:policy/*"]}}`),
			q(with("iam:policyarn", "arn:aws:iam::aws:policy/X")), allowed},
		{"arn not like", statement(allow + `,"Condition":{"ArnNotLike":{"iam:PolicyARN":"arn:*"}}`),
			q(with("iam:policyarn", "arn:aws:iam::aws:policy/X")), silent},
		{"bool", statement(allow + `,"Condition":{"Bool":{"aws:SecureTransport":"false"}}`),
			q(with("aws:securetransport", "true")), silent},
		{"null", statement(allow + `,"Condition":{"Null":{"a:B":"true"}}`), q(), allowed},
		{"for all values", statement(allow + `,"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}`),
			q(with("aws:tagkeys", "a", "b")), allowed},
		{"for all values, one other", statement(allow + `,"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"a"}}`),
			q(with("aws:tagkeys", "a", "c")), silent},
		{"for any value", statement(allow + `,"Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"a"}}`),
			q(with("aws:tagkeys", "c", "a")), allowed},
		{"variable", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*",
		"Resource":"arn:aws:iam::*:user/m/${aws:username}"}}`, q(with("aws:username", "a")), allowed},
		{"variable without a value", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*",
		"Resource":"arn:aws:iam::*:user/m/${aws:username}"}}`, q(), silent},
		{"variable of an old version", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:user/m/${aws:username}"}}`,
			q(with("aws:username", "a")), silent},
		{"principal: the session's role", statement(`"Effect":"Allow","Action":"*","Principal":{"AWS":"arn:aws:iam::9:role/r"}`),
			q(), allowed},
		{"principal: its account", statement(`"Effect":"Allow","Action":"*","Principal":{"AWS":["9"]}`), q(), allowed},
		{"principal: its account's root", statement(`"Effect":"Allow","Action":"*","Principal":{"AWS":"arn:aws:iam::9:root"}`),
			q(), allowed},
		{"principal: another role", statement(`"Effect":"Allow","Action":"*","Principal":{"AWS":"arn:aws:iam::9:role/r2"}`), q(), silent},
		{"principal: a service", statement(`"Effect":"Allow","Action":"*","Principal":{"Service":"s.amazonaws.com"}`), q(), silent},
		{"principal: this service", statement(`"Effect":"Allow","Action":"*","Principal":{"Service":"s.amazonaws.com"}`),
			q(func(q *question) { q.caller, q.service = "s.amazonaws.com", true }), allowed},
	} {
		p, err := parsePolicy(c.policy)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, p.evaluate(c.q), c.name)
	}
	for want, document := range map[string]string{
		"does not evaluate the condition operator DateLessThan": statement(allow + `,"Condition":{"DateLessThan":{"aws:CurrentTime":"x"}}`),
		`Effect "Maybe" must be Allow or Deny`:                  statement(`"Effect":"Maybe","Action":"*"`),
		"either Action or NotAction":                            statement(`"Effect":"Allow","Resource":"*"`),
		"both Resource and NotResource":                         statement(allow + `,"NotResource":"*"`),
		`action "iam" must be`:                                  statement(`"Effect":"Allow","Action":["*","iam"],"Resource":"*"`),
		`resource "user/a" must be`:                             statement(`"Effect":"Allow","Action":"*","Resource":"user/a"`),
		`Version "2020-01-01"`:                                  `{"Version":"2020-01-01","Statement":{` + allow + `}}`,
		`Sid "a" is there twice`:                                `{"Statement":[{"Sid":"a",` + allow + `},{"Sid":"a",` + allow + `}]}`,
		"text after the policy":                                 statement(allow) + "}",
		"variable ${aws:PrincipalTag/a}": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*",
		"Resource":"arn:aws:s3:::${aws:PrincipalTag/a}"}}`,
		"variables in conditions": `{"Version":"2012-10-17","Statement":{` + allow +
			`,"Condition":{"StringLike":{"a:B":"${aws:username}"}}}}`,
		"has no Statement":             `{"Version":"2012-10-17"}`,
		`unknown field "NotPrincipal"`: statement(allow + `,"NotPrincipal":"*"`),
	} {
		_, err := parsePolicy(document)
		require.ErrorContains(t, err, want)
	}
}

func TestWildcards(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true}, {"?*", "", false}, {"a*c", "abbc", true}, {"a*c", "abbd", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"*a*b*", "xxaxxb", true}, {"ord-*", "ord-", true}, {"ord-*", "xord-1", false}, {"a*b*c", "a1b2b3c", true},
	} {
		require.Equal(t, c.want, wildcard(c.pattern, c.text), "%s on %s", c.pattern, c.text)
	}
}
