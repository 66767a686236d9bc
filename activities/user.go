package activities

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// changePassword is a policy of AWS that every user gets in addition to those of the pool's settings, because users must choose a password
// at the first sign-in. firstSignIn says why it is not enough for users under our path.
// Source: IAM User Guide, "Permit IAM users to change their own passwords".
const changePassword = "arn:aws:iam::aws:policy/IAMUserChangePassword"

// policies returns the managed policies of the order's user.
func (w Assignment) policies() []string {
	out := slices.Clone(w.Settings.UserPolicyARNs)
	if !slices.Contains(out, changePassword) {
		out = append(out, changePassword)
	}
	return out
}

// CreateUser creates the customer's IAM user with its policies. No one can sign in as the user before EnableSignIn.
func (a *Activities) CreateUser(ctx context.Context, in Work) (user provision.User, err error) {
	err = a.step(ctx, in, provision.StepUser, func(ctx context.Context, w Assignment) error {
		s, err := a.openSession(ctx, w)
		if err != nil {
			return err
		}
		created, err := createUser(ctx, s, w)
		switch {
		case awscloud.IsAlreadyExists(err):
			return a.adoptUser(ctx, s, w, &user, err)
		case err != nil:
			return err
		}
		user = userOf(created)
		for _, arn := range w.policies() {
			if err := a.attachPolicy(ctx, s, w, arn); err != nil {
				return err
			}
		}
		return nil
	})
	return user, err
}

// createUser creates the order's user. AWS's success means that there was no user of this name, in any letter case.
func createUser(ctx context.Context, s *awscloud.Session, w Assignment) (*iamtypes.User, error) {
	in := &iam.CreateUserInput{UserName: aws.String(w.Request.IAMUserName), Path: aws.String(userPath), Tags: iamTags(w)}
	if w.Settings.PermissionsBoundary != "" {
		in.PermissionsBoundary = aws.String(w.Settings.PermissionsBoundary)
	}
	out, err := s.IAM.CreateUser(ctx, in)
	if err != nil {
		return nil, boundaryRefused(w, err)
	}
	return out.User, nil
}

func userOf(user *iamtypes.User) provision.User {
	return provision.User{Name: aws.ToString(user.UserName), ID: aws.ToString(user.UserId), ARN: aws.ToString(user.Arn)}
}

// adoptUser decides what "already exists" means: the user is the order's, from an earlier attempt, or it is someone else's. It completes
// the order's user. If that attempt worked under other settings, adoptUser replaces the user where it cannot be changed.
func (a *Activities) adoptUser(ctx context.Context, s *awscloud.Session, w Assignment, adopted *provision.User, exists error) error {
	var user *iamtypes.User
	seen, err := a.waitVisible(ctx, a.Timings.VisibleFor, func(ctx context.Context) (_ bool, err error) {
		user, err = findUser(ctx, s, w.Request.IAMUserName)
		return user != nil, err
	})
	switch {
	case err != nil:
		return err
	case !seen:
		if other, err := userLike(ctx, s, w.Request.IAMUserName); err != nil || other != "" && other != w.Request.IAMUserName {
			return cmp.Or(err, userNameTaken(w))
		}
		return notYetAfter(exists, "the IAM user")
	case !w.owns(userTags(user)):
		return userNameTaken(w)
	case boundaryOf(user) != w.Settings.PermissionsBoundary:
		// No one can sign in as it yet, and the role may not change a boundary.
		if err := a.deleteOutdated(ctx, s, w, user); err != nil {
			return err
		}
		if user, err = createUser(ctx, s, w); err != nil {
			return err
		}
	}
	*adopted = userOf(user)
	return a.correctPolicies(ctx, s, w)
}

// deleteOutdated deletes the order's user that an attempt under earlier settings has created.
func (a *Activities) deleteOutdated(ctx context.Context, s *awscloud.Session, w Assignment, user *iamtypes.User) error {
	if user.PasswordLastUsed != nil {
		return &provision.Failure{Code: provision.CodeResourceNotOurs,
			Reason: "someone has already signed in as the user, which was created under earlier settings of the pool, so it was left " +
				"alone: check the account"}
	}
	left, err := a.deleteUser(ctx, s, createdUser{w, aws.ToString(user.UserId)})
	if err == nil && len(left) > 0 {
		err = userNameTaken(w)
	}
	return err
}

func boundaryOf(user *iamtypes.User) string {
	if user.PermissionsBoundary == nil {
		return ""
	}
	return aws.ToString(user.PermissionsBoundary.PermissionsBoundaryArn)
}

// correctPolicies attaches the policies that an adopted user lacks, and detaches those of earlier settings. Both are harmless when a
// stale list asks for them.
func (a *Activities) correctPolicies(ctx context.Context, s *awscloud.Session, w Assignment) error {
	want := w.policies()
	seen, err := a.waitStable(ctx, func(ctx context.Context) (bool, error) {
		attached, err := attachedPolicies(ctx, s, w.Request.IAMUserName)
		if err != nil {
			return false, awscloud.IgnoreNotFound(err)
		}
		correct := true
		for _, arn := range attached {
			if !slices.Contains(want, arn) {
				correct = false
				if err := a.detachPolicy(ctx, s, w.Request.IAMUserName, arn); err != nil {
					return false, err
				}
			}
		}
		for _, arn := range want {
			if !slices.Contains(attached, arn) {
				correct = false
				if err := a.attachPolicy(ctx, s, w, arn); err != nil {
					return false, err
				}
			}
		}
		return correct, nil
	})
	if err == nil && !seen {
		err = notYet("the policies of the IAM user")
	}
	return err
}

// attachPolicy attaches a policy to the order's user, which exists. Attaching it twice is harmless.
func (a *Activities) attachPolicy(ctx context.Context, s *awscloud.Session, w Assignment, arn string) error {
	err := a.retryWhile(ctx, propagating, func(ctx context.Context) error {
		_, err := s.IAM.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String(w.Request.IAMUserName),
			PolicyArn: aws.String(arn)})
		return err
	})
	if !awscloud.IsNotFound(err) && !awscloud.IsPolicyNotAttachable(err) {
		return err
	}
	// AWS gives the same answer for a policy and for a user that does not exist.
	if user, lookErr := findUser(ctx, s, w.Request.IAMUserName); lookErr != nil || user == nil {
		return cmp.Or(lookErr, notYetAfter(err, "the IAM user"))
	}
	return withCause(&provision.Failure{Code: provision.CodePoolSettingsRefused,
		Reason: fmt.Sprintf("the policy %s of the pool's settings does not exist in account %s, or cannot be attached to a user: "+
			"correct the settings, then retry the order", arn, w.Account.ID)}, err)
}

func (a *Activities) detachPolicy(ctx context.Context, s *awscloud.Session, user, arn string) error {
	return a.remove(ctx, func(ctx context.Context) error {
		_, err := s.IAM.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: aws.String(user), PolicyArn: aws.String(arn)})
		return err
	})
}

// UserUndo is the input of RemoveUser and of DisableSignIn.
type UserUndo struct {
	Work
	// UserID is the id that CreateUser returned. It is empty when that answer was lost; then only the tags show whose the user is.
	UserID string `json:"user_id,omitempty"`
}

// RemoveUser deletes the order's user with everything attached to it. It leaves a user alone that does not carry the order's nonce, or
// whose id is not the recorded one: it is someone else's.
func (a *Activities) RemoveUser(ctx context.Context, in UserUndo) (Undone, error) {
	return a.undo(ctx, in.Work, provision.StepUser, func(ctx context.Context, w Assignment) ([]string, error) {
		s, err := a.openSession(ctx, w)
		if err != nil {
			return nil, err
		}
		return a.deleteUser(ctx, s, createdUser{w, in.UserID})
	})
}

// createdUser is the user that an order created.
type createdUser struct {
	Assignment
	id string // empty: not known
}

// ours reports whether the order created the user. It compares the tags and, if known, the id: a user that someone else created
// later under the same name has another id.
func (w createdUser) ours(user *iamtypes.User) bool {
	return w.owns(userTags(user)) && (w.id == "" || w.id == aws.ToString(user.UserId))
}

// notOurs returns the notes about a user that is not the order's: none, unless the order's user existed before.
func (w createdUser) notOurs() []string {
	if w.id == "" {
		return nil
	}
	return []string{"someone else replaced or retagged the IAM user of the order: it was left alone"}
}

// findUser returns a user with its tags; nil when there is none.
func findUser(ctx context.Context, s *awscloud.Session, name string) (*iamtypes.User, error) {
	out, err := s.IAM.GetUser(ctx, &iam.GetUserInput{UserName: aws.String(name)})
	if awscloud.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.User, nil
}

func attachedPolicies(ctx context.Context, s *awscloud.Session, user string) (arns []string, err error) {
	pages := iam.NewListAttachedUserPoliciesPaginator(s.IAM, &iam.ListAttachedUserPoliciesInput{UserName: aws.String(user)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.AttachedPolicies {
			arns = append(arns, aws.ToString(p.PolicyArn))
		}
	}
	return arns, nil
}

func iamTags(w Assignment) (tags []iamtypes.Tag) {
	for _, t := range w.tags() {
		tags = append(tags, iamtypes.Tag{Key: aws.String(t.key), Value: aws.String(t.value)})
	}
	return tags
}

func userTags(user *iamtypes.User) []tag {
	return tagsOf(user.Tags, func(t iamtypes.Tag) (key, value *string) { return t.Key, t.Value })
}

func userNameTaken(w Assignment) error {
	return &provision.Failure{Code: provision.CodeUserNameTaken, Step: provision.StepUser, Field: "iam_user_name",
		Value:  w.Request.IAMUserName,
		Reason: "the account already has an IAM user of this name (AWS ignores letter case): choose another name"}
}

// userLike returns the name of the user that has the given name in any letter case; "" when there is none. Names are unique regardless
// of case. Source: IAM API Reference, CreateUser.
func userLike(ctx context.Context, s *awscloud.Session, name string) (string, error) {
	pages := iam.NewListUsersPaginator(s.IAM, &iam.ListUsersInput{MaxItems: aws.Int32(1000)}) // the most that AWS returns at once
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", err
		}
		for _, user := range page.Users {
			if found := aws.ToString(user.UserName); strings.EqualFold(found, name) {
				return found, nil
			}
		}
	}
	return "", nil
}

// boundaryRefused returns the reason for the NoSuchEntity of a CreateUser: only the permissions boundary can be missing.
func boundaryRefused(w Assignment, err error) error {
	if !awscloud.IsNotFound(err) || w.Settings.PermissionsBoundary == "" {
		return err
	}
	return withCause(&provision.Failure{Code: provision.CodePoolSettingsRefused,
		Reason: fmt.Sprintf("the permissions boundary %s of the pool's settings does not exist in account %s: correct the settings, "+
			"then retry the order", w.Settings.PermissionsBoundary, w.Account.ID)}, err)
}
