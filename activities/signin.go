package activities

import (
	"context"
	"crypto/rand"
	"errors"
	"math/big"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// EnableSignIn is the input of the activity EnableSignIn.
type EnableSignIn struct {
	Work
	User provision.User `json:"user"`
}

// EnableSignIn gives the user a password that must be changed at the first sign-in. It seals and stores the password before it sends it to
// AWS: AWS never returns a password, so a retry must know what an attempt whose reply was lost has set.
func (a *Activities) EnableSignIn(ctx context.Context, in EnableSignIn) (struct{}, error) {
	return struct{}{}, a.step(ctx, in.Work, provision.StepSignIn, func(ctx context.Context, w Assignment) error {
		s, err := a.openSession(ctx, w)
		if err != nil {
			return err
		}
		if err := a.userIsOurs(ctx, s, w, in.User); err != nil {
			return err
		}
		password, err := a.keptPassword(ctx, w)
		if err != nil {
			return err
		}
		err = a.setPassword(ctx, s, in.User.Name, password)
		if awscloud.IsPasswordPolicyViolation(err) {
			// The account demands a longer password than usual, or the password was used before: generate another one.
			if password, err = a.replacePassword(ctx, s, w); err != nil {
				return err
			}
			err = a.setPassword(ctx, s, in.User.Name, password)
		}
		if err != nil {
			return err
		}
		seen, err := a.waitStable(ctx, func(ctx context.Context) (bool, error) {
			profile, err := loginProfile(ctx, s, in.User.Name)
			return profile != nil, err
		})
		if err == nil && !seen {
			err = notYet("the user's sign-in")
		}
		return err
	})
}

// userIsOurs returns a failure unless the user is the one that the order created, and not another one of the same name.
func (a *Activities) userIsOurs(ctx context.Context, s *awscloud.Session, w Assignment, created provision.User) error {
	seen, err := a.waitVisible(ctx, a.Timings.VisibleFor, func(ctx context.Context) (bool, error) {
		user, err := findUser(ctx, s, created.Name)
		if err != nil || user == nil {
			return false, err
		}
		if !w.owns(userTags(user)) || aws.ToString(user.UserId) != created.ID {
			return false, &provision.Failure{Code: provision.CodeResourceNotOurs,
				Reason: "someone else replaced or retagged the IAM user after the order had created it: check the account"}
		}
		return true, nil
	})
	if err == nil && !seen {
		err = notYet("the IAM user")
	}
	return err
}

// setPassword creates the login profile, or sets the password of the one that an earlier attempt created.
func (a *Activities) setPassword(ctx context.Context, s *awscloud.Session, name, password string) error {
	user := aws.String(name)
	err := a.retryWhile(ctx, propagating, func(ctx context.Context) error {
		_, err := s.IAM.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: user, Password: aws.String(password),
			PasswordResetRequired: true})
		return err
	})
	if !awscloud.IsAlreadyExists(err) {
		return err
	}
	exists := err
	profile, err := a.seenSignIn(ctx, s, name, a.Timings.VisibleFor)
	if err != nil {
		return err
	}
	if profile == nil {
		return notYetAfter(exists, "the user's sign-in")
	}
	used, err := findUser(ctx, s, name)
	if err != nil {
		return err
	}
	if !profile.PasswordResetRequired || (used != nil && used.PasswordLastUsed != nil) {
		return &provision.Failure{Code: provision.CodeResourceNotOurs,
			Reason: "someone has already signed in as the user or changed its password, so it was left alone: check the account"}
	}
	return a.retryWhile(ctx, propagating, func(ctx context.Context) error {
		_, err := s.IAM.UpdateLoginProfile(ctx, &iam.UpdateLoginProfileInput{UserName: user, Password: aws.String(password),
			PasswordResetRequired: aws.Bool(true)})
		return err
	})
}

// keptPassword returns the order's password: the one that an earlier attempt stored, else a new one, which it stores.
func (a *Activities) keptPassword(ctx context.Context, w Assignment) (string, error) {
	sealed, err := a.newPassword(w, passwordLength)
	if err != nil {
		return "", err
	}
	kept, err := a.Passwords.Keep(ctx, w.Order, w.Account.ID, sealed)
	if err != nil {
		return "", err
	}
	opened, err := a.Sealer.Open(kept, provision.PasswordPurpose(w.Order, w.Account.ID))
	return string(opened), err
}

// replacePassword generates a new password under the account's policy and stores it instead of the refused one.
func (a *Activities) replacePassword(ctx context.Context, s *awscloud.Session, w Assignment) (string, error) {
	length, err := demandedLength(ctx, s)
	if err != nil {
		return "", err
	}
	sealed, err := a.newPassword(w, length)
	if err != nil {
		return "", err
	}
	if err := leased(ctx); err != nil { // without a lease, AWS would not receive the new password
		return "", err
	}
	if err := a.Passwords.Replace(ctx, w.Order, w.Account.ID, sealed); err != nil {
		return "", err
	}
	opened, err := a.Sealer.Open(sealed, provision.PasswordPurpose(w.Order, w.Account.ID))
	return string(opened), err
}

// demandedLength returns the length of a password that the account's policy accepts. Every generated password satisfies the other rules of
// a policy, and AWS's default policy.
func demandedLength(ctx context.Context, s *awscloud.Session) (int, error) {
	out, err := s.IAM.GetAccountPasswordPolicy(ctx, &iam.GetAccountPasswordPolicyInput{})
	if err != nil || out.PasswordPolicy == nil {
		return passwordLength, awscloud.IgnoreNotFound(err)
	}
	return max(passwordLength, int(aws.ToInt32(out.PasswordPolicy.MinimumPasswordLength))), nil
}

// newPassword generates a password and seals it.
func (a *Activities) newPassword(w Assignment, length int) ([]byte, error) {
	password, err := generatePassword(length)
	if err != nil {
		return nil, err
	}
	return a.Sealer.Seal([]byte(password), provision.PasswordPurpose(w.Order, w.Account.ID))
}

// passwordLength is the length of generated passwords, unless AWS refuses one and the account's policy requires a longer one.
const passwordLength = 24

// passwordClasses are the classes of characters of a password, without those that are easily confused in
// print (0 O, 1 l I) or need quoting.
// IAM's symbols: ! @ # $ % ^ & * ( ) _ + - = [ ] { } | '. Source: IAM User Guide, "Set an account password policy".
var passwordClasses = []string{"ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnopqrstuvwxyz", "23456789", "!@#%^*()_+-=[]{}"}

// generatePassword draws passwords from all classes until one has a character of each class, so all characters are equally random.
func generatePassword(length int) (string, error) {
	if length < len(passwordClasses) || length > 128 {
		return "", errors.New("the length of a password must be 4 to 128 characters") // IAM API Reference, CreateLoginProfile
	}
	alphabet := ""
	for _, class := range passwordClasses {
		alphabet += class
	}
	size := big.NewInt(int64(len(alphabet)))
	for {
		password := make([]byte, length)
		for i := range password {
			n, err := rand.Int(rand.Reader, size)
			if err != nil {
				return "", err
			}
			password[i] = alphabet[n.Int64()]
		}
		if hasEveryClass(string(password)) {
			return string(password), nil
		}
	}
}

func hasEveryClass(password string) bool {
	for _, class := range passwordClasses {
		if !strings.ContainsAny(password, class) {
			return false
		}
	}
	return true
}

// DisableSignIn deletes the login profile of the order's user and the stored password.
func (a *Activities) DisableSignIn(ctx context.Context, in UserUndo) (Undone, error) {
	return a.undo(ctx, in.Work, provision.StepSignIn, func(ctx context.Context, w Assignment) ([]string, error) {
		s, err := a.openSession(ctx, w)
		if err != nil {
			return nil, err
		}
		var user *iamtypes.User
		if _, err := a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
			user, err = findUser(ctx, s, w.Request.IAMUserName)
			return user != nil, err
		}); err != nil {
			return nil, err
		}
		if user != nil && (createdUser{w, in.UserID}).ours(user) {
			err := a.deleteLoginProfile(ctx, s, w.Request.IAMUserName)
			if err := a.orGone(ctx, s, w.Request.IAMUserName, err); err != nil {
				return nil, err
			}
		}
		if err := leased(ctx); err != nil {
			return nil, err
		}
		// If the user is no longer the order's, RemoveUser returns a note about it. One note is enough.
		return nil, a.Passwords.Withdraw(ctx, in.Order, in.AccountID)
	})
}

// loginProfile returns a user's login profile; nil when there is none.
func loginProfile(ctx context.Context, s *awscloud.Session, user string) (*iamtypes.LoginProfile, error) {
	out, err := s.IAM.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: aws.String(user)})
	if awscloud.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.LoginProfile, nil
}
