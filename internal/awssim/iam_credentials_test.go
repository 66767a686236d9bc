package awssim_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

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
