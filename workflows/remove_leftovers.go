package workflows

import (
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// RemoveLeftovers undoes an order again in an account where it has left something, because AWS refused the undo or an operator ended
// it. The account is reserved for that. When nothing is left any more, the account is verified and becomes Ready.
func RemoveLeftovers(ctx workflow.Context, removal provision.LeftoverRemoval) (provision.LeftoversRemoved, error) {
	removed := provision.LeftoversRemoved{Removal: removal}
	kept, err := callDatabase(ctx, "Read the undo that was kept", acts.OpenUndo, removal)
	if err != nil {
		return removed, err
	}
	r := &orderRun{
		order: provision.Order{OrderKey: kept.Order}, kept: kept.Kept,
		account: &held{
			Account: kept.Kept.Account, touched: kept.Touched, inspected: activities.Inspection{Journal: kept.Journal}, begun: allSteps,
			user: kept.User, contacts: kept.Written, report: kept.Report,
		},
	}
	removed.Leftovers, removed.Notes, _ = r.undoSteps(ctx) // a comparison that failed is among the leftovers
	removed.Order, removed.OnFailure = kept.Order, kept.Kept.Settings.OnFailure
	if err := execDatabase(ctx, "Record what is left", acts.EndRemoval, removed); err != nil {
		return removed, err
	}
	if len(removed.Leftovers) == 0 && removed.OnFailure != provision.OnFailurePark {
		verifyDue(ctx)
	}
	return removed, nil
}
