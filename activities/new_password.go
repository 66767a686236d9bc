package activities

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// AskedPassword is the input of BeginPassword and NotePassword: a request for a new password.
type AskedPassword struct {
	Order   provision.OrderKey        `json:"order"`
	Request provision.PasswordRequest `json:"request"`
}

// BeginPassword accepts a request for a new password and returns the account in which it is set.
func (a *Activities) BeginPassword(ctx context.Context, in AskedPassword) (accountID string, err error) {
	accountID, err = a.Passwords.Request(ctx, in.Order, in.Request)
	return accountID, conclude(ctx, err, provision.StepNewPassword)
}

// NotePassword records a request that came while the password of an earlier one was being set, and got that password.
func (a *Activities) NotePassword(ctx context.Context, in AskedPassword) error {
	return conclude(ctx, a.Orders.NoteAction(ctx, in.Order, in.Request.Action(), in.Request.By), provision.StepNewPassword)
}

// EndedPassword is the input of EndPassword.
type EndedPassword struct {
	Order     provision.OrderKey        `json:"order"`
	RequestID string                    `json:"request_id"`
	Outcome   provision.PasswordOutcome `json:"outcome"`
}

// EndPassword records the outcome of a request for a new password. The link to the password works from then on.
func (a *Activities) EndPassword(ctx context.Context, in EndedPassword) error {
	return conclude(ctx, a.Passwords.EndRequest(ctx, in.Order, in.RequestID, in.Outcome.Refused), provision.StepNewPassword)
}

// SetPassword is the input of the activity SetPassword.
type SetPassword struct {
	Work
	Request provision.PasswordRequest `json:"request"`
}

// SetPassword sets a new password that the customer must change at the next sign-in. It looks at the sign-in first, and leaves it alone if
// the customer has made it their own. Before AWS gets the password, it is sealed and stored, and the link to the earlier one ends. A retry
// looks again and sends the stored password again, so it does not matter whether AWS had received it.
func (a *Activities) SetPassword(ctx context.Context, in SetPassword) (struct{}, error) {
	return struct{}{}, a.step(ctx, in.Work, provision.StepNewPassword, func(ctx context.Context, w Assignment) error {
		s, err := a.openSession(ctx, w)
		if err != nil {
			return err
		}
		if err := a.userIsTheCustomers(ctx, s, w); err != nil {
			return err
		}
		profile, err := a.seenSignIn(ctx, s, w.Request.IAMUserName, a.Timings.absentFor())
		if err != nil {
			return err
		}
		if err := mayReplace(profile, in.Request.EvenIfUsed); err != nil {
			return err
		}
		err = a.sendNewPassword(ctx, s, w, in.Request.By, profile != nil, false)
		if awscloud.IsPasswordPolicyViolation(err) { // it has changed since the password was generated, or the password was used before
			err = a.sendNewPassword(ctx, s, w, in.Request.By, profile != nil, true)
		}
		if err != nil {
			return err
		}
		seen, err := a.waitStable(ctx, func(ctx context.Context) (bool, error) {
			profile, err := loginProfile(ctx, s, w.Request.IAMUserName)
			return profile != nil && profile.PasswordResetRequired, err
		})
		if err == nil && !seen {
			err = notYet("the user's new password")
		}
		return err
	})
}

// userIsTheCustomers returns a failure unless the user is the one that the order created.
func (a *Activities) userIsTheCustomers(ctx context.Context, s *awscloud.Session, w Assignment) error {
	var user *iamtypes.User
	if _, err := a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (_ bool, err error) {
		user, err = findUser(ctx, s, w.Request.IAMUserName)
		return user != nil, err
	}); err != nil {
		return err
	}
	switch {
	case user == nil:
		return &provision.Failure{Code: provision.CodeSignInRemoved, Reason: "the account no longer has the IAM user that the order " +
			"created, so there is no sign-in to give a password: an administrator of the account must create a user"}
	case !w.owns(userTags(user)):
		return &provision.Failure{Code: provision.CodeResourceNotOurs, Reason: "the IAM user no longer has the order's tag " + tagNonce +
			", so it may be another user of the same name, and it was left alone: an administrator of the account must reset its password"}
	}
	return nil
}

// seenSignIn returns the user's login profile; nil when AWS shows none for the given time. Two reads must agree, because the answer
// decides whether the customer's own password is replaced, and one read may lag behind.
func (a *Activities) seenSignIn(
	ctx context.Context, s *awscloud.Session, user string, absentFor time.Duration,
) (profile *iamtypes.LoginProfile, err error) {
	if _, err := a.waitVisible(ctx, absentFor, func(ctx context.Context) (_ bool, err error) {
		profile, err = loginProfile(ctx, s, user)
		return profile != nil, err
	}); err != nil || profile == nil {
		return nil, err
	}
	if err := a.pause(ctx, unhurried); err != nil {
		return nil, err
	}
	again, err := loginProfile(ctx, s, user)
	if err == nil && (again == nil || again.PasswordResetRequired != profile.PasswordResetRequired) {
		err = notYet("one state of the user's sign-in")
	}
	return profile, err
}

// mayReplace returns a failure if the customer has made the sign-in their own, or has removed it, unless an operator insists.
func mayReplace(profile *iamtypes.LoginProfile, evenIfUsed bool) error {
	switch {
	case evenIfUsed || profile != nil && profile.PasswordResetRequired:
		return nil
	case profile == nil:
		return &provision.Failure{Code: provision.CodeSignInRemoved, Reason: "someone in the account has removed the user's password, so the " +
			"user cannot sign in to the console any more: an administrator of the account can set one; an operator can set one with even_if_used"}
	}
	return &provision.Failure{Code: provision.CodeSignInInUse, Reason: "the customer has signed in and chosen a password of their own, " +
		"which is not replaced: an administrator of the account can reset it; an operator can replace it with even_if_used"}
}

// sendNewPassword stores a password for the request, unless one is stored, and sends the stored one to AWS.
func (a *Activities) sendNewPassword(ctx context.Context, s *awscloud.Session, w Assignment, by provision.Intervention,
	exists, replace bool) error {
	length := passwordLength
	if replace {
		var err error
		if length, err = demandedLength(ctx, s); err != nil {
			return err
		}
	}
	sealed, err := a.newPassword(w, length)
	if err != nil {
		return err
	}
	if err := leased(ctx); err != nil { // without a lease AWS would not receive the password, and the earlier link would be lost
		return err
	}
	kept, err := a.Passwords.KeepNew(ctx, w.Order, w.Account.ID, by, sealed, replace)
	if err != nil {
		return err
	}
	opened, err := a.Sealer.Open(kept, provision.PasswordPurpose(w.Order, w.Account.ID))
	if err != nil {
		return err
	}
	user, password := aws.String(w.Request.IAMUserName), aws.String(string(opened))
	return a.retryWhile(ctx, busy, func(ctx context.Context) error {
		if exists {
			_, err := s.IAM.UpdateLoginProfile(ctx, &iam.UpdateLoginProfileInput{UserName: user, Password: password,
				PasswordResetRequired: aws.Bool(true)})
			return err
		}
		_, err := s.IAM.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: user, Password: password, PasswordResetRequired: true})
		return err
	})
}
