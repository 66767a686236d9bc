package awssim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/account"
	accounttypes "github.com/aws/aws-sdk-go-v2/service/account/types"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

func contact() *accounttypes.ContactInformation {
	return &accounttypes.ContactInformation{
		FullName: aws.String("Customer GmbH"), AddressLine1: aws.String("1 Main St"), City: aws.String("Berlin"),
		StateOrRegion: aws.String("BE"), PostalCode: aws.String("10115"), CountryCode: aws.String("DE"),
		PhoneNumber: aws.String("+49 30 1234567"),
	}
}

func billing() *account.PutAlternateContactInput {
	return &account.PutAlternateContactInput{
		AlternateContactType: accounttypes.AlternateContactTypeBilling, Name: aws.String("Bea Bill"), Title: aws.String("CFO"),
		EmailAddress: aws.String("bea@example.com"), PhoneNumber: aws.String("+49 30 7654321"),
	}
}

func TestPrimaryContactIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withAccount(func(a *awssim.Account) { a.Contact.CompanyName = "Provider" })), t.Context()
	put := func(c *accounttypes.ContactInformation) error {
		_, err := w.account.PutContactInformation(ctx, &account.PutContactInformationInput{ContactInformation: c})
		return err
	}
	require.NoError(t, put(contact()))
	got, err := w.account.GetContactInformation(ctx, &account.GetContactInformationInput{})
	require.NoError(t, err)
	require.Equal(t, contact(), got.ContactInformation, "the company's name was not sent, so it is gone")
	require.NoError(t, put(contact()))
	require.Len(t, w.effects(), 1, "writing the same again changes nothing")

	full := contact()
	full.AddressLine2, full.AddressLine3, full.DistrictOrCounty = aws.String("2"), aws.String("3"), aws.String("Mitte")
	full.CompanyName, full.WebsiteUrl = aws.String("C"), aws.String("https://example.com")
	require.NoError(t, put(full))
	got, err = w.account.GetContactInformation(ctx, &account.GetContactInformationInput{})
	require.NoError(t, err)
	require.Equal(t, full, got.ContactInformation)
}

func TestPrimaryContactIsValidated(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	before := w.sim.Snapshot(accountID)
	for field, change := range map[string]func(*accounttypes.ContactInformation){
		"contactInformation.fullName":      func(c *accounttypes.ContactInformation) { c.FullName = aws.String(strings.Repeat("x", 51)) },
		"contactInformation.phoneNumber":   func(c *accounttypes.ContactInformation) { c.PhoneNumber = aws.String("030 1234567") },
		"contactInformation.companyName":   func(c *accounttypes.ContactInformation) { c.CompanyName = aws.String("") },
		"contactInformation.countryCode":   func(c *accounttypes.ContactInformation) { c.CountryCode = aws.String("DEU") },
		"contactInformation.stateOrRegion": func(c *accounttypes.ContactInformation) { c.StateOrRegion = nil },
	} {
		c := contact()
		change(c)
		_, err := w.account.PutContactInformation(ctx, &account.PutContactInformationInput{ContactInformation: c})
		var invalid *accounttypes.ValidationException
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, accounttypes.ValidationExceptionReasonFieldValidationFailed, invalid.Reason)
		require.Equal(t, field, *invalid.FieldList[0].Name)
		require.NotContains(t, invalid.ErrorMessage(), "1234567", "contact data is sensitive")
	}
	c := contact()
	c.CountryCode, c.StateOrRegion = aws.String("AT"), nil
	require.Equal(t, string(before), string(w.sim.Snapshot(accountID)))
	_, err := w.account.PutContactInformation(ctx, &account.PutContactInformationInput{ContactInformation: c})
	require.NoError(t, err, "Austria needs no state")
}

func TestAlternateContacts(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	get := func() (*account.GetAlternateContactOutput, error) {
		return w.account.GetAlternateContact(ctx, &account.GetAlternateContactInput{
			AlternateContactType: accounttypes.AlternateContactTypeBilling,
		})
	}
	_, err := get()
	var missing *accounttypes.ResourceNotFoundException
	require.ErrorAs(t, err, &missing)
	requireStatus(t, err, 404)
	_, err = w.account.PutAlternateContact(ctx, billing())
	require.NoError(t, err)
	got, err := get()
	require.NoError(t, err)
	require.Equal(t, accounttypes.AlternateContact{
		AlternateContactType: accounttypes.AlternateContactTypeBilling, Name: billing().Name, Title: billing().Title,
		EmailAddress: billing().EmailAddress, PhoneNumber: billing().PhoneNumber,
	}, *got.AlternateContact)
	del := &account.DeleteAlternateContactInput{AlternateContactType: accounttypes.AlternateContactTypeBilling}
	_, err = w.account.DeleteAlternateContact(ctx, del)
	require.NoError(t, err)
	_, err = w.account.DeleteAlternateContact(ctx, del)
	require.ErrorAs(t, err, &missing)

	var invalid *accounttypes.ValidationException
	for _, change := range []func(*account.PutAlternateContactInput){
		func(in *account.PutAlternateContactInput) { in.AlternateContactType = "LEGAL" },
		func(in *account.PutAlternateContactInput) { in.EmailAddress = aws.String("bea at example.com") },
		func(in *account.PutAlternateContactInput) { in.PhoneNumber = aws.String("call me") },
		func(in *account.PutAlternateContactInput) { in.Title = aws.String("") },
	} {
		in := billing()
		change(in)
		_, err = w.account.PutAlternateContact(ctx, in)
		require.ErrorAs(t, err, &invalid)
	}
}

func TestAccountInformation(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	got, err := w.account.GetAccountInformation(ctx, &account.GetAccountInformationInput{})
	require.NoError(t, err)
	require.Equal(t, accountID, *got.AccountId)
	require.Equal(t, "Pool 1", *got.AccountName)
	require.Equal(t, accounttypes.AccountStateActive, got.AccountState)
	require.Equal(t, time.Date(2025, 3, 1, 9, 0, 0, 0, time.UTC), *got.AccountCreatedDate)
	_, err = w.account.GetAccountInformation(ctx, &account.GetAccountInformationInput{AccountId: aws.String(otherID)})
	var denied *accounttypes.AccessDeniedException
	require.ErrorAs(t, err, &denied, "a standalone account must not name an account")
	_, err = w.account.GetPrimaryEmail(ctx, &account.GetPrimaryEmailInput{AccountId: aws.String(accountID)})
	requireCode(t, err, "UnknownOperationException")
	requireStatus(t, err, 400)
}

func TestAccountRateLimits(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, func(o *awssim.Options, _ *awssim.Seed) { o.RateLimits = true }), t.Context()
	put := func() error {
		_, err := w.account.PutContactInformation(ctx, &account.PutContactInformationInput{ContactInformation: contact()})
		return err
	}
	require.NoError(t, put())
	require.NoError(t, put())
	err := put()
	var throttled *accounttypes.TooManyRequestsException
	require.ErrorAs(t, err, &throttled)
	requireStatus(t, err, 429)
	w.clock.Advance(time.Second)
	require.NoError(t, put())
	require.ErrorAs(t, put(), &throttled)
	for range 3 {
		_, err = w.account.GetAccountInformation(ctx, &account.GetAccountInformationInput{})
		require.NoError(t, err)
	}
	_, err = w.account.GetAccountInformation(ctx, &account.GetAccountInformationInput{})
	require.ErrorAs(t, err, &throttled, "a burst of 3 and no more")
}

func TestAnAccountMayNormalizeContacts(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withAccount(func(a *awssim.Account) { a.Quirks.NormalizeContacts = true })), t.Context()
	in := billing()
	in.Name, in.EmailAddress = aws.String(" Bea  Bill "), aws.String(" Bea.Bill@Example.COM ")
	in.PhoneNumber = aws.String("0049 30 7654321")
	_, err := w.account.PutAlternateContact(ctx, in)
	require.NoError(t, err)
	got, err := w.account.GetAlternateContact(ctx, &account.GetAlternateContactInput{AlternateContactType: in.AlternateContactType})
	require.NoError(t, err)
	require.Equal(t, "Bea Bill", *got.AlternateContact.Name)
	require.Equal(t, "bea.bill@example.com", *got.AlternateContact.EmailAddress)
	require.Equal(t, "+49307654321", *got.AlternateContact.PhoneNumber)
	_, err = w.account.PutAlternateContact(ctx, in)
	require.NoError(t, err)
	require.Len(t, w.effects(), 1, "writing the same again changes nothing")

	primary := contact()
	primary.FullName = aws.String("Customer   GmbH ")
	_, err = w.account.PutContactInformation(ctx, &account.PutContactInformationInput{ContactInformation: primary})
	require.NoError(t, err)
	read, err := w.account.GetContactInformation(ctx, &account.GetContactInformationInput{})
	require.NoError(t, err)
	want := contact()
	want.PhoneNumber = aws.String("+49301234567")
	require.Equal(t, want, read.ContactInformation)
}

func TestAnAccountThatIsPendingActivationCannotBeBilled(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withReportBucket(), withAccount(func(a *awssim.Account) { a.State = awssim.StatePendingActivation })), t.Context()
	info, err := w.account.GetAccountInformation(ctx, &account.GetAccountInformationInput{})
	require.NoError(t, err)
	require.Equal(t, accounttypes.AccountStatePendingActivation, info.AccountState)
	_, err = w.iam.CreateUser(ctx, createUserInput(userName))
	require.NoError(t, err, "IAM works")
	_, err = w.cur.DescribeReportDefinitions(ctx, &cur.DescribeReportDefinitionsInput{})
	requireCode(t, err, "SubscriptionRequiredException")
	requireStatus(t, err, 400)
	_, err = w.exports.ListExports(ctx, &bcmdataexports.ListExportsInput{})
	requireCode(t, err, "SubscriptionRequiredException")
	_, err = w.s3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String(bucket)})
	requireCode(t, err, "NotSignedUp")
	requireStatus(t, err, 403)

	require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) { a.State = awssim.StateClosed }))
	info, err = w.account.GetAccountInformation(ctx, &account.GetAccountInformationInput{})
	require.NoError(t, err, "a session that was there before lives on")
	require.Equal(t, accounttypes.AccountStateClosed, info.AccountState)
	_, err = w.sts.AssumeRole(ctx, w.assumeInput(accountID))
	requireCode(t, err, "AccessDenied")
	require.ErrorContains(t, w.sim.Edit(accountID, func(a *awssim.Account) { a.State = "GONE" }), "CLOSED")
}
