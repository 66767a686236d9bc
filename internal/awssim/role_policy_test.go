package awssim_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

// TestTheShippedPolicyKeepsOffWhatIsNotOurs: the role cannot touch what is the customer's, and cannot help itself to more.
func TestTheShippedPolicyKeepsOffWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	const theirs = "mp-cur-" + otherID + "-1" // another account's id in our pattern
	w, ctx := setup(t, withAccount(func(a *awssim.Account) {
		a.Users = map[string]awssim.User{"admin": {AttachedPolicies: []string{readOnly}},
			userName: {Path: "/marketplace/", AttachedPolicies: []string{adminAccess}}}
		a.Reports = map[string]awssim.Report{"usage": {S3Bucket: "data"}}
		a.Exports = map[string]awssim.Export{"usage": {ARN: "arn:aws:bcm-data-exports:us-east-1:" + accountID + ":export/usage-1",
			QueryStatement: "SELECT a FROM B"}}
		a.Buckets = map[string]awssim.Bucket{"data": {}, theirs: {}, bucket: {Objects: map[string]int{"data": 1}}}
	})), t.Context()
	before := w.sim.Snapshot(accountID)
	other, ours, export := aws.String("admin"), aws.String(userName),
		aws.String("arn:aws:bcm-data-exports:us-east-1:"+accountID+":export/usage-1")
	for what, call := range map[string]func() error{
		"a user outside of our path": func() error {
			_, err := w.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: other})
			return err
		},
		"the password of a user outside of our path": func() error {
			in := loginInput()
			in.UserName = other
			_, err := w.iam.CreateLoginProfile(ctx, in)
			return err
		},
		"an untagged user": func() error {
			_, err := w.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("new"), Path: aws.String("/marketplace/")})
			return err
		},
		"the tags of a user": func() error {
			in := createUserInput(userName)
			_, err := w.iam.TagUser(ctx, &iam.TagUserInput{UserName: other, Tags: in.Tags})
			return err
		},
		"more rights for our user": func() error {
			_, err := w.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: ours, PolicyArn: aws.String(adminAccess)})
			return err
		},
		"more rights by an inline policy": func() error {
			_, err := w.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: ours, PolicyName: aws.String("p"),
				PolicyDocument: aws.String(allPowers)})
			return err
		},
		"an access key": func() error {
			_, err := w.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: ours})
			return err
		},
		"another boundary": func() error {
			_, err := w.iam.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: ours,
				PermissionsBoundary: aws.String(adminAccess)})
			return err
		},
		"the customer's legacy report": func() error {
			_, err := w.cur.DeleteReportDefinition(ctx, &cur.DeleteReportDefinitionInput{ReportName: aws.String("usage")})
			return err
		},
		"the customer's export": func() error {
			_, err := w.exports.DeleteExport(ctx, &bcmdataexports.DeleteExportInput{ExportArn: export})
			return err
		},
		"the customer's bucket": func() error {
			_, err := w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("data")})
			return err
		},
		"a bucket with another account's id": func() error {
			_, err := w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(theirs)})
			return err
		},
		"what AWS delivered": func() error {
			_, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("data"),
				VersionId: aws.String("null")})
			return err
		},
	} {
		require.Error(t, call(), what)
		require.Contains(t, []string{"AccessDenied", "AccessDeniedException"}, w.last().Decision, what)
	}
	require.Equal(t, string(before), string(w.sim.Snapshot(accountID)))
}
