package workflows

import (
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/internal/provision"
)

const (
	verifyBatch  = 20 // accounts whose results are judged together
	verifyAtOnce = 4  // accounts that are verified at the same time
)

// VerifyAccounts verifies every account whose verification is due, and ends when none is: after it was created, before it returns to
// Ready, and every day while it is Ready. Several runs may overlap: a result counts only while its account is still due.
func VerifyAccounts(ctx workflow.Context) error {
	more := workflow.GetSignalChannel(ctx, SignalAccountsDue)
	for {
		for more.ReceiveAsync(nil) {
		}
		due, err := callDatabase(ctx, "List accounts that are due", acts.DueAccounts, verifyBatch)
		if err != nil {
			return err
		}
		if len(due) == 0 {
			if more.Len() > 0 {
				continue
			}
			return nil
		}
		woken, err := callDatabase(ctx, "Judge accounts", acts.ApplyVerifications, verifyAll(ctx, due))
		if err != nil {
			return err
		}
		wake(ctx, woken.Orders)
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, VerifyAccounts)
		}
	}
}

// verifyAll verifies the accounts, a few at a time. An account that could not be verified has an inconclusive result.
func verifyAll(ctx workflow.Context, ids []string) []provision.VerificationResult {
	results := make([]provision.VerificationResult, len(ids))
	free := workflow.NewSemaphore(ctx, verifyAtOnce)
	running := workflow.NewWaitGroup(ctx)
	for i, id := range ids {
		running.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer running.Done()
			if err := free.Acquire(ctx, 1); err != nil {
				results[i] = inconclusive(id, err)
				return
			}
			defer free.Release(1)
			result, err := call(ctx, verification, "Verify account "+id, acts.VerifyAccount, id)
			if err != nil {
				result = inconclusive(id, err)
			}
			results[i] = result
		})
	}
	running.Wait(ctx)
	return results
}

func inconclusive(id string, err error) provision.VerificationResult {
	failure := failureOf(err)
	return provision.VerificationResult{AccountID: id, Failure: &failure, Inconclusive: true}
}

// verifyDue starts the verification of the accounts that are due, or signals the running one that more accounts are due. It is a hint:
// the schedule does the same.
func verifyDue(ctx workflow.Context) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: VerifyAccountsID, ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary: "Verifies the accounts that are due",
	})
	err := workflow.ExecuteChildWorkflow(ctx, VerifyAccountsName).GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		err = workflow.SignalExternalWorkflow(ctx, VerifyAccountsID, "", SignalAccountsDue, nil).Get(ctx, nil)
	}
	if err != nil {
		workflow.GetLogger(ctx).Warn("could not start the verification of accounts; the schedule starts it within two minutes",
			"error", err)
	}
}
