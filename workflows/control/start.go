package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// VerifyDue starts the verification of the accounts that are due, or signals the running one that more accounts are due. It is a
// hint: the schedule does the same.
func (t *Temporal) VerifyDue(ctx context.Context) error {
	_, err := t.client.SignalWithStartWorkflow(ctx, workflows.VerifyAccountsID, workflows.SignalAccountsDue, nil,
		client.StartWorkflowOptions{
			TaskQueue: workflows.TaskQueue, StaticSummary: "Verifies the accounts that are due",
		}, workflows.VerifyAccountsName)
	return err
}

// RemoveLeftovers starts the removal of what an order left in an account, unless one runs: the workflow's id allows one removal
// per account at a time. Errors wrap provision.ErrUnavailable when the removal may or may not have been started.
func (t *Temporal) RemoveLeftovers(ctx context.Context, removal provision.LeftoverRemoval) error {
	_, err := t.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       workflows.LeftoversWorkflowID(removal.AccountID),
		TaskQueue:                workflows.TaskQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes: temporal.NewSearchAttributes(workflows.ProviderKey.ValueSet(removal.Provider),
			workflows.AccountIDKey.ValueSet(removal.AccountID)),
		StaticSummary: "Removes what an order left in account " + removal.AccountID,
		Priority:      temporal.Priority{FairnessKey: removal.Provider},
	}, workflows.RemoveLeftoversName, removal)
	if err != nil {
		return unavailable(fmt.Errorf("starting the removal of what was left in account %s: %w", removal.AccountID, err))
	}
	return nil
}

// IssuePassword asks for a new password for the customer of an order, and waits for the outcome, but not longer than the given time. If a
// new password of the order is being set already, the request joins that work. If it has not ended by then, the
// order's row will show how it ends. Errors wrap provision.ErrUnavailable when the request may or may not have arrived.
func (t *Temporal) IssuePassword(ctx context.Context, key provision.OrderKey, request provision.PasswordRequest,
	wait time.Duration) (outcome provision.PasswordOutcome, ended bool, err error) {
	run, err := t.client.SignalWithStartWorkflow(ctx, workflows.PasswordWorkflowID(key), workflows.SignalPassword, request,
		client.StartWorkflowOptions{
			TaskQueue: workflows.TaskQueue,
			TypedSearchAttributes: temporal.NewSearchAttributes(workflows.ProviderKey.ValueSet(key.Provider),
				workflows.OrderIDKey.ValueSet(key.ID)),
			StaticSummary: "Sets a new password for the customer of order " + key.ID,
			Priority:      temporal.Priority{FairnessKey: key.Provider},
		}, workflows.IssuePasswordName, key)
	if err != nil {
		return outcome, false, unavailable(fmt.Errorf("requesting a new password of order %s: %w", key, err))
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ended = run.Get(ctx, &outcome) == nil // an error says nothing about the request, which has arrived
	return outcome, ended, nil
}

// StartImport starts the workflow of an import whose file is about to be stored. Errors wrap provision.ErrUnavailable when the
// workflow may or may not have been started.
func (t *Temporal) StartImport(ctx context.Context, key provision.ImportKey) error {
	_, err := t.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                    workflows.ImportWorkflowID(key),
		TaskQueue:             workflows.TaskQueue,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		TypedSearchAttributes: temporal.NewSearchAttributes(workflows.ProviderKey.ValueSet(key.Provider)),
		StaticSummary:         "Imports accounts of " + key.Provider,
		Priority:              temporal.Priority{FairnessKey: key.Provider},
	}, workflows.ImportAccountsName, key)
	if err != nil {
		return unavailable(fmt.Errorf("starting the workflow of import %s: %w", key, err))
	}
	return nil
}

// ImportKept signals the workflow of an import that its file is stored. It is a hint: the workflow looks after a minute anyway.
func (t *Temporal) ImportKept(ctx context.Context, key provision.ImportKey) error {
	return t.client.SignalWorkflow(ctx, workflows.ImportWorkflowID(key), "", workflows.SignalImportKept, nil)
}

// batchPriority is below that of everything else, whose priority is 3.
const batchPriority = 4

// StartBatch starts the workflow of a batch, unless it runs. A batch that has ended ends that workflow at once, so a repeat is safe.
// Errors wrap provision.ErrUnavailable when the workflow may or may not have been started.
func (t *Temporal) StartBatch(ctx context.Context, key provision.BatchKey) error {
	_, err := t.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       workflows.BatchWorkflowID(key),
		TaskQueue:                workflows.TaskQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    temporal.NewSearchAttributes(workflows.ProviderKey.ValueSet(key.Provider)),
		StaticSummary:            "Runs a batch of " + key.Provider,
		Priority:                 temporal.Priority{PriorityKey: batchPriority, FairnessKey: key.Provider},
	}, workflows.RunBatchName, workflows.BatchRun{Batch: key})
	if err != nil {
		return unavailable(fmt.Errorf("starting the workflow of batch %s: %w", key, err))
	}
	return nil
}

// BatchKept signals the workflow of a batch that it is stored. It is a hint: the workflow looks after a minute anyway.
func (t *Temporal) BatchKept(ctx context.Context, key provision.BatchKey) error {
	return t.client.SignalWorkflow(ctx, workflows.BatchWorkflowID(key), "", workflows.SignalBatchKept, nil)
}

// WakeWebhooks starts the workflows that deliver to the webhooks, or signals those that run to look for events. It is a hint: the
// schedule does the same.
func (t *Temporal) WakeWebhooks(ctx context.Context, keys []provision.WebhookKey) error {
	var failed error
	for _, key := range keys {
		_, err := t.client.SignalWithStartWorkflow(ctx, workflows.WebhookWorkflowID(key), workflows.SignalDeliver, nil,
			client.StartWorkflowOptions{
				TaskQueue: workflows.TaskQueue, StaticSummary: "Delivers events to a webhook, in their order",
			}, workflows.DeliverWebhooksName, key)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("waking webhook %s: %w", key, err))
		}
	}
	return failed
}
