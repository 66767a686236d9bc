package activities

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// An operator may change the pool's settings while an order waits for a correction. An attempt may then already have created the report
// as another kind, in another region, or with another prefix. The names do not depend on the settings.

// underSettings returns the assignment with its own settings, and with each of the earlier ones that give the report another kind or
// another region.
func (w Assignment) underSettings() []Assignment {
	all := []Assignment{w}
	for _, settings := range w.EarlierSettings {
		other := w
		other.Settings = settings
		if !slices.ContainsFunc(all, func(a Assignment) bool {
			return a.reportKind() == other.reportKind() && a.reportRegion() == other.reportRegion()
		}) {
			all = append(all, other)
		}
	}
	return all
}

// clearEarlier removes what attempts under earlier settings have created and what does not match the current settings.
func (a *Activities) clearEarlier(ctx context.Context, s *awscloud.Session, w Assignment) error {
	if len(w.EarlierSettings) == 0 {
		return nil
	}
	variants := w.underSettings()
	for _, other := range variants {
		if fits, err := a.reportFits(ctx, s, w, other); fits || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if err := a.removeCreatedReport(ctx, s, other); err != nil {
			return err
		}
		gone, err := a.waitGone(ctx, func(ctx context.Context) (bool, error) {
			found, err := createdReport(ctx, s, other)
			return found != nil && found.ours, err
		})
		if err == nil && !gone {
			err = notYet("the deletion of the earlier cost report")
		}
		if err != nil {
			return err
		}
	}
	for _, other := range variants[1:] {
		if other.reportRegion() == w.reportRegion() {
			continue
		}
		left, err := a.removeBucket(ctx, s, other)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return &provision.Failure{Code: provision.CodeResourceNotOurs,
				Reason: left[0] + "; it was created in " + other.reportRegion() +
					" under earlier settings of the pool, and its name is needed again: " +
					"check and delete the bucket, then retry the order, or swap the account"}
		}
	}
	return nil
}

// reportFits reports whether the report that was created under other settings may stay: there is none, it is not the order's, or it
// matches the current settings.
func (a *Activities) reportFits(ctx context.Context, s *awscloud.Session, w, other Assignment) (bool, error) {
	var found *namedReport
	if _, err := a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
		var err error
		found, err = createdReport(ctx, s, other)
		return found != nil, err
	}); err != nil || found == nil || !found.ours {
		return true, err
	}
	if other.reportKind() != w.reportKind() {
		return false, nil
	}
	report, err := other.shownReport(ctx, s, found)
	return report.Region == w.reportRegion() && report.Prefix == w.reportPrefix() && report.Bucket == w.bucketName(), err
}

// shownReport reads the report that the order created; the zero report when AWS does not show it.
func (w Assignment) shownReport(ctx context.Context, s *awscloud.Session, created *namedReport) (provision.Report, error) {
	if w.reportKind() == provision.LegacyCUR {
		definition, err := findDefinition(ctx, s, w.reportName())
		if err != nil || definition == nil {
			return provision.Report{}, err
		}
		return definitionReport(definition), nil
	}
	out, err := s.Exports.GetExport(ctx, &bcmdataexports.GetExportInput{ExportArn: aws.String(created.arn)})
	if err != nil {
		return provision.Report{}, awscloud.IgnoreNotFound(err)
	}
	return exportReportOf(w.reportName(), created.arn, out.Export), nil
}
