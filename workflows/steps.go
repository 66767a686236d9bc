package workflows

import (
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// step is a change of the account. Its undo is registered before the step runs, because a step may take effect although its answer is
// lost. So every undo is safe when its step never took effect.
type step struct {
	name     string // of what the step creates or changes; leftovers begin with it
	do       func(*orderRun, workflow.Context) error
	undo     func(*orderRun, workflow.Context) (activities.Undone, error)
	restores bool // the undo restores what the journal says
}

// The steps, and what undoes each.
var (
	setUpReport  = step{name: "cost report", do: (*orderRun).setUpReport, undo: (*orderRun).removeReport}
	setAlias     = step{name: "account alias", do: (*orderRun).setAlias, undo: (*orderRun).restoreAlias, restores: true}
	setContacts  = step{name: "contacts", do: (*orderRun).setContacts, undo: (*orderRun).restoreContacts, restores: true}
	createUser   = step{name: "IAM user", do: (*orderRun).createUser, undo: (*orderRun).removeUser}
	enableSignIn = step{name: "sign-in", do: (*orderRun).enableSignIn, undo: (*orderRun).disableSignIn}

	allSteps = []step{setUpReport, setAlias, setContacts, createUser, enableSignIn} // in the order in which they begin
)

// do registers the undos of the steps, then runs the steps in parallel.
func (r *orderRun) do(ctx workflow.Context, steps ...step) error {
	r.account.begun = append(r.account.begun, steps...)
	functions := make([]func(workflow.Context) error, len(steps))
	for i, s := range steps {
		functions[i] = func(ctx workflow.Context) error {
			return r.untilAnswered(ctx, func(ctx workflow.Context) error { return s.do(r, ctx) })
		}
	}
	return inParallel(ctx, functions...)
}

func (r *orderRun) inspect(ctx workflow.Context) (err error) {
	r.account.inspected, err = call(ctx, inventory, "Inspect account "+r.account.ID, acts.Inspect, r.work())
	return err
}

func (r *orderRun) setUpReport(ctx workflow.Context) (err error) {
	summary := "Create cost report"
	if r.order.Request.UseExistingCUR != "" {
		summary = "Link existing cost report"
	}
	r.account.report, err = call(ctx, cloud, summary, acts.SetUpReport, activities.SetUpReport{
		Work: r.work(), Existing: r.account.inspected.ExistingReport})
	return err
}

func (r *orderRun) removeReport(ctx workflow.Context) (activities.Undone, error) {
	return call(ctx, r.cleanup(), "Remove cost report", acts.RemoveReport, activities.RemoveReport{
		Work: r.work(), Report: r.account.report})
}

func (r *orderRun) setAlias(ctx workflow.Context) error {
	_, err := call(ctx, cloud, "Set account alias", acts.SetAlias, r.work())
	return err
}

func (r *orderRun) restoreAlias(ctx workflow.Context) (activities.Undone, error) {
	return call(ctx, r.cleanup(), "Restore account alias", acts.RestoreAlias, activities.RestoreAlias{
		Work: r.work(), Alias: r.account.inspected.Journal.Alias})
}

func (r *orderRun) setContacts(ctx workflow.Context) error {
	journal := r.account.inspected.Journal
	written, err := call(ctx, cloud, "Set contacts", acts.SetContacts, activities.SetContacts{
		Work: r.work(), Before: provision.WrittenContacts{FullName: journal.Contact.FullName, Alternates: journal.AlternateContacts}})
	if err == nil {
		r.account.contacts = &written
	}
	return err
}

func (r *orderRun) restoreContacts(ctx workflow.Context) (activities.Undone, error) {
	return call(ctx, r.cleanup(), "Restore contacts", acts.RestoreContacts, activities.RestoreContacts{
		Work: r.work(), Journal: r.account.inspected.Journal, Written: r.account.contacts})
}

func (r *orderRun) createUser(ctx workflow.Context) (err error) {
	r.account.user, err = call(ctx, cloud, "Create IAM user", acts.CreateUser, r.work())
	return err
}

func (r *orderRun) removeUser(ctx workflow.Context) (activities.Undone, error) {
	return call(ctx, r.cleanup(), "Remove IAM user", acts.RemoveUser, r.userUndo())
}

func (r *orderRun) enableSignIn(ctx workflow.Context) error {
	_, err := call(ctx, cloud, "Enable sign-in", acts.EnableSignIn,
		activities.EnableSignIn{Work: r.work(), User: r.account.user})
	return err
}

func (r *orderRun) disableSignIn(ctx workflow.Context) (activities.Undone, error) {
	return call(ctx, r.cleanup(), "Disable sign-in", acts.DisableSignIn, r.userUndo())
}

func (r *orderRun) userUndo() activities.UserUndo {
	return activities.UserUndo{Work: r.work(), UserID: r.account.user.ID}
}
