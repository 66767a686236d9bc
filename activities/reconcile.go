package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

// Reconciler checks that PostgreSQL, Temporal and AWS agree, and repairs what is safe to repair. With an error, it returns the findings
// so far.
type Reconciler interface {
	FindAndRepair(ctx context.Context) (reconcile.Report, error)
}

// Reconcile runs the reconciler once. It logs each finding: as an error, for alerts, when it was not repaired. Findings contain no
// personal data.
func (a *Activities) Reconcile(ctx context.Context) (reconcile.Report, error) {
	found, err := a.Reconciler.FindAndRepair(ctx)
	log := activity.GetLogger(ctx)
	for _, f := range found.Findings {
		fields := []any{"kind", f.Kind, "severity", f.Severity, "order", orderOf(f), "account", f.Account, "what", f.What, "since", f.Since,
			"do", f.Do}
		switch {
		case f.Repaired != "":
			log.Warn("the reconciler repaired a finding", append(fields, "repaired", f.Repaired)...)
		default:
			log.Error("the reconciler found a contradiction", fields...)
		}
	}
	return found, conclude(ctx, err, "")
}

func orderOf(f reconcile.Finding) string {
	if f.Order == (provision.OrderKey{}) {
		return ""
	}
	return f.Order.String()
}
