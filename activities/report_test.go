package activities

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/deploy/iam"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// justNow is when AWS last delivered the reports of others.
var justNow = time.Now().UTC().Truncate(time.Second)

func simReport(status string) awssim.Report {
	r := awssim.Report{TimeUnit: "HOURLY", Format: "Parquet", Compression: "Parquet", AdditionalSchemaElements: []string{"RESOURCES"},
		S3Bucket: "their-bucket", S3Prefix: "their/prefix", S3Region: "us-west-2", ReportVersioning: "OVERWRITE_REPORT",
		RefreshClosedReports: true}
	if status != "" {
		r.ReportStatus = &awssim.ReportStatus{LastDelivery: justNow.Format("20060102T150405Z"), LastStatus: status}
	}
	return r
}

func simExport(status string) awssim.Export {
	e := awssim.Export{QueryStatement: "SELECT " + strings.Join(usageColumns, ", ") + " FROM COST_AND_USAGE_REPORT",
		TableConfigurations: map[string]map[string]string{"COST_AND_USAGE_REPORT": {"TIME_GRANULARITY": "HOURLY",
			"INCLUDE_RESOURCES": "TRUE"}}, S3Bucket: "their-bucket", S3Prefix: "their/prefix",
		S3Region: "us-west-2", OutputType: "CUSTOM", Format: "PARQUET", Compression: "PARQUET", Overwrite: "OVERWRITE_REPORT", StatusCode: status}
	if status != "" {
		e.LastRefreshed = justNow
	}
	return e
}

func TestLinkExistingReport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reports map[string]awssim.Report
		exports map[string]awssim.Export
		code    provision.Code // empty: found
		kind    provision.ReportKind
		meant   provision.ReportKind // the kind that the order names; empty: none
	}{
		"legacy":                    {reports: map[string]awssim.Report{"Usage": simReport("SUCCESS")}, kind: provision.LegacyCUR},
		"legacy, not delivered yet": {reports: map[string]awssim.Report{"Usage": simReport("")}, kind: provision.LegacyCUR},
		"export":                    {exports: map[string]awssim.Export{"Usage": simExport("HEALTHY")}, kind: provision.DataExport},
		"export, not refreshed yet": {exports: map[string]awssim.Export{"Usage": simExport("")}, kind: provision.DataExport},
		"legacy and another export": {reports: map[string]awssim.Report{"Usage": simReport("SUCCESS")},
			exports: map[string]awssim.Export{"Usage": focus()}, kind: provision.LegacyCUR},
		"neither": {code: provision.CodeReportNotFound},
		"other case": {reports: map[string]awssim.Report{"usage": simReport("SUCCESS")},
			code: provision.CodeReportNotFound},
		"both": {reports: map[string]awssim.Report{"Usage": simReport("")},
			exports: map[string]awssim.Export{"Usage": simExport("")}, code: provision.CodeReportAmbiguous},
		"both, and the legacy one is meant": {reports: map[string]awssim.Report{"Usage": simReport("SUCCESS")},
			exports: map[string]awssim.Export{"Usage": simExport("HEALTHY")}, meant: provision.LegacyCUR, kind: provision.LegacyCUR},
		"both, and the export is meant": {reports: map[string]awssim.Report{"Usage": simReport("SUCCESS")},
			exports: map[string]awssim.Export{"Usage": simExport("HEALTHY")}, meant: provision.DataExport, kind: provision.DataExport},
		"only the other kind": {reports: map[string]awssim.Report{"Usage": simReport("SUCCESS")}, meant: provision.DataExport,
			code: provision.CodeReportNotFound},
		"legacy without its bucket": {reports: map[string]awssim.Report{"Usage": simReport("ERROR_NO_BUCKET")},
			code: provision.CodeReportBroken},
		"legacy without permissions": {reports: map[string]awssim.Report{"Usage": simReport("ERROR_PERMISSIONS")},
			code: provision.CodeReportBroken},
		"unhealthy export": {exports: map[string]awssim.Export{"Usage": simExport("UNHEALTHY")},
			code: provision.CodeReportBroken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(from *initialState) {
				from.w.Request.UseExistingCUR, from.w.Request.ExistingCURKind = "Usage", c.meant
				from.account.Reports, from.account.Exports, from.account.Buckets = c.reports, c.exports, theirBucket()
			})
			inspected, err := run(w, w.acts.Inspect, w.work())
			if c.code != "" {
				failure := w.requireFailure(err, c.code)
				require.Equal(t, "use_existing_cur", failure.Field)
				require.Equal(t, "Usage", failure.Value)
				return
			}
			require.NoError(t, err)
			want := provision.Report{Name: "Usage", Kind: c.kind, Existing: true, Bucket: "their-bucket", Prefix: "their/prefix",
				Region: "us-west-2"}
			if c.kind == provision.DataExport {
				want.ARN = w.account().Exports["Usage"].ARN
			}
			report, err := run(w, w.acts.SetUpReport, SetUpReport{Work: w.work(), Existing: inspected.ExistingReport})
			require.NoError(t, err)
			require.Equal(t, strings.Contains(name, "yet"), report.UsageFrom != nil)
			require.Equal(t, strings.Contains(name, "yet"), len(report.Warnings) > 0)
			report.UsageFrom, report.Warnings = nil, nil
			require.Equal(t, want, report)
			requests := len(w.sim.Requests())
			undone, err := run(w, w.acts.RemoveReport, RemoveReport{Work: w.work(), Report: report})
			require.NoError(t, err)
			require.Empty(t, undone.Notes)
			_, err = run(w, w.acts.RemoveReport, RemoveReport{Work: w.work()}) // the step's answer was lost
			require.NoError(t, err)
			require.Empty(t, w.sim.Effects(), "a linked report is only read")
			require.Len(t, w.sim.Requests(), requests, "and there is nothing to undo, not even to look for")
			w.requireRestored()
		})
	}
}

// TestLinkExistingReportOnALaterPage: AWS lists five legacy reports at a time.
func TestLinkExistingReportOnALaterPage(t *testing.T) {
	t.Parallel()
	w := setup(t, func(from *initialState) {
		from.w.Request.UseExistingCUR = "Usage"
		from.account.Buckets = theirBucket()
		from.account.Reports = map[string]awssim.Report{"Usage": simReport("SUCCESS")}
		for i := range 12 {
			from.account.Reports[fmt.Sprintf("Another-%d", i)] = simReport("")
		}
	})
	inspected, err := run(w, w.acts.Inspect, w.work())
	require.NoError(t, err)
	require.Equal(t, "Usage", inspected.ExistingReport.Name)
}

// TestReportQuota: AWS decides how many reports an account may have, when one is created.
func TestReportQuota(t *testing.T) {
	t.Parallel()
	for _, kind := range []func(*initialState){legacyReport, func(*initialState) {}} {
		w := setup(t, kind, func(from *initialState) {
			from.account.Reports, from.account.Exports = map[string]awssim.Report{}, map[string]awssim.Export{}
			for i := range 5 {
				from.account.Reports[fmt.Sprintf("theirs-%d", i)] = simReport("")
				from.account.Exports[fmt.Sprintf("theirs-%d", i)] = simExport("")
			}
		})
		inspected, err := run(w, w.acts.Inspect, w.work())
		require.NoError(t, err, "Quartermaster has no quota of its own")
		_, err = run(w, w.acts.SetUpReport, SetUpReport{Work: w.work()})
		failure := w.requireFailure(err, provision.CodeReportQuotaReached)
		require.NotEmpty(t, failure.AWSCode)
		w.requireUndone(done{inspected: inspected}, awssim.Fault{})
	}
}

// The last report of the quota is the order's own. Its reply was lost, and reads do not show the report yet when AWS says that the
// quota is reached.
func TestALostReplyForTheLastReportOfTheQuota(t *testing.T) {
	t.Parallel()
	for operation, c := range map[string]struct {
		kind       func(*initialState)
		code, list string
	}{
		"PutReportDefinition": {legacyReport, "ReportLimitReachedException", "DescribeReportDefinitions"},
		"CreateExport":        {func(*initialState) {}, "ServiceQuotaExceededException", "ListExports"},
	} {
		w := setup(t, c.kind, func(from *initialState) { from.timings.VisibleFor = 5 * time.Second })
		w.sim.Inject(awssim.Fault{Operation: c.list, Times: 3, Kind: awssim.StaleRead})
		w.sim.Inject(awssim.Fault{Operation: operation, Nth: 1, When: awssim.After, Kind: awssim.Reset})
		w.sim.Inject(awssim.Fault{Operation: operation, Nth: 2, Kind: awssim.Error, Code: c.code, Status: 400})
		report, err := run(w, w.acts.SetUpReport, SetUpReport{Work: w.work()})
		require.NoError(t, err)
		require.Equal(t, w.w.reportName(), report.Name)
		w.requireSpoilt(ways[0], awssim.Fault{Kind: awssim.Error}, awssim.Fault{Operation: operation, Nth: 2})
	}
}

func TestReportsAndBucketsOfOthersAreNeverTouched(t *testing.T) {
	t.Parallel()
	foreignTags := map[string]string{tagOrder: "acme/order-2", tagNonce: "another"}
	for name, c := range map[string]struct {
		account, other func(*awssim.Account, Assignment)
	}{
		"the legacy report is another's": {account: func(a *awssim.Account, w Assignment) {
			r := simReport("")
			r.Tags = foreignTags
			a.Reports = map[string]awssim.Report{w.reportName(): r}
		}},
		"the export is another's": {account: func(a *awssim.Account, w Assignment) {
			e := simExport("")
			e.Tags = foreignTags
			a.Exports = map[string]awssim.Export{w.reportName(): e}
		}},
		"the bucket is another's": {account: func(a *awssim.Account, w Assignment) {
			a.Buckets = map[string]awssim.Bucket{w.bucketName(): {Region: "eu-central-1", Tags: foreignTags}}
		}},
		"the bucket has no tags": {account: func(a *awssim.Account, w Assignment) {
			a.Buckets = map[string]awssim.Bucket{w.bucketName(): {Region: "eu-central-1"}}
		}},
		"the bucket is another account's": {other: func(a *awssim.Account, w Assignment) {
			a.Buckets = map[string]awssim.Bucket{w.bucketName(): {Region: "eu-central-1"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range []provision.ReportKind{provision.LegacyCUR, provision.DataExport} {
				w := setup(t, func(from *initialState) {
					from.w.Settings.ReportKind = kind
					if c.account != nil {
						c.account(&from.account, from.w)
					}
				})
				if c.other != nil {
					w.updateOther(func(a *awssim.Account) { c.other(a, w.w) })
				}
				other := string(w.sim.Snapshot(otherID))
				d, err := w.do()
				sameKind := name != "the legacy report is another's" && name != "the export is another's" ||
					(name == "the legacy report is another's") == (kind == provision.LegacyCUR)
				if sameKind {
					w.requireFailure(err, provision.CodeResourceNotOurs)
				} else {
					require.NoError(t, err, "a name in the other service does not matter")
				}
				if c.other == nil {
					w.requireUndone(d, awssim.Fault{})
					continue
				}
				notes, verified := w.undo(d)
				require.Equal(t, []string{bucketUnknown(w.w)}, notes, "AWS does not report whose it is")
				require.Equal(t, notes, verified.Leftovers, "so the account is not proven clean")
				w.requireRestored()
				require.Equal(t, other, string(w.sim.Snapshot(otherID)))
			}
		})
	}
}

func TestDeliveredUsageIsKept(t *testing.T) {
	t.Parallel()
	w := setup(t)
	d := w.mustDo()
	w.edit(func(a *awssim.Account) {
		b := a.Buckets[d.report.Bucket]
		b.Objects["cur/data/part-1.parquet"] = 4711
		a.Buckets[d.report.Bucket] = b
	})
	objects := w.account().Buckets[d.report.Bucket].Objects
	require.Len(t, objects, 2, "AWS's test object is there too")
	notes, verified := w.undo(d)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], d.report.Bucket)
	require.Equal(t, []string{"the bucket " + d.report.Bucket + " of the order still exists"}, verified.Leftovers)
	require.Equal(t, objects, w.account().Buckets[d.report.Bucket].Objects)
	require.Empty(t, w.account().Exports)
}

func TestLegacyReportAndItsBucket(t *testing.T) {
	t.Parallel()
	w := setup(t, legacyReport, func(from *initialState) { from.w.Settings.ReportRegion, from.w.Settings.ReportPrefix = "", "" })
	d := w.mustDo()
	require.Equal(t, provision.Report{Name: w.w.reportName(), Kind: provision.LegacyCUR, Bucket: w.w.bucketName(), Prefix: "cur",
		Region: "us-east-1"}, d.report)
	report := w.account().Reports[d.report.Name]
	require.Equal(t, nonce, report.Tags[tagNonce])
	require.Equal(t, []string{"RESOURCES"}, report.AdditionalSchemaElements)
	require.Equal(t, "HOURLY", report.TimeUnit)
	bucket := w.account().Buckets[d.report.Bucket]
	require.Equal(t, "us-east-1", bucket.Region)
	require.JSONEq(t, iam.ReportBucketPolicy(d.report.Bucket, accountID), bucket.Policy)
}

// The billing services check the bucket policy when the report is created, and may not see it yet.
func TestAReportWaitsForTheBucketPolicy(t *testing.T) {
	t.Parallel()
	const refusal = "Failed to verify customer bucket permission."
	for _, kind := range []func(*initialState){legacyReport, func(*initialState) {}} {
		for _, operation := range []string{"PutReportDefinition", "CreateExport"} {
			w := setup(t, kind)
			w.sim.Inject(awssim.Fault{Operation: operation, Times: 3, Kind: awssim.Error, Code: "ValidationException", Status: 400,
				Message: refusal})
			_, err := once(w, 1, w.acts.SetUpReport, SetUpReport{Work: w.work()})
			require.NoError(t, err)

			w = setup(t, kind)
			w.sim.Inject(awssim.Fault{Operation: "PutReportDefinition", Kind: awssim.Error, Code: "ValidationException", Status: 400,
				Message: refusal})
			w.sim.Inject(awssim.Fault{Operation: "CreateExport", Kind: awssim.Error, Code: "ValidationException", Status: 400, Message: refusal})
			_, err = run(w, w.acts.SetUpReport, SetUpReport{Work: w.work()})
			failure := w.requireFailure(err, provision.CodePermissionMissing)
			require.Contains(t, failure.Reason, w.w.bucketName())
		}
	}
}

func TestReportSettingsThatAWSRefusesNameTheSetting(t *testing.T) {
	t.Parallel()
	w := setup(t, legacyReport, func(from *initialState) { from.w.Settings.ReportRegion = "il-central-1" }) // too new for legacy reports
	_, err := run(w, w.acts.Inspect, w.work())
	failure := w.requireFailure(err, provision.CodePoolSettingsRefused)
	require.Contains(t, failure.Reason, "il-central-1")

	w = setup(t, legacyReport, func(from *initialState) { from.w.Settings.ReportPrefix = "no spaces, please" })
	_, err = run(w, w.acts.SetUpReport, SetUpReport{Work: w.work()})
	failure = w.requireFailure(err, provision.CodePoolSettingsRefused)
	require.Contains(t, failure.Reason, "no spaces, please")
}

// AWS calls the report invalid, which need not be true.
func TestAMissingReportCountsAsDeleted(t *testing.T) {
	t.Parallel()
	w := setup(t, legacyReport)
	d := w.mustDo()
	w.sim.Inject(awssim.Fault{Operation: "DeleteReportDefinition", Nth: 1, When: awssim.After, Kind: awssim.Error,
		Code: "ValidationException", Status: 400})
	w.requireUndone(d, awssim.Fault{})

	w = setup(t, legacyReport)
	d = w.mustDo()
	w.sim.Inject(awssim.Fault{Operation: "DeleteReportDefinition", Kind: awssim.Error, Code: "ValidationException", Status: 400})
	_, err := run(w, w.acts.RemoveReport, RemoveReport{Work: w.work(), Report: d.report})
	w.requireFailure(err, provision.CodeInputRefused)
	require.Contains(t, w.account().Buckets, d.report.Bucket, "the bucket outlives the report")
}
