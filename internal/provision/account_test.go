package provision

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Source: AWS Organizations API Reference, CreateAccount, Email.
func TestRootEmailsFollowTheRulesOfAWS(t *testing.T) {
	t.Parallel()
	accepted := func(email string) bool {
		for _, wrong := range ValidateAccount(Account{RootEmail: email}) {
			if wrong.Field == "root_email" {
				require.Contains(t, wrong.Message, "write it as name@domain.tld")
				return false
			}
		}
		return true
	}
	const domain = "@acme.example"
	for _, email := range []string{"aws+0042" + domain, "a@b.co", "a..b" + domain, "a." + domain, "o_{}~`!#$*=?^/-" + domain, "A" + domain,
		strings.Repeat("a", 64-len(domain)) + domain, "aws@a-b.c-d.example"} {
		require.True(t, accepted(email), email)
	}
	for _, email := range []string{
		"", "a@b.c", "aws", "aws@acme", "a@b@acme.example",
		".aws" + domain, "a b" + domain, "a\tb" + domain, `a"b` + domain, "a'b" + domain,
		"a(b" + domain, "a)b" + domain, "a<b" + domain, "a>b" + domain, "a[b" + domain, "a]b" + domain,
		"a:b" + domain, "a;b" + domain, "a,b" + domain, `a\b` + domain, "a|b" + domain, "a%b" + domain, "a&b" + domain,
		"jürgen" + domain, "aws@bücher.example",
		"aws@-acme.example", "aws@.acme.example", "aws@acme.example-", "aws@acme.example.", "aws@ac_me.example",
		strings.Repeat("a", 65-len(domain)) + domain,
		" aws" + domain, "aws" + domain + "\n", "Bob <bob@acme.example>",
	} {
		require.False(t, accepted(email), "%q", email)
	}
}
