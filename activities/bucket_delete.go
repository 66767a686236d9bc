package activities

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"quartermaster/internal/awscloud"
)

// removeBucket deletes the bucket of the order's report if it is the order's and holds only AWS's test object. Else it returns a note
// about what is left.
func (a *Activities) removeBucket(ctx context.Context, s *awscloud.Session, w Assignment) ([]string, error) {
	deadline := time.Now().Add(a.Timings.VisibleFor)
	var state bucketState
	_, err := a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
		var err error
		state, err = lookAtBucket(ctx, s, w)
		return state != bucketAbsent, err
	})
	for n := 0; err == nil && state == bucketDenied; n++ { // a permission may not be in effect yet
		if time.Now().After(deadline) {
			return []string{bucketUnknown(w)}, nil
		}
		if err = a.pause(ctx, n); err == nil {
			state, err = lookAtBucket(ctx, s, w)
		}
	}
	if err != nil || state != bucketOurs {
		return nil, err
	}
	for n := 0; ; n++ {
		delivered, err := a.emptyBucket(ctx, s, w)
		if isNoSuchBucket(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if delivered {
			return []string{fmt.Sprintf("the bucket %s holds objects that this order did not write: the bucket and the objects were left alone",
				w.bucketName())}, nil
		}
		err = a.remove(ctx, func(ctx context.Context) error {
			_, err := s.S3(w.reportRegion()).DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(w.bucketName()),
				ExpectedBucketOwner: aws.String(w.Account.ID)})
			return err
		})
		if !awscloud.IsDeleteConflict(err) || time.Now().After(deadline) {
			return nil, err
		}
		if err := a.pause(ctx, n); err != nil { // the list did not show an object yet
			return nil, err
		}
	}
}

// emptyBucket deletes AWS's test object with all its versions and delete markers. If there is any version of any other object, it
// deletes nothing and returns true. Without versioning, an object has one version, whose id is "null".
// Source: Amazon S3 User Guide, "Deleting object versions from a versioning-enabled bucket".
func (a *Activities) emptyBucket(ctx context.Context, s *awscloud.Session, w Assignment) (delivered bool, err error) {
	client := s.S3(w.reportRegion())
	bucket, owner := aws.String(w.bucketName()), aws.String(w.Account.ID)
	var ours []s3types.ObjectIdentifier
	pages := s3.NewListObjectVersionsPaginator(client, &s3.ListObjectVersionsInput{Bucket: bucket, ExpectedBucketOwner: owner})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return false, err
		}
		found := make([]s3types.ObjectIdentifier, 0, len(page.Versions)+len(page.DeleteMarkers))
		for _, version := range page.Versions {
			found = append(found, s3types.ObjectIdentifier{Key: version.Key, VersionId: version.VersionId})
		}
		for _, marker := range page.DeleteMarkers {
			found = append(found, s3types.ObjectIdentifier{Key: marker.Key, VersionId: marker.VersionId})
		}
		for _, object := range found {
			if key := aws.ToString(object.Key); key != testObject && !strings.HasSuffix(key, "/"+testObject) {
				return true, nil
			}
		}
		ours = append(ours, found...)
	}
	for _, object := range ours {
		if err := a.remove(ctx, func(ctx context.Context) error {
			_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: object.Key, VersionId: object.VersionId,
				ExpectedBucketOwner: owner})
			return err
		}); err != nil {
			return false, err
		}
	}
	return false, nil
}
