package awssim_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

// withBucket seeds one bucket.
func withBucket(b awssim.Bucket) option {
	return withAccount(func(a *awssim.Account) { a.Buckets = map[string]awssim.Bucket{bucket: b} })
}

// versions lists every version and delete marker as key@id, a marker with a minus before it, in pages of n.
func (w *world) versions(n int32) (list []string) {
	w.t.Helper()
	pages := s3.NewListObjectVersionsPaginator(w.s3, &s3.ListObjectVersionsInput{Bucket: aws.String(bucket), MaxKeys: aws.Int32(n)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.t.Context())
		require.NoError(w.t, err)
		for _, v := range page.Versions {
			list = append(list, *v.Key+"@"+*v.VersionId)
		}
		for _, v := range page.DeleteMarkers {
			list = append(list, "-"+*v.Key+"@"+*v.VersionId)
		}
	}
	return list
}

func TestDeletingInAVersionedBucketOnlyHides(t *testing.T) {
	t.Parallel()
	w, ctx, name := setup(t, withPolicy(allPowers), withBucket(awssim.Bucket{Versioning: awssim.VersioningEnabled,
		Objects: map[string]int{testObject: 7}})), t.Context(), aws.String(bucket)
	require.Equal(t, []string{testObject + "@null"}, w.versions(1000), "an object from before versioning")

	hidden, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: aws.String(testObject)})
	require.NoError(t, err)
	require.True(t, *hidden.DeleteMarker)
	marker := *hidden.VersionId
	objects, err := w.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: name})
	require.NoError(t, err)
	require.Empty(t, objects.Contents)
	require.ElementsMatch(t, []string{testObject + "@null", "-" + testObject + "@" + marker}, w.versions(1000))
	_, err = w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name})
	requireCode(t, err, "BucketNotEmpty")
	requireStatus(t, err, 409)

	gone, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: aws.String(testObject), VersionId: aws.String(marker)})
	require.NoError(t, err)
	require.True(t, *gone.DeleteMarker)
	a, _ := w.sim.Account(accountID)
	require.Equal(t, map[string]int{testObject: 7}, a.Buckets[bucket].Objects, "without its marker the object is back")
	for range 2 {
		_, err = w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: aws.String(testObject), VersionId: aws.String("null")})
		require.NoError(t, err, "deleting what is not there succeeds")
	}
	require.Empty(t, w.versions(1000))
	_, err = w.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: name})
	require.NoError(t, err)
	object := "object/" + bucket + "/" + testObject
	require.Equal(t, []string{object + ": hidden by a delete marker", object + ": delete marker deleted", object + ": version deleted",
		"bucket/" + bucket + ": deleted"}, w.effects())
}

func TestSuspendedVersioningReplacesTheNullVersion(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withPolicy(allPowers), withBucket(awssim.Bucket{Versioning: awssim.VersioningSuspended,
		Versions: map[string][]awssim.ObjectVersion{
			testObject: {{ID: "null", Size: 2}, {ID: "older", Size: 1}},
		}})), t.Context()
	out, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String(testObject)})
	require.NoError(t, err)
	require.Equal(t, "null", *out.VersionId)
	require.ElementsMatch(t, []string{"-" + testObject + "@null", testObject + "@older"}, w.versions(1000))
}

func TestVersionsComeInPages(t *testing.T) {
	t.Parallel()
	w := setup(t, withBucket(awssim.Bucket{Versioning: awssim.VersioningEnabled, Versions: map[string][]awssim.ObjectVersion{
		"a": {{ID: "a3", DeleteMarker: true}, {ID: "a2"}, {ID: "a1"}}, "b": {{ID: "b2"}, {ID: "b1"}},
		"c/d": {{ID: "c1", DeleteMarker: true}},
	}}))
	want := []string{"-a@a3", "a@a2", "a@a1", "b@b2", "b@b1", "-c/d@c1"}
	for _, size := range []int32{1, 2, 4, 1000} {
		require.ElementsMatch(t, want, w.versions(size), "pages of %d", size)
	}
	only, err := w.s3.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(bucket), Prefix: aws.String("c/")})
	require.NoError(t, err)
	require.Empty(t, only.Versions)
	require.Len(t, only.DeleteMarkers, 1)
	require.True(t, *only.DeleteMarkers[0].IsLatest)

	after, err := w.s3.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(bucket), KeyMarker: aws.String("a"),
		VersionIdMarker: aws.String("deleted")})
	require.NoError(t, err)
	require.Len(t, after.Versions, 4, "no version is missed when the marker's version is deleted")
	after, err = w.s3.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(bucket), KeyMarker: aws.String("a")})
	require.NoError(t, err)
	require.Len(t, after.Versions, 2, "a key alone is passed over")
	_, err = w.s3.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{
		Bucket: aws.String(bucket), VersionIdMarker: aws.String("a1"),
	})
	requireCode(t, err, "InvalidArgument")
}

func TestVersionsNeedPermissionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	objects := map[string]int{testObject: 0, "data": 1}
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:ListBucket","s3:DeleteObject"],"Resource":"*"}}`
	w, ctx, name := setup(t, withBucket(awssim.Bucket{Versioning: awssim.VersioningEnabled, Objects: objects}), withPolicy(policy)),
		t.Context(), aws.String(bucket)
	_, err := w.s3.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: name})
	require.Contains(t, requireCode(t, err, "AccessDenied"), "s3:ListBucketVersions")
	_, err = w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: aws.String(testObject), VersionId: aws.String("null")})
	require.Contains(t, requireCode(t, err, "AccessDenied"), "s3:DeleteObjectVersion")

	testObjectOnly := `{"Statement":[{"Effect":"Allow","Action":["s3:DeleteObject","s3:DeleteObjectVersion"],
		"Resource":"arn:aws:s3:::` + bucket + "/" + testObject + `"},
		{"Effect":"Allow","Action":"s3:ListBucketVersions","Resource":"*"}]}`
	w = setup(t, withBucket(awssim.Bucket{Versioning: awssim.VersioningEnabled, Objects: objects}), withPolicy(testObjectOnly))
	out, err := w.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: name, Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{
		{Key: aws.String(testObject), VersionId: aws.String("null")}, {Key: aws.String(testObject)},
		{Key: aws.String("data"), VersionId: aws.String("null")},
	}}})
	require.NoError(t, err)
	require.Len(t, out.Deleted, 2)
	require.Equal(t, "null", *out.Deleted[0].VersionId)
	require.True(t, *out.Deleted[1].DeleteMarker, "a marker appears even for a key that is not there")
	require.Equal(t, []s3types.Error{{Code: aws.String("AccessDenied"), Key: aws.String("data"), VersionId: aws.String("null"),
		Message: out.Errors[0].Message}}, out.Errors)
	require.ElementsMatch(t, []string{"data@null", "-" + testObject + "@" + *out.Deleted[1].DeleteMarkerVersionId}, w.versions(1))
}

func TestABucketWithoutVersioningHasNullVersions(t *testing.T) {
	t.Parallel()
	w, ctx, name := setup(t, withBucket(awssim.Bucket{Objects: map[string]int{testObject: 0}})), t.Context(), aws.String(bucket)
	require.Equal(t, []string{testObject + "@null"}, w.versions(1))
	out, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: aws.String(testObject), VersionId: aws.String("null")})
	require.NoError(t, err)
	require.Nil(t, out.DeleteMarker)
	require.Empty(t, w.versions(1))
}

func TestAReportsTestObjectIsAVersionInAVersionedBucket(t *testing.T) {
	t.Parallel()
	w := setup(t, withReportBucket())
	require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) {
		b := a.Buckets[bucket]
		b.Versioning = awssim.VersioningEnabled
		a.Buckets[bucket] = b
	}))
	_, err := w.cur.PutReportDefinition(t.Context(), reportInput())
	require.NoError(t, err)
	require.Len(t, w.versions(1), 1)
	require.NotContains(t, w.versions(1)[0], "@null")
}

func TestImpossibleVersionsAreRefused(t *testing.T) {
	t.Parallel()
	for want, b := range map[string]awssim.Bucket{
		"need versioning":   {Versions: map[string][]awssim.ObjectVersion{"k": {{ID: "1"}}}},
		`versioning "On"`:   {Versioning: "On"},
		"must be given and": {Versioning: awssim.VersioningEnabled, Versions: map[string][]awssim.ObjectVersion{"k": {{}}}},
		`id "1" must be`: {
			Versioning: awssim.VersioningEnabled,
			Versions:   map[string][]awssim.ObjectVersion{"k": {{ID: "1"}, {ID: "1"}}},
		},
		`must be "Enabled", "`: {Versioning: "enabled"},
	} {
		world := seed()
		world.Accounts[0].Buckets = map[string]awssim.Bucket{bucket: b}
		require.ErrorContains(t, awssim.New(awssim.Options{}).Load(world), want)
	}
}
