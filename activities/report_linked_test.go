package activities

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

func theirBucket() map[string]awssim.Bucket {
	return map[string]awssim.Bucket{"their-bucket": {Region: "us-west-2"}, "their-bucket-2": {Region: "us-west-2"}}
}

// exportOf is a data export of another table.
func exportOf(query string) awssim.Export {
	e := simExport("HEALTHY")
	e.QueryStatement, e.TableConfigurations = query, nil
	return e
}

func focus() awssim.Export { return exportOf("SELECT BilledCost, EffectiveCost FROM FOCUS_1_0_AWS") }

// linking makes the order link the report named Usage.
func linking(change func(*awssim.Account)) func(*initialState) {
	return func(from *initialState) {
		from.w.Request.UseExistingCUR = "Usage"
		from.account.Buckets = theirBucket()
		change(&from.account)
	}
}

func theExport(e awssim.Export) func(*awssim.Account) {
	return func(a *awssim.Account) { a.Exports = map[string]awssim.Export{"Usage": e} }
}

func theReport(r awssim.Report) func(*awssim.Account) {
	return func(a *awssim.Account) { a.Reports = map[string]awssim.Report{"Usage": r} }
}

// The question asks for another name, and says why.
func TestReportsThatCannotBeLinked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*awssim.Account)
		code   provision.Code
		hint   string
	}{
		"costs in the FOCUS format": {theExport(focus()), provision.CodeReportNotFound, "FOCUS"},
		"carbon emissions": {theExport(exportOf("SELECT usage_month FROM CARBON_EMISSIONS")), provision.CodeReportNotFound,
			"carbon emissions"},
		"recommendations": {theExport(exportOf("SELECT account_id FROM COST_OPTIMIZATION_RECOMMENDATIONS")),
			provision.CodeReportNotFound, "recommendations"},
		"another letter case": {func(a *awssim.Account) { a.Exports = map[string]awssim.Export{"USAGE": simExport("HEALTHY")} },
			provision.CodeReportNotFound, "only in letter case"},
		"another letter case of a legacy report": {func(a *awssim.Account) {
			a.Reports = map[string]awssim.Report{"usage": simReport("SUCCESS")}
		}, provision.CodeReportNotFound, "only in letter case"},
		"nothing": {func(*awssim.Account) {}, provision.CodeReportNotFound, "case-sensitive"},
		"the bucket of an export is gone": {func(a *awssim.Account) {
			theExport(simExport("HEALTHY"))(a)
			delete(a.Buckets, "their-bucket")
		}, provision.CodeReportBroken, "their-bucket"},
		"the bucket of a legacy report is gone": {func(a *awssim.Account) {
			theReport(simReport("SUCCESS"))(a)
			delete(a.Buckets, "their-bucket")
		}, provision.CodeReportBroken, "another account"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, linking(c.change))
			_, err := run(w, w.acts.Inspect, w.work())
			failure := w.requireFailure(err, c.code)
			require.Equal(t, "use_existing_cur", failure.Field)
			require.Equal(t, "Usage", failure.Value)
			require.Contains(t, failure.Reason, c.hint)
			w.requireRestored()
		})
	}
	t.Run("the bucket is another account's", func(t *testing.T) {
		t.Parallel()
		w := setup(t, linking(theExport(simExport("HEALTHY"))), func(from *initialState) {
			from.other.Buckets = map[string]awssim.Bucket{"their-bucket": from.account.Buckets["their-bucket"]}
			delete(from.account.Buckets, "their-bucket")
		})
		_, err := run(w, w.acts.Inspect, w.work())
		w.requireFailure(err, provision.CodeReportBroken)
	})
}

// The result describes the linked report.
func TestWarningsAboutALinkedReport(t *testing.T) {
	t.Parallel()
	export := func(change func(*awssim.Export)) func(*awssim.Account) {
		e := simExport("HEALTHY")
		change(&e)
		return theExport(e)
	}
	setting := func(name, value string) func(*awssim.Account) {
		return export(func(e *awssim.Export) { e.TableConfigurations[usageTable][name] = value })
	}
	legacy := func(change func(*awssim.Report)) func(*awssim.Account) {
		r := simReport("SUCCESS")
		change(&r)
		return theReport(r)
	}
	for name, c := range map[string]struct {
		change func(*awssim.Account)
		says   string // empty: no warning
	}{
		"an export as ours":        {export(func(*awssim.Export) {}), ""},
		"a legacy report as ours":  {legacy(func(*awssim.Report) {}), ""},
		"daily export":             {setting("TIME_GRANULARITY", "DAILY"), "daily usage"},
		"export without settings":  {export(func(e *awssim.Export) { e.TableConfigurations = nil }), "does not say"},
		"export without resources": {setting("INCLUDE_RESOURCES", "FALSE"), "no resource ids"},
		"export with split costs":  {setting("INCLUDE_SPLIT_COST_ALLOCATION_DATA", "TRUE"), "twice"},
		"the primary billing view": {setting("BILLING_VIEW_ARN", "arn:aws:billing::"+accountID+":billingview/primary"), ""},
		"another billing view":     {setting("BILLING_VIEW_ARN", "arn:aws:billing::"+accountID+":billingview/custom-1"), "billing view"},
		"export as text":           {export(func(e *awssim.Export) { e.Format, e.Compression = "TEXT_OR_CSV", "GZIP" }), "TEXT_OR_CSV with GZIP"},
		"export of every version":  {export(func(e *awssim.Export) { e.Overwrite = "CREATE_NEW_REPORT" }), "only the last one"},
		"export of few columns": {export(func(e *awssim.Export) {
			e.QueryStatement = "SELECT line_item_usage_type AS usage, product.region, \"resource_tags\" FROM COST_AND_USAGE_REPORT"
		}), "lacks"},
		"export of some rows": {export(func(e *awssim.Export) { e.QueryStatement += " WHERE line_item_product_code = 'AmazonEC2'" }),
			"some of the rows"},
		"export that stopped": {export(func(e *awssim.Export) { e.LastRefreshed = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC) }),
			"2020-01-02"},
		"monthly legacy report":    {legacy(func(r *awssim.Report) { r.TimeUnit = "MONTHLY" }), "monthly usage"},
		"legacy without resources": {legacy(func(r *awssim.Report) { r.AdditionalSchemaElements = nil }), "no resource ids"},
		"legacy with split costs": {legacy(func(r *awssim.Report) {
			r.AdditionalSchemaElements = append(r.AdditionalSchemaElements, "SPLIT_COST_ALLOCATION_DATA")
		}), "twice"},
		"legacy as text":             {legacy(func(r *awssim.Report) { r.Format, r.Compression = "textORcsv", "ZIP" }), "textORcsv with ZIP"},
		"legacy of every version":    {legacy(func(r *awssim.Report) { r.ReportVersioning = "CREATE_NEW_REPORT" }), "only the last one"},
		"legacy without corrections": {legacy(func(r *awssim.Report) { r.RefreshClosedReports = false }), "corrections"},
		"legacy with a view": {legacy(func(r *awssim.Report) {
			r.BillingViewArn = "arn:aws:billing::" + accountID +
				":billingview/custom-1"
		}), "billing view"},
		"legacy report that stopped":   {legacy(func(r *awssim.Report) { r.ReportStatus.LastDelivery = "20200102T030405Z" }), "2020-01-02"},
		"legacy report, not delivered": {legacy(func(r *awssim.Report) { r.ReportStatus = nil }), "not delivered the report yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, linking(c.change))
			found, err := run(w, w.acts.Inspect, w.work())
			require.NoError(t, err)
			if c.says == "" {
				require.Empty(t, found.ExistingReport.Warnings)
				return
			}
			require.Contains(t, strings.Join(found.ExistingReport.Warnings, "\n"), c.says)
			require.Equal(t, strings.Contains(name, "not delivered"), found.ExistingReport.UsageFrom != nil)
		})
	}
}

// A report that has never been delivered holds no usage yet.
func TestUsageFromOfALinkedReport(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		created, delivered time.Time
		from               time.Time // zero: it already holds usage
		says               string
	}{
		"delivered":           {created: now.AddDate(0, -1, 0), delivered: now.Add(-time.Hour)},
		"created an hour ago": {created: now.Add(-time.Hour), from: now.Add(23 * time.Hour), says: "not delivered the report yet"},
		"created three days ago": {created: now.AddDate(0, 0, -3), from: now.Add(24 * time.Hour),
			says: "never delivered the report, which was created on 2026-03-07"},
		"date unknown":          {from: now.Add(24 * time.Hour), says: "not delivered the report yet"},
		"delivered a while ago": {created: now.AddDate(0, -1, 0), delivered: now.AddDate(0, 0, -3), says: "2026-03-07"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var report provision.Report
			delivery(&report, c.created, c.delivered, now)
			if c.from.IsZero() {
				require.Nil(t, report.UsageFrom)
			} else {
				require.Equal(t, c.from, *report.UsageFrom)
			}
			if c.says == "" {
				require.Empty(t, report.Warnings)
				return
			}
			require.Len(t, report.Warnings, 1)
			require.Contains(t, report.Warnings[0], c.says)
		})
	}
}
