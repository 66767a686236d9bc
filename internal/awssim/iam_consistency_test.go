package awssim_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

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
