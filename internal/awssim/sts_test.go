package awssim_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/account"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

func TestAssumeRoleIssuesCredentialsOfTheAccount(t *testing.T) {
	t.Parallel()
	w := setup(t)
	out, err := w.sts.AssumeRole(t.Context(), w.assumeInput(accountID))
	require.NoError(t, err)
	require.Equal(t, "arn:aws:sts::"+accountID+":assumed-role/quartermaster/ord-1", *out.AssumedRoleUser.Arn)
	require.Equal(t, w.clock.Now().Add(time.Hour), *out.Credentials.Expiration)
	require.Regexp(t, `^ASIA[A-Z2-7]{16}$`, *out.Credentials.AccessKeyId)

	session := sts.NewFromConfig(w.config(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken))
	identity, err := session.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	require.NoError(t, err)
	require.Equal(t, accountID, *identity.Account)
	require.Equal(t, *out.AssumedRoleUser.Arn, *identity.Arn)

	own, err := w.sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	require.NoError(t, err)
	require.Equal(t, "999988887777", *own.Account)
	require.Equal(t, principalARN, *own.Arn)
}

func TestAssumeRoleRefusesWithoutDisclosing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stranger := sts.NewFromConfig(w.config("AKIASTRANGER00000000", "stranger-secret", ""))
	for name, c := range map[string]struct {
		client *sts.Client
		change func(*sts.AssumeRoleInput)
	}{
		"untrusted caller":  {stranger, func(*sts.AssumeRoleInput) {}},
		"no external id":    {w.sts, func(in *sts.AssumeRoleInput) { in.ExternalId = nil }},
		"wrong external id": {w.sts, func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("ext-" + otherID) }},
		"session name":      {w.sts, func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("someone") }},
		"missing role":      {w.sts, func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String("arn:aws:iam::" + accountID + ":role/none") }},
		"missing account": {w.sts, func(in *sts.AssumeRoleInput) {
			in.RoleArn = aws.String("arn:aws:iam::123456789012:role/quartermaster")
		}},
		"suspended account": {w.sts, func(in *sts.AssumeRoleInput) { *in = *w.assumeInput(suspendedID) }},
		"a tag that is not ours": {w.sts, func(in *sts.AssumeRoleInput) {
			in.Tags = []ststypes.Tag{{Key: aws.String("Team"), Value: aws.String("x")}}
		}},
	} {
		in := w.assumeInput(accountID)
		c.change(in)
		_, err := c.client.AssumeRole(t.Context(), in)
		e := requireCode(t, err, "AccessDenied")
		requireStatus(t, err, 403)
		require.Containsf(t, e, "is not authorized to perform: sts:AssumeRole on resource: "+*in.RoleArn, name)
	}
}

func TestAssumeRoleTrustsOrdersAndVerifications(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, session := range []string{"ord-9", "verify-9"} {
		in := w.assumeInput(accountID)
		in.RoleSessionName = aws.String(session)
		_, err := w.sts.AssumeRole(t.Context(), in)
		require.NoError(t, err, session)
	}
}

func TestSourceIdentityAndTagsNeedATrustOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tagged, named := w.assumeInput(accountID), w.assumeInput(accountID)
	tagged.Tags = []ststypes.Tag{{Key: aws.String("OrderId"), Value: aws.String("9")}}
	named.SourceIdentity = aws.String("order-9")
	for _, in := range []*sts.AssumeRoleInput{tagged, named} {
		_, err := w.sts.AssumeRole(t.Context(), in)
		requireCode(t, err, "AccessDenied")
	}
	require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) {
		a.Role.TrustPolicy = json.RawMessage(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + principalARN +
			`"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}}`)
	}))
	for _, in := range []*sts.AssumeRoleInput{tagged, named} {
		out, err := w.sts.AssumeRole(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, in.SourceIdentity, out.SourceIdentity)
	}
}

func TestARoleWithoutExternalIDCanBeAssumedByAnyPartyThatItTrusts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) { a.Role.ExternalID = "" }))
	in := w.assumeInput(accountID)
	in.ExternalId = nil
	_, err := w.sts.AssumeRole(t.Context(), in)
	require.NoError(t, err, "the check for a confused deputy must be able to find such a role")
}

func TestAssumeRoleLimitsTheSession(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, seconds := range []int32{60, 3601, 50000} {
		in := w.assumeInput(accountID)
		in.DurationSeconds = aws.Int32(seconds)
		_, err := w.sts.AssumeRole(t.Context(), in)
		requireCode(t, err, "ValidationError")
		requireStatus(t, err, 400)
	}
	require.NoError(t, w.sim.Edit(otherID, func(a *awssim.Account) { a.Role.MaxSessionSeconds = 43200 }))
	require.NoError(t, w.sim.Edit(otherID, func(a *awssim.Account) {
		a.Role.TrustedPrincipal = "arn:aws:iam::" + accountID +
			":role/quartermaster"
	}))
	chained := sts.NewFromConfig(w.config(w.assume(accountID)))
	in := w.assumeInput(otherID)
	in.DurationSeconds = aws.Int32(7200)
	_, err := chained.AssumeRole(t.Context(), in)
	require.Contains(t, requireCode(t, err, "ValidationError"), "1 hour")
	in.DurationSeconds = aws.Int32(3600)
	_, err = chained.AssumeRole(t.Context(), in)
	require.NoError(t, err)
}

func TestAssumeRoleRefusesBadPolicies(t *testing.T) {
	t.Parallel()
	w := setup(t)
	in := w.assumeInput(accountID)
	in.Policy = aws.String(`{"Version":"2012-10-17"}`)
	_, err := w.sts.AssumeRole(t.Context(), in)
	var malformed *ststypes.MalformedPolicyDocumentException
	require.ErrorAs(t, err, &malformed)

	in.Policy = aws.String(allPowers + strings.Repeat(" ", 2100))
	_, err = w.sts.AssumeRole(t.Context(), in)
	var tooLarge *ststypes.PackedPolicyTooLargeException
	require.ErrorAs(t, err, &tooLarge)
}

func TestSessionPolicyNarrowsTheRole(t *testing.T) {
	t.Parallel()
	w := setup(t)
	in := w.assumeInput(accountID)
	in.Policy = aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListAccountAliases","Resource":"*"}]}`)
	out, err := w.sts.AssumeRole(t.Context(), in)
	require.NoError(t, err)
	w.use(w.config(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken))
	_, err = w.iam.ListAccountAliases(t.Context(), &iam.ListAccountAliasesInput{})
	require.NoError(t, err)
	_, err = w.iam.GetAccountPasswordPolicy(t.Context(), &iam.GetAccountPasswordPolicyInput{})
	requireCode(t, err, "AccessDenied")
}

func TestSessionsExpireByTheClock(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.clock.Advance(time.Hour - time.Second)
	_, err := w.iam.ListAccountAliases(t.Context(), &iam.ListAccountAliasesInput{})
	require.NoError(t, err)
	w.clock.Advance(time.Second)
	for code, call := range w.oneCallEach(t) {
		requireCode(t, call(), map[string]string{
			"sts": "ExpiredToken", "iam": "ExpiredToken", "s3": "ExpiredToken",
			"account": "ExpiredTokenException", "cur": "ExpiredTokenException", "bcm-data-exports": "ExpiredTokenException",
		}[code])
	}
}

// oneCallEach is a harmless read of every service with the role's credentials.
func (w *world) oneCallEach(t *testing.T) map[string]func() error {
	t.Helper()
	return map[string]func() error{
		"iam": func() error {
			_, err := w.iam.ListAccountAliases(t.Context(), &iam.ListAccountAliasesInput{})
			return err
		},
		"account": func() error {
			_, err := w.account.GetContactInformation(t.Context(), &account.GetContactInformationInput{})
			return err
		},
		"cur": func() error {
			_, err := w.cur.DescribeReportDefinitions(t.Context(), &cur.DescribeReportDefinitionsInput{})
			return err
		},
		"bcm-data-exports": func() error {
			_, err := w.exports.ListExports(t.Context(), &bcmdataexports.ListExportsInput{})
			return err
		},
		"s3": func() error {
			_, err := w.s3.GetBucketLocation(t.Context(), &s3.GetBucketLocationInput{Bucket: aws.String(bucket)})
			return err
		},
	}
}

func TestSignaturesAreVerified(t *testing.T) {
	t.Parallel()
	w := setup(t)
	key, secret, token := w.assume(accountID)
	codes := map[string][3]string{ // wrong secret, wrong token, unknown key
		"iam":              {"SignatureDoesNotMatch", "InvalidClientTokenId", "InvalidClientTokenId"},
		"account":          {"InvalidSignatureException", "UnrecognizedClientException", "UnrecognizedClientException"},
		"cur":              {"InvalidSignatureException", "UnrecognizedClientException", "UnrecognizedClientException"},
		"bcm-data-exports": {"InvalidSignatureException", "UnrecognizedClientException", "UnrecognizedClientException"},
		"s3":               {"SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidAccessKeyId"},
	}
	for i, config := range []aws.Config{
		w.config(key, secret+"x", token), w.config(key, secret, token+"x"), w.config("ASIANOBODYNOBODYNOBO", secret, token),
	} {
		w.use(config)
		for service, call := range w.oneCallEach(t) {
			requireCode(t, call(), codes[service][i])
		}
	}
	wrong := sts.NewFromConfig(w.config("AKIAPROVISIONER00000", "not the secret", ""))
	_, err := wrong.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	requireCode(t, err, "SignatureDoesNotMatch")
	require.Equal(t, "SignatureDoesNotMatch", w.last().Decision)
	require.Equal(t, "sts", w.last().Service)
}

func TestGlobalServicesAcceptOnlyTheirRegion(t *testing.T) {
	t.Parallel()
	w := setup(t)
	config := w.config(w.assume(accountID))
	config.Region = "eu-west-1"
	w.use(config)
	for service, code := range map[string]string{
		"iam": "SignatureDoesNotMatch", "account": "InvalidSignatureException", "cur": "InvalidSignatureException",
		"bcm-data-exports": "InvalidSignatureException",
	} {
		e := requireCode(t, w.oneCallEach(t)[service](), code)
		require.Contains(t, e, "Credential should be scoped to a valid region", service)
	}
	regional := sts.NewFromConfig(config)
	_, err := regional.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	require.NoError(t, err, "STS is regional")
}

func TestSTSCanBeSwitchedOffInARegion(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.NoError(t, w.sim.Edit(otherID, func(a *awssim.Account) {
		a.DisabledSTSRegions, a.EnabledRegions = []string{"eu-west-1"}, []string{"eu-south-1"}
	}))
	assume := func(account, region string) error {
		config := w.config("AKIAPROVISIONER00000", "provisioner-secret", "")
		config.Region = region
		_, err := sts.NewFromConfig(config).AssumeRole(t.Context(), w.assumeInput(account))
		return err
	}
	for _, region := range []string{"eu-west-1", "af-south-1"} {
		var disabled *ststypes.RegionDisabledException
		require.ErrorAs(t, assume(otherID, region), &disabled)
		requireStatus(t, assume(otherID, region), 403)
		require.NoError(t, assume(accountID, region), "it is the account asked that counts")
	}
	for _, region := range []string{"us-east-1", "eu-central-1", "eu-south-1"} {
		require.NoError(t, assume(otherID, region))
	}
	require.ErrorContains(t, w.sim.Edit(otherID, func(a *awssim.Account) { a.DisabledSTSRegions = []string{"us-east-1"} }),
		"cannot be switched off")
	require.ErrorContains(t, w.sim.Edit(otherID, func(a *awssim.Account) { a.EnabledRegions = []string{"eu-east-7"} }), "eu-east-7")
}
