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
