package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
)

// Reconciler finds what contradicts itself and repairs what is safe to repair. It returns what it knows beside an error.
type Reconciler interface {
	FindAndRepair(ctx context.Context) (reconcile.Report, error)
}

// Reconcile runs the reconciler once. What it could not repair is logged as an error, for an alert to be made of it; the
// findings hold no personal data.
func (a *Activities) Reconcile(ctx context.Context) (reconcile.Report, error) {
	found, err := a.Reconciler.FindAndRepair(ctx)
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
	return found, conclude(ctx, err, "")
}

func orderOf(f reconcile.Finding) string {
	if f.Order == (provision.OrderKey{}) {
		return ""
	}
	return f.Order.String()
}
