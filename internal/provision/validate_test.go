package provision

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARegionThatMustBeEnabledIsWarnedOf(t *testing.T) {
	t.Parallel()
	warned := 0
	for _, region := range BucketRegions() {
		c := DefaultPool(Pool{Provider: "acme", Marketplace: "store", Environment: Test})
		c.Settings.ReportRegion = region
		require.Empty(t, c.Validate(nil), region)
		warned += len(c.Warnings())
	}
	require.Equal(t, len(BucketRegions())-17, warned, "17 are enabled in every account")
	c := DefaultPool(Pool{})
	require.Empty(t, c.Warnings())
	c.Settings.ReportRegion = "me-south-1"
	require.Equal(t, []string{"report_region: AWS does not enable the region me-south-1 by itself, so it must be enabled in every account of the pool"}, c.Warnings())
}

// Source: AWS Organizations API Reference, CreateAccount, Email.
func TestARootEmailIsOneThatAWSAccepts(t *testing.T) {
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
	for _, email := range []string{"", "a@b.c", "aws", "aws@acme", "a@b@acme.example", ".aws" + domain, "a b" + domain, "a\tb" + domain, `a"b` + domain, "a'b" + domain,
		"a(b" + domain, "a)b" + domain, "a<b" + domain, "a>b" + domain, "a[b" + domain, "a]b" + domain, "a:b" + domain, "a;b" + domain, "a,b" + domain, `a\b` + domain,
		"a|b" + domain, "a%b" + domain, "a&b" + domain, "jürgen" + domain, "aws@bücher.example", "aws@-acme.example", "aws@.acme.example", "aws@acme.example-",
		"aws@acme.example.", "aws@ac_me.example", strings.Repeat("a", 65-len(domain)) + domain, " aws" + domain, "aws" + domain + "\n", "Bob <bob@acme.example>"} {
		require.False(t, accepted(email), "%q", email)
	}
}

// Some carriers give out addresses that RFC 5322 does not allow and AWS takes. Source: AWS Account Management API Reference, PutAlternateContact.
func TestAContactEmailIsOneThatAWSAccepts(t *testing.T) {
	t.Parallel()
	accepted := func(email string) bool {
		wrong := Request{AlternateContact: &AlternateContact{Email: email}}.Validate()
		return !slices.ContainsFunc(wrong, func(e FieldError) bool { return e.Field == "aws_alternate_contact.email" })
	}
	for _, email := range []string{"a..b@docomo.ne.jp", "a.@ezweb.ne.jp", ".a@docomo.ne.jp", "a+b=c#d|e!f&g-h_i@x-y.example", "a@b..example", strings.Repeat("a", 254-10) + "@b.example"} {
		require.True(t, accepted(email), email)
	}
	for _, email := range []string{"", "a", "a@b", "a@b.", "a b@c.example", " a@b.example", "a@b.example ", "a@b.example\n", "a@b@c.example", "ä@b.example", "a%b@c.example", strings.Repeat("a", 255-10) + "@b.example"} {
		require.False(t, accepted(email), "%q", email)
	}
}

func TestTheKindOfAnExistingReport(t *testing.T) {
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

// TestACorrectionOfTheReport: a report has a name and, where that is not enough, a kind. Another name has another kind.
func TestACorrectionOfTheReport(t *testing.T) {
	t.Parallel()
	asked := Failure{Code: CodeReportAmbiguous, Field: "use_existing_cur"}
	ordered := Request{UseExistingCUR: "usage"}
	kind, name, none := DataExport, "weekly", ""
	byKind := Correction{ExistingCURKind: &kind}
	require.True(t, byKind.Answers(asked))
	corrected := byKind.Apply(ordered)
	require.Equal(t, Request{UseExistingCUR: "usage", ExistingCURKind: DataExport}, corrected)
	for _, another := range []*string{&name, &none} {
		byName := Correction{UseExistingCUR: another}
		require.True(t, byName.Answers(asked))
		require.Equal(t, Request{UseExistingCUR: *another}, byName.Apply(corrected))
	}
	require.False(t, byKind.Answers(Failure{Field: "iam_user_name"}))
}
