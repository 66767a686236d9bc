package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"quartermaster/internal/audit"
	"quartermaster/internal/provision"
)

// Auditor finds what contradicts itself and repairs what is safe to repair. It returns what it knows beside an error.
type Auditor interface {
	FindAndRepair(ctx context.Context) (audit.Report, error)
}

// AuditStock runs the auditor once. What it could not repair is logged as an error, for an alert to be made of it; the
// findings hold no personal data.
func (a *Activities) AuditStock(ctx context.Context) (audit.Report, error) {
	found, err := a.Auditor.FindAndRepair(ctx)
	log := activity.GetLogger(ctx)
	for _, f := range found.Findings {
		fields := []any{"kind", f.Kind, "severity", f.Severity, "order", orderOf(f), "account", f.Account, "what", f.What, "since", f.Since, "do", f.Do}
		switch {
		case f.Repaired != "":
			log.Warn("an audit finding was repaired", append(fields, "repaired", f.Repaired)...)
		default:
			log.Error("an audit finding", fields...)
		}
	}
	return found, report(ctx, err, "")
}

func orderOf(f audit.Finding) string {
	if f.Order == (provision.OrderKey{}) {
		return ""
	}
	return f.Order.String()
}
