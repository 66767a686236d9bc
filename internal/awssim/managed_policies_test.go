package awssim_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	shipped "quartermaster/deploy/iam"
	"quartermaster/internal/awssim"
)

const (
	ownPolicy   = "arn:aws:iam::" + accountID + ":policy/team/Boundary"
	powerUser   = "arn:aws:iam::aws:policy/PowerUserAccess"
	adminAccess = "arn:aws:iam::aws:policy/AdministratorAccess"
	ownPassword = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["iam:ChangePassword",
		"iam:GetAccountPasswordPolicy"],"Resource":"*"}}`
)

// readPolicy reads the document of a managed policy in the way in which a client must.
func (w *world) readPolicy(arn string) string {
	w.t.Helper()
	policy, err := w.iam.GetPolicy(w.t.Context(), &iam.GetPolicyInput{PolicyArn: aws.String(arn)})
	require.NoError(w.t, err)
	require.Equal(w.t, arn, *policy.Policy.Arn)
	version, err := w.iam.GetPolicyVersion(w.t.Context(), &iam.GetPolicyVersionInput{PolicyArn: aws.String(arn),
		VersionId: policy.Policy.DefaultVersionId})
	require.NoError(w.t, err)
	require.True(w.t, version.PolicyVersion.IsDefaultVersion)
	document, err := url.QueryUnescape(*version.PolicyVersion.Document)
	require.NoError(w.t, err)
	return document
}

func TestManagedPoliciesCanBeRead(t *testing.T) {
	t.Parallel()
	w := setup(t, withAccount(func(a *awssim.Account) {
		a.PolicyDocuments = map[string]string{ownPolicy: ownPassword}
		a.ManagedPolicies = []string{"arn:aws:iam::" + accountID + ":policy/Bare"}
		a.Users = map[string]awssim.User{"bob": {PermissionsBoundary: ownPolicy, AttachedPolicies: []string{ownPolicy}}}
	}))
	require.JSONEq(t, ownPassword, w.readPolicy(ownPolicy))
	require.Contains(t, w.readPolicy(powerUser), "NotAction")
	require.Contains(t, w.readPolicy(changePassword), "user/${aws:username}")
	require.NotContains(t, w.readPolicy("arn:aws:iam::"+accountID+":policy/Bare"), "iam:")

	policy, err := w.iam.GetPolicy(t.Context(), &iam.GetPolicyInput{PolicyArn: aws.String(ownPolicy)})
	require.NoError(t, err)
	require.Equal(t, "Boundary", *policy.Policy.PolicyName)
	require.Equal(t, "/team/", *policy.Policy.Path)
	require.EqualValues(t, 1, *policy.Policy.AttachmentCount)
	require.EqualValues(t, 1, *policy.Policy.PermissionsBoundaryUsageCount)
	_, err = w.iam.GetPolicy(t.Context(), &iam.GetPolicyInput{PolicyArn: aws.String("arn:aws:iam::aws:policy/None")})
	requireCode(t, err, "NoSuchEntity")
	_, err = w.iam.GetPolicyVersion(t.Context(), &iam.GetPolicyVersionInput{PolicyArn: aws.String(ownPolicy), VersionId: aws.String("v2")})
	requireCode(t, err, "NoSuchEntity")
	_, err = w.iam.GetPolicyVersion(t.Context(), &iam.GetPolicyVersionInput{
		PolicyArn: aws.String(ownPolicy), VersionId: aws.String("latest"),
	})
	requireCode(t, err, "ValidationError")
	_, err = w.iam.AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{UserName: aws.String("bob"), PolicyArn: aws.String(ownPolicy)})
	requireCode(t, err, "AccessDenied") // bob is not under our path

	refused := w.sim.Edit(accountID, func(a *awssim.Account) { a.PolicyDocuments[ownPolicy] = `{"Statement":{"Effect":"Maybe"}}` })
	require.ErrorContains(t, refused, "policy_documents")
	refused = w.sim.Edit(accountID, func(a *awssim.Account) { a.PolicyDocuments["arn:aws:iam::"+otherID+":policy/x"] = ownPassword })
	require.ErrorContains(t, refused, "of the account")
}

func TestMayChangePassword(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(a *awssim.Account, u *awssim.User)
		want   bool
	}{
		"AWS's policy, no path":     {func(_ *awssim.Account, u *awssim.User) { u.Path = "/" }, true},
		"AWS's policy, with a path": {func(*awssim.Account, *awssim.User) {}, false},
		"no policy":                 {func(_ *awssim.Account, u *awssim.User) { u.Path, u.AttachedPolicies = "/", nil }, false},
		"a policy of the account":   {func(_ *awssim.Account, u *awssim.User) { u.AttachedPolicies = []string{ownPolicy} }, true},
		"an inline policy": {func(_ *awssim.Account, u *awssim.User) {
			u.AttachedPolicies, u.InlinePolicies = nil, map[string]string{"p": ownPassword}
		}, true},
		"an inline policy that denies": {func(_ *awssim.Account, u *awssim.User) {
			u.AttachedPolicies = []string{adminAccess}
			u.InlinePolicies = map[string]string{"p": `{"Statement":{"Effect":"Deny","Action":"iam:Change*","Resource":"*"}}`}
		}, false},
		"an inline policy that is no policy": {func(_ *awssim.Account, u *awssim.User) {
			u.AttachedPolicies, u.InlinePolicies = []string{ownPolicy}, map[string]string{"p": `{}`}
		}, true},
		"power user": {func(_ *awssim.Account, u *awssim.User) { u.AttachedPolicies = []string{powerUser} }, false},
		"the account's password policy allows it": {func(a *awssim.Account, u *awssim.User) {
			u.AttachedPolicies = nil
			a.PasswordPolicy = &awssim.PasswordPolicy{MinimumPasswordLength: 8, AllowUsersToChangePassword: true}
		}, true},
		"boundary of a power user": {func(_ *awssim.Account, u *awssim.User) {
			u.AttachedPolicies, u.PermissionsBoundary = []string{ownPolicy}, powerUser
		}, false},
		"boundary that only reads": {func(_ *awssim.Account, u *awssim.User) {
			u.AttachedPolicies, u.PermissionsBoundary = []string{ownPolicy}, readOnly
		}, false},
		"boundary that allows it": {func(_ *awssim.Account, u *awssim.User) {
			u.AttachedPolicies, u.PermissionsBoundary = []string{adminAccess}, ownPolicy
		}, true},
		"boundary that is gone": {func(_ *awssim.Account, u *awssim.User) {
			u.AttachedPolicies, u.PermissionsBoundary = []string{adminAccess}, "arn:aws:iam::"+accountID+":policy/Gone"
		}, false},
		"the organization denies it": {func(a *awssim.Account, u *awssim.User) {
			u.AttachedPolicies = []string{adminAccess}
			a.OrganizationPolicy = json.RawMessage(`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny",
		"Action":"iam:*","Resource":"*"}]}`)
		}, false},
		"a password that has expired for good": {func(a *awssim.Account, u *awssim.User) {
			u.AttachedPolicies = []string{adminAccess}
			a.PasswordPolicy = &awssim.PasswordPolicy{MinimumPasswordLength: 8, MaxPasswordAge: 30, HardExpiry: true}
		}, false},
		"a password that has only expired": {func(a *awssim.Account, u *awssim.User) {
			u.AttachedPolicies = []string{adminAccess}
			a.PasswordPolicy = &awssim.PasswordPolicy{MinimumPasswordLength: 8, MaxPasswordAge: 30}
		}, true},
		"no password": {func(_ *awssim.Account, u *awssim.User) {
			u.AttachedPolicies, u.LoginProfile = []string{adminAccess}, nil
		}, false},
		"a suspended account": {func(a *awssim.Account, u *awssim.User) {
			u.AttachedPolicies, a.State = []string{adminAccess}, awssim.StateSuspended
		}, false},
	} {
		w := setup(t)
		require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) {
			a.PolicyDocuments = map[string]string{ownPolicy: ownPassword}
			u := awssim.User{Path: "/marketplace/", AttachedPolicies: []string{changePassword},
				LoginProfile: &awssim.LoginProfile{ResetRequired: true, Created: w.clock.Now().Add(-31 * 24 * time.Hour)}}
			c.change(a, &u)
			a.Users = map[string]awssim.User{userName: u}
		}))
		require.Equal(t, c.want, w.sim.MayChangePassword(accountID, userName), name)
		require.False(t, w.sim.MayChangePassword(accountID, "unknown"))
	}
	require.False(t, setup(t).sim.MayChangePassword("000000000000", userName))
}

// TestAccessDeniedNamesTheTypeOfPolicy: AWS's words say where to look.
func TestAccessDeniedNamesTheTypeOfPolicy(t *testing.T) {
	t.Parallel()
	deny := json.RawMessage(`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"iam:CreateUser",
		"Resource":"*"}]}`)
	const onlyS3 = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
	for want, change := range map[string]func(a *awssim.Account){
		"with an explicit deny in a service control policy": func(a *awssim.Account) { a.OrganizationPolicy = deny },
		"because no service control policy allows the iam:CreateUser action": func(a *awssim.Account) {
			a.OrganizationPolicy = json.RawMessage(onlyS3)
		},
		"because no identity-based policy allows the iam:CreateUser action": func(a *awssim.Account) {
			a.Role.Policy = json.RawMessage(onlyS3)
		},
		"with an explicit deny in an identity-based policy": func(a *awssim.Account) { a.Role.Policy = deny },
		"because no permissions boundary allows the iam:CreateUser action": func(a *awssim.Account) {
			a.PolicyDocuments, a.Role.PermissionsBoundary = map[string]string{ownPolicy: onlyS3}, ownPolicy
		},
		"with an explicit deny in a permissions boundary": func(a *awssim.Account) {
			a.PolicyDocuments, a.Role.PermissionsBoundary = map[string]string{ownPolicy: string(deny)}, ownPolicy
		},
	} {
		w := setup(t, withAccount(change))
		_, err := w.iam.CreateUser(t.Context(), createUserInput(userName))
		require.Contains(t, requireCode(t, err, "AccessDenied"), want)
		requireStatus(t, err, 403)
		require.Empty(t, w.effects())
	}

	w := setup(t)
	for policy, want := range map[string]string{
		string(deny): "with an explicit deny in a session policy", onlyS3: "because no session policy allows the iam:CreateUser action",
	} {
		in := w.assumeInput(accountID)
		in.Policy = aws.String(policy)
		out, err := w.sts.AssumeRole(t.Context(), in)
		require.NoError(t, err)
		w.use(w.config(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken))
		_, err = w.iam.CreateUser(t.Context(), createUserInput(userName))
		require.Contains(t, requireCode(t, err, "AccessDenied"), want)
	}

	locked := `{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetBucketTagging","Resource":"arn:aws:s3:::` + bucket + `"}}`
	_, err := setup(t, withBucket(awssim.Bucket{Policy: locked})).s3.GetBucketTagging(t.Context(),
		&s3.GetBucketTaggingInput{Bucket: aws.String(bucket)})
	require.Contains(t, requireCode(t, err, "AccessDenied"), "with an explicit deny in a resource-based policy")

	for want, change := range map[string]func(a *awssim.Account){
		"organization_policy":  func(a *awssim.Account) { a.OrganizationPolicy = json.RawMessage(`{}`) },
		"permissions_boundary": func(a *awssim.Account) { a.Role.PermissionsBoundary = ownPolicy },
	} {
		require.ErrorContains(t, w.sim.Edit(accountID, change), want)
	}
}

// TestTheShippedPolicyCreatesUsersWithThePoolsBoundaryOnly: a pool with a boundary has a role that knows no other users.
func TestTheShippedPolicyCreatesUsersWithThePoolsBoundaryOnly(t *testing.T) {
	t.Parallel()
	w := setup(t, withPolicy(shipped.RolePolicy(shipped.Role{AccountID: accountID, PermissionsBoundary: ownPolicy})),
		withAccount(func(a *awssim.Account) {
			a.PolicyDocuments = map[string]string{ownPolicy: ownPassword}
		}))
	for boundary, code := range map[string]string{"": "AccessDenied", powerUser: "AccessDenied", ownPolicy: ""} {
		in := createUserInput(userName)
		if boundary != "" {
			in.PermissionsBoundary = aws.String(boundary)
		}
		_, err := w.iam.CreateUser(t.Context(), in)
		if code == "" {
			require.NoError(t, err)
		} else {
			requireCode(t, err, code)
		}
	}
	_, err := w.iam.AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{
		UserName: aws.String(userName), PolicyArn: aws.String(readOnly),
	})
	requireCode(t, err, "AccessDenied") // the pool does not name it
}
