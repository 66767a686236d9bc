package awssim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	bcmtypes "github.com/aws/aws-sdk-go-v2/service/bcmdataexports/types"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	curtypes "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	shipped "quartermaster/deploy/iam"
	"quartermaster/internal/awssim"
)

const (
	bucket     = "mp-cur-" + accountID + "-1"
	reportName = "mp-cur-order-1"
	testObject = "aws-programmatic-access-test-object"
)

// withReportBucket seeds the bucket that a report needs, with the shipped policy.
func withReportBucket() option {
	return withAccount(func(a *awssim.Account) {
		a.Buckets = map[string]awssim.Bucket{bucket: {Policy: shipped.ReportBucketPolicy(bucket, accountID)}}
	})
}

func reportInput() *cur.PutReportDefinitionInput {
	return &cur.PutReportDefinitionInput{
		ReportDefinition: &curtypes.ReportDefinition{
			ReportName: aws.String(reportName), TimeUnit: curtypes.TimeUnitHourly, Format: curtypes.ReportFormatParquet,
			Compression:              curtypes.CompressionFormatParquet,
			AdditionalSchemaElements: []curtypes.SchemaElement{curtypes.SchemaElementResources},
			AdditionalArtifacts:      []curtypes.AdditionalArtifact{curtypes.AdditionalArtifactAthena},
			S3Bucket:                 aws.String(bucket), S3Prefix: aws.String("cur"), S3Region: curtypes.AWSRegionUsStandard,
			RefreshClosedReports: aws.Bool(true), ReportVersioning: curtypes.ReportVersioningOverwriteReport,
		},
		Tags: []curtypes.Tag{{Key: aws.String("mp:order-id"), Value: aws.String("ord-1")}},
	}
}

func exportInput() *bcmdataexports.CreateExportInput {
	return &bcmdataexports.CreateExportInput{
		Export: &bcmtypes.Export{
			Name: aws.String(reportName), Description: aws.String("usage"),
			DataQuery: &bcmtypes.DataQuery{
				QueryStatement: aws.String("SELECT bill_payer_account_id, line_item_usage_account_id, line_item_unblended_cost FROM " +
					"COST_AND_USAGE_REPORT"),
				TableConfigurations: map[string]map[string]string{"COST_AND_USAGE_REPORT": {"TIME_GRANULARITY": "HOURLY",
					"INCLUDE_RESOURCES": "FALSE"}},
			},
			DestinationConfigurations: &bcmtypes.DestinationConfigurations{S3Destination: &bcmtypes.S3Destination{
				S3Bucket: aws.String(bucket), S3Prefix: aws.String("cur"),
				S3Region: aws.String("us-east-1"), S3BucketOwner: aws.String(accountID),
				S3OutputConfigurations: &bcmtypes.S3OutputConfigurations{
					OutputType: bcmtypes.S3OutputTypeCustom, Format: bcmtypes.FormatOptionParquet,
					Compression: bcmtypes.CompressionOptionParquet,
					Overwrite:   bcmtypes.OverwriteOptionOverwriteReport,
				},
			}},
			RefreshCadence: &bcmtypes.RefreshCadence{Frequency: bcmtypes.FrequencyOptionSynchronous},
		},
		ResourceTags: []bcmtypes.ResourceTag{{Key: aws.String("mp:order-id"), Value: aws.String("ord-1")}},
	}
}

func TestReportLivesFromCreationToDeletion(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withReportBucket()), t.Context()
	_, err := w.cur.PutReportDefinition(ctx, reportInput())
	require.NoError(t, err)
	list, err := w.cur.DescribeReportDefinitions(ctx, &cur.DescribeReportDefinitionsInput{})
	require.NoError(t, err)
	require.Equal(t, []curtypes.ReportDefinition{*reportInput().ReportDefinition}, list.ReportDefinitions)
	tags, err := w.cur.ListTagsForResource(ctx, &cur.ListTagsForResourceInput{ReportName: aws.String(reportName)})
	require.NoError(t, err)
	require.Equal(t, reportInput().Tags, tags.Tags)
	a, _ := w.sim.Account(accountID)
	require.Contains(t, a.Buckets[bucket].Objects, testObject, "AWS tries out the bucket")

	_, err = w.cur.PutReportDefinition(ctx, reportInput())
	var duplicate *curtypes.DuplicateReportNameException
	require.ErrorAs(t, err, &duplicate)
	requireStatus(t, err, 400)

	_, err = w.cur.TagResource(ctx, &cur.TagResourceInput{ReportName: aws.String(reportName),
		Tags: []curtypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	require.NoError(t, err)
	_, err = w.cur.TagResource(ctx, &cur.TagResourceInput{ReportName: aws.String("mp-cur-none"), Tags: []curtypes.Tag{}})
	var missing *curtypes.ResourceNotFoundException
	require.ErrorAs(t, err, &missing)

	del := &cur.DeleteReportDefinitionInput{ReportName: aws.String(reportName)}
	out, err := w.cur.DeleteReportDefinition(ctx, del)
	require.NoError(t, err)
	require.NotEmpty(t, *out.ResponseMessage)
	_, err = w.cur.DeleteReportDefinition(ctx, del)
	var invalid *curtypes.ValidationException
	require.ErrorAs(t, err, &invalid, "a missing report is a ValidationException, not a not-found")
	_, err = w.cur.ListTagsForResource(ctx, &cur.ListTagsForResourceInput{ReportName: aws.String(reportName)})
	require.ErrorAs(t, err, &missing)
}

func TestReportCombinationsAreRefusedWithoutAReason(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withReportBucket()), t.Context()
	for what, change := range map[string]func(*curtypes.ReportDefinition){
		"athena without prefix":   func(d *curtypes.ReportDefinition) { d.S3Prefix = aws.String("") },
		"athena with new reports": func(d *curtypes.ReportDefinition) { d.ReportVersioning = curtypes.ReportVersioningCreateNewReport },
		"athena and redshift": func(d *curtypes.ReportDefinition) {
			d.AdditionalArtifacts = append(d.AdditionalArtifacts, curtypes.AdditionalArtifactRedshift)
		},
		"parquet for redshift": func(d *curtypes.ReportDefinition) {
			d.AdditionalArtifacts = []curtypes.AdditionalArtifact{curtypes.AdditionalArtifactRedshift}
		},
		"parquet in a zip": func(d *curtypes.ReportDefinition) { d.Compression = curtypes.CompressionFormatZip },
		"athena with csv": func(d *curtypes.ReportDefinition) {
			d.Format, d.Compression = curtypes.ReportFormatCsv, curtypes.CompressionFormatGzip
		},
	} {
		in := reportInput()
		change(in.ReportDefinition)
		_, err := w.cur.PutReportDefinition(ctx, in)
		require.Empty(t, requireCode(t, err, "ValidationException"), what)
	}
	in := reportInput()
	in.ReportDefinition.S3Region = "il-central-1"
	_, err := w.cur.PutReportDefinition(ctx, in)
	require.Contains(t, requireCode(t, err, "ValidationException"),
		"'reportDefinition.s3Region' failed to satisfy constraint: Member must satisfy enum value set")
	in = reportInput()
	in.ReportDefinition.ReportName = aws.String("no spaces")
	_, err = w.cur.PutReportDefinition(ctx, in)
	requireCode(t, err, "ValidationException")
	_, err = w.cur.DescribeReportDefinitions(ctx, &cur.DescribeReportDefinitionsInput{MaxResults: aws.Int32(10)})
	requireCode(t, err, "ValidationException")
	require.Empty(t, w.effects())
}

func TestReportsNeedABucketThatBillingMayWriteTo(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(a *awssim.Account){
		"no bucket":      func(a *awssim.Account) { a.Buckets = nil },
		"no policy":      func(a *awssim.Account) { a.Buckets = map[string]awssim.Bucket{bucket: {}} },
		"another region": func(a *awssim.Account) { b := a.Buckets[bucket]; b.Region = "eu-west-1"; a.Buckets[bucket] = b },
		"another account's": func(a *awssim.Account) {
			a.Buckets = map[string]awssim.Bucket{bucket: {Policy: shipped.ReportBucketPolicy(bucket, otherID)}}
		},
	} {
		w, ctx := setup(t, withReportBucket(), withAccount(change)), t.Context()
		_, err := w.cur.PutReportDefinition(ctx, reportInput())
		require.Equal(t, "Failed to verify customer bucket permission", requireCode(t, err, "ValidationException"), what)
		_, err = w.exports.CreateExport(ctx, exportInput())
		require.Equal(t, "Failed to verify customer bucket permission", requireCode(t, err, "ValidationException"), what)
		require.Empty(t, w.effects(), what)
	}
}

func TestReportsWaitForTheBucketPolicyToSpread(t *testing.T) {
	t.Parallel()
	emptyBucket := withAccount(func(a *awssim.Account) { a.Buckets = map[string]awssim.Bucket{bucket: {}} })
	w, ctx := setup(t, withDelay(10*time.Second), emptyBucket), t.Context()
	_, err := w.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(bucket),
		Policy: aws.String(shipped.ReportBucketPolicy(bucket, accountID))})
	require.NoError(t, err)
	_, err = w.cur.PutReportDefinition(ctx, reportInput())
	requireCode(t, err, "ValidationException")
	w.clock.Advance(15 * time.Second)
	_, err = w.cur.PutReportDefinition(ctx, reportInput())
	require.NoError(t, err)
	list, err := w.cur.DescribeReportDefinitions(ctx, &cur.DescribeReportDefinitionsInput{})
	require.NoError(t, err)
	require.Empty(t, list.ReportDefinitions)
}

func TestReportQuotaAndPages(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withReportBucket()), t.Context()
	for i := range 6 {
		in := reportInput()
		in.ReportDefinition.ReportName = aws.String(fmt.Sprintf("mp-cur-report-%d", i))
		_, err := w.cur.PutReportDefinition(ctx, in)
		if i == 5 {
			var limit *curtypes.ReportLimitReachedException
			require.ErrorAs(t, err, &limit)
		} else {
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.sim.Edit(accountID, func(a *awssim.Account) { // the quota has been higher, so old accounts may have more
		a.Reports["mp-cur-report-5"], a.Reports["mp-cur-report-6"] = a.Reports["mp-cur-report-0"], a.Reports["mp-cur-report-0"]
	}))
	pages := cur.NewDescribeReportDefinitionsPaginator(w.cur, &cur.DescribeReportDefinitionsInput{MaxResults: aws.Int32(5)})
	var names []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.ReportDefinitions), 5)
		for _, d := range page.ReportDefinitions {
			names = append(names, *d.ReportName)
		}
	}
	require.Equal(t, []string{"mp-cur-report-0", "mp-cur-report-1", "mp-cur-report-2", "mp-cur-report-3", "mp-cur-report-4",
		"mp-cur-report-5", "mp-cur-report-6"}, names)
}

func TestModifyReport(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withReportBucket(), withPolicy(allPowers)), t.Context()
	_, err := w.cur.PutReportDefinition(ctx, reportInput())
	require.NoError(t, err)
	in := &cur.ModifyReportDefinitionInput{ReportName: aws.String(reportName), ReportDefinition: reportInput().ReportDefinition}
	in.ReportDefinition.S3Prefix = aws.String("elsewhere")
	_, err = w.cur.ModifyReportDefinition(ctx, in)
	require.NoError(t, err)
	a, _ := w.sim.Account(accountID)
	require.Equal(t, "elsewhere", a.Reports[reportName].S3Prefix)
	require.Equal(t, "ord-1", a.Reports[reportName].Tags["mp:order-id"], "tags survive")
	in.ReportName = aws.String("none")
	_, err = w.cur.ModifyReportDefinition(ctx, in)
	requireCode(t, err, "ValidationException")
}

func TestReportStatusIsReadBack(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withAccount(func(a *awssim.Account) {
		a.Reports = map[string]awssim.Report{"old": {
			TimeUnit: "DAILY", Format: "textORcsv", Compression: "GZIP", S3Bucket: "b", S3Region: "us-east-1",
			ReportStatus: &awssim.ReportStatus{LastDelivery: "20261101T000000Z", LastStatus: "ERROR_NO_BUCKET"},
		}}
	})), t.Context()
	list, err := w.cur.DescribeReportDefinitions(ctx, &cur.DescribeReportDefinitionsInput{})
	require.NoError(t, err)
	require.Equal(t, curtypes.LastStatusErrorNoBucket, list.ReportDefinitions[0].ReportStatus.LastStatus)
	require.Equal(t, "20261101T000000Z", *list.ReportDefinitions[0].ReportStatus.LastDelivery)
}

func TestExportLivesFromCreationToDeletion(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withReportBucket()), t.Context()
	created, err := w.exports.CreateExport(ctx, exportInput())
	require.NoError(t, err)
	require.Regexp(t, `^arn:aws:bcm-data-exports:us-east-1:`+accountID+`:export/mp-cur-order-1-`+
		`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, *created.ExportArn)
	got, err := w.exports.GetExport(ctx, &bcmdataexports.GetExportInput{ExportArn: created.ExportArn})
	require.NoError(t, err)
	want := exportInput().Export
	want.ExportArn = created.ExportArn
	tables := want.DataQuery.TableConfigurations["COST_AND_USAGE_REPORT"]
	tables["BILLING_VIEW_ARN"] = "arn:aws:billing::" + accountID + ":billingview/primary"
	require.Equal(t, want, got.Export, "AWS adds the billing view and nothing else")
	require.Empty(t, got.ExportStatus.StatusCode, "no status before the first refresh")
	require.Equal(t, w.clock.Now(), *got.ExportStatus.CreatedAt)
	tags, err := w.exports.ListTagsForResource(ctx, &bcmdataexports.ListTagsForResourceInput{ResourceArn: created.ExportArn})
	require.NoError(t, err)
	require.Equal(t, exportInput().ResourceTags, tags.ResourceTags)
	a, _ := w.sim.Account(accountID)
	require.Contains(t, a.Buckets[bucket].Objects, testObject)

	_, err = w.exports.CreateExport(ctx, exportInput())
	var invalid *bcmtypes.ValidationException
	require.ErrorAs(t, err, &invalid, "a duplicate name")
	_, err = w.exports.TagResource(ctx, &bcmdataexports.TagResourceInput{ResourceArn: created.ExportArn,
		ResourceTags: []bcmtypes.ResourceTag{{Key: aws.String("k"), Value: aws.String("v")}}})
	require.NoError(t, err)

	_, err = w.exports.DeleteExport(ctx, &bcmdataexports.DeleteExportInput{ExportArn: created.ExportArn})
	require.NoError(t, err)
	var missing *bcmtypes.ResourceNotFoundException
	_, err = w.exports.DeleteExport(ctx, &bcmdataexports.DeleteExportInput{ExportArn: created.ExportArn})
	require.ErrorAs(t, err, &missing)
	_, err = w.exports.GetExport(ctx, &bcmdataexports.GetExportInput{ExportArn: created.ExportArn})
	require.ErrorAs(t, err, &missing)
	_, err = w.exports.ListTagsForResource(ctx, &bcmdataexports.ListTagsForResourceInput{ResourceArn: created.ExportArn})
	require.ErrorAs(t, err, &missing)
	_, err = w.exports.TagResource(ctx, &bcmdataexports.TagResourceInput{ResourceArn: created.ExportArn,
		ResourceTags: []bcmtypes.ResourceTag{}})
	require.ErrorAs(t, err, &missing)
}

func TestExportsAreValidated(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withReportBucket()), t.Context()
	query := func(text string) func(*bcmtypes.Export) {
		return func(e *bcmtypes.Export) { e.DataQuery.QueryStatement = aws.String(text) }
	}
	const notASubset = "The columns in the query provided are not a subset of the table"
	for want, changes := range map[string][]func(*bcmtypes.Export){
		"regular expression": {func(e *bcmtypes.Export) { e.Name = aws.String("no.dots") }},
		notASubset: {
			query("SELECT * FROM COST_AND_USAGE_REPORT"), query("SELECT no_such_column FROM COST_AND_USAGE_REPORT"),
		},
		"does not exist":  {query("SELECT tags FROM NOWHERE")},
		"not a valid SQL": {query("DROP TABLE x")},
		"is not valid": {func(e *bcmtypes.Export) {
			e.DataQuery.TableConfigurations["COST_AND_USAGE_REPORT"]["TIME_GRANULARITY"] = "WEEKLY"
		}},
		"which the query does not read": {func(e *bcmtypes.Export) {
			e.DataQuery.TableConfigurations["FOCUS_1_0_AWS"] = map[string]string{}
		}},
		"cannot be compressed": {func(e *bcmtypes.Export) {
			e.DestinationConfigurations.S3Destination.S3OutputConfigurations.Compression = bcmtypes.CompressionOptionGzip
		}},
	} {
		for _, change := range changes {
			in := exportInput()
			change(in.Export)
			_, err := w.exports.CreateExport(ctx, in)
			var invalid *bcmtypes.ValidationException
			require.ErrorAs(t, err, &invalid)
			require.Contains(t, invalid.ErrorMessage(), want)
		}
	}
	in := exportInput()
	in.Export.DataQuery.QueryStatement = aws.String("select line_item_resource_id as id,\n tags, product.region from COST_AND_USAGE_REPORT")
	in.Export.DataQuery.TableConfigurations["COST_AND_USAGE_REPORT"]["INCLUDE_RESOURCES"] = "TRUE"
	_, err := w.exports.CreateExport(ctx, in)
	require.NoError(t, err)
}

func TestExportQuotaAndPages(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withReportBucket(), withAccount(func(a *awssim.Account) {
		a.Exports = map[string]awssim.Export{"focus": {QueryStatement: "SELECT BilledCost FROM FOCUS_1_0_AWS"}} // has a quota of its own
	})), t.Context()
	for i := range 6 {
		in := exportInput()
		in.Export.Name = aws.String(fmt.Sprintf("mp-cur-export-%d", i))
		_, err := w.exports.CreateExport(ctx, in)
		if i == 5 {
			var quota *bcmtypes.ServiceQuotaExceededException
			require.ErrorAs(t, err, &quota)
			require.Equal(t, "AWSBillingAndCostManagementDataExports", *quota.ServiceCode)
		} else {
			require.NoError(t, err)
		}
	}
	pages := bcmdataexports.NewListExportsPaginator(w.exports, &bcmdataexports.ListExportsInput{MaxResults: aws.Int32(2)})
	var names []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(t, err)
		for _, e := range page.Exports {
			names = append(names, *e.ExportName)
		}
	}
	require.Equal(t, []string{
		"focus", "mp-cur-export-0", "mp-cur-export-1", "mp-cur-export-2", "mp-cur-export-3", "mp-cur-export-4",
	}, names)
}

func TestExportsOfOtherTablesAreShown(t *testing.T) {
	t.Parallel()
	created, refreshed := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 19, 4, 0, 0, 0, time.UTC)
	exports := map[string]awssim.Export{}
	for name, table := range map[string]string{"focus": "FOCUS_1_0_AWS", "carbon": "CARBON_EMISSIONS",
		"advice": "COST_OPTIMIZATION_RECOMMENDATIONS"} {
		exports[name] = awssim.Export{QueryStatement: "SELECT a FROM " + table, S3Bucket: "b", S3Prefix: "p", S3Region: "eu-west-1",
			TableConfigurations: map[string]map[string]string{table: {"FILTER": "{}"}}, OutputType: "CUSTOM", Format: "PARQUET",
			Compression: "PARQUET",
			Overwrite:   "OVERWRITE_REPORT", Created: created, LastRefreshed: refreshed, StatusCode: "HEALTHY"}
	}
	w, ctx := setup(t, withAccount(func(a *awssim.Account) { a.Exports = exports })), t.Context()
	list, err := w.exports.ListExports(ctx, &bcmdataexports.ListExportsInput{})
	require.NoError(t, err)
	require.Len(t, list.Exports, 3)
	for _, reference := range list.Exports {
		require.Equal(t, refreshed, *reference.ExportStatus.LastRefreshedAt)
		got, err := w.exports.GetExport(ctx, &bcmdataexports.GetExportInput{ExportArn: reference.ExportArn})
		require.NoError(t, err)
		want := exports[*reference.ExportName]
		require.Equal(t, want.QueryStatement, *got.Export.DataQuery.QueryStatement)
		require.Equal(t, want.TableConfigurations, got.Export.DataQuery.TableConfigurations)
		require.Equal(t, bcmtypes.ExportStatusCodeHealthy, got.ExportStatus.StatusCode)
		require.Equal(t, created, *got.ExportStatus.CreatedAt)
		require.Equal(t, refreshed, *got.ExportStatus.LastRefreshedAt)
	}
}

func TestSomeColumnsNeedTheirSetting(t *testing.T) {
	t.Parallel()
	for column, setting := range map[string]string{
		"line_item_resource_id": "INCLUDE_RESOURCES", "line_item_iam_principal": "INCLUDE_IAM_PRINCIPAL_DATA",
		"split_line_item_split_cost":                    "INCLUDE_SPLIT_COST_ALLOCATION_DATA",
		"capacity_reservation_capacity_reservation_arn": "INCLUDE_CAPACITY_RESERVATION_DATA",
		"line_item_user_identifier":                     "",
	} {
		w, ctx := setup(t, withReportBucket()), t.Context()
		in := exportInput()
		in.Export.DataQuery.QueryStatement = aws.String("SELECT " + column + " FROM COST_AND_USAGE_REPORT")
		if setting != "" {
			for _, value := range []string{"", "FALSE"} {
				settings := map[string]string{}
				if value != "" {
					settings[setting] = value
				}
				in.Export.DataQuery.TableConfigurations = map[string]map[string]string{"COST_AND_USAGE_REPORT": settings}
				_, err := w.exports.CreateExport(ctx, in)
				require.Contains(t, requireCode(t, err, "ValidationException"), "not a subset of the table", column)
			}
			in.Export.DataQuery.TableConfigurations["COST_AND_USAGE_REPORT"][setting] = "TRUE"
		}
		_, err := w.exports.CreateExport(ctx, in)
		require.NoError(t, err, column)
	}
}
