package activities

import (
	"context"
	"fmt"
	"net/url"

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
	boundary, err := boundaryAnswer(ctx, s, w)
	if err != nil {
		return nil, err
	}
	if boundary != iampolicy.Allowed {
		warnings = append(warnings, fmt.Sprintf("Quartermaster could not find out whether the permissions boundary %s lets the "+
			"customer choose a password at the first sign-in: "+
			"it must allow iam:ChangePassword and iam:GetAccountPasswordPolicy.", w.Settings.PermissionsBoundary))
	}
	out, noPolicy := s.IAM.GetAccountPasswordPolicy(ctx, &iam.GetAccountPasswordPolicyInput{})
	if awscloud.IgnoreNotFound(noPolicy) != nil { // not found: AWS's default policy
		return nil, noPolicy
	}
	account := &iamtypes.PasswordPolicy{}
	if noPolicy == nil && out.PasswordPolicy != nil {
		account = out.PasswordPolicy
	}
	// A password can be replaced until it expires. Source: IAM API Reference, PasswordPolicy, HardExpiry.
	if days := aws.ToInt32(account.MaxPasswordAge); aws.ToBool(account.HardExpiry) && days > 0 {
		warnings = append(warnings, fmt.Sprintf("Under the account's password policy, a password expires after %d days and the user "+
			"cannot replace an expired one: "+
			"the customer must sign in before that.", days))
	}
	answer, err := policiesAnswer(ctx, s, w, account.AllowUsersToChangePassword)
	switch {
	case err != nil:
		return nil, err
	case answer == iampolicy.Denied:
		return nil, lockedOut(w, "the policies of the pool's settings deny iam:ChangePassword or iam:GetAccountPasswordPolicy")
	case answer == iampolicy.NotAllowed:
		return nil, withCause(&provision.Failure{Code: provision.CodePoolSettingsRefused,
			Reason: fmt.Sprintf("the customer could not choose a password at the first sign-in in account %s: no policy of the pool's "+
				"settings allows iam:ChangePassword on a user under %s "+
				"(AWS's IAMUserChangePassword covers only users without a path). Set AllowUsersToChangePassword in the account's password "+
				"policy, or add a policy that allows it to the settings, then retry the order", w.Account.ID, userPath)}, noPolicy)
	case answer == iampolicy.Unknown:
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

// boundaryAnswer returns the answer of the settings' permissions boundary, Allowed or Unknown, or a failure.
func boundaryAnswer(ctx context.Context, s *awscloud.Session, w Assignment) (iampolicy.Answer, error) {
	arn := w.Settings.PermissionsBoundary
	if arn == "" {
		return iampolicy.Allowed, nil
	}
	policy, err := readPolicy(ctx, s, arn)
	if awscloud.IsNotFound(err) {
		return iampolicy.Unknown, boundaryRefused(w, err)
	}
	if err != nil || policy == nil {
		return iampolicy.Unknown, err
	}
	answer := w.decide(policy)
	if answer == iampolicy.NotAllowed || answer == iampolicy.Denied {
		return answer, lockedOut(w, "the permissions boundary "+arn+" of the pool's settings does not allow iam:ChangePassword and "+
			"iam:GetAccountPasswordPolicy")
	}
	return answer, nil
}

// policiesAnswer returns the answer of the user's policies together. The account's password policy may allow all users to change their
// passwords.
func policiesAnswer(ctx context.Context, s *awscloud.Session, w Assignment, allUsers bool) (iampolicy.Answer, error) {
	var together []*iampolicy.Policy
	if allUsers {
		together = append(together, passwordPolicyGrant)
	}
	unread := false
	for _, arn := range w.Settings.UserPolicyARNs {
		policy, err := readPolicy(ctx, s, arn)
		switch {
		case awscloud.IsNotFound(err): // CreateUser reports it when it attaches the policy
			continue
		case err != nil:
			return iampolicy.Unknown, err
		case policy == nil:
			unread = true
		default:
			together = append(together, policy)
		}
	}
	answer := w.decide(together...)
	if answer == iampolicy.NotAllowed && unread {
		answer = iampolicy.Unknown
	}
	return answer, nil
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

// readPolicy reads a managed policy. It returns nil when the role may not read it, or when package iampolicy cannot evaluate it.
func readPolicy(ctx context.Context, s *awscloud.Session, arn string) (*iampolicy.Policy, error) {
	document, err := policyDocument(ctx, s, arn)
	if awscloud.IsAccessDenied(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	policy, err := iampolicy.Parse(document)
	if err != nil {
		return nil, nil //nolint:nilerr // AWS accepts policies that package iampolicy does not
	}
	return policy, nil
}

// policyDocument reads the version of a policy that counts.
func policyDocument(ctx context.Context, s *awscloud.Session, arn string) (string, error) {
	policy, err := s.IAM.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String(arn)})
	if err != nil || policy.Policy == nil {
		return "", err
	}
	version, err := s.IAM.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: aws.String(arn),
		VersionId: policy.Policy.DefaultVersionId})
	if err != nil || version.PolicyVersion == nil {
		return "", err
	}
	return url.QueryUnescape(aws.ToString(version.PolicyVersion.Document)) // IAM API Reference, GetPolicyVersion: URL-encoded
}
