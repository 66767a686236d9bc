package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"quartermaster/deploy/iam"
	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// testObject is what AWS puts into a report's bucket when the report is made, to see whether it can. It is the only
// object that we delete.
const testObject = "aws-programmatic-access-test-object"

// bucketState is whose the bucket of our name is.
type bucketState int

const (
	bucketAbsent   bucketState = iota
	bucketOurs                 // by its tags
	bucketUntagged             // in this account; its tags may not be visible yet
	bucketForeign              // another order's
	bucketDenied               // another account's, or the role may not look: AWS does not tell which
)

// lookAtBucket looks for the bucket of the order's report.
func lookAtBucket(ctx context.Context, s *awscloud.Session, w Assignment) (bucketState, error) {
	client := s.S3(w.reportRegion())
	_, err := client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(w.bucketName()), ExpectedBucketOwner: aws.String(w.Account.ID)})
	switch {
	case awscloud.IsNotFound(err):
		return bucketAbsent, nil
	case awscloud.IsAccessDenied(err):
		return bucketDenied, nil
	case err != nil:
		return bucketAbsent, err
	}
	out, err := client.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String(w.bucketName()), ExpectedBucketOwner: aws.String(w.Account.ID)})
	switch {
	case isNoSuchBucket(err):
		return bucketAbsent, nil
	case awscloud.IsNotFound(err):
		return bucketUntagged, nil
	case err != nil:
		return bucketAbsent, err
	case w.owns(tagsOf(out.TagSet, func(t s3types.Tag) (key, value *string) { return t.Key, t.Value })):
		return bucketOurs, nil
	}
	return bucketForeign, nil
}

func isNoSuchBucket(err error) bool { return awscloud.Code(err) == "NoSuchBucket" }

// ensureBucket makes the bucket of the report, closed to the public, with the policy that lets AWS deliver into it.
func (a *Activities) ensureBucket(ctx context.Context, s *awscloud.Session, w Assignment) error {
	state, err := lookAtBucket(ctx, s, w)
	if err != nil {
		return err
	}
	if state == bucketAbsent {
		// Where the bucket is ours already AWS says so, or, in us-east-1, makes it again: the look below tells whose it is.
		err := a.insist(ctx, busy, func(ctx context.Context) error {
			_, err := s.S3(w.reportRegion()).CreateBucket(ctx, w.newBucket())
			return err
		})
		if err != nil && !awscloud.IsAlreadyExists(err) {
			return err
		}
	}
	seen, err := a.twice(ctx, func(ctx context.Context) (bool, error) {
		if state, err = lookAtBucket(ctx, s, w); err == nil && (state == bucketForeign || state == bucketDenied) {
			err = bucketNotOurs(w)
		}
		return state == bucketOurs, err
	})
	switch {
	case err != nil:
		return err
	case !seen && state == bucketUntagged:
		return bucketNotOurs(w)
	case !seen:
		return notYet("the bucket of the cost report")
	}
	return a.ensureBucketPolicy(ctx, s, w)
}

func bucketNotOurs(w Assignment) error {
	return &provision.Failure{Code: provision.CodeNotOurs,
		Reason: fmt.Sprintf("the bucket %s exists and was not made by this order, or the role may not look at it: find out whose it is, or use another account", w.bucketName())}
}

// bucketUnknown is what there is to say about a bucket that cannot be looked at.
func bucketUnknown(w Assignment) string {
	return fmt.Sprintf("the bucket %s cannot be looked at: it is another account's, or the role lacks s3:ListBucket", w.bucketName())
}

func (w Assignment) newBucket() *s3.CreateBucketInput {
	configuration := &s3types.CreateBucketConfiguration{}
	if region := w.reportRegion(); region != awscloud.HomeRegion { // which S3 does not accept as a constraint
		configuration.LocationConstraint = s3types.BucketLocationConstraint(region)
	}
	for _, t := range w.tags() {
		configuration.Tags = append(configuration.Tags, s3types.Tag{Key: aws.String(t.key), Value: aws.String(t.value)})
	}
	return &s3.CreateBucketInput{Bucket: aws.String(w.bucketName()), CreateBucketConfiguration: configuration}
}

// ensureBucketPolicy shuts the public out and lets AWS's billing services in. The policy is the last write, so where it
// stands there is nothing to do.
func (a *Activities) ensureBucketPolicy(ctx context.Context, s *awscloud.Session, w Assignment) error {
	client := s.S3(w.reportRegion())
	bucket, owner := aws.String(w.bucketName()), aws.String(w.Account.ID)
	want := iam.ReportBucketPolicy(w.bucketName(), w.Account.ID)
	policyIs := func(ctx context.Context) (bool, error) {
		out, err := client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: bucket, ExpectedBucketOwner: owner})
		if err != nil {
			return false, awscloud.IgnoreNotFound(err)
		}
		return sameJSON(aws.ToString(out.Policy), want), nil
	}
	if done, err := policyIs(ctx); done || err != nil {
		return err
	}
	if err := a.insist(ctx, settling, func(ctx context.Context) error {
		_, err := client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: bucket, ExpectedBucketOwner: owner,
			PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{
				BlockPublicAcls: aws.Bool(true), IgnorePublicAcls: aws.Bool(true), BlockPublicPolicy: aws.Bool(true), RestrictPublicBuckets: aws.Bool(true)}})
		return err
	}); err != nil {
		return err
	}
	if err := a.insist(ctx, settling, func(ctx context.Context) error {
		_, err := client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: bucket, ExpectedBucketOwner: owner, Policy: aws.String(want)})
		return err
	}); err != nil {
		return err
	}
	seen, err := a.twice(ctx, policyIs)
	if err == nil && !seen {
		err = notYet("the policy of the bucket")
	}
	return err
}

func sameJSON(a, b string) bool {
	var left, right any
	return json.Unmarshal([]byte(a), &left) == nil && json.Unmarshal([]byte(b), &right) == nil && reflect.DeepEqual(left, right)
}

// removeBucket deletes the bucket of the order's report, if it is ours and holds nothing but AWS's test object; else it
// says why it is left.
func (a *Activities) removeBucket(ctx context.Context, s *awscloud.Session, w Assignment) ([]string, error) {
	var state bucketState
	_, err := a.appears(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
		var err error
		state, err = lookAtBucket(ctx, s, w)
		return state != bucketAbsent, err
	})
	if err == nil && state == bucketDenied {
		return []string{bucketUnknown(w)}, nil
	}
	if err != nil || state != bucketOurs {
		return nil, err
	}
	deadline := time.Now().Add(a.Timings.VisibleFor)
	for n := 0; ; n++ {
		delivered, err := a.emptyBucket(ctx, s, w)
		if isNoSuchBucket(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if delivered {
			return []string{fmt.Sprintf("the bucket %s holds objects that this order did not write: it was left with them", w.bucketName())}, nil
		}
		err = a.remove(ctx, func(ctx context.Context) error {
			_, err := s.S3(w.reportRegion()).DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(w.bucketName()), ExpectedBucketOwner: aws.String(w.Account.ID)})
			return err
		})
		if !awscloud.IsDeleteConflict(err) || time.Now().After(deadline) {
			return nil, err
		}
		if err := a.pause(ctx, n); err != nil { // something is in it that the list did not show yet
			return nil, err
		}
	}
}

// emptyBucket deletes AWS's test object, and nothing when there is any other object.
func (a *Activities) emptyBucket(ctx context.Context, s *awscloud.Session, w Assignment) (delivered bool, err error) {
	client := s.S3(w.reportRegion())
	bucket, owner := aws.String(w.bucketName()), aws.String(w.Account.ID)
	var tests []string
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: bucket, ExpectedBucketOwner: owner})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return false, err
		}
		for _, object := range page.Contents {
			key := aws.ToString(object.Key)
			if key != testObject && !strings.HasSuffix(key, "/"+testObject) {
				return true, nil
			}
			tests = append(tests, key)
		}
	}
	for _, key := range tests {
		if err := a.remove(ctx, func(ctx context.Context) error {
			_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String(key), ExpectedBucketOwner: owner})
			return err
		}); err != nil {
			return false, err
		}
	}
	return false, nil
}
