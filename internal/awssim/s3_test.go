package awssim_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	shipped "quartermaster/deploy/iam"
	"quartermaster/internal/awssim"
)

func orderTag() []s3types.Tag {
	return []s3types.Tag{{Key: aws.String("mp:order-id"), Value: aws.String("ord-1")}}
}

func createBucketInput(name string) *s3.CreateBucketInput {
	return &s3.CreateBucketInput{Bucket: aws.String(name), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{Tags: orderTag()}}
}

func TestBucketLivesFromCreationToDeletion(t *testing.T) {
	t.Parallel()
	w, ctx, name := setup(t, withPolicy(allPowers)), t.Context(), aws.String(bucket)
	before := w.sim.Snapshot(accountID)
	_, err := w.s3.CreateBucket(ctx, createBucketInput(bucket))
	require.NoError(t, err)
	_, err = w.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name})
	require.NoError(t, err, "us-east-1 answers its owner with 200")
	tags, err := w.s3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name})
	require.NoError(t, err)
	require.Equal(t, orderTag(), tags.TagSet, "and the tags are the first creator's")
	head, err := w.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name, ExpectedBucketOwner: aws.String(accountID)})
	require.NoError(t, err)
	require.Equal(t, "us-east-1", *head.BucketRegion)
	_, err = w.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name, ExpectedBucketOwner: aws.String(otherID)})
	requireStatus(t, err, 403)
	location, err := w.s3.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: name})
	require.NoError(t, err)
	require.Empty(t, location.LocationConstraint)

	_, err = w.s3.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: name,
		PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{
			BlockPublicAcls: aws.Bool(true), IgnorePublicAcls: aws.Bool(true), BlockPublicPolicy: aws.Bool(false),
			RestrictPublicBuckets: aws.Bool(true),
		}})
	require.NoError(t, err)
	block, err := w.s3.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: name})
	require.NoError(t, err)
	require.True(t, *block.PublicAccessBlockConfiguration.BlockPublicAcls)
	require.False(t, *block.PublicAccessBlockConfiguration.BlockPublicPolicy)

	_, err = w.s3.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: name})
	requireCode(t, err, "NoSuchBucketPolicy")
	policy := shipped.ReportBucketPolicy(bucket, accountID)
	_, err = w.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name, Policy: aws.String(policy)})
	require.NoError(t, err)
	read, err := w.s3.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: name})
	require.NoError(t, err)
	require.Equal(t, policy, *read.Policy)

	more := append(orderTag(), s3types.Tag{Key: aws.String("mp:step"), Value: aws.String("2")})
	_, err = w.s3.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: name, Tagging: &s3types.Tagging{TagSet: more}})
	require.NoError(t, err)
	tags, err = w.s3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name})
	require.NoError(t, err)
	require.Equal(t, more, tags.TagSet)

	_, err = w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name})
	require.NoError(t, err)
	_, err = w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name})
	requireCode(t, err, "NoSuchBucket")
	_, err = w.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name})
	var missing *s3types.NotFound
	require.ErrorAs(t, err, &missing)
	require.Equal(t, string(before), string(w.sim.Snapshot(accountID)))
}

func TestBucketNames(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withPolicy(allPowers)), t.Context()
	_, err := w.s3.CreateBucket(ctx, createBucketInput("foreign-bucket"))
	var taken *s3types.BucketAlreadyExists
	require.ErrorAs(t, err, &taken)
	requireStatus(t, err, 409)
	for _, bad := range []string{"Upper", "a..b", "192.168.0.1"} {
		_, err = w.s3.CreateBucket(ctx, createBucketInput(bad))
		requireCode(t, err, "InvalidBucketName")
	}
	in := createBucketInput("in-ireland")
	in.CreateBucketConfiguration.LocationConstraint = s3types.BucketLocationConstraintEuWest1
	_, err = w.s3.CreateBucket(ctx, in)
	require.NoError(t, err)
	_, err = w.s3.CreateBucket(ctx, in)
	var owned *s3types.BucketAlreadyOwnedByYou
	require.ErrorAs(t, err, &owned, "outside us-east-1 even the owner is refused")
	in.CreateBucketConfiguration.Tags = append(orderTag(), orderTag()...)
	in.Bucket = aws.String("twice-tagged")
	_, err = w.s3.CreateBucket(ctx, in)
	requireCode(t, err, "InvalidTag")
	location, err := w.s3.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String("in-ireland")})
	require.NoError(t, err)
	require.Equal(t, s3types.BucketLocationConstraintEuWest1, location.LocationConstraint)
	_, err = w.s3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String("in-ireland")})
	requireCode(t, err, "PermanentRedirect")
	requireStatus(t, err, 301)

	list, err := w.s3.ListBuckets(ctx, &s3.ListBucketsInput{})
	require.NoError(t, err)
	require.Len(t, list.Buckets, 1)
	require.Equal(t, "in-ireland", *list.Buckets[0].Name)
}

func TestForeignBucketsAreDenied(t *testing.T) {
	t.Parallel()
	name := aws.String("foreign-bucket")
	for what, options := range map[string][]option{"by the role's policy": nil, "by the bucket's owner": {withPolicy(allPowers)}} {
		w, ctx := setup(t, options...), t.Context()
		before := w.sim.Snapshot(otherID)
		_, err := w.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name})
		requireStatus(t, err, 403)
		_, err = w.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{
			Bucket: name, Policy: aws.String(shipped.ReportBucketPolicy(*name, otherID)),
		})
		requireCode(t, err, "AccessDenied")
		_, err = w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name})
		requireCode(t, err, "AccessDenied")
		require.Equal(t, string(before), string(w.sim.Snapshot(otherID)), what)
	}
}

// withObjects is the report's bucket with the test object and two deliveries.
func withObjects() option {
	return withAccount(func(a *awssim.Account) {
		withReport := a.Buckets[bucket]
		withReport.Objects = map[string]int{testObject: 0, "cur/data one.parquet": 512, "cur/data-2.parquet": 99}
		a.Buckets[bucket] = withReport
	})
}

func TestObjectsAreListedInPages(t *testing.T) {
	t.Parallel()
	w, ctx, name := setup(t, withReportBucket(), withObjects(), withPolicy(allPowers)), t.Context(), aws.String(bucket)
	pages := s3.NewListObjectsV2Paginator(w.s3, &s3.ListObjectsV2Input{Bucket: name, MaxKeys: aws.Int32(2)})
	sizes := map[string]int64{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(t, err)
		for _, o := range page.Contents {
			sizes[*o.Key] = *o.Size
		}
	}
	require.Equal(t, map[string]int64{testObject: 0, "cur/data one.parquet": 512, "cur/data-2.parquet": 99}, sizes)
	only, err := w.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: name, Prefix: aws.String("cur/")})
	require.NoError(t, err)
	require.EqualValues(t, 2, *only.KeyCount)
}

func TestTheRoleDeletesTheTestObjectOnly(t *testing.T) {
	t.Parallel()
	w, ctx, name := setup(t, withReportBucket(), withObjects()), t.Context(), aws.String(bucket)
	_, err := w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name})
	requireCode(t, err, "BucketNotEmpty")
	_, err = w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: aws.String("cur/data one.parquet"),
		VersionId: aws.String("null")})
	requireCode(t, err, "AccessDenied")
	for range 2 {
		_, err = w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: aws.String(testObject), VersionId: aws.String("null")})
		require.NoError(t, err, "deleting what is not there succeeds")
	}
	require.Equal(t, []string{"object/" + bucket + "/" + testObject + ": deleted"}, w.effects())
}

func TestDeleteObjectsRefusesKeyByKey(t *testing.T) {
	t.Parallel()
	w, ctx, name := setup(t, withReportBucket()), t.Context(), aws.String(bucket)
	require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) {
		b := a.Buckets[bucket]
		b.Objects = map[string]int{testObject: 0, "data": 1}
		a.Buckets[bucket] = b
	}))
	out, err := w.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: name, Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{
		{Key: aws.String(testObject), VersionId: aws.String("null")}, {Key: aws.String("data"), VersionId: aws.String("null")},
	}}})
	require.NoError(t, err)
	require.Equal(t, testObject, *out.Deleted[0].Key)
	require.Equal(t, "AccessDenied", *out.Errors[0].Code)
	a, _ := w.sim.Account(accountID)
	require.Equal(t, map[string]int{"data": 1}, a.Buckets[bucket].Objects)
}

func TestBucketPolicies(t *testing.T) {
	t.Parallel()
	w, ctx, name := setup(t, withReportBucket(), withPolicy(allPowers)), t.Context(), aws.String(bucket)
	for what, policy := range map[string]string{
		"not JSON":       "x",
		"another bucket": shipped.ReportBucketPolicy("another", accountID),
		"no principal":   allPowers,
		"unknown operator": `{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::` + bucket +
			`","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}}`,
	} {
		_, err := w.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name, Policy: aws.String(policy)})
		requireCode(t, err, "MalformedPolicy")
		require.Emptyf(t, w.effects(), what)
	}
	_, err := w.s3.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: name})
	require.NoError(t, err)
	_, err = w.s3.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: name})
	require.NoError(t, err)
	_, err = w.s3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name})
	requireCode(t, err, "NoSuchTagSet")
	_, err = w.s3.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: name})
	require.NoError(t, err)
	_, err = w.s3.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: name})
	requireCode(t, err, "NoSuchPublicAccessBlockConfiguration")
	_, err = w.s3.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: name})
	requireCode(t, err, "InvalidRequest") // not simulated
	requireStatus(t, err, 400)

	locked := `{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetBucketTagging","Resource":"arn:aws:s3:::` + bucket + `"}}`
	_, err = w.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name, Policy: aws.String(locked)})
	require.NoError(t, err)
	_, err = w.s3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: name})
	requireCode(t, err, "AccessDenied") // a Deny in the bucket's policy counts for its owner too
}

func TestBucketsAppearAfterTheDelay(t *testing.T) {
	t.Parallel()
	w, ctx, name := setup(t, withDelay(10*time.Second), withPolicy(allPowers)), t.Context(), aws.String(bucket)
	_, err := w.s3.CreateBucket(ctx, createBucketInput(bucket))
	require.NoError(t, err)
	_, err = w.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name})
	requireStatus(t, err, 404)
	w.clock.Advance(15 * time.Second)
	_, err = w.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name})
	require.NoError(t, err)
	_, err = w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name})
	require.NoError(t, err)
	_, err = w.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name})
	require.NoError(t, err, "deleted, but still to be seen")
}

func TestListBucketsInPages(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withPolicy(allPowers), withAccount(func(a *awssim.Account) {
		a.Buckets = map[string]awssim.Bucket{"mp-a": {}, "mp-b": {Region: "eu-west-1"}, "mp-c": {}, "other": {}}
	})), t.Context()
	list := func(in s3.ListBucketsInput) (names, regions []string, pages int) {
		all := s3.NewListBucketsPaginator(w.s3, &in)
		for ; all.HasMorePages(); pages++ {
			page, err := all.NextPage(ctx)
			require.NoError(t, err)
			for _, b := range page.Buckets {
				names, regions = append(names, *b.Name), append(regions, *b.BucketRegion)
			}
		}
		return names, regions, pages
	}
	names, regions, pages := list(s3.ListBucketsInput{})
	require.Equal(t, []string{"mp-a", "mp-b", "mp-c", "other"}, names, "and not the other account's")
	require.Equal(t, []string{"us-east-1", "eu-west-1", "us-east-1", "us-east-1"}, regions)
	require.Equal(t, 1, pages)
	names, _, pages = list(s3.ListBucketsInput{MaxBuckets: aws.Int32(1), Prefix: aws.String("mp-")})
	require.Equal(t, []string{"mp-a", "mp-b", "mp-c"}, names)
	require.Equal(t, 3, pages)
	names, _, _ = list(s3.ListBucketsInput{MaxBuckets: aws.Int32(2), BucketRegion: aws.String("us-east-1")})
	require.Equal(t, []string{"mp-a", "mp-c", "other"}, names)
	_, err := w.s3.ListBuckets(ctx, &s3.ListBucketsInput{MaxBuckets: aws.Int32(20_000)})
	requireCode(t, err, "InvalidArgument")
	_, err = w.s3.ListBuckets(ctx, &s3.ListBucketsInput{ContinuationToken: aws.String("?")})
	requireCode(t, err, "InvalidArgument")

	_, err = setup(t, withPolicy(`{"Statement":{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}}`)).s3.ListBuckets(ctx,
		&s3.ListBucketsInput{})
	require.Contains(t, requireCode(t, err, "AccessDenied"), "s3:ListAllMyBuckets")
}

func TestBucketsInRegions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t, withPolicy(allPowers), withAccount(func(a *awssim.Account) { a.EnabledRegions = []string{"eu-south-1"} }))
	for region, code := range map[string]string{
		"af-south-1": "IllegalLocationConstraintException",
		"eu-east-7":  "InvalidLocationConstraint", "us-east-1": "InvalidLocationConstraint",
		"eu-south-1": "", "eu-west-3": "", "EU": "",
	} {
		in := createBucketInput("in-" + strings.ToLower(region))
		in.CreateBucketConfiguration.LocationConstraint = s3types.BucketLocationConstraint(region)
		_, err := w.s3.CreateBucket(ctx, in)
		if code == "" {
			require.NoError(t, err, region)
			continue
		}
		requireCode(t, err, code)
		requireStatus(t, err, 400)
	}
	a, _ := w.sim.Account(accountID)
	require.Equal(t, "eu-west-1", a.Buckets["in-eu"].Region)
	w = setup(t, withPolicy(allPowers)) // which has every region
	in := createBucketInput("in-africa")
	in.CreateBucketConfiguration.LocationConstraint = s3types.BucketLocationConstraintAfSouth1
	_, err := w.s3.CreateBucket(ctx, in)
	require.NoError(t, err)
}

func TestObjectOwnership(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	in := createBucketInput(bucket)
	_, err := w.s3.CreateBucket(ctx, in)
	require.NoError(t, err)
	in.Bucket, in.ObjectOwnership = aws.String(bucket+"-2"), s3types.ObjectOwnershipObjectWriter
	_, err = w.s3.CreateBucket(ctx, in)
	require.NoError(t, err)
	a, _ := w.sim.Account(accountID)
	require.Equal(t, "BucketOwnerEnforced", a.Buckets[bucket].ObjectOwnership, "the default since 2023")
	require.Equal(t, "ObjectWriter", a.Buckets[bucket+"-2"].ObjectOwnership)
	in.Bucket, in.ObjectOwnership = aws.String(bucket+"-3"), "Unknown"
	_, err = w.s3.CreateBucket(ctx, in)
	requireCode(t, err, "InvalidArgument")

	policy := `{"Statement":{"Effect":"Allow","Action":["s3:CreateBucket","s3:TagResource"],"Resource":"*"}}`
	in.ObjectOwnership = s3types.ObjectOwnershipBucketOwnerEnforced
	_, err = setup(t, withPolicy(policy)).s3.CreateBucket(ctx, in)
	require.Contains(t, requireCode(t, err, "AccessDenied"), "s3:PutBucketOwnershipControls")

	w = setup(t, withAccount(func(a *awssim.Account) { a.OrganizationPolicy = json.RawMessage(awssim.DemandBucketOwnerEnforced) }))
	_, err = w.s3.CreateBucket(ctx, createBucketInput(bucket))
	require.Contains(t, requireCode(t, err, "AccessDenied"), "with an explicit deny in a service control policy")
	_, err = w.s3.CreateBucket(ctx, in)
	require.NoError(t, err)
}

func TestSomeBodiesNeedAChecksum(t *testing.T) {
	t.Parallel()
	w, ctx, name := setup(t, withReportBucket(), withPolicy(allPowers)), t.Context(), aws.String(bucket)
	// changed sends a request with its headers changed before it is signed.
	changed := func(change func(http.Header)) func(*s3.Options) {
		return s3.WithAPIOptions(func(stack *middleware.Stack) error {
			return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("headers",
				func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput,
					middleware.Metadata, error) {
					request, ok := in.Request.(*smithyhttp.Request)
					require.True(t, ok)
					change(request.Header)
					return next.HandleFinalize(ctx, in)
				}), "Signing", middleware.Before)
		})
	}
	without := changed(func(h http.Header) { h.Del("X-Amz-Checksum-Crc32") })
	wrong := changed(func(h http.Header) { h.Set("X-Amz-Checksum-Crc32", "AAAAAA==") })
	md5 := changed(func(h http.Header) {
		h.Del("X-Amz-Checksum-Crc32")
		h.Set("Content-Md5", "AAAAAAAAAAAAAAAAAAAAAA==")
	})
	for operation, call := range map[string]func(...func(*s3.Options)) error{
		"PutBucketPolicy": func(o ...func(*s3.Options)) error {
			_, err := w.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name,
				Policy: aws.String(shipped.ReportBucketPolicy(bucket, accountID))}, o...)
			return err
		},
		"PutPublicAccessBlock": func(o ...func(*s3.Options)) error {
			_, err := w.s3.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: name,
				PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{}}, o...)
			return err
		},
		"PutBucketTagging": func(o ...func(*s3.Options)) error {
			_, err := w.s3.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{
				Bucket: name, Tagging: &s3types.Tagging{TagSet: orderTag()},
			}, o...)
			return err
		},
		"DeleteObjects": func(o ...func(*s3.Options)) error {
			_, err := w.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: name,
				Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{{Key: aws.String("k")}}}}, o...)
			return err
		},
	} {
		before := w.sim.Snapshot(accountID)
		requireCode(t, call(without), "InvalidRequest")
		requireCode(t, call(wrong), "BadDigest")
		requireCode(t, call(md5), "BadDigest")
		require.Equal(t, string(before), string(w.sim.Snapshot(accountID)), operation)
		require.NoError(t, call(), operation)
	}
}
