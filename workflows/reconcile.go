package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"quartermaster/internal/reconcile"
)

// Reconcile finds what is stuck or contradicts itself and repairs what is safe to repair. Its result lists the findings for the Web
// UI; the log has those that were not repaired, too.
func Reconcile(ctx workflow.Context) (reconcile.Report, error) {
	report, err := callWithoutInput(ctx, reconciling, "Reconcile orders, accounts and workflows", acts.Reconcile)
	if err != nil {
		return report, err
	}
	workflow.SetCurrentDetails(ctx, ReconcileDetails(report))
	return report, nil
}

// ReconcileDetails returns the report in Markdown, as the Web UI shows it.
func ReconcileDetails(report reconcile.Report) string {
	if report.Raised+report.Repaired == 0 {
		return "Nothing is stuck and nothing contradicts itself."
	}
	lines := []string{fmt.Sprintf("**%d findings need an operator**, %d were repaired.\n", report.Raised, report.Repaired)}
	for _, f := range report.Findings {
		lines = append(lines, "- "+f.String())
	}
	if report.More > 0 {
		lines = append(lines, fmt.Sprintf("- and %d more: run `quartermaster reconcile`", report.More))
	}
	return strings.Join(lines, "\n")
}
