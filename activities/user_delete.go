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

// deleteUser deletes the order's user and everything that AWS requires to be deleted first, beginning with
// the credentials. The lists that it
// reads may be stale, so it starts over when AWS reports that something is still attached to the user. It leaves a user alone that is
// not the order's, and returns a note about it.
// Source: IAM API Reference, DeleteUser.
func (a *Activities) deleteUser(ctx context.Context, s *awscloud.Session, w createdUser) (notes []string, err error) {
	deadline := time.Now().Add(a.Timings.VisibleFor)
	for n := 0; ; n++ {
		err := a.deleteUserOnce(ctx, s, &w)
		switch {
		case errors.Is(err, errNotOurUser):
			return w.notOurs(), nil
		case awscloud.IsAccessDenied(err):
			return nil, a.orGone(ctx, s, w.Request.IAMUserName, err)
		case awscloud.IsAmbiguous(err):
			if there, lookErr := a.waitVisible(ctx, 0, userExists(s, w.Request.IAMUserName)); lookErr != nil || !there {
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

// deleteUserOnce checks twice that the user is the order's: AWS deletes by name, and while this attempt strips the user, someone may
// delete it and create another one of the same name.
func (a *Activities) deleteUserOnce(ctx context.Context, s *awscloud.Session, w *createdUser) error {
	if there, err := a.ownUser(ctx, s, w); err != nil || !there {
		return err
	}
	if err := a.stripUser(ctx, s, w.Request.IAMUserName); err != nil {
		return err
	}
	if there, err := a.ownUser(ctx, s, w); err != nil || !there {
		return err
	}
	_, err := s.IAM.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String(w.Request.IAMUserName)})
	return awscloud.IgnoreNotFound(err)
}

var errNotOurUser = errors.New("the user is not the order's")

// ownUser reports whether the order's user exists, and stores its id: from then on only that user is the order's. It
// returns errNotOurUser when another user has the name.
func (a *Activities) ownUser(ctx context.Context, s *awscloud.Session, w *createdUser) (there bool, err error) {
	var user *iamtypes.User
	there, err = a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
		user, err = findUser(ctx, s, w.Request.IAMUserName)
		return user != nil, err
	})
	if err != nil || !there {
		return false, err
	}
	if !w.ours(user) {
		return false, errNotOurUser
	}
	w.id = aws.ToString(user.UserId)
	return true, nil
}

// stripUser deletes everything that is attached to the user.
func (a *Activities) stripUser(ctx context.Context, s *awscloud.Session, name string) error {
	for _, strip := range []func(context.Context, *awscloud.Session, string) error{
		a.deleteLoginProfile, a.deleteAccessKeys, a.deleteMFADevices, a.deleteSigningCertificates, a.deleteSSHPublicKeys,
		a.deleteServiceCredentials, a.leaveGroups, a.detachPolicies, a.deleteInlinePolicies,
	} {
		// If the user is not found now, it is already deleted or not visible yet: DeleteUser decides.
		if err := awscloud.IgnoreNotFound(strip(ctx, s, name)); err != nil {
			return err
		}
	}
	return nil
}

// orGone returns nil instead of an AccessDenied when the user no longer exists. The role may change only users under our path, and AWS
// does not know the path of a deleted user: it denies the call, while a stale read may still show the user.
func (a *Activities) orGone(ctx context.Context, s *awscloud.Session, name string, refusal error) error {
	if !awscloud.IsAccessDenied(refusal) {
		return refusal
	}
	gone, err := a.waitGone(ctx, userExists(s, name))
	if err != nil || gone {
		return err
	}
	return refusal
}

func userExists(s *awscloud.Session, name string) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		user, err := findUser(ctx, s, name)
		return user != nil, err
	}
}

// remove deletes a resource: it repeats the deletion while its outcome is unknown, and succeeds when the resource does not exist.
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
			// Only a virtual device belongs to the account, and only its serial number is an ARN. Once it is deactivated,
			// nothing shows whose it was, so it must be deleted now.
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
				_, err := s.IAM.DeleteSigningCertificate(ctx, &iam.DeleteSigningCertificateInput{UserName: aws.String(user),
					CertificateId: certificate.CertificateId})
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

// deleteServiceCredentials reads the pages itself: the SDK has no paginator for this list.
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
		if err := a.detachPolicy(ctx, s, user, arn); err != nil {
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
