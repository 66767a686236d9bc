package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"quartermaster/deploy/iam"
	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// testObject is the object that AWS writes into a report's bucket when the report is created, to check that it can. It is the only object
// that an undo deletes.
const testObject = "aws-programmatic-access-test-object"

// bucketState is whether the bucket with the name of the order's bucket exists, and whose it is.
type bucketState int

const (
	bucketAbsent    bucketState = iota
	bucketOurs                  // by its tags
	bucketUntagged              // in this account; its tags may not be visible yet
	bucketForeign               // another order's
	bucketDenied                // another account's, or the role may not read it: AWS gives the same answer
	bucketElsewhere             // in another region than that of the settings
)

// lookAtBucket returns the state of the bucket of the order's report, as the answer to a read of its tags shows it.
func lookAtBucket(ctx context.Context, s *awscloud.Session, w Assignment) (bucketState, error) {
	tags, err := bucketTags(ctx, s, w)
	switch {
	case isNoSuchBucket(err):
		return bucketAbsent, nil
	case awscloud.IsNotFound(err):
		return bucketUntagged, nil
	case awscloud.IsAccessDenied(err):
		return bucketDenied, nil
	case isElsewhere(err):
		return bucketElsewhere, nil
	case err != nil:
		return bucketAbsent, bucketRefused(w, err)
	case w.owns(tags):
		return bucketOurs, nil
	}
	return bucketForeign, nil
}

func bucketTags(ctx context.Context, s *awscloud.Session, w Assignment) ([]tag, error) {
	out, err := s.S3(w.reportRegion()).GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String(w.bucketName()),
		ExpectedBucketOwner: aws.String(w.Account.ID)})
	if err != nil {
		return nil, err
	}
	return tagsOf(out.TagSet, func(t s3types.Tag) (key, value *string) { return t.Key, t.Value }), nil
}

// isElsewhere reports that a bucket of the name exists in another region than that of the call.
// Source: Amazon S3 API Reference, "Error responses".
func isElsewhere(err error) bool {
	return awscloud.Code(err) == "PermanentRedirect" || awscloud.Code(err) == "AuthorizationHeaderMalformed"
}

func isNoSuchBucket(err error) bool { return awscloud.Code(err) == "NoSuchBucket" }

// ensureBucket creates the bucket of the report, closed to the public, with the policy that lets AWS deliver into it. isNew reports that
// there was no bucket before, and therefore no report of the order in it.
func (a *Activities) ensureBucket(ctx context.Context, s *awscloud.Session, w Assignment) (isNew bool, err error) {
	exists, err := a.createBucket(ctx, s, w)
	if err != nil {
		return false, err
	}
	if exists == nil {
		return true, a.writeBucketPolicy(ctx, s, w)
	}
	if err := a.bucketIsOurs(ctx, s, w, exists); err != nil {
		return false, err
	}
	if done, err := hasBucketPolicy(ctx, s, w); done || err != nil {
		return false, err
	}
	return false, a.writeBucketPolicy(ctx, s, w)
}

// createBucket creates the bucket. exists is AWS's answer when there is one already; nil when the bucket is new, and so the order's. In
// us-east-1, AWS creates the account's own bucket again, with success and a side effect on its ACL, so createBucket looks there first.
// Source: Amazon S3 API Reference, CreateBucket, BucketAlreadyOwnedByYou.
func (a *Activities) createBucket(ctx context.Context, s *awscloud.Session, w Assignment) (exists, err error) {
	if w.reportRegion() == awscloud.HomeRegion {
		state, err := lookAtBucket(ctx, s, w)
		if err != nil {
			return nil, err
		}
		if state != bucketAbsent {
			return errBucketExists, nil
		}
	}
	err = a.retryWhile(ctx, busy, func(ctx context.Context) error {
		_, err := s.S3(w.reportRegion()).CreateBucket(ctx, w.newBucket())
		return err
	})
	if awscloud.IsAlreadyExists(err) {
		return err, nil
	}
	return nil, bucketRefused(w, err)
}

var errBucketExists = errors.New("the bucket exists")

// bucketIsOurs returns a failure unless the bucket that exists is the order's, from an earlier attempt.
func (a *Activities) bucketIsOurs(ctx context.Context, s *awscloud.Session, w Assignment, exists error) error {
	var state bucketState
	seen, err := a.waitShown(ctx, func(ctx context.Context) (_ bool, err error) {
		if state, err = lookAtBucket(ctx, s, w); err == nil && state == bucketForeign {
			err = bucketNotOurs(w)
		}
		return state == bucketOurs, err
	})
	switch {
	case err != nil:
		return err
	case !seen && state == bucketDenied:
		if _, err = bucketTags(ctx, s, w); err == nil {
			return notYet("the bucket of the cost report")
		}
		return withCause(bucketNotOurs(w), err)
	case !seen && state == bucketUntagged:
		return bucketNotOurs(w)
	case !seen && state == bucketElsewhere: // it may be the order's, from an attempt under earlier settings, and just deleted
		return &provision.Failure{Code: provision.CodeNotYetVisible,
			Reason: fmt.Sprintf("AWS has not released the name of the bucket %s yet, which is in another region than %s", w.bucketName(),
				w.reportRegion()) + tryAgain}
	case !seen:
		return notYetAfter(exists, "the bucket of the cost report")
	}
	return nil
}

// bucketRefused returns the failure for an answer of S3 that is caused by the pool's settings or by the account. In a region that the
// account has not enabled, S3 does not know credentials that AWS has accepted elsewhere.
func bucketRefused(w Assignment, err error) error {
	unknown := awscloud.IsBadCredentials(err) && w.reportRegion() != awscloud.HomeRegion && !slices.Contains(ourOwnFault, awscloud.Code(err))
	if awscloud.IsRegionRefused(err) || unknown {
		return withCause(&provision.Failure{Code: provision.CodePoolSettingsRefused,
			Reason: fmt.Sprintf("AWS creates no bucket in region %q, the report_region of the pool's settings, for account %s: enable "+
				"the region in the account, or change report_region, then retry the order",
				w.reportRegion(), w.Account.ID)}, err)
	}
	return err
}

// ourOwnFault are the codes about credentials that have nothing to do with a region: our signature or our clock is wrong.
var ourOwnFault = []string{"SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed", "RequestInTheFuture"}

func bucketNotOurs(w Assignment) *provision.Failure {
	return &provision.Failure{Code: provision.CodeResourceNotOurs,
		Reason: fmt.Sprintf("the bucket %s exists, and either this order did not create it or the role may not read it: check whose "+
			"it is, then retry the order, or swap the account", w.bucketName())}
}

// bucketUnknown returns the sentence about a bucket that the role may not read.
func bucketUnknown(w Assignment) string {
	return fmt.Sprintf("the bucket %s cannot be read: it belongs to another account, or the role lacks s3:GetBucketTagging", w.bucketName())
}

func (w Assignment) newBucket() *s3.CreateBucketInput {
	configuration := &s3types.CreateBucketConfiguration{}
	if region := w.reportRegion(); region != awscloud.HomeRegion { // S3 does not accept us-east-1 as a constraint
		configuration.LocationConstraint = s3types.BucketLocationConstraint(region)
	}
	for _, t := range w.tags() {
		configuration.Tags = append(configuration.Tags, s3types.Tag{Key: aws.String(t.key), Value: aws.String(t.value)})
	}
	return &s3.CreateBucketInput{Bucket: aws.String(w.bucketName()), CreateBucketConfiguration: configuration,
		ObjectOwnership: s3types.ObjectOwnershipBucketOwnerEnforced} // AWS's default, which the policies of some organizations want to see
}

// hasBucketPolicy reports whether the bucket has the policy that writeBucketPolicy writes last.
func hasBucketPolicy(ctx context.Context, s *awscloud.Session, w Assignment) (bool, error) {
	out, err := s.S3(w.reportRegion()).GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: aws.String(w.bucketName()),
		ExpectedBucketOwner: aws.String(w.Account.ID)})
	if err != nil {
		return false, awscloud.IgnoreNotFound(err)
	}
	return sameJSON(aws.ToString(out.Policy), iam.ReportBucketPolicy(w.bucketName(), w.Account.ID)), nil
}

// writeBucketPolicy blocks public access and gives AWS's billing services access. AWS checks the policy when the report is created.
func (a *Activities) writeBucketPolicy(ctx context.Context, s *awscloud.Session, w Assignment) error {
	client := s.S3(w.reportRegion())
	bucket, owner := aws.String(w.bucketName()), aws.String(w.Account.ID)
	if err := a.retryWhile(ctx, propagating, func(ctx context.Context) error {
		_, err := client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: bucket, ExpectedBucketOwner: owner,
			PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{
				BlockPublicAcls: aws.Bool(true), IgnorePublicAcls: aws.Bool(true), BlockPublicPolicy: aws.Bool(true),
				RestrictPublicBuckets: aws.Bool(true)}})
		return err
	}); err != nil {
		return err
	}
	return a.retryWhile(ctx, propagating, func(ctx context.Context) error {
		_, err := client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: bucket, ExpectedBucketOwner: owner,
			Policy: aws.String(iam.ReportBucketPolicy(w.bucketName(), w.Account.ID))})
		return err
	})
}

func sameJSON(a, b string) bool {
	var left, right any
	return json.Unmarshal([]byte(a), &left) == nil && json.Unmarshal([]byte(b), &right) == nil && reflect.DeepEqual(left, right)
}
