package activities

import (
	"context"
	"fmt"
	"time"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// bucketCheckTime is how long a new bucket policy may take to reach AWS's billing services.
const bucketCheckTime = time.Minute

// SetUpReport is the input of the activity SetUpReport.
type SetUpReport struct {
	Work
	Existing *provision.Report `json:"existing,omitempty"` // the report to link; nil: a new one is created
}

// SetUpReport links the existing report, for which it writes nothing, or creates a new one. It creates the bucket and its policy first,
// because AWS checks both before it accepts the report.
func (a *Activities) SetUpReport(ctx context.Context, in SetUpReport) (report provision.Report, err error) {
	err = a.step(ctx, in.Work, provision.StepReport, func(ctx context.Context, w Assignment) error {
		if in.Existing != nil {
			report = *in.Existing
			report.Existing = true
			return nil
		}
		s, err := a.openSession(ctx, w)
		if err != nil {
			return err
		}
		if err := a.clearEarlier(ctx, s, w); err != nil {
			return err
		}
		isNew, err := a.ensureBucket(ctx, s, w)
		if err != nil {
			return err
		}
		report, err = a.ensureReport(ctx, s, w, isNew)
		return err
	})
	return report, err
}

// ensureReport returns the order's report once AWS shows it. It creates the report if there is none; into a new bucket without looking,
// because AWS refuses a name that exists.
func (a *Activities) ensureReport(
	ctx context.Context, s *awscloud.Session, w Assignment, newBucket bool,
) (report provision.Report, err error) {
	var found *namedReport
	if !newBucket {
		if found, err = createdReport(ctx, s, w); err != nil {
			return report, err
		}
	}
	var refusal error
	if found == nil {
		refusal = a.retryWhileFor(ctx, min(a.Timings.VisibleFor, bucketCheckTime), notReadyForReport, func(ctx context.Context) (err error) {
			found, err = createReport(ctx, s, w)
			return err
		})
	}
	if refusal != nil {
		if found, err = a.existingReport(ctx, s, w, refusal); err != nil {
			return report, err
		}
	}
	if !found.ours {
		return report, &provision.Failure{Code: provision.CodeResourceNotOurs,
			Reason: "the account has a cost report named " + w.reportName() +
				" that this order did not create: delete it, then retry the order, or swap the account"}
	}
	seen, err := a.waitShown(ctx, func(ctx context.Context) (_ bool, err error) {
		report, err = w.shownReport(ctx, s, found)
		return report.Name != "", err
	})
	if err == nil && !seen {
		err = notYetAfter(refusal, "the cost report")
	}
	return report, err
}

// RemoveReport is the input of the activity RemoveReport.
type RemoveReport struct {
	Work
	Report provision.Report `json:"report"` // zero when the answer of SetUpReport was lost
}

// RemoveReport deletes the report that the order created, and then its bucket. It never touches a linked report, a resource without
// the order's nonce, or an object that AWS delivered.
func (a *Activities) RemoveReport(ctx context.Context, in RemoveReport) (Undone, error) {
	return a.undo(ctx, in.Work, provision.StepReport, func(ctx context.Context, w Assignment) ([]string, error) {
		if w.Request.UseExistingCUR != "" || in.Report.Existing {
			return nil, nil
		}
		s, err := a.openSession(ctx, w)
		if err != nil {
			return nil, err
		}
		// When nothing is visible for a while, the step never happened or is already undone.
		variants := w.underSettings()
		exists, err := a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
			for _, w := range variants {
				if exists, err := reportOrBucketExists(ctx, s, w); exists || err != nil {
					return exists, err
				}
			}
			return false, nil
		})
		if err != nil || !exists {
			return nil, err
		}
		for _, w := range variants {
			if err := a.removeCreatedReport(ctx, s, w); err != nil {
				return nil, err
			}
		}
		var notes []string
		for _, w := range variants {
			more, err := a.removeBucket(ctx, s, w)
			if err != nil {
				return nil, err
			}
			notes = append(notes, more...)
		}
		return notes, nil
	})
}

// reportOrBucketExists reports whether a report or a bucket exists that could be the order's.
func reportOrBucketExists(ctx context.Context, s *awscloud.Session, w Assignment) (bool, error) {
	report, err := createdReport(ctx, s, w)
	if err != nil || report != nil {
		return report != nil, err
	}
	bucket, err := lookAtBucket(ctx, s, w)
	return bucket != bucketAbsent, err
}

// reportKind is the kind of a new report: by default a data export, which AWS recommends over legacy reports.
func (w Assignment) reportKind() provision.ReportKind {
	if w.Settings.ReportKind == provision.LegacyCUR {
		return provision.LegacyCUR
	}
	return provision.DataExport
}

// reportRegion is the region of the report's bucket.
func (w Assignment) reportRegion() string {
	if w.Settings.ReportRegion == "" {
		return awscloud.HomeRegion
	}
	return w.Settings.ReportRegion
}

// reportPrefix is the prefix of the objects that AWS delivers. It is never empty: AWS refuses an empty one in some combinations.
func (w Assignment) reportPrefix() string {
	if w.Settings.ReportPrefix == "" {
		return "cur"
	}
	return w.Settings.ReportPrefix
}

// namedReport is a report in the account that has the name of the order's report.
type namedReport struct {
	arn  string // Data Exports only
	ours bool   // by its tags
}

// createdReport looks for the report that the order creates; nil when there is none of its name.
func createdReport(ctx context.Context, s *awscloud.Session, w Assignment) (*namedReport, error) {
	if w.reportKind() == provision.LegacyCUR {
		return createdDefinition(ctx, s, w)
	}
	return createdExport(ctx, s, w)
}

// removeCreatedReport deletes the order's report. It ignores a report of the same name that is not the order's.
func (a *Activities) removeCreatedReport(ctx context.Context, s *awscloud.Session, w Assignment) error {
	var found *namedReport
	_, err := a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
		var err error
		found, err = createdReport(ctx, s, w)
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

// createReport creates the order's report. AWS's success means that there was none of this name.
func createReport(ctx context.Context, s *awscloud.Session, w Assignment) (*namedReport, error) {
	if w.reportKind() == provision.LegacyCUR {
		return createDefinition(ctx, s, w)
	}
	return createExport(ctx, s, w)
}

// existingReport returns the report because of which AWS refuses to create one: the order's, from an earlier attempt, or someone else's.
// Data Exports has no code for a name that exists, and the order's report may be the last one that the quota allows, so existingReport
// looks for the report after each of these refusals.
func (a *Activities) existingReport(ctx context.Context, s *awscloud.Session, w Assignment, refusal error) (found *namedReport, err error) {
	exists := awscloud.IsAlreadyExists(refusal)
	if !exists && (awscloud.IsBucketNotVerified(refusal) || !awscloud.IsValidation(refusal) && !awscloud.IsQuota(refusal)) {
		return nil, reportRefused(w, refusal)
	}
	patience := a.lostReplyTime(ctx)
	if exists {
		patience = a.Timings.VisibleFor
	}
	if _, err := a.waitVisible(ctx, patience, func(ctx context.Context) (_ bool, err error) {
		found, err = createdReport(ctx, s, w)
		return found != nil, err
	}); err != nil {
		return nil, err
	}
	switch {
	case found != nil:
		return found, nil
	case exists:
		return nil, notYetAfter(refusal, "the cost report")
	}
	return nil, reportRefused(w, refusal)
}

// notReadyForReport reports that the bucket's policy has not reached the billing services yet, or that AWS is busy.
func notReadyForReport(err error) bool { return awscloud.IsBucketNotVerified(err) || busy(err) }

// reportRefused returns the reason why AWS refuses the new report. None of its values comes from the customer.
func reportRefused(w Assignment, err error) error {
	switch {
	case awscloud.IsBucketNotVerified(err):
		return withCause(&provision.Failure{Code: provision.CodePermissionMissing,
			Reason: fmt.Sprintf("AWS's billing services do not accept the policy of the bucket %s: check whether a policy of the "+
				"account's organization denies them access", w.bucketName())}, err)
	case awscloud.IsValidation(err):
		return withCause(&provision.Failure{Code: provision.CodePoolSettingsRefused,
			Reason: fmt.Sprintf("AWS refuses a report of kind %q in region %q with prefix %q: correct the settings of the pool, then "+
				"retry the order", w.reportKind(), w.reportRegion(), w.reportPrefix())}, err)
	}
	return err
}
