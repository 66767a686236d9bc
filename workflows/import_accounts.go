package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// importKeptWithin is how long an import waits for the signal that its file is stored; it looks for the file then anyway. The API
// starts the workflow before it stores the file, so that every stored file has a workflow. If the API stored nothing after all, there
// is nothing to do.
const importKeptWithin = time.Minute

// ImportAccounts imports a file of accounts, a batch of rows at a time. The database knows how far the import is, because each batch
// writes that with its rows. At the end the new accounts are verified.
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

// ImportDetails returns the progress in Markdown, as the Web UI shows it.
func ImportDetails(p activities.ImportProgress) string {
	if p.State == "" {
		return "No file was stored: there is nothing to import."
	}
	return fmt.Sprintf("**%s**: %d of %d rows, %d added, %d unchanged, %d faulty.",
		p.State, p.RowsDone, p.RowsTotal, p.Added, p.Unchanged, p.Faulty)
}

// giveUp records that an import was cancelled, and returns the cancellation.
func giveUp(ctx workflow.Context, key provision.ImportKey, cancelled error) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	given := activities.GivenUp{Import: key, Reason: "it was cancelled; the accounts added until then stay"}
	if err := execDatabase(ctx, "Give up the import", acts.FailImport, given); err != nil {
		return err
	}
	return cancelled
}
