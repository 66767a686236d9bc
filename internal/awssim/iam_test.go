package awssim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

const (
	changePassword = "arn:aws:iam::aws:policy/IAMUserChangePassword"
	readOnly       = "arn:aws:iam::aws:policy/ReadOnlyAccess"
)

var name = aws.String(userName)

func createUserInput(user string) *iam.CreateUserInput {
	return &iam.CreateUserInput{
		UserName: aws.String(user), Path: aws.String("/marketplace/"),
		Tags: []iamtypes.Tag{{Key: aws.String("mp:order-id"), Value: aws.String("ord-1")}},
	}
}

func loginInput() *iam.CreateLoginProfileInput {
	return &iam.CreateLoginProfileInput{UserName: name, Password: aws.String(password), PasswordResetRequired: true}
}

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

func TestManagedPoliciesMustExist(t *testing.T) {
	t.Parallel()
	const own = "arn:aws:iam::" + accountID + ":policy/Customer"
	w, ctx := setup(t, withPolicy(allPowers), withAccount(func(a *awssim.Account) { a.ManagedPolicies = []string{own} })), t.Context()
	w.mustUser(ctx)
	attach := func(arn string) error {
		_, err := w.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: aws.String(arn)})
		return err
	}
	require.NoError(t, attach(own))
	const unknown = "arn:aws:iam::aws:policy/ReadOnlyAcces"
	e := requireCode(t, attach(unknown), "NoSuchEntity")
	require.Equal(t, "Policy "+unknown+" does not exist or is not attachable.", e)
	e = requireCode(t, attach("arn:aws:iam::nonsense:policy/x"), "ValidationError")
	require.Equal(t, "Invalid ARN:  Could not be parsed!", e)
	_, err := w.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: aws.String(readOnly)})
	requireCode(t, err, "NoSuchEntity")

	for i := range 10 {
		extra := fmt.Sprintf("arn:aws:iam::%s:policy/P%d", accountID, i)
		require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) { a.ManagedPolicies = append(a.ManagedPolicies, extra) }))
		err = attach(extra)
		if i == 9 {
			var limit *iamtypes.LimitExceededException
			require.ErrorAs(t, err, &limit)
		} else {
			require.NoError(t, err)
		}
	}
}

func TestInlinePoliciesAndBoundary(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withPolicy(allPowers)), t.Context()
	w.mustUser(ctx)
	putPolicy := func(document string) error {
		_, err := w.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: aws.String("p"),
			PolicyDocument: aws.String(document)})
		return err
	}
	require.NoError(t, putPolicy(allPowers))
	require.NoError(t, putPolicy(allPowers))
	var malformed *iamtypes.MalformedPolicyDocumentException
	for _, document := range []string{
		"{}", `{"Statement":[]}`, `{"Statement":{"Effect":"Maybe","Action":"*","Resource":"*"}}`,
		`{"Statement":{"Effect":"Allow","Action":"*"}}`,
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}}`, allPowers + allPowers,
	} {
		require.ErrorAs(t, putPolicy(document), &malformed, document)
	}
	requireCode(t, putPolicy(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::`+strings.Repeat("x", 2048)+`"}}`),
		"LimitExceeded")
	list, err := w.iam.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: name})
	require.NoError(t, err)
	require.Equal(t, []string{"p"}, list.PolicyNames)

	_, err = w.iam.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: name,
		PermissionsBoundary: aws.String(readOnly)})
	require.NoError(t, err)
	got, err := w.iam.GetUser(ctx, &iam.GetUserInput{UserName: name})
	require.NoError(t, err)
	require.Equal(t, readOnly, *got.User.PermissionsBoundary.PermissionsBoundaryArn)
	for _, code := range []string{"", "NoSuchEntity"} {
		_, err = w.iam.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: name})
		if code == "" {
			require.NoError(t, err)
		} else {
			requireCode(t, err, code)
		}
	}
	del := &iam.DeleteUserPolicyInput{UserName: name, PolicyName: aws.String("p")}
	_, err = w.iam.DeleteUserPolicy(ctx, del)
	require.NoError(t, err)
	_, err = w.iam.DeleteUserPolicy(ctx, del)
	requireCode(t, err, "NoSuchEntity")
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

func TestLoginProfiles(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	w.mustUser(ctx)
	_, err := w.iam.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: name})
	requireCode(t, err, "NoSuchEntity")
	_, err = w.iam.CreateLoginProfile(ctx, loginInput())
	require.NoError(t, err)
	_, err = w.iam.CreateLoginProfile(ctx, loginInput())
	requireCode(t, err, "EntityAlreadyExists")
	_, err = w.iam.UpdateLoginProfile(ctx, &iam.UpdateLoginProfileInput{UserName: name, Password: aws.String("An0ther-pass-word"),
		PasswordResetRequired: aws.Bool(false)})
	require.NoError(t, err)
	a, _ := w.sim.Account(accountID)
	profile := a.Users[userName].LoginProfile
	require.Equal(t, awssim.HashPassword("An0ther-pass-word"), profile.PasswordSHA256)
	require.False(t, profile.ResetRequired)
	_, err = w.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: name})
	require.NoError(t, err)
	_, err = w.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: name})
	requireCode(t, err, "NoSuchEntity")
	_, err = w.iam.UpdateLoginProfile(ctx, &iam.UpdateLoginProfileInput{UserName: name, Password: aws.String(password)})
	requireCode(t, err, "NoSuchEntity")
}

func TestPasswordPolicies(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	w.mustUser(ctx)
	_, err := w.iam.GetAccountPasswordPolicy(ctx, &iam.GetAccountPasswordPolicyInput{})
	var missing *iamtypes.NoSuchEntityException
	require.ErrorAs(t, err, &missing)
	try := func(text string) error {
		in := loginInput()
		in.Password = aws.String(text)
		_, err := w.iam.CreateLoginProfile(ctx, in)
		return err
	}
	var violation *iamtypes.PasswordPolicyViolationException
	for _, bad := range []string{"Sh0rt-x", "onlylowercase1", "root+1@example.com"} {
		require.ErrorAs(t, try(bad), &violation, bad)
	}
	require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) {
		a.PasswordPolicy = &awssim.PasswordPolicy{
			MinimumPasswordLength: 14, RequireSymbols: true, RequireNumbers: true, RequireUppercaseCharacters: true,
			RequireLowercaseCharacters: true, MaxPasswordAge: 90,
		}
	}))
	policy, err := w.iam.GetAccountPasswordPolicy(ctx, &iam.GetAccountPasswordPolicyInput{})
	require.NoError(t, err)
	require.EqualValues(t, 14, *policy.PasswordPolicy.MinimumPasswordLength)
	require.True(t, policy.PasswordPolicy.ExpirePasswords)
	require.False(t, policy.PasswordPolicy.AllowUsersToChangePassword)
	for _, bad := range []string{"Sh0rt-symbol1", "NoSymbolsAtAll12345", "no-uppercase-letters-1", "NO-LOWERCASE-LETTERS-1",
		"No-numbers-at-all"} {
		require.ErrorAs(t, try(bad), &violation, bad)
	}
	require.NoError(t, try(password))
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

func TestAliases(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withAccount(func(a *awssim.Account) { a.Alias = "before" })), t.Context()
	create := func(alias string) error {
		_, err := w.iam.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: aws.String(alias)})
		return err
	}
	list := func() []string {
		out, err := w.iam.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{})
		require.NoError(t, err)
		return out.AccountAliases
	}
	for _, bad := range []string{"ab", "Upper", "-x-", "a--b", "123456789012", strings.Repeat("a", 64)} {
		requireCode(t, create(bad), "ValidationError")
	}
	var exists *iamtypes.EntityAlreadyExistsException
	require.ErrorAs(t, create("taken-alias"), &exists, "another account holds it")
	require.ErrorAs(t, create("before"), &exists, "this account holds it")
	require.Equal(t, []string{"before"}, list())
	require.NoError(t, create("after"), "a second alias replaces the first silently")
	require.Equal(t, []string{"after"}, list())

	// The old name is free for everybody at once.
	require.NoError(t, w.sim.Edit(otherID, func(a *awssim.Account) { a.Alias = "before" }))
	require.ErrorAs(t, create("before"), &exists)
	require.NoError(t, create("taken-alias"), "which the other account has given up by that")
	_, err := w.iam.DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: aws.String("after")})
	requireCode(t, err, "NoSuchEntity")
	_, err = w.iam.DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: aws.String("taken-alias")})
	require.NoError(t, err)
	require.Empty(t, list())
}

func TestShippedPolicyDeniesWhatTheFlowDoesNotNeed(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withAccount(func(a *awssim.Account) { a.Users = map[string]awssim.User{"root-path-user": {}} })), t.Context()
	w.mustUser(ctx)
	for what, call := range map[string]func() error{
		"explicit deny of iam:CreateAccessKey": func() error {
			_, err := w.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
			return err
		},
		"explicit deny of iam:CreateRole": func() error {
			_, err := w.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String("{}")})
			return err
		},
		"a user outside our path": func() error {
			in := createUserInput("bob")
			in.Path = nil
			_, err := w.iam.CreateUser(ctx, in)
			return err
		},
		"a user without the order's tag": func() error {
			in := createUserInput("bob")
			in.Tags = nil
			_, err := w.iam.CreateUser(ctx, in)
			return err
		},
		"someone else's user": func() error {
			_, err := w.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("root-path-user")})
			return err
		},
		"someone else's sign-in": func() error {
			in := loginInput()
			in.UserName = aws.String("root-path-user")
			_, err := w.iam.CreateLoginProfile(ctx, in)
			return err
		},
		"a policy that is not approved": func() error {
			_, err := w.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name,
				PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
			return err
		},
	} {
		err := call()
		e := requireCode(t, err, "AccessDenied")
		requireStatus(t, err, 403)
		if strings.HasPrefix(what, "explicit") {
			require.Contains(t, e, "with an explicit deny in an identity-based policy")
		} else {
			require.Contains(t, e, "because no identity-based policy allows", what)
		}
	}
	a, _ := w.sim.Account(accountID)
	require.Len(t, a.Users, 2)
}

func TestAPolicyWithAllPowersMayCreateAccessKeys(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withPolicy(allPowers)), t.Context()
	w.mustUser(ctx)
	for i := range 3 {
		out, err := w.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
		if i == 2 {
			requireCode(t, err, "LimitExceeded")
			continue
		}
		require.NoError(t, err)
		require.Regexp(t, `^AKIA[A-Z2-7]{16}$`, *out.AccessKey.AccessKeyId)
	}
	_, err := w.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String("{}")})
	requireCode(t, err, "InvalidAction") // allowed, but not simulated
}

func TestReadsFollowWritesAfterTheDelay(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withDelay(10*time.Second)), t.Context()
	exists := func() bool {
		_, err := w.iam.GetUser(ctx, &iam.GetUserInput{UserName: name})
		if err != nil {
			requireCode(t, err, "NoSuchEntity")
		}
		return err == nil
	}
	_, err := w.iam.CreateUser(ctx, createUserInput(userName))
	require.NoError(t, err)
	require.False(t, exists(), "a read right after the write")
	_, err = w.iam.CreateUser(ctx, createUserInput(userName))
	requireCode(t, err, "EntityAlreadyExists") // a write sees the present
	w.clock.Advance(15 * time.Second)
	require.True(t, exists())

	_, err = w.iam.CreateLoginProfile(ctx, loginInput())
	require.NoError(t, err)
	_, err = w.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: name})
	var busy *iamtypes.EntityTemporarilyUnmodifiableException
	require.ErrorAs(t, err, &busy)
	require.Contains(t, busy.ErrorMessage(), "cannot be modified while login profile is being created")
	w.clock.Advance(15 * time.Second)
	_, err = w.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: name})
	require.NoError(t, err)
	_, err = w.iam.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: name})
	require.NoError(t, err, "the profile is gone, but reads do not know it yet")
	w.clock.Advance(15 * time.Second)

	_, err = w.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name})
	require.NoError(t, err)
	require.True(t, exists())
	w.clock.Advance(15 * time.Second)
	require.False(t, exists())
}

func TestChangesBySomeoneElseAreVisibleAtOnce(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withDelay(time.Hour)), t.Context()
	require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) { a.Alias = "by-the-customer" }))
	out, err := w.iam.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{})
	require.NoError(t, err)
	require.Equal(t, []string{"by-the-customer"}, out.AccountAliases)
	require.ErrorContains(t, w.sim.Edit(accountID, func(a *awssim.Account) { a.Alias = "taken-alias" }),
		`alias "taken-alias" belongs to account `+otherID)
	require.ErrorContains(t, w.sim.Edit("000000000000", func(*awssim.Account) {}), "not in the simulator")
	a, _ := w.sim.Account(accountID)
	require.Equal(t, "by-the-customer", a.Alias, "a refused edit changes nothing")
}

func TestAnAccountMayListUsersInShortPages(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withAccount(func(a *awssim.Account) {
		a.Quirks.ShortPages = true
		a.Users = map[string]awssim.User{"alice": {Path: "/marketplace/"}, "bob": {}, "carol": {Path: "/marketplace/"}}
	})), t.Context()
	in := &iam.ListUsersInput{PathPrefix: aws.String("/marketplace/"), MaxItems: aws.Int32(100)}
	first, err := w.iam.ListUsers(ctx, in)
	require.NoError(t, err)
	require.Empty(t, first.Users)
	require.True(t, first.IsTruncated)
	require.NotEmpty(t, *first.Marker)
	var names []string
	for pages := iam.NewListUsersPaginator(w.iam, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Users), 1)
		for _, u := range page.Users {
			names = append(names, *u.UserName)
		}
	}
	require.Equal(t, []string{"alice", "carol"}, names)
}

func TestAnAccountMayReadUsersByTheirExactName(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withAccount(func(a *awssim.Account) {
		a.Quirks.ExactCase = true
		a.Users = map[string]awssim.User{"Alice": {Path: "/marketplace/"}}
	}), withPolicy(allPowers)), t.Context()
	_, err := w.iam.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("alice")})
	requireCode(t, err, "NoSuchEntity")
	_, err = w.iam.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: aws.String("alice")})
	requireCode(t, err, "NoSuchEntity")
	_, err = w.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("alice")})
	requireCode(t, err, "NoSuchEntity")
	_, err = w.iam.CreateUser(ctx, createUserInput("alice"))
	requireCode(t, err, "EntityAlreadyExists")
	got, err := w.iam.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("Alice")})
	require.NoError(t, err)
	require.Equal(t, "Alice", *got.User.UserName)
}

func TestPermissionsTellWhatTheRoleNeeded(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	for range 2 {
		_, err := w.iam.ListUsers(ctx, &iam.ListUsersInput{})
		require.NoError(t, err)
	}
	w.mustUser(ctx)
	_, err := w.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	requireCode(t, err, "AccessDenied")
	user := "arn:aws:iam::" + accountID + ":user/marketplace/" + userName
	require.Equal(t, []awssim.Permission{
		{Action: "iam:CreateAccessKey", Resource: user}, {Action: "iam:CreateUser", Resource: user, Allowed: true},
		{Action: "iam:ListUsers", Resource: "*", Allowed: true}, {Action: "iam:TagUser", Resource: user, Allowed: true},
	}, w.sim.Permissions(accountID))
	require.Empty(t, w.sim.Permissions(otherID))
}
