package activities

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// The question names the region, the setting and what the operator can do.
func TestARegionThatTheAccountHasNotEnabledIsRefused(t *testing.T) {
	t.Parallel()
	optIn := func(from *initialState) { from.w.Settings.ReportRegion = "eu-south-1" }
	requireQuestion := func(t *testing.T, w *fixture) {
		t.Helper()
		d, err := w.do()
		failure := w.requireFailure(err, provision.CodePoolSettingsRefused)
		require.Equal(t, provision.StepReport, failure.Step)
		for _, word := range []string{`"eu-south-1"`, "report_region", accountID, "enable the region", "retry"} {
			require.Contains(t, failure.Reason, word)
		}
		require.NotEmpty(t, failure.AWSCode)
		require.NotEmpty(t, failure.RequestID)
		w.sim.ClearFaults(accountID)
		w.edit(func(a *awssim.Account) { a.EnabledRegions = nil })
		w.start = w.withRegions(nil)
		require.NoError(t, w.setUp(&d), "the same order goes on where the region is enabled")
		w.requireUndone(d, awssim.Fault{})
	}
	t.Run("as the simulator has it", func(t *testing.T) {
		t.Parallel()
		requireQuestion(t, setup(t, optIn, quick, func(from *initialState) { from.account.EnabledRegions = []string{"af-south-1"} }))
	})
	for _, code := range []string{"IllegalLocationConstraintException", "InvalidLocationConstraint", "AuthorizationHeaderMalformed",
		"InvalidToken", "InvalidAccessKeyId"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			w := setup(t, optIn, quick)
			w.sim.Inject(awssim.Fault{Service: "s3", Operation: "CreateBucket", AccountID: accountID, Kind: awssim.Error, Code: code, Status: 400})
			requireQuestion(t, w)
		})
	}
	t.Run("an account that is left with such a setting can be given back", func(t *testing.T) {
		t.Parallel()
		w := setup(t, optIn, quick, func(from *initialState) { from.account.EnabledRegions = []string{"af-south-1"} })
		d, err := w.do()
		w.requireFailure(err, provision.CodePoolSettingsRefused)
		w.requireUndone(d, awssim.Fault{})
	})
}

// withRegions returns the account as it was before the order, with these regions.
func (w *fixture) withRegions(enabled []string) string {
	w.t.Helper()
	now := w.account()
	defer w.edit(func(a *awssim.Account) { *a = now })
	w.edit(func(a *awssim.Account) { *a = w.before; a.EnabledRegions = enabled })
	return string(w.sim.Snapshot(accountID))
}

func TestABucketQuotaIsNotAReportQuota(t *testing.T) {
	t.Parallel()
	w := setup(t, quick)
	w.sim.Inject(awssim.Fault{Service: "s3", Operation: "CreateBucket", AccountID: accountID, Kind: awssim.Error, Code: "TooManyBuckets",
		Status: 400})
	_, err := w.do()
	failure := w.requireFailure(err, provision.CodeQuotaReached)
	require.Contains(t, failure.Reason, "buckets")
	require.NotContains(t, failure.Reason, "cost reports")
	require.Equal(t, "TooManyBuckets", failure.AWSCode)
}

// Deleting an object of such a bucket only hides it.
func TestABucketWithVersionsIsDeleted(t *testing.T) {
	t.Parallel()
	test := []awssim.ObjectVersion{{ID: "marker", DeleteMarker: true}, {ID: "second", Size: 7}, {ID: "null", Size: 7}}
	usage := []awssim.ObjectVersion{{ID: "marker", DeleteMarker: true}, {ID: "delivered", Size: 4711}}
	versioned := func(w *fixture, versions map[string][]awssim.ObjectVersion) {
		w.edit(func(a *awssim.Account) {
			bucket := a.Buckets[w.w.bucketName()]
			bucket.Versioning, bucket.Objects, bucket.Versions = awssim.VersioningEnabled, nil, versions
			a.Buckets[w.w.bucketName()] = bucket
		})
	}
	t.Run("only of what AWS wrote to try it", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		d := w.mustDo()
		versioned(w, map[string][]awssim.ObjectVersion{"cur/" + testObject: test, testObject: test[:1]})
		w.requireUndone(d, awssim.Fault{})
	})
	t.Run("of what AWS delivered", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		d := w.mustDo()
		all := map[string][]awssim.ObjectVersion{"cur/" + testObject: test, "cur/usage.parquet": usage}
		versioned(w, all)
		notes, verified := w.undo(d)
		require.Len(t, notes, 1)
		require.Contains(t, notes[0], d.report.Bucket)
		require.Len(t, verified.Leftovers, 1)
		require.Equal(t, slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(w.account().Buckets[d.report.Bucket].Versions)))
		require.Equal(t, usage, w.account().Buckets[d.report.Bucket].Versions["cur/usage.parquet"])
		require.Equal(t, test, w.account().Buckets[d.report.Bucket].Versions["cur/"+testObject], "nothing is deleted where the bucket stays")
	})
	t.Run("a lost reply", func(t *testing.T) {
		t.Parallel()
		for n := range 3 {
			w := setup(t)
			d := w.mustDo()
			versioned(w, map[string][]awssim.ObjectVersion{"cur/" + testObject: test})
			w.spoil(ways[0], lostReply, awssim.Fault{Service: "s3", Operation: "DeleteObject", Nth: n + 1})
			w.requireUndone(d, awssim.Fault{Operation: "DeleteObject", Nth: n + 1})
			w.requireSpoilt(ways[0], lostReply, awssim.Fault{Operation: "DeleteObject", Nth: n + 1})
		}
	})
}

// inHomeRegion puts the report's bucket into us-east-1, where AWS creates an account's own bucket again.
func inHomeRegion(from *initialState) { from.w.Settings.ReportRegion = awscloud.HomeRegion }

// One refusal does not show whose bucket it is.
func TestAPermissionOnTheBucketThatPropagatesIsAwaited(t *testing.T) {
	t.Parallel()
	refused := func(w *fixture, operation string, times int) {
		w.sim.Inject(awssim.Fault{Service: "s3", Operation: operation, AccountID: accountID, Kind: awssim.AccessDenied, Times: times})
	}
	t.Run("while it is made", func(t *testing.T) {
		t.Parallel()
		w := setup(t, inHomeRegion)
		refused(w, "GetBucketTagging", 3)
		d := w.mustDo()
		w.requireUndone(d, awssim.Fault{})
	})
	t.Run("while it is removed", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		d := w.mustDo()
		refused(w, "GetBucketTagging", 4)
		w.requireUndone(d, awssim.Fault{})
	})
}
