package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
)

// batchKeptWithin is how long a batch waits for the signal that it is stored; it looks for itself in the database then anyway. The API
// starts the workflow before it stores the batch, so that every stored batch has a workflow.
const batchKeptWithin = time.Minute

// BatchRun is the input of RunBatch.
type BatchRun struct {
	Batch provision.BatchKey `json:"batch"`
	Kept  bool               `json:"kept,omitempty"` // an earlier run has found the batch in the database
}

// RunBatch does one verb to many orders or accounts, a page of them at a time. The database knows which rows are done.
func RunBatch(ctx workflow.Context, run BatchRun) (activities.BatchProgress, error) {
	if !run.Kept {
		_, _ = workflow.GetSignalChannel(ctx, SignalBatchKept).ReceiveWithTimeout(ctx, batchKeptWithin, nil)
	}
	var progress activities.BatchProgress
	for {
		next, err := call(ctx, batchRows, "Run rows", acts.RunBatchRows, run.Batch)
		if temporal.IsCanceledError(err) {
			return progress, stopBatch(ctx, run.Batch, err)
		}
		if err != nil {
			return progress, err
		}
		progress = next
		workflow.SetCurrentDetails(ctx, BatchDetails(progress))
		if progress.State != provision.BatchRunning {
			return progress, nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return progress, workflow.NewContinueAsNewError(ctx, RunBatchName, BatchRun{Batch: run.Batch, Kept: true})
		}
	}
}

// BatchDetails returns the progress in Markdown, as the Web UI shows it.
func BatchDetails(p activities.BatchProgress) string {
	if p.State == "" {
		return "No batch was stored: there is nothing to do."
	}
	return fmt.Sprintf("**%s**: %s, %d of %d rows, %d done, %d refused, %d failed.",
		p.State, p.Verb, p.Done+p.Refused+p.Failed, p.Total, p.Done, p.Refused, p.Failed)
}

// stopBatch records that a batch was cancelled, and returns the cancellation.
func stopBatch(ctx workflow.Context, key provision.BatchKey, cancelled error) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	stopped := activities.StoppedBatch{Batch: key, Reason: "its workflow was cancelled"}
	if err := execDatabase(ctx, "Stop the batch", acts.StopBatch, stopped); err != nil {
		return err
	}
	return cancelled
}
