package provision

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Some carriers give out addresses that RFC 5322 does not allow but AWS accepts.
// Source: AWS Account Management API Reference, PutAlternateContact.
func TestContactEmailsFollowTheRulesOfAWS(t *testing.T) {
	t.Parallel()
	accepted := func(email string) bool {
		wrong := Request{AlternateContact: &AlternateContact{Email: email}}.Validate()
		return !slices.ContainsFunc(wrong, func(e FieldError) bool { return e.Field == "aws_alternate_contact.email" })
	}
	for _, email := range []string{
		"a..b@docomo.ne.jp", "a.@ezweb.ne.jp", ".a@docomo.ne.jp", "a+b=c#d|e!f&g-h_i@x-y.example", "a@b..example",
		strings.Repeat("a", 254-10) + "@b.example",
	} {
		require.True(t, accepted(email), email)
	}
	for _, email := range []string{
		"", "a", "a@b", "a@b.", "a b@c.example", " a@b.example", "a@b.example ", "a@b.example\n", "a@b@c.example",
		"ä@b.example", "a%b@c.example", strings.Repeat("a", 255-10) + "@b.example",
	} {
		require.False(t, accepted(email), "%q", email)
	}
}

func TestExistingCURKindNeedsAReportAndAKnownKind(t *testing.T) {
	t.Parallel()
	wrong := func(r Request) (messages []string) {
		for _, f := range r.Validate() {
			if f.Field == "existing_cur_kind" {
				messages = append(messages, f.Message)
			}
		}
		return messages
	}
	require.Empty(t, wrong(Request{}))
	require.Empty(t, wrong(Request{UseExistingCUR: "usage", ExistingCURKind: LegacyCUR}))
	require.Contains(t, wrong(Request{ExistingCURKind: DataExport})[0], "name the report")
	require.Contains(t, wrong(Request{UseExistingCUR: "usage", ExistingCURKind: "focus"})[0], "use cur (legacy) or export")
}
