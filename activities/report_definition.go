package activities

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	curtypes "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice/types"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

func createDefinition(ctx context.Context, s *awscloud.Session, w Assignment) (*namedReport, error) {
	if _, err := s.CUR.PutReportDefinition(ctx, w.newDefinition()); err != nil {
		return nil, err
	}
	return &namedReport{ours: true}, nil
}

// newDefinition returns an hourly report with resource ids as Parquet, the form that suits every later use. AWS refuses most other
// combinations, some of them without a reason.
// Source: Cost and Usage Report API Reference, ReportDefinition.
func (w Assignment) newDefinition() *cur.PutReportDefinitionInput {
	in := &cur.PutReportDefinitionInput{ReportDefinition: &curtypes.ReportDefinition{
		ReportName:               aws.String(w.reportName()),
		TimeUnit:                 curtypes.TimeUnitHourly,
		Format:                   curtypes.ReportFormatParquet,
		Compression:              curtypes.CompressionFormatParquet,
		AdditionalSchemaElements: []curtypes.SchemaElement{curtypes.SchemaElementResources},
		ReportVersioning:         curtypes.ReportVersioningOverwriteReport,
		RefreshClosedReports:     aws.Bool(true),
		S3Bucket:                 aws.String(w.bucketName()),
		S3Prefix:                 aws.String(w.reportPrefix()),
		S3Region:                 curtypes.AWSRegion(w.reportRegion()),
	}}
	for _, t := range w.tags() {
		in.Tags = append(in.Tags, curtypes.Tag{Key: aws.String(t.key), Value: aws.String(t.value)})
	}
	return in
}

// checkReportRegion returns a failure when the settings want a legacy report in a region to which AWS does not deliver it.
func checkReportRegion(w Assignment) error {
	if w.reportKind() != provision.LegacyCUR || slices.Contains(curtypes.AWSRegion("").Values(), curtypes.AWSRegion(w.reportRegion())) {
		return nil
	}
	return &provision.Failure{Code: provision.CodePoolSettingsRefused,
		Reason: fmt.Sprintf("AWS does not deliver legacy cost reports to region %q: correct report_region in the settings of the "+
			"pool, then retry the order", w.reportRegion())}
}

// deleteDefinition deletes the order's legacy report. AWS answers the deletion of a missing one with a ValidationException, so
// deleteDefinition then checks whether the report exists.
func (a *Activities) deleteDefinition(ctx context.Context, s *awscloud.Session, w Assignment) error {
	err := a.remove(ctx, func(ctx context.Context) error {
		_, err := s.CUR.DeleteReportDefinition(ctx, &cur.DeleteReportDefinitionInput{ReportName: aws.String(w.reportName())})
		return err
	})
	if !awscloud.IsValidation(err) {
		return err
	}
	gone, lookErr := a.waitGone(ctx, func(ctx context.Context) (bool, error) {
		definition, err := findDefinition(ctx, s, w.reportName())
		return definition != nil, err
	})
	if lookErr != nil {
		return lookErr
	}
	if !gone {
		return err
	}
	return nil
}

// findDefinition looks for a legacy report by its exact name; nil when there is none.
func findDefinition(ctx context.Context, s *awscloud.Session, name string) (*curtypes.ReportDefinition, error) {
	found, _, err := lookForDefinition(ctx, s, name)
	return found, err
}

func createdDefinition(ctx context.Context, s *awscloud.Session, w Assignment) (*namedReport, error) {
	definition, err := findDefinition(ctx, s, w.reportName())
	if err != nil || definition == nil {
		return nil, err
	}
	out, err := s.CUR.ListTagsForResource(ctx, &cur.ListTagsForResourceInput{ReportName: definition.ReportName})
	if awscloud.IsNotFound(err) {
		return nil, nil // deleted between the two calls
	}
	if err != nil {
		return nil, err
	}
	tags := tagsOf(out.Tags, func(t curtypes.Tag) (key, value *string) { return t.Key, t.Value })
	return &namedReport{ours: w.owns(tags)}, nil
}

func definitionReport(definition *curtypes.ReportDefinition) provision.Report {
	return provision.Report{
		Name: aws.ToString(definition.ReportName), Kind: provision.LegacyCUR, Bucket: aws.ToString(definition.S3Bucket),
		Prefix: aws.ToString(definition.S3Prefix), Region: string(definition.S3Region),
	}
}
