package awssim_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

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
