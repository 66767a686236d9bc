package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// An operator changes the pool's settings while an order waits, and retries the order. The retry removes what the order created
// under the earlier settings, and the undo leaves none of it.
func TestAReportMovesWhenTheSettingsChange(t *testing.T) {
	t.Parallel()
	for name, become := range map[string]func(*provision.PoolSettings){
		"another region":          func(s *provision.PoolSettings) { s.ReportRegion = "us-west-2" },
		"another kind":            func(s *provision.PoolSettings) { s.ReportKind = provision.LegacyCUR },
		"another prefix":          func(s *provision.PoolSettings) { s.ReportPrefix = "usage" },
		"another region and kind": func(s *provision.PoolSettings) { s.ReportRegion, s.ReportKind = "us-east-1", provision.LegacyCUR },
		"nothing of the report":   func(s *provision.PoolSettings) { s.UserPolicyARNs = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for lost, fault := range map[string]awssim.Fault{
				"the answer of the report": {Operation: "CreateExport", Nth: 1, When: awssim.After, Kind: awssim.Error, Code: "TeapotException",
					Status: 418},
				"the answer of the bucket": {Operation: "CreateBucket", Nth: 1, When: awssim.After, Kind: awssim.Error, Code: "TeapotException",
					Status: 418},
				"nothing": {Operation: "CreateBucket", Nth: 1, Kind: awssim.Error, Code: "TeapotException", Status: 418},
			} {
				w := setup(t, quick, func(from *initialState) { from.timings.RefusedFor = 1 })
				inspected, err := run(w, w.acts.Inspect, w.work())
				require.NoError(t, err)
				w.sim.Inject(fault)
				_, err = run(w, w.acts.SetUpReport, SetUpReport{Work: w.work()})
				w.requireAnswer(err, provision.CodeAWSRefused, true)

				w.w.EarlierSettings = []provision.PoolSettings{w.w.Settings}
				become(&w.w.Settings)
				in := SetUpReport{Work: w.work()}
				report, err := run(w, w.acts.SetUpReport, in)
				require.NoError(t, err, lost)
				require.Equal(t, w.w.reportKind(), report.Kind, lost)
				require.Equal(t, w.w.reportRegion(), report.Region, lost)
				require.Equal(t, w.w.reportPrefix(), report.Prefix, lost)
				require.Equal(t, w.w.reportRegion(), w.account().Buckets[report.Bucket].Region, lost)
				require.Len(t, w.account().Buckets, 1, lost)
				require.Equal(t, 1, len(w.account().Reports)+len(w.account().Exports), lost)

				effects := len(w.sim.Effects())
				again, err := run(w, w.acts.SetUpReport, in)
				require.NoError(t, err)
				require.Equal(t, report, again)
				require.Len(t, w.sim.Effects(), effects, "what fits the current settings stays")

				undone, err := run(w, w.acts.RemoveReport, RemoveReport{Work: w.work(), Report: report})
				require.NoError(t, err)
				require.Empty(t, undone.Notes)
				verified, err := run(w, w.acts.CompareWithJournal, CompareWithJournal{Work: w.work(), Journal: inspected.Journal})
				require.NoError(t, err)
				require.Empty(t, verified.Leftovers)
				w.requireRestored()
			}
		})
	}
}

// The order is cancelled right after its settings were changed.
func TestAReportUnderEarlierSettingsIsRemoved(t *testing.T) {
	t.Parallel()
	w := setup(t, quick)
	d := w.mustDo()
	earlier := []provision.PoolSettings{w.w.Settings}
	w.w.Settings.ReportRegion, w.w.Settings.ReportKind = "us-west-2", provision.LegacyCUR

	w.w.EarlierSettings = earlier
	verified, err := run(w, w.acts.CompareWithJournal, d.compare(w.work()))
	require.NoError(t, err)
	require.Contains(t, verified.Leftovers, "the cost report "+w.w.reportName()+" of the order still exists")
	require.Contains(t, verified.Leftovers, "the bucket "+w.w.bucketName()+" of the order still exists")
	w.w.EarlierSettings = nil
	verified, err = run(w, w.acts.CompareWithJournal, d.compare(w.work()))
	require.NoError(t, err)
	require.Contains(t, verified.Leftovers, "the bucket "+w.w.bucketName()+" exists in a region that the settings of the pool did not name")

	w.w.EarlierSettings = earlier
	undone, err := run(w, w.acts.RemoveReport, RemoveReport{Work: w.work()})
	require.NoError(t, err)
	require.Empty(t, undone.Notes)
	w.w.Settings, w.w.EarlierSettings = earlier[0], nil
	w.requireUndone(d, awssim.Fault{})
}

// What AWS delivered is not ours to delete, so the name of the bucket is not free.
func TestAnEarlierBucketWithUsageIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := setup(t, quick)
	d := w.mustDo()
	w.edit(func(a *awssim.Account) { a.Buckets[d.report.Bucket].Objects["cur/usage.parquet"] = 4711 })
	w.w.EarlierSettings = []provision.PoolSettings{w.w.Settings}
	w.w.Settings.ReportRegion = "us-west-2"
	_, err := run(w, w.acts.SetUpReport, SetUpReport{Work: w.work()})
	failure := w.requireFailure(err, provision.CodeResourceNotOurs)
	require.Contains(t, failure.Reason, "eu-central-1")
	require.Equal(t, 4711, w.account().Buckets[d.report.Bucket].Objects["cur/usage.parquet"])
}

// The step removes only what has the order's tags.
func TestResourcesOfOthersAreLeftAloneWhenTheSettingsChange(t *testing.T) {
	t.Parallel()
	w := setup(t, quick, func(from *initialState) {
		export := simExport("HEALTHY")
		export.Tags = notOurTags
		from.account.Exports = map[string]awssim.Export{from.w.reportName(): export}
	})
	w.w.EarlierSettings = []provision.PoolSettings{w.w.Settings}
	w.w.Settings.ReportKind = provision.LegacyCUR
	report, err := run(w, w.acts.SetUpReport, SetUpReport{Work: w.work()})
	require.NoError(t, err)
	require.Contains(t, w.account().Exports, w.w.reportName())
	_, err = run(w, w.acts.RemoveReport, RemoveReport{Work: w.work(), Report: report})
	require.NoError(t, err)
	w.requireRestored()
}

// No one can sign in as the user yet, so it is created again under the current settings.
func TestAUserIsUpdatedWhenTheSettingsChange(t *testing.T) {
	t.Parallel()
	const administrator = "arn:aws:iam::aws:policy/AdministratorAccess"
	for name, become := range map[string]func(*provision.PoolSettings){
		"a boundary":     func(s *provision.PoolSettings) { s.PermissionsBoundary = administrator },
		"no policy":      func(s *provision.PoolSettings) { s.UserPolicyARNs = nil },
		"both of them":   func(s *provision.PoolSettings) { s.PermissionsBoundary, s.UserPolicyARNs = administrator, nil },
		"nothing of him": func(s *provision.PoolSettings) { s.ReportPrefix = "usage" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, quick)
			first, err := run(w, w.acts.CreateUser, w.work())
			require.NoError(t, err)
			before := w.w.Settings
			become(&w.w.Settings)
			second, err := run(w, w.acts.CreateUser, w.work())
			require.NoError(t, err)
			require.Equal(t, before.PermissionsBoundary == w.w.Settings.PermissionsBoundary, first == second,
				"a boundary cannot be changed: the user is created again")
			user := w.account().Users["alice"]
			require.Equal(t, w.w.Settings.PermissionsBoundary, user.PermissionsBoundary)
			require.ElementsMatch(t, w.w.policies(), user.AttachedPolicies)

			w.w.Settings = before // and back
			_, err = run(w, w.acts.CreateUser, w.work())
			require.NoError(t, err)
			require.Empty(t, w.account().Users["alice"].PermissionsBoundary)
			_, err = run(w, w.acts.RemoveUser, UserUndo{Work: w.work()})
			require.NoError(t, err)
			w.requireRestored()
		})
	}
	t.Run("someone has signed in", func(t *testing.T) {
		t.Parallel()
		w := setup(t, quick)
		first, err := run(w, w.acts.CreateUser, w.work())
		require.NoError(t, err)
		w.edit(func(a *awssim.Account) {
			u := a.Users["alice"]
			u.PasswordLastUsed = justNow
			a.Users["alice"] = u
		})
		w.w.Settings.PermissionsBoundary = administrator
		_, err = run(w, w.acts.CreateUser, w.work())
		w.requireFailure(err, provision.CodeResourceNotOurs)
		require.Equal(t, first.ID, w.account().Users["alice"].ID)
	})
	t.Run("a lost reply", func(t *testing.T) {
		t.Parallel()
		for _, operation := range []string{"DeleteUser", "CreateUser", "DetachUserPolicy"} {
			w := setup(t, quick)
			_, err := run(w, w.acts.CreateUser, w.work())
			require.NoError(t, err)
			w.w.Settings.PermissionsBoundary = administrator
			w.sim.Inject(awssim.Fault{Operation: operation, Nth: 1, When: awssim.After, Kind: awssim.Reset})
			_, err = run(w, w.acts.CreateUser, w.work())
			require.NoError(t, err, operation)
			require.Equal(t, administrator, w.account().Users["alice"].PermissionsBoundary)
			require.ElementsMatch(t, w.w.policies(), w.account().Users["alice"].AttachedPolicies)
		}
	})
}
