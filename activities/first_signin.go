package activities

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/iampolicy"
	"quartermaster/internal/provision"
)

// A customer must choose a password at the first sign-in. One who may not is locked out, and only an administrator of the account can
// help. So Inspect checks the policies that decide it before anything is changed.
// Source: IAM User Guide, "Permit IAM users to change their own passwords".

// firstSignIn returns the questions that IAM asks at a first sign-in. AWS's policy IAMUserChangePassword does not answer them: it names the
// user without a path.
func (w Assignment) firstSignIn() []iampolicy.Question {
	name := w.Request.IAMUserName
	user := fmt.Sprintf("arn:%s:iam::%s:user%s%s", w.Account.Partition(), w.Account.ID, userPath, name)
	return []iampolicy.Question{
		{Action: "iam:ChangePassword", Resource: user, UserName: name},
		{Action: "iam:GetAccountPasswordPolicy", Resource: "*", UserName: name},
	}
}

// checkFirstSignIn returns a failure when the permissions boundary or a policy of the pool's settings locks the customer out, or when
// no policy allows the customer to choose a password. It returns warnings about what may lock the customer out, now or later.
func checkFirstSignIn(ctx context.Context, s *awscloud.Session, w Assignment) (warnings []string, err error) {
	read, err := readSignInPolicies(ctx, s, w)
	if err != nil {
		return nil, err
	}
	boundary, err := read.boundaryAnswer(w)
	if err != nil {
		return nil, err
	}
	if boundary != iampolicy.Allowed {
		warnings = append(warnings, fmt.Sprintf("Quartermaster could not find out whether the permissions boundary %s lets the "+
			"customer choose a password at the first sign-in: "+
			"it must allow iam:ChangePassword and iam:GetAccountPasswordPolicy.", w.Settings.PermissionsBoundary))
	}
	// A password can be replaced until it expires. Source: IAM API Reference, PasswordPolicy, HardExpiry.
	if days := aws.ToInt32(read.account.MaxPasswordAge); aws.ToBool(read.account.HardExpiry) && days > 0 {
		warnings = append(warnings, fmt.Sprintf("Under the account's password policy, a password expires after %d days and the user "+
			"cannot replace an expired one: "+
			"the customer must sign in before that.", days))
	}
	switch read.policiesAnswer(w) {
	case iampolicy.Denied:
		return nil, lockedOut(w, "the policies of the pool's settings deny iam:ChangePassword or iam:GetAccountPasswordPolicy")
	case iampolicy.NotAllowed:
		return nil, withCause(&provision.Failure{Code: provision.CodePoolSettingsRefused,
			Reason: fmt.Sprintf("the customer could not choose a password at the first sign-in in account %s: no policy of the pool's "+
				"settings allows iam:ChangePassword on a user under %s "+
				"(AWS's IAMUserChangePassword covers only users without a path). Set AllowUsersToChangePassword in the account's password "+
				"policy, or add a policy that allows it to the settings, then retry the order", w.Account.ID, userPath)}, read.noAccountPolicy)
	case iampolicy.Unknown:
		warnings = append(warnings, "Quartermaster could not find out whether the customer can choose a password at the first "+
			"sign-in: it depends on a condition in the policies of the pool's "+
			"settings, or on a policy that cannot be read. They must allow iam:ChangePassword without multi-factor authentication.")
	}
	return warnings, nil
}

func lockedOut(w Assignment, why string) error {
	return &provision.Failure{Code: provision.CodePoolSettingsRefused,
		Reason: fmt.Sprintf("%s in account %s, so the customer could not choose a password at the first sign-in: allow both, or "+
			"change the settings of the pool, then retry the order", why, w.Account.ID)}
}

// signInPolicies are the policies that decide about a first sign-in.
type signInPolicies struct {
	boundary        readPolicy // zero when the settings name none
	user            []readPolicy
	account         iamtypes.PasswordPolicy // zero when the account has AWS's default policy
	noAccountPolicy error                   // AWS's answer in that case
}

// readPolicy is a managed policy, or AWS's answer that there is none. Both are nil when the role may not read the policy, or when package
// iampolicy cannot evaluate it.
type readPolicy struct {
	policy  *iampolicy.Policy
	missing error
}

// readSignInPolicies reads the policies in parallel.
func readSignInPolicies(ctx context.Context, s *awscloud.Session, w Assignment) (read signInPolicies, err error) {
	into := func(read *readPolicy, arn string) func(context.Context) error {
		return func(ctx context.Context) error {
			policy, err := s.Policy(ctx, arn)
			switch {
			case awscloud.IsNotFound(err):
				read.missing = err
			case err != nil && !awscloud.IsAccessDenied(err):
				return err
			}
			read.policy = policy
			return nil
		}
	}
	var reads []func(context.Context) error
	if arn := w.Settings.PermissionsBoundary; arn != "" {
		reads = append(reads, into(&read.boundary, arn))
	}
	reads = append(reads, func(ctx context.Context) error {
		out, err := s.IAM.GetAccountPasswordPolicy(ctx, &iam.GetAccountPasswordPolicyInput{})
		switch {
		case awscloud.IsNotFound(err):
			read.noAccountPolicy = err
		case err != nil:
			return err
		case out.PasswordPolicy != nil:
			read.account = *out.PasswordPolicy
		}
		return nil
	})
	read.user = make([]readPolicy, len(w.Settings.UserPolicyARNs))
	for i, arn := range w.Settings.UserPolicyARNs {
		reads = append(reads, into(&read.user[i], arn))
	}
	err = inParallel(ctx, reads...)
	return read, err
}

// boundaryAnswer returns the answer of the settings' permissions boundary, Allowed or Unknown, or a failure.
func (r signInPolicies) boundaryAnswer(w Assignment) (iampolicy.Answer, error) {
	arn := w.Settings.PermissionsBoundary
	switch {
	case arn == "":
		return iampolicy.Allowed, nil
	case r.boundary.missing != nil:
		return iampolicy.Unknown, boundaryRefused(w, r.boundary.missing)
	case r.boundary.policy == nil:
		return iampolicy.Unknown, nil
	}
	answer := w.decide(r.boundary.policy)
	if answer == iampolicy.NotAllowed || answer == iampolicy.Denied {
		return answer, lockedOut(w, "the permissions boundary "+arn+" of the pool's settings does not allow iam:ChangePassword and "+
			"iam:GetAccountPasswordPolicy")
	}
	return answer, nil
}

// policiesAnswer returns the answer of the user's policies together. The account's password policy may allow all users to change their
// passwords. CreateUser reports a policy that is missing, when it attaches it.
func (r signInPolicies) policiesAnswer(w Assignment) iampolicy.Answer {
	var together []*iampolicy.Policy
	if r.account.AllowUsersToChangePassword {
		together = append(together, passwordPolicyGrant)
	}
	unread := false
	for _, read := range r.user {
		switch {
		case read.policy != nil:
			together = append(together, read.policy)
		case read.missing == nil:
			unread = true
		}
	}
	answer := w.decide(together...)
	if answer == iampolicy.NotAllowed && unread {
		answer = iampolicy.Unknown
	}
	return answer
}

// passwordPolicyGrant is what a password policy grants to all users when it lets them change their own passwords.
// Source: IAM API Reference, PasswordPolicy, AllowUsersToChangePassword.
var passwordPolicyGrant = iampolicy.Allow("iam:ChangePassword", "iam:GetAccountPasswordPolicy")

// decide returns the worst of the policies' answers to the questions of a first sign-in.
func (w Assignment) decide(policies ...*iampolicy.Policy) iampolicy.Answer {
	worst := iampolicy.Allowed
	for _, q := range w.firstSignIn() {
		answer := iampolicy.Decide(q, policies...)
		if answer == iampolicy.Denied {
			return answer
		}
		worst = min(worst, answer)
	}
	return worst
}
