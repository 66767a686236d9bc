package inaws

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/account"
	accounttypes "github.com/aws/aws-sdk-go-v2/service/account/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

// SessionPrefix begins the names of the reconciler's role sessions. The trust policy that we ship allows it.
const SessionPrefix = "verify-"

// session is the rest of that name. The account's CloudTrail shows both.
const session = "reconcile"

// The tags of what an order creates. A test in package activities makes sure that both packages use the same.
const (
	tagOrder = "mp:order-id"
	tagNonce = "mp:order-nonce"
)

// Cloud is reconcile.Cloud on AWS. Sessions must enter accounts with SessionPrefix.
type Cloud struct{ Sessions *awscloud.Cloud }

// HasUser reports whether the account has an IAM user of that name which the order created. If AWS refuses the read because of
// this account, that is a problem of the account; if AWS refuses our own identity or does not answer, that is an error.
func (c Cloud) HasUser(
	ctx context.Context, account provision.Account, name string, order provision.OrderKey, nonce string,
) (has bool, problem string, err error) {
	s, err := c.Sessions.OpenSession(ctx, account, session)
	if err != nil {
		problem, err = problemOf(err, "the account cannot be entered")
		return false, problem, err
	}
	out, err := s.IAM.GetUser(ctx, &iam.GetUserInput{UserName: aws.String(name)})
	if awscloud.IsNotFound(err) {
		return false, "", nil
	}
	if err != nil {
		problem, err = problemOf(err, "the account's IAM users cannot be read")
		return false, problem, err
	}
	tags := map[string]string{}
	for _, tag := range out.User.Tags {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return tags[tagOrder] == order.String() && tags[tagNonce] == nonce, "", nil
}

// Written reads what orders write to an account, unless the customer may have signed in as the user: the password was used,
// was changed, or no longer exists.
func (c Cloud) Written(
	ctx context.Context, acc provision.Account, user string,
) (now reconcile.Written, customers bool, problem string, err error) {
	s, err := c.Sessions.OpenSession(ctx, acc, session)
	if err != nil {
		problem, err = problemOf(err, "the account cannot be entered")
		return now, false, problem, err
	}
	if customers, err = signedIn(ctx, s, user); customers || err != nil {
		problem, err = problemOf(err, "the account's IAM users cannot be read")
		return now, customers, problem, err
	}
	if now, err = read(ctx, s); err != nil {
		problem, err = problemOf(err, "the account's alias and contacts cannot be read")
	}
	return now, false, problem, err
}

// signedIn reports whether the customer may have signed in as the user.
func signedIn(ctx context.Context, s *awscloud.Session, name string) (bool, error) {
	profile, err := s.IAM.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: aws.String(name)})
	if awscloud.IsNotFound(err) {
		return true, nil
	}
	if err != nil || !profile.LoginProfile.PasswordResetRequired {
		return err == nil, err
	}
	user, err := s.IAM.GetUser(ctx, &iam.GetUserInput{UserName: aws.String(name)})
	if err != nil {
		return false, err
	}
	return user.User.PasswordLastUsed != nil, nil
}

// read reads the alias and the contacts of an account.
func read(ctx context.Context, s *awscloud.Session) (now reconcile.Written, err error) {
	aliases, err := s.IAM.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{})
	if err != nil {
		return now, err
	}
	if len(aliases.AccountAliases) > 0 { // an account has at most one
		now.Alias = aliases.AccountAliases[0]
	}
	primary, err := s.Account.GetContactInformation(ctx, &account.GetContactInformationInput{})
	if err != nil {
		return now, err
	}
	if primary.ContactInformation != nil {
		now.ContactName = aws.ToString(primary.ContactInformation.FullName)
	}
	now.Alternates = map[string]provision.AlternateContact{}
	for _, kind := range accounttypes.AlternateContactType("").Values() {
		out, err := s.Account.GetAlternateContact(ctx, &account.GetAlternateContactInput{AlternateContactType: kind})
		if awscloud.IsNotFound(err) {
			continue
		}
		if err != nil {
			return now, err
		}
		if contact := out.AlternateContact; contact != nil {
			now.Alternates[string(kind)] = provision.AlternateContact{
				Name:  aws.ToString(contact.Name),
				Email: aws.ToString(contact.EmailAddress),
				Phone: aws.ToString(contact.PhoneNumber),
				Title: aws.ToString(contact.Title),
			}
		}
	}
	return now, nil
}

// problemOf distinguishes a problem of the account from an error. It describes the problem without AWS's text.
func problemOf(err error, what string) (string, error) {
	_, isWrong := errors.AsType[*awscloud.IdentityError](err)
	switch {
	case isWrong:
		return what + ": its role leads into another account", nil
	case awscloud.IsBadCredentials(err):
		return "", err
	case awscloud.IsAccessDenied(err), awscloud.IsAccountProblem(err), awscloud.IsValidation(err):
		return what + " (" + awscloud.Code(err) + ")", nil
	}
	return "", err
}
