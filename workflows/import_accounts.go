package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// importKeptWithin is how long an import waits to hear that its file is kept. It looks then anyway: the workflow is started
// before the file is kept, so that no kept file is ever without one, and when nothing was kept there is nothing to do.
const importKeptWithin = time.Minute

// ImportAccounts imports a file of accounts, some rows at a time; how far it is stands in the database, written with the rows.
// Then it has the new accounts verified.
func ImportAccounts(ctx workflow.Context, key provision.ImportKey) (activities.ImportProgress, error) {
	_, _ = workflow.GetSignalChannel(ctx, SignalImportKept).ReceiveWithTimeout(ctx, importKeptWithin, nil)
	var progress activities.ImportProgress
	for {
		next, err := callDatabase(ctx, "Import rows", acts.ImportRows, key)
		if temporal.IsCanceledError(err) {
			return progress, giveUp(ctx, key, err)
		}
		if err != nil {
			return progress, err
		}
		progress = next
		workflow.SetCurrentDetails(ctx, ImportDetails(progress))
		if progress.State != provision.ImportRunning {
			break
		}
	}
	if progress.Added > 0 && !progress.DryRun {
		verifyDue(ctx)
	}
	return progress, nil
}

// ImportDetails is the progress in Markdown, as the Web UI shows it.
func ImportDetails(p activities.ImportProgress) string {
	if p.State == "" {
		return "No file was kept: there is nothing to import."
	}
	return fmt.Sprintf("**%s**: %d of %d rows, %d added, %d unchanged, %d faulty.", p.State, p.RowsDone, p.RowsTotal, p.Added, p.Unchanged, p.Faulty)
}

// giveUp ends an import that somebody cancelled. It returns the cancel.
func giveUp(ctx workflow.Context, key provision.ImportKey, cancelled error) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	if err := tellDatabase(ctx, "Give the import up", acts.FailImport, activities.GivenUp{Import: key, Reason: "it was cancelled; what was added until then stays"}); err != nil {
		return err
	}
	return cancelled
}
