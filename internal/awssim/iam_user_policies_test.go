package awssim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

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
