package workflows

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/internal/provision"
)

// VerifyAccountsName is the workflow's name in Temporal, VerifyAccountsID the id of the one that SignalAccountsDue starts.
const (
	VerifyAccountsName = "VerifyAccounts"
	VerifyAccountsID   = "verify-accounts"
)

// SignalAccountsDue says that accounts were added, or that somebody wants one verified now.
const SignalAccountsDue = "accounts-due"

// How a sweep works: so many accounts make a batch whose results are judged together, so many of them are looked at at once.
const (
	verifyBatch  = 20
	verifyAtOnce = 4
)

// VerifyAccounts verifies every account whose verification is due, and ends when there is none: after adding, before an
// account returns to Ready, and every day while it is Ready. Sweeps may overlap: a result counts only while the account is due.
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

// verifyAll looks at the accounts, a few at once. One that cannot be looked at in time has an inconclusive result.
func verifyAll(ctx workflow.Context, ids []string) []provision.VerificationResult {
	results := make([]provision.VerificationResult, len(ids))
	slots := workflow.NewSemaphore(ctx, verifyAtOnce)
	running := workflow.NewWaitGroup(ctx)
	for i, id := range ids {
		running.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer running.Done()
			if err := slots.Acquire(ctx, 1); err != nil {
				results[i] = inconclusive(id, err)
				return
			}
			defer slots.Release(1)
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

// verifyDue starts the verification of what is due, or tells the one that runs that there is more. It is a hint: the
// schedule does so too.
func verifyDue(ctx workflow.Context) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: VerifyAccountsID, ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON, StaticSummary: "Verifies the accounts that are due",
	})
	err := workflow.ExecuteChildWorkflow(ctx, VerifyAccountsName).GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		err = workflow.SignalExternalWorkflow(ctx, VerifyAccountsID, "", SignalAccountsDue, nil).Get(ctx, nil)
	}
	if err != nil {
		workflow.GetLogger(ctx).Warn("the verification was not started; the schedule starts it within two minutes", "error", err)
	}
}

// verifyEvery is how often somebody looks which accounts are due. When each is due stands with the account.
const (
	verifyEvery  = time.Minute
	verifyJitter = 10 * time.Second
)

func verifySchedule() client.ScheduleOptions {
	return client.ScheduleOptions{
		ID:            VerifyAccountsID,
		Spec:          client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: verifyEvery}}, Jitter: verifyJitter},
		Overlap:       enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Minute,
		Action: &client.ScheduleWorkflowAction{
			ID:            VerifyAccountsID + "-scheduled",
			Workflow:      VerifyAccountsName,
			TaskQueue:     TaskQueue,
			StaticSummary: "Verifies the accounts that are due",
		},
	}
}
