package workflows

import (
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// RemoveLeftovers runs the undo of an order again in the account where it has left something: AWS refused to take that back then, or
// somebody ended the undo. The account is reserved for it. When nothing is left any more, the account becomes Ready by its verification.
func RemoveLeftovers(ctx workflow.Context, removal provision.LeftoverRemoval) (provision.LeftoversRemoved, error) {
	removed := provision.LeftoversRemoved{Removal: removal}
	kept, err := callDatabase(ctx, "Read what is kept of the undo", acts.OpenUndo, removal)
	if err != nil {
		return removed, err
	}
	r := &orderRun{
		order: provision.Order{OrderKey: kept.Order, Request: kept.Request, Nonce: kept.Nonce}, earlier: kept.EarlierRequests,
		nonce: kept.Nonce, settings: kept.Settings, replaced: kept.EarlierSettings,
		account: &held{kept.Account, kept.Touched}, made: made{user: kept.User, contacts: kept.Written, report: kept.Report},
	}
	work := r.undosOfEarlierRun(kept.Journal)
	if !kept.Touched {
		work = r.allUndos(kept.Journal)
	}
	ended, _ := r.takeBack(ctx, kept.Journal, work) // what could not be compared is among the leftovers
	removed.Order, removed.Leftovers, removed.Notes, removed.OnFailure = kept.Order, ended.leftovers, ended.notes, kept.Settings.OnFailure
	if err := execDatabase(ctx, "Say what is left", acts.EndRemoval, removed); err != nil {
		return removed, err
	}
	if len(removed.Leftovers) == 0 && removed.OnFailure != provision.OnFailurePark {
		verifyDue(ctx)
	}
	return removed, nil
}

// journalUnknown is what can be said of an account that an earlier run has worked in.
const journalUnknown = "an earlier run of the workflow worked in the account, and what the account's alias and contacts were before that is not known: compare them by hand"

// keepUndo keeps what RemoveLeftovers needs.
func (r *orderRun) keepUndo(ctx workflow.Context, journal provision.Journal) {
	kept := activities.KeptUndo{Assignment: r.assignment(), Journal: journal, EarlierRequests: r.earlier, EarlierSettings: r.replaced,
		User: r.made.user, Written: r.made.contacts, Report: r.made.report, Touched: r.account.touched}
	if err := execDatabase(ctx, "Keep the undo", acts.KeepUndo, kept); err != nil {
		workflow.GetLogger(ctx).Error("what is left in the account cannot be removed by a verb later", "account", r.account.ID, "code", failureOf(err).Code)
	}
}
