package awssim_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

func TestUserLivesFromCreationToDeletion(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	before := w.sim.Snapshot(accountID)

	created, err := w.iam.CreateUser(ctx, createUserInput(userName))
	require.NoError(t, err)
	require.Regexp(t, `^AIDA[A-Z2-7]{17}$`, *created.User.UserId)
	require.Equal(t, "arn:aws:iam::"+accountID+":user/marketplace/alice", *created.User.Arn)
	require.Equal(t, w.clock.Now(), *created.User.CreateDate)

	got, err := w.iam.GetUser(ctx, &iam.GetUserInput{UserName: name})
	require.NoError(t, err)
	require.Equal(t, created.User.UserId, got.User.UserId)
	require.Equal(t, "/marketplace/", *got.User.Path)
	require.Equal(t, created.User.Tags, got.User.Tags)
	require.Nil(t, got.User.PasswordLastUsed)

	for _, arn := range []string{readOnly, changePassword, changePassword} { // attaching again changes nothing
		_, err = w.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: aws.String(arn)})
		require.NoError(t, err)
	}
	attached, err := w.iam.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: name})
	require.NoError(t, err)
	require.Len(t, attached.AttachedPolicies, 2)
	require.Equal(t, changePassword, *attached.AttachedPolicies[0].PolicyArn)
	require.Equal(t, "IAMUserChangePassword", *attached.AttachedPolicies[0].PolicyName)

	profile, err := w.iam.CreateLoginProfile(ctx, loginInput())
	require.NoError(t, err)
	require.True(t, profile.LoginProfile.PasswordResetRequired)
	read, err := w.iam.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: name})
	require.NoError(t, err)
	require.Equal(t, profile.LoginProfile, read.LoginProfile)
	require.NotContains(t, string(w.sim.Snapshot(accountID)), password)
	a, _ := w.sim.Account(accountID)
	require.Equal(t, awssim.HashPassword(password), a.Users[userName].LoginProfile.PasswordSHA256)

	_, err = w.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name})
	var conflict *iamtypes.DeleteConflictException
	require.ErrorAs(t, err, &conflict)
	_, err = w.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: name})
	require.NoError(t, err)
	for _, arn := range []string{changePassword, readOnly} {
		_, err = w.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: aws.String(arn)})
		require.NoError(t, err)
	}
	_, err = w.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name})
	require.NoError(t, err)
	require.Equal(t, string(before), string(w.sim.Snapshot(accountID)), "an undone account is the account as it was, byte for byte")
	require.Equal(t, []string{
		"user/alice: created", "user/alice: attached " + readOnly, "user/alice: attached " + changePassword,
		"user/alice: created login profile", "user/alice: deleted login profile",
		"user/alice: detached " + changePassword, "user/alice: detached " + readOnly, "user/alice: deleted",
	}, w.effects())
}

func TestUserNamesIgnoreCase(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	w.mustUser(ctx)
	_, err := w.iam.CreateUser(ctx, createUserInput("ALICE"))
	var exists *iamtypes.EntityAlreadyExistsException
	require.ErrorAs(t, err, &exists)
	requireStatus(t, err, 409)
	got, err := w.iam.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("Alice")})
	require.NoError(t, err)
	require.Equal(t, userName, *got.User.UserName)
}

func TestUserInputIsValidatedInTheWordsOfIAM(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	in := createUserInput("a b")
	_, err := w.iam.CreateUser(ctx, in)
	e := requireCode(t, err, "ValidationError")
	requireStatus(t, err, 400)
	require.Equal(t, `1 validation error detected: Value 'a b' at 'userName' failed to satisfy constraint: `+
		`Member must satisfy regular expression pattern: [\w+=,.@-]+`, e)

	in = createUserInput(strings.Repeat("x", 65))
	in.Path, in.Tags[0].Key = aws.String("marketplace"), aws.String("what?")
	_, err = w.iam.CreateUser(ctx, in)
	require.Contains(t, requireCode(t, err, "ValidationError"), "3 validation errors detected: ")

	for _, tags := range [][]iamtypes.Tag{
		{{Key: aws.String("aws:x"), Value: aws.String("")}},
		{{Key: aws.String("a"), Value: aws.String("")}, {Key: aws.String("A"), Value: aws.String("")}},
	} {
		in = createUserInput(userName)
		in.Tags = append(in.Tags, tags...)
		_, err = w.iam.CreateUser(ctx, in)
		var invalid *iamtypes.InvalidInputException
		require.ErrorAs(t, err, &invalid)
	}
	_, err = w.iam.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: name, Password: aws.String(strings.Repeat("p", 129))})
	e = requireCode(t, err, "ValidationError")
	require.NotContains(t, e, "ppp", "a sensitive value is not repeated")
	require.Empty(t, w.effects())
}

func TestMissingUsers(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	_, err := w.iam.GetUser(ctx, &iam.GetUserInput{UserName: name})
	var missing *iamtypes.NoSuchEntityException
	require.ErrorAs(t, err, &missing)
	require.Equal(t, "The user with name alice cannot be found.", missing.ErrorMessage())
	requireStatus(t, err, 404)
	// AWS knows a user's path only while the user exists: a policy for one path does not cover a name that is gone.
	_, err = w.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name})
	requireCode(t, err, "AccessDenied")
	_, err = w.iam.GetUser(ctx, &iam.GetUserInput{})
	requireCode(t, err, "ValidationError")
}

func TestTagUserAndListUserTags(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withPolicy(allPowers)), t.Context()
	w.mustUser(ctx)
	_, err := w.iam.TagUser(ctx, &iam.TagUserInput{
		UserName: name, Tags: []iamtypes.Tag{{Key: aws.String("mp:step"), Value: aws.String("2")}},
	})
	require.NoError(t, err)
	first, err := w.iam.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: name, MaxItems: aws.Int32(1)})
	require.NoError(t, err)
	require.True(t, first.IsTruncated)
	require.Equal(t, "mp:order-id", *first.Tags[0].Key)
	second, err := w.iam.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: name, Marker: first.Marker})
	require.NoError(t, err)
	require.False(t, second.IsTruncated)
	require.Equal(t, "mp:step", *second.Tags[0].Key)
}

func TestDeleteLadder(t *testing.T) {
	t.Parallel()
	const serial = "arn:aws:iam::" + accountID + ":mfa/alice-phone"
	w, ctx := setup(t, withPolicy(allPowers)), t.Context()
	w.mustUser(ctx)
	require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) {
		u := a.Users[userName]
		u.AccessKeys, u.Groups, u.MFADevices = []string{"AKIAALICEALICEALICE0"}, []string{"Staff"}, []string{serial}
		u.SigningCertificates = []string{"CERTIFICATECERTIFICATE24"}
		u.SSHPublicKeys, u.ServiceCredentials = []string{"APKAALICEALICEALICE0"}, []string{"ACCAALICEALICEALICE0"}
		a.Users[userName] = u
	}))
	keys, err := w.iam.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: name})
	require.NoError(t, err)
	devices, err := w.iam.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: name})
	require.NoError(t, err)
	certificates, err := w.iam.ListSigningCertificates(ctx, &iam.ListSigningCertificatesInput{UserName: name})
	require.NoError(t, err)
	ssh, err := w.iam.ListSSHPublicKeys(ctx, &iam.ListSSHPublicKeysInput{UserName: name})
	require.NoError(t, err)
	services, err := w.iam.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{UserName: name})
	require.NoError(t, err)
	groups, err := w.iam.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: name})
	require.NoError(t, err)
	virtual, err := w.iam.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{
		AssignmentStatus: iamtypes.AssignmentStatusTypeAssigned,
	})
	require.NoError(t, err)
	require.Equal(t, userName, *virtual.VirtualMFADevices[0].User.UserName)
	_, err = w.iam.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: aws.String(serial)})
	requireCode(t, err, "DeleteConflict")

	steps := []func() error{
		func() error {
			key := keys.AccessKeyMetadata[0].AccessKeyId
			_, err := w.iam.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: name, AccessKeyId: key})
			return err
		},
		func() error {
			device := devices.MFADevices[0].SerialNumber
			_, err := w.iam.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: name, SerialNumber: device})
			return err
		},
		func() error {
			_, err := w.iam.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: aws.String(serial)})
			return err
		},
		func() error {
			_, err := w.iam.DeleteSigningCertificate(ctx, &iam.DeleteSigningCertificateInput{UserName: name,
				CertificateId: certificates.Certificates[0].CertificateId})
			return err
		},
		func() error {
			_, err := w.iam.DeleteSSHPublicKey(ctx, &iam.DeleteSSHPublicKeyInput{UserName: name,
				SSHPublicKeyId: ssh.SSHPublicKeys[0].SSHPublicKeyId})
			return err
		},
		func() error {
			_, err := w.iam.DeleteServiceSpecificCredential(ctx, &iam.DeleteServiceSpecificCredentialInput{UserName: name,
				ServiceSpecificCredentialId: services.ServiceSpecificCredentials[0].ServiceSpecificCredentialId})
			return err
		},
		func() error {
			_, err := w.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: name, GroupName: groups.Groups[0].GroupName})
			return err
		},
	}
	var conflict *iamtypes.DeleteConflictException
	for i, step := range steps {
		_, err := w.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name})
		require.ErrorAsf(t, err, &conflict, "before step %d", i)
		require.NoErrorf(t, step(), "step %d", i)
		requireCode(t, step(), "NoSuchEntity")
	}
	_, err = w.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name})
	require.NoError(t, err)
	a, _ := w.sim.Account(accountID)
	require.Empty(t, a.Users)
	require.Empty(t, a.VirtualMFADevices)
}
