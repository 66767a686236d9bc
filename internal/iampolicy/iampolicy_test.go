package iampolicy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/iampolicy"
)

var question = iampolicy.Question{Action: "iam:ChangePassword", Resource: "arn:aws:iam::111122223333:user/marketplace/alice",
	UserName: "alice"}

func document(statements string) string {
	return `{"Version":"2012-10-17","Statement":` + statements + `}`
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	for name, c := range map[string]struct {
		statements string
		want       iampolicy.Answer
	}{
		"everything": {all, iampolicy.Allowed},
		"the action": {`[{"Effect":"Allow","Action":["iam:GetUser","iam:changepassword"],"Resource":["*"]}]`,
			iampolicy.Allowed},
		"a wildcard":      {`{"Effect":"Allow","Action":"iam:Change*","Resource":"*"}`, iampolicy.Allowed},
		"a question mark": {`{"Effect":"Allow","Action":"iam:ChangePasswor?","Resource":"*"}`, iampolicy.Allowed},
		"another action":  {`{"Effect":"Allow","Action":"iam:Get*","Resource":"*"}`, iampolicy.NotAllowed},
		"another service": {`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`, iampolicy.NotAllowed},
		"all but IAM":     {`{"Effect":"Allow","NotAction":["iam:*","organizations:*"],"Resource":"*"}`, iampolicy.NotAllowed},
		"all but S3":      {`{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}`, iampolicy.Allowed},
		"the user's own name": {`{"Effect":"Allow","Action":"iam:ChangePassword","Resource":"arn:aws:iam::*:user/${aws:username}"}`,
			iampolicy.NotAllowed},
		"the user's name under a path": {`{"Effect":"Allow","Action":"iam:ChangePassword",
		"Resource":"arn:aws:iam::*:user/*/${aws:username}"}`, iampolicy.Allowed},
		"another user": {`{"Effect":"Allow","Action":"iam:ChangePassword","Resource":"arn:aws:iam::*:user/bob"}`,
			iampolicy.NotAllowed},
		"all but other users": {`{"Effect":"Allow","Action":"iam:ChangePassword","NotResource":"arn:aws:iam::*:user/admins/*"}`,
			iampolicy.Allowed},
		"all but this user": {`{"Effect":"Allow","Action":"iam:ChangePassword",
		"NotResource":"arn:aws:iam::*:user/marketplace/*"}`, iampolicy.NotAllowed},
		"an unknown variable": {`{"Effect":"Allow","Action":"iam:ChangePassword",
		"Resource":"arn:aws:iam::*:user/${aws:PrincipalTag/team}/*"}`, iampolicy.Unknown},
		"an unknown variable elsewhere": {`{"Effect":"Allow","Action":"iam:ChangePassword",
		"Resource":"arn:aws:s3:::${aws:PrincipalTag/team}"}`, iampolicy.NotAllowed},
		"a condition": {`{"Effect":"Allow","Action":"*","Resource":"*",
		"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}`, iampolicy.Unknown},
		"denied":                      {`[` + all + `,{"Effect":"Deny","Action":"iam:*","Resource":"*"}]`, iampolicy.Denied},
		"denied before it is allowed": {`[{"Effect":"Deny","Action":"iam:*","Resource":"*"},` + all + `]`, iampolicy.Denied},
		"denied but for some": {`[` + all + `,{"Effect":"Deny","NotAction":["iam:ChangePassword"],"Resource":"*",
		"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"false"}}}]`,
			iampolicy.Allowed},
		"denied on a condition": {`[` + all + `,{"Effect":"Deny","Action":"iam:*","Resource":"*",
		"Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}]`, iampolicy.Unknown},
		"denied on a condition, and not allowed": {`[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny",
		"Action":"iam:*","Resource":"*","Condition":{"Bool":{"a:b":"c"}}}]`,
			iampolicy.NotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := iampolicy.Parse(document(c.statements))
			require.NoError(t, err)
			require.Equal(t, c.want, iampolicy.Decide(question, p))
		})
	}
	t.Run("before the version of 2012 a variable is text", func(t *testing.T) {
		t.Parallel()
		p, err := iampolicy.Parse(`{"Statement":{"Effect":"Allow","Action":"iam:ChangePassword",
		"Resource":"arn:aws:iam::*:user/*/${aws:username}"}}`)
		require.NoError(t, err)
		require.Equal(t, iampolicy.NotAllowed, iampolicy.Decide(question, p))
	})
	t.Run("an action without a resource", func(t *testing.T) {
		t.Parallel()
		for resource, want := range map[string]iampolicy.Answer{"*": iampolicy.Allowed, "arn:aws:iam::*:user/*": iampolicy.NotAllowed} {
			p, err := iampolicy.Parse(document(`{"Effect":"Allow","Action":"iam:GetAccountPasswordPolicy","Resource":"` + resource + `"}`))
			require.NoError(t, err)
			q := iampolicy.Question{Action: "iam:GetAccountPasswordPolicy", Resource: "*", UserName: "alice"}
			require.Equal(t, want, iampolicy.Decide(q, p))
		}
	})
}

// TestDecideTogether: what one policy allows another one may deny.
func TestDecideTogether(t *testing.T) {
	t.Parallel()
	policy := func(statements string) *iampolicy.Policy {
		p, err := iampolicy.Parse(document(statements))
		require.NoError(t, err)
		return p
	}
	allow := policy(`{"Effect":"Allow","Action":"*","Resource":"*"}`)
	other := policy(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
	deny := policy(`{"Effect":"Deny","Action":"iam:*","Resource":"*"}`)
	mfa := policy(`{"Effect":"Deny","NotAction":"iam:GetUser","Resource":"*",
		"Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}`)
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		both := func(a, b *iampolicy.Policy) iampolicy.Answer {
			policies := []*iampolicy.Policy{a, b}
			return iampolicy.Decide(question, policies[order[0]], policies[order[1]])
		}
		require.Equal(t, iampolicy.Allowed, both(allow, other))
		require.Equal(t, iampolicy.Denied, both(allow, deny))
		require.Equal(t, iampolicy.Unknown, both(allow, mfa))
		require.Equal(t, iampolicy.NotAllowed, both(other, mfa))
	}
	require.Equal(t, iampolicy.NotAllowed, iampolicy.Decide(question))
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, `[]`, `{}`, `{"Statement":[]}`, document(`{"Effect":"Maybe","Action":"*","Resource":"*"}`),
		document(`{"Effect":"Allow","Resource":"*"}`),
		document(`{"Effect":"Allow","Action":"*"}`), document(`{"Effect":"Allow","Action":"*","NotAction":"s3:*","Resource":"*"}`),
		document(`{"Effect":"Allow","Action":5,"Resource":"*"}`),
	} {
		_, err := iampolicy.Parse(text)
		require.Error(t, err, text)
	}
}
