package activities

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"quartermaster/internal/awscloud"
)

// deleteUser deletes the user of the order and everything that AWS wants gone first, ways to sign in before everything else.
// The lists that it reads may be stale, so when AWS says that something still hangs on the user it starts over. A user of the
// name that is not the order's is left alone, which is what it returns then.
// Source: IAM API Reference, DeleteUser.
func (a *Activities) deleteUser(ctx context.Context, s *awscloud.Session, in UserUndo) (notes []string, err error) {
	deadline := time.Now().Add(a.Timings.VisibleFor)
	for n := 0; ; n++ {
		err := a.deleteUserOnce(ctx, s, &in)
		switch {
		case errors.Is(err, errNotOurUser):
			return in.notOurs(), nil
		case awscloud.IsAccessDenied(err):
			return nil, a.orGone(ctx, s, in.Request.IAMUserName, err)
		case awscloud.IsAmbiguous(err):
			if there, lookErr := a.waitVisible(ctx, 0, userThere(s, in.Request.IAMUserName)); lookErr != nil || !there {
				return nil, lookErr
			}
		case !awscloud.IsDeleteConflict(err):
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		if err := a.pause(ctx, n); err != nil {
			return nil, err
		}
	}
}

// deleteUserOnce looks twice whose the user is: AWS deletes by name, and while everything is taken from the user somebody may
// delete it and give its name to another one.
func (a *Activities) deleteUserOnce(ctx context.Context, s *awscloud.Session, in *UserUndo) error {
	if there, err := a.ownUser(ctx, s, in); err != nil || !there {
		return err
	}
	if err := a.stripUser(ctx, s, in.Request.IAMUserName); err != nil {
		return err
	}
	if there, err := a.ownUser(ctx, s, in); err != nil || !there {
		return err
	}
	_, err := s.IAM.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String(in.Request.IAMUserName)})
	return awscloud.IgnoreNotFound(err)
}

var errNotOurUser = errors.New("the user is not the order's")

// ownUser tells whether the order's user is there, and remembers its id: from then on only that one is. A user of the name
// that is not the order's is errNotOurUser.
func (a *Activities) ownUser(ctx context.Context, s *awscloud.Session, in *UserUndo) (there bool, err error) {
	var user *iamtypes.User
	there, err = a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
		user, err = findUser(ctx, s, in.Request.IAMUserName)
		return user != nil, err
	})
	if err != nil || !there {
		return false, err
	}
	if !in.ours(user) {
		return false, errNotOurUser
	}
	in.UserID = aws.ToString(user.UserId)
	return true, nil
}

// stripUser deletes everything that hangs on the user.
func (a *Activities) stripUser(ctx context.Context, s *awscloud.Session, name string) error {
	for _, strip := range []func(context.Context, *awscloud.Session, string) error{
		a.deleteLoginProfile, a.deleteAccessKeys, a.deleteMFADevices, a.deleteSigningCertificates, a.deleteSSHPublicKeys,
		a.deleteServiceCredentials, a.leaveGroups, a.detachPolicies, a.deleteInlinePolicies,
	} {
		// A user that is not found while it is stripped is gone already, or not shown yet: DeleteUser knows.
		if err := awscloud.IgnoreNotFound(strip(ctx, s, name)); err != nil {
			return err
		}
	}
	return nil
}

// orGone is what a refused change of a user comes to. The role may change users under our path only, and of a user that
// is gone AWS does not know the path: then "denied" means "gone", even while a stale read still shows the user.
func (a *Activities) orGone(ctx context.Context, s *awscloud.Session, name string, refusal error) error {
	if !awscloud.IsAccessDenied(refusal) {
		return refusal
	}
	there := userThere(s, name)
	gone, err := a.waitStable(ctx, func(ctx context.Context) (bool, error) {
		seen, err := there(ctx)
		return !seen, err
	})
	if err != nil || gone {
		return err
	}
	return refusal
}

func userThere(s *awscloud.Session, name string) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		user, err := findUser(ctx, s, name)
		return user != nil, err
	}
}

// remove deletes one thing for certain: it repeats the deletion while its outcome is unknown, and a thing that is not
// there is deleted.
func (a *Activities) remove(ctx context.Context, call func(context.Context) error) error {
	return awscloud.IgnoreNotFound(a.retryWhile(ctx, repeatable, call))
}

func (a *Activities) deleteLoginProfile(ctx context.Context, s *awscloud.Session, user string) error {
	return a.remove(ctx, func(ctx context.Context) error {
		_, err := s.IAM.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: aws.String(user)})
		return err
	})
}

func (a *Activities) deleteAccessKeys(ctx context.Context, s *awscloud.Session, user string) error {
	pages := iam.NewListAccessKeysPaginator(s.IAM, &iam.ListAccessKeysInput{UserName: aws.String(user)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, key := range page.AccessKeyMetadata {
			if err := a.remove(ctx, func(ctx context.Context) error {
				_, err := s.IAM.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: aws.String(user), AccessKeyId: key.AccessKeyId})
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Activities) deleteMFADevices(ctx context.Context, s *awscloud.Session, user string) error {
	pages := iam.NewListMFADevicesPaginator(s.IAM, &iam.ListMFADevicesInput{UserName: aws.String(user)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, device := range page.MFADevices {
			if err := a.remove(ctx, func(ctx context.Context) error {
				_, err := s.IAM.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: aws.String(user), SerialNumber: device.SerialNumber})
				return err
			}); err != nil {
				return err
			}
			// Only a virtual device is a thing of the account, and only its serial number is an ARN. Once deactivated
			// nothing says whose it was, so it must go now or stay for ever.
			if !strings.Contains(aws.ToString(device.SerialNumber), ":mfa/") {
				continue
			}
			if err := a.remove(ctx, func(ctx context.Context) error {
				_, err := s.IAM.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: device.SerialNumber})
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Activities) deleteSigningCertificates(ctx context.Context, s *awscloud.Session, user string) error {
	pages := iam.NewListSigningCertificatesPaginator(s.IAM, &iam.ListSigningCertificatesInput{UserName: aws.String(user)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, certificate := range page.Certificates {
			if err := a.remove(ctx, func(ctx context.Context) error {
				_, err := s.IAM.DeleteSigningCertificate(ctx, &iam.DeleteSigningCertificateInput{UserName: aws.String(user), CertificateId: certificate.CertificateId})
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Activities) deleteSSHPublicKeys(ctx context.Context, s *awscloud.Session, user string) error {
	pages := iam.NewListSSHPublicKeysPaginator(s.IAM, &iam.ListSSHPublicKeysInput{UserName: aws.String(user)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, key := range page.SSHPublicKeys {
			if err := a.remove(ctx, func(ctx context.Context) error {
				_, err := s.IAM.DeleteSSHPublicKey(ctx, &iam.DeleteSSHPublicKeyInput{UserName: aws.String(user), SSHPublicKeyId: key.SSHPublicKeyId})
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteServiceCredentials pages by hand: the SDK has no paginator for this list.
func (a *Activities) deleteServiceCredentials(ctx context.Context, s *awscloud.Session, user string) error {
	in := &iam.ListServiceSpecificCredentialsInput{UserName: aws.String(user)}
	for {
		page, err := s.IAM.ListServiceSpecificCredentials(ctx, in)
		if err != nil {
			return err
		}
		for _, credential := range page.ServiceSpecificCredentials {
			if err := a.remove(ctx, func(ctx context.Context) error {
				_, err := s.IAM.DeleteServiceSpecificCredential(ctx, &iam.DeleteServiceSpecificCredentialInput{
					UserName: aws.String(user), ServiceSpecificCredentialId: credential.ServiceSpecificCredentialId})
				return err
			}); err != nil {
				return err
			}
		}
		if !page.IsTruncated {
			return nil
		}
		in.Marker = page.Marker
	}
}

func (a *Activities) leaveGroups(ctx context.Context, s *awscloud.Session, user string) error {
	pages := iam.NewListGroupsForUserPaginator(s.IAM, &iam.ListGroupsForUserInput{UserName: aws.String(user)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, group := range page.Groups {
			if err := a.remove(ctx, func(ctx context.Context) error {
				_, err := s.IAM.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: aws.String(user), GroupName: group.GroupName})
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Activities) detachPolicies(ctx context.Context, s *awscloud.Session, user string) error {
	arns, err := attachedPolicies(ctx, s, user)
	if err != nil {
		return err
	}
	for _, arn := range arns {
		if err := a.remove(ctx, func(ctx context.Context) error {
			_, err := s.IAM.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: aws.String(user), PolicyArn: aws.String(arn)})
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (a *Activities) deleteInlinePolicies(ctx context.Context, s *awscloud.Session, user string) error {
	pages := iam.NewListUserPoliciesPaginator(s.IAM, &iam.ListUserPoliciesInput{UserName: aws.String(user)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, policy := range page.PolicyNames {
			if err := a.remove(ctx, func(ctx context.Context) error {
				_, err := s.IAM.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String(user), PolicyName: aws.String(policy)})
				return err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
