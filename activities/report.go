package activities

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	curtypes "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice/types"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// bucketCheckTime is how long AWS's billing services may need to see a new bucket policy.
const bucketCheckTime = time.Minute

// SetUpReport is the input of the activity SetUpReport.
type SetUpReport struct {
	Assignment
	Existing *provision.Report `json:"existing,omitempty"` // the report to link; nil: a new one is created
	// EarlierSettings are the pool's settings before an operator changed them: an attempt may have created a report elsewhere under them.
	EarlierSettings []provision.PoolSettings `json:"earlier_settings,omitempty"`
}

// SetUpReport links the existing report, for which nothing is written, or makes a new one: first its bucket and the
// bucket's policy, which AWS checks before it accepts the report.
func (a *Activities) SetUpReport(ctx context.Context, in SetUpReport) (report provision.Report, err error) {
	err = a.step(ctx, in.Assignment, provision.StepReport, func(ctx context.Context) error {
		if in.Existing != nil {
			report = *in.Existing
			report.Existing = true
			return nil
		}
		s, err := a.openSession(ctx, in.Assignment)
		if err != nil {
			return err
		}
		if err := a.clearEarlier(ctx, s, in.Assignment, in.EarlierSettings); err != nil {
			return err
		}
		if err := a.ensureBucket(ctx, s, in.Assignment); err != nil {
			return err
		}
		if in.reportKind() == provision.LegacyCUR {
			report, err = a.ensureDefinition(ctx, s, in.Assignment)
		} else {
			report, err = a.ensureExport(ctx, s, in.Assignment)
		}
		return err
	})
	return report, err
}

// RemoveReport is the input of the activity RemoveReport.
type RemoveReport struct {
	Assignment
	Report provision.Report `json:"report"` // zero when the answer of SetUpReport was lost
	// EarlierSettings are as in SetUpReport.
	EarlierSettings []provision.PoolSettings `json:"earlier_settings,omitempty"`
}

// RemoveReport takes away the report that the order made and then its bucket. A linked report is never touched, nor is
// anything without the order's nonce, nor an object that AWS delivered.
func (a *Activities) RemoveReport(ctx context.Context, in RemoveReport) (Undone, error) {
	return a.undo(ctx, in.Assignment, provision.StepReport, func(ctx context.Context) ([]string, error) {
		if in.Request.UseExistingCUR != "" || in.Report.Existing {
			return nil, nil
		}
		s, err := a.openSession(ctx, in.Assignment)
		if err != nil {
			return nil, err
		}
		// Nothing of it there, for a while: the step never happened, or it is undone.
		tried := in.underSettings(in.EarlierSettings)
		something, err := a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
			for _, w := range tried {
				if there, err := somethingMade(ctx, s, w); there || err != nil {
					return there, err
				}
			}
			return false, nil
		})
		if err != nil || !something {
			return nil, err
		}
		for _, w := range tried {
			if err := a.removeMadeReport(ctx, s, w); err != nil {
				return nil, err
			}
		}
		var notes []string
		for _, w := range tried {
			more, err := a.removeBucket(ctx, s, w)
			if err != nil {
				return nil, err
			}
			notes = append(notes, more...)
		}
		return notes, nil
	})
}

// somethingMade tells whether there is anything of the order's report, or that could be.
func somethingMade(ctx context.Context, s *awscloud.Session, w Assignment) (bool, error) {
	made, err := madeReport(ctx, s, w)
	if err != nil || made != nil {
		return made != nil, err
	}
	bucket, err := lookAtBucket(ctx, s, w)
	return bucket != bucketAbsent, err
}

// reportKind is what a new report is; Data Exports are AWS's way today.
func (w Assignment) reportKind() provision.ReportKind {
	if w.Settings.ReportKind == provision.LegacyCUR {
		return provision.LegacyCUR
	}
	return provision.DataExport
}

// reportRegion is where the report's bucket is.
func (w Assignment) reportRegion() string {
	if w.Settings.ReportRegion == "" {
		return awscloud.HomeRegion
	}
	return w.Settings.ReportRegion
}

// reportPrefix is where in the bucket AWS delivers. It is never empty: AWS refuses that for some combinations.
func (w Assignment) reportPrefix() string {
	if w.Settings.ReportPrefix == "" {
		return "cur"
	}
	return w.Settings.ReportPrefix
}

// made is a report of our name in the account.
type made struct {
	arn  string // Data Exports only
	ours bool   // by its tags
}

// madeReport looks for the report that the order makes; nil when there is none.
func madeReport(ctx context.Context, s *awscloud.Session, w Assignment) (*made, error) {
	if w.reportKind() == provision.LegacyCUR {
		return madeDefinition(ctx, s, w)
	}
	return madeExport(ctx, s, w)
}

// removeMadeReport deletes the order's report and ignores one of the same name that is not ours.
func (a *Activities) removeMadeReport(ctx context.Context, s *awscloud.Session, w Assignment) error {
	var found *made
	_, err := a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
		var err error
		found, err = madeReport(ctx, s, w)
		return found != nil, err
	})
	if err != nil || found == nil || !found.ours {
		return err
	}
	if w.reportKind() == provision.LegacyCUR {
		return a.deleteDefinition(ctx, s, w)
	}
	return a.deleteExport(ctx, s, found.arn)
}

// ensureDefinition returns the order's legacy report once AWS shows it, and defines it if there is none.
func (a *Activities) ensureDefinition(ctx context.Context, s *awscloud.Session, w Assignment) (provision.Report, error) {
	none := provision.Report{}
	found, err := madeDefinition(ctx, s, w)
	if err != nil {
		return none, err
	}
	var exists error
	if found == nil {
		err := a.retryWhileFor(ctx, min(a.Timings.VisibleFor, bucketCheckTime), notReadyForReport, func(ctx context.Context) error {
			_, err := s.CUR.PutReportDefinition(ctx, w.newDefinition())
			return err
		})
		// "Duplicate" may be our own report, of an attempt whose reply was lost: the look below tells.
		if err != nil && !awscloud.IsAlreadyExists(err) {
			if err := a.adoptReport(ctx, s, w, err); err != nil {
				return none, err
			}
		}
		exists = err
	}
	return a.reportVisible(ctx, s, w, exists)
}

// adoptReport finds out whether a refusal means that an earlier attempt, whose reply was lost, has made the report: Data Exports have no
// code of their own for a name that exists, and the report may be the last one that the quota allows.
func (a *Activities) adoptReport(ctx context.Context, s *awscloud.Session, w Assignment, refusal error) error {
	if awscloud.IsBucketNotVerified(refusal) || !awscloud.IsValidation(refusal) && !awscloud.IsQuota(refusal) {
		return reportRefused(w, refusal)
	}
	var unseenFor time.Duration
	if repeated(ctx) {
		unseenFor = a.Timings.VisibleFor
	}
	seen, err := a.waitVisible(ctx, unseenFor, func(ctx context.Context) (bool, error) {
		found, err := madeReport(ctx, s, w)
		return found != nil, err
	})
	if err != nil {
		return err
	}
	if !seen {
		return reportRefused(w, refusal)
	}
	return nil
}

// reportVisible waits until AWS shows the report as ours, twice in a row. The answer is what AWS said when the report was to be made.
func (a *Activities) reportVisible(ctx context.Context, s *awscloud.Session, w Assignment, answer error) (report provision.Report, err error) {
	seen, err := a.waitStable(ctx, func(ctx context.Context) (bool, error) {
		found, err := madeReport(ctx, s, w)
		if err != nil || found == nil {
			return false, err
		}
		if !found.ours {
			return false, &provision.Failure{Code: provision.CodeResourceNotOurs,
				Reason: "the account has a cost report named " + w.reportName() + " that this order did not make: delete it or use another account"}
		}
		report, err = w.shownReport(ctx, s)
		return report.Name != "", err
	})
	if err == nil && !seen {
		err = notYetAfter(answer, "the cost report")
	}
	return report, err
}

// notReadyForReport: the billing services have not seen the bucket's policy yet, or AWS is busy.
func notReadyForReport(err error) bool { return awscloud.IsBucketNotVerified(err) || busy(err) }

// reportRefused explains why AWS refuses the new report. Nothing of it is the customer's.
func reportRefused(w Assignment, err error) error {
	switch {
	case awscloud.IsBucketNotVerified(err):
		return withCause(&provision.Failure{Code: provision.CodePermissionMissing,
			Reason: fmt.Sprintf("AWS's billing services do not accept the policy of the bucket %s: look for an organization's policy that forbids it", w.bucketName())}, err)
	case awscloud.IsValidation(err):
		return withCause(&provision.Failure{Code: provision.CodePoolSettingsRefused,
			Reason: fmt.Sprintf("AWS refuses a report of kind %q in region %q with prefix %q: correct the settings of the pool", w.reportKind(), w.reportRegion(), w.reportPrefix())}, err)
	}
	return err
}

// newDefinition is an hourly report with resource ids as Parquet, the one form that every later use can read. AWS refuses
// most other combinations, some of them without saying why.
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

// checkReportRegion refuses settings that no legacy report can be made with: AWS delivers it to a fixed list of regions.
func checkReportRegion(w Assignment) error {
	if w.reportKind() != provision.LegacyCUR || slices.Contains(curtypes.AWSRegion("").Values(), curtypes.AWSRegion(w.reportRegion())) {
		return nil
	}
	return &provision.Failure{Code: provision.CodePoolSettingsRefused,
		Reason: fmt.Sprintf("legacy cost reports cannot be delivered to region %q: correct the settings of the pool", w.reportRegion())}
}

// deleteDefinition deletes the order's legacy report. AWS has no "not found" for it and calls the deletion of a missing
// one invalid, so then it is looked for.
func (a *Activities) deleteDefinition(ctx context.Context, s *awscloud.Session, w Assignment) error {
	err := a.remove(ctx, func(ctx context.Context) error {
		_, err := s.CUR.DeleteReportDefinition(ctx, &cur.DeleteReportDefinitionInput{ReportName: aws.String(w.reportName())})
		return err
	})
	if !awscloud.IsValidation(err) {
		return err
	}
	gone, lookErr := a.waitStable(ctx, func(ctx context.Context) (bool, error) {
		definition, err := findDefinition(ctx, s, w.reportName())
		return definition == nil, err
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

func madeDefinition(ctx context.Context, s *awscloud.Session, w Assignment) (*made, error) {
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
	return &made{ours: w.owns(tags)}, nil
}

func definitionReport(definition *curtypes.ReportDefinition) provision.Report {
	return provision.Report{
		Name: aws.ToString(definition.ReportName), Kind: provision.LegacyCUR, Bucket: aws.ToString(definition.S3Bucket),
		Prefix: aws.ToString(definition.S3Prefix), Region: string(definition.S3Region),
	}
}
