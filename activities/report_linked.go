package activities

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	bcmtypes "github.com/aws/aws-sdk-go-v2/service/bcmdataexports/types"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	curtypes "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// firstDelivery is how long the first delivery of a report may take.
// Source: AWS Data Exports User Guide, "Creating reports".
const firstDelivery = 24 * time.Hour

// staleDelivery is how old the last delivery of a report may be before the order's result has a warning. AWS delivers at least daily.
const staleDelivery = 48 * time.Hour

// findExistingReport finds the report that the order names, among the legacy reports and the Data Exports. It checks that the report can
// be read for usage.
func findExistingReport(ctx context.Context, s *awscloud.Session, w Assignment) (*provision.Report, error) {
	name := w.Request.UseExistingCUR
	var definition *curtypes.ReportDefinition
	var export *bcmtypes.ExportReference
	var detail *exportDetail
	var definitionLike, exportLike bool
	err := inParallel(ctx,
		func(ctx context.Context) (err error) {
			definition, definitionLike, err = lookForDefinition(ctx, s, name)
			return err
		},
		func(ctx context.Context) (err error) {
			if export, exportLike, err = lookForExport(ctx, s, name); err == nil && export != nil {
				detail, err = readExport(ctx, s, export)
			}
			return err
		})
	if err != nil {
		return nil, err
	}
	other := ""
	if detail == nil { // there is none, or it was deleted between the two calls
		export = nil
	} else if !detail.isUsage() {
		export, other = nil, detail.contents()
	}
	switch w.Request.ExistingCURKind {
	case provision.LegacyCUR:
		export = nil
	case provision.DataExport:
		definition = nil
	}
	var report provision.Report
	switch {
	case definition != nil && export != nil:
		return nil, linkRefused(w, provision.CodeReportAmbiguous, "the account has a legacy report and a data export of this name: "+
			"set existing_cur_kind to cur or export, or name another report")
	case definition != nil:
		report, err = linkDefinition(w, definition, time.Now())
	case export != nil:
		report, err = linkExport(w, detail, time.Now())
	default:
		return nil, reportNotFound(w, other, definitionLike || exportLike)
	}
	if err == nil {
		err = checkLinkedBucket(ctx, s, w, report)
	}
	if err != nil {
		return nil, err
	}
	return &report, nil
}

func linkRefused(w Assignment, code provision.Code, reason string) error {
	return &provision.Failure{Code: code, Field: "use_existing_cur", Value: w.Request.UseExistingCUR, Reason: reason}
}

// reportNotFound returns the failure for a missing report. It mentions a data export of this name with other contents (other), or a report
// whose name differs only in case (like).
func reportNotFound(w Assignment, other string, like bool) error {
	reason := "the account has no cost report of this name, neither a legacy one nor a data export"
	switch {
	case other != "":
		reason += "; the data export of this name holds " + other + ", not cost and usage"
	case like:
		reason += "; it has one whose name differs only in letter case, and names are case-sensitive"
	default:
		reason += " (names are case-sensitive)"
	}
	return linkRefused(w, provision.CodeReportNotFound, reason+": correct the name, or omit use_existing_cur to create a new report")
}

// lookForDefinition looks for a legacy report by its exact name. like reports that a name differs only in case.
func lookForDefinition(ctx context.Context, s *awscloud.Session, name string) (found *curtypes.ReportDefinition, like bool, err error) {
	pages := cur.NewDescribeReportDefinitionsPaginator(s.CUR, &cur.DescribeReportDefinitionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, false, err
		}
		for _, definition := range page.ReportDefinitions {
			switch other := aws.ToString(definition.ReportName); {
			case other == name:
				return &definition, like, nil
			case strings.EqualFold(other, name):
				like = true
			}
		}
	}
	return nil, like, nil
}

// lookForExport does the same among the Data Exports.
func lookForExport(ctx context.Context, s *awscloud.Session, name string) (found *bcmtypes.ExportReference, like bool, err error) {
	pages := bcmdataexports.NewListExportsPaginator(s.Exports, &bcmdataexports.ListExportsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, false, err
		}
		for _, export := range page.Exports {
			switch other := aws.ToString(export.ExportName); {
			case other == name:
				return &export, like, nil
			case strings.EqualFold(other, name):
				like = true
			}
		}
	}
	return nil, like, nil
}

// checkLinkedBucket returns a failure when the report's bucket does not belong to the account: no one could read the deliveries there for
// the customer. Bucket names are unique across all accounts, so the account's own list is enough to know.
func checkLinkedBucket(ctx context.Context, s *awscloud.Session, w Assignment, report provision.Report) error {
	pages := s3.NewListBucketsPaginator(s.S3(awscloud.HomeRegion), &s3.ListBucketsInput{Prefix: given(report.Bucket)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, bucket := range page.Buckets {
			if aws.ToString(bucket.Name) == report.Bucket {
				return nil
			}
		}
	}
	return linkRefused(w, provision.CodeReportBroken,
		"the report is delivered to the bucket "+report.Bucket+", which does not exist or belongs to another account: repair the "+
			"report or name another one")
}

// linkDefinition returns the legacy report with its warnings, or a failure when AWS does not deliver it.
func linkDefinition(w Assignment, definition *curtypes.ReportDefinition, now time.Time) (provision.Report, error) {
	status := definition.ReportStatus
	if status == nil {
		status = &curtypes.ReportStatus{}
	}
	if strings.HasPrefix(string(status.LastStatus), "ERROR_") {
		return provision.Report{}, linkRefused(w, provision.CodeReportBroken,
			fmt.Sprintf("AWS's last delivery of the report failed (%s): repair the report, or name another one", status.LastStatus))
	}
	report := definitionReport(definition)
	report.Existing = true
	delivered, _ := time.Parse("20060102T150405Z", aws.ToString(status.LastDelivery))
	delivery(&report, time.Time{}, delivered, now)
	granularity(&report, string(definition.TimeUnit))
	if !slices.Contains(definition.AdditionalSchemaElements, curtypes.SchemaElementResources) {
		warn(&report, noResourceIDs)
	}
	if slices.Contains(definition.AdditionalSchemaElements, curtypes.SchemaElementSplitCostAllocationData) {
		warn(&report, splitCosts)
	}
	if definition.Format != curtypes.ReportFormatParquet {
		warn(&report, "The report is delivered as %s with %s compression, not as Parquet.", definition.Format, definition.Compression)
	}
	if definition.ReportVersioning == curtypes.ReportVersioningCreateNewReport {
		warn(&report, newVersions)
	}
	if !aws.ToBool(definition.RefreshClosedReports) {
		warn(&report, "AWS does not deliver corrections of closed months.")
	}
	billingView(&report, aws.ToString(definition.BillingViewArn))
	return report, nil
}

// exportDetail is a data export as AWS shows it.
type exportDetail struct {
	report provision.Report
	export bcmtypes.Export
	status bcmtypes.ExportStatus
}

// readExport reads a data export; nil when it does not exist any more.
func readExport(ctx context.Context, s *awscloud.Session, reference *bcmtypes.ExportReference) (*exportDetail, error) {
	out, err := s.Exports.GetExport(ctx, &bcmdataexports.GetExportInput{ExportArn: reference.ExportArn})
	if err != nil {
		return nil, awscloud.IgnoreNotFound(err)
	}
	d := &exportDetail{report: exportReportOf(aws.ToString(reference.ExportName), aws.ToString(reference.ExportArn), out.Export)}
	if out.Export != nil {
		d.export = *out.Export
	}
	switch {
	case out.ExportStatus != nil:
		d.status = *out.ExportStatus
	case reference.ExportStatus != nil:
		d.status = *reference.ExportStatus
	}
	return d, nil
}

var exportQuery = regexp.MustCompile(`(?is)^\s*SELECT\s+(.+?)\s+FROM\s+"?(\w+)"?\s*(.*)$`)

func (d *exportDetail) query() (columns, table, rest string) {
	if d.export.DataQuery == nil {
		return "", "", ""
	}
	parts := exportQuery.FindStringSubmatch(aws.ToString(d.export.DataQuery.QueryStatement))
	if parts == nil {
		return "", "", ""
	}
	return parts[1], strings.ToUpper(parts[2]), strings.TrimRight(strings.TrimSpace(parts[3]), ";")
}

// isUsage reports whether the export is a cost and usage report (CUR 2.0).
func (d *exportDetail) isUsage() bool {
	_, table, _ := d.query()
	return table == usageTable
}

// contents describes the contents of an export that is not a cost and usage report.
// Source: AWS Data Exports User Guide, "Data Exports table dictionary".
func (d *exportDetail) contents() string {
	_, table, _ := d.query()
	switch {
	case strings.HasPrefix(table, "FOCUS_"):
		return "costs in the FOCUS format"
	case strings.HasPrefix(table, "CARBON_"):
		return "carbon emissions"
	case strings.HasPrefix(table, "COST_OPTIMIZATION_"):
		return "recommendations to save costs"
	case strings.Contains(table, "DASHBOARD"):
		return "the data of a dashboard"
	}
	return "another table"
}

// linkExport returns the data export with its warnings, or a failure when AWS calls it unhealthy.
func linkExport(w Assignment, d *exportDetail, now time.Time) (provision.Report, error) {
	if d.status.StatusCode == bcmtypes.ExportStatusCodeUnhealthy {
		return provision.Report{}, linkRefused(w, provision.CodeReportBroken,
			fmt.Sprintf("AWS reports the data export as unhealthy (%s): repair it, or name another one", d.status.StatusReason))
	}
	report := d.report
	report.Existing = true
	delivery(&report, aws.ToTime(d.status.CreatedAt), aws.ToTime(d.status.LastRefreshedAt), now)
	columns, _, rest := d.query()
	settings := d.export.DataQuery.TableConfigurations[usageTable]
	granularity(&report, settings["TIME_GRANULARITY"])
	if settings["INCLUDE_RESOURCES"] != "TRUE" {
		warn(&report, noResourceIDs)
	}
	if settings["INCLUDE_SPLIT_COST_ALLOCATION_DATA"] == "TRUE" {
		warn(&report, splitCosts)
	}
	if left := columnsLeftOut(columns); left > 0 {
		warn(&report, "The data export lacks %d of the %d columns that a report of Quartermaster has.", left, len(usageColumns))
	}
	if rest != "" {
		warn(&report, "The data export selects only some of the rows: it may not hold all usage.")
	}
	if to := d.export.DestinationConfigurations; to != nil && to.S3Destination != nil && to.S3Destination.S3OutputConfigurations != nil {
		output := to.S3Destination.S3OutputConfigurations
		if output.Format != bcmtypes.FormatOptionParquet {
			warn(&report, "The report is delivered as %s with %s compression, not as Parquet.", output.Format, output.Compression)
		}
		if output.Overwrite == bcmtypes.OverwriteOptionCreateNewReport {
			warn(&report, newVersions)
		}
	}
	billingView(&report, settings["BILLING_VIEW_ARN"])
	return report, nil
}

// columnsLeftOut counts the usageColumns that a query does not select.
func columnsLeftOut(columns string) (left int) {
	selected := map[string]bool{}
	for column := range strings.SplitSeq(strings.ToLower(columns), ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(column), " ") // an alias may follow
		name, _, _ = strings.Cut(strings.Trim(name, `"`), ".")    // or the key of a map
		selected[name] = true
	}
	for _, column := range usageColumns {
		if !selected[column] {
			left++
		}
	}
	return left
}

// Warnings for those who will read the report.
const (
	noResourceIDs = "The report has no resource ids: it shows the costs of each service, not of each resource."
	splitCosts    = "The report splits the costs of instances among their containers: the sum of all rows counts these costs twice."
	newVersions   = "AWS keeps every version of a month's report: only the last one must be read."
)

func warn(report *provision.Report, format string, args ...any) {
	report.Warnings = append(report.Warnings, fmt.Sprintf(format, args...))
}

func granularity(report *provision.Report, unit string) {
	switch unit {
	case "HOURLY":
	case "":
		warn(report, "The report does not say whether it holds usage by the hour, day or month.")
	default:
		warn(report, "The report holds %s usage, not hourly usage.", strings.ToLower(unit))
	}
}

func billingView(report *provision.Report, arn string) {
	if arn != "" && !strings.HasSuffix(arn, ":billingview/primary") {
		warn(report, "The report shows a billing view of its own: it may not hold all usage of the account.")
	}
}

// delivery warns about missing usage: of a report whose last delivery is too old, or of one that has never been delivered, which holds
// no usage before its first delivery, a day after it was created.
func delivery(report *provision.Report, created, delivered, now time.Time) {
	if !delivered.IsZero() {
		if now.Sub(delivered) > staleDelivery {
			warn(report, "AWS last delivered the report on %s: later usage may be missing.", delivered.UTC().Format(time.DateOnly))
		}
		return
	}
	from := now.Add(firstDelivery)
	if due := created.Add(firstDelivery); !created.IsZero() && due.After(now) {
		from = due
	}
	from = from.UTC()
	report.UsageFrom = &from
	if !created.IsZero() && now.Sub(created) > staleDelivery {
		warn(report, "AWS has never delivered the report, which was created on %s.", created.UTC().Format(time.DateOnly))
		return
	}
	warn(report, "AWS has not delivered the report yet: it holds no usage before its first delivery.")
}
