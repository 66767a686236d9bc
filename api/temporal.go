package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// NewWorkflows is Workflows on a Temporal client. The client's data converter must seal: the memo holds the order.
func NewWorkflows(c client.Client) Workflows { return temporalWorkflows{c} }

type temporalWorkflows struct{ client client.Client }

// StartOrder relies on Temporal for "once": two workflows of one id never exist within the namespace's retention, and the
// order's row guards after it. The SDK repeats a lost call under the same request id, so that a repeat is not a duplicate.
func (t temporalWorkflows) StartOrder(ctx context.Context, order provision.Order, hash []byte) (bool, *provision.Order, []byte, error) {
	_, err := t.client.ExecuteWorkflow(ctx, startOptions(order, hash), workflows.ProvisionOrderName, order)
	if err == nil {
		return true, nil, nil, nil
	}
	var exists *serviceerror.WorkflowExecutionAlreadyStarted
	if !errors.As(err, &exists) {
		return false, nil, nil, unavailable(fmt.Errorf("starting the workflow of order %s: %w", order.OrderKey, err))
	}
	existing, existingHash, err := t.describe(ctx, order.OrderKey)
	if errors.Is(err, provision.ErrNotFound) { // deleted between the two calls: a repeat sees what is there then
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return false, existing, existingHash, err
}

// startOptions: the id alone makes an order unique, so an id that is taken is refused, whether its workflow runs or ended.
// Search attributes, the id and the fairness key are readable by whoever sees the namespace: nothing of the customer's.
func startOptions(order provision.Order, hash []byte) client.StartWorkflowOptions {
	model := "any model"
	attributes := []temporal.SearchAttributeUpdate{
		workflows.OrderIDKey.ValueSet(order.ID),
		workflows.ProviderKey.ValueSet(order.Provider),
		workflows.MarketplaceKey.ValueSet(order.Request.Marketplace),
		workflows.StepKey.ValueSet(string(provision.Accepted)),
	}
	if m := order.Request.AccountModel; m != "" {
		model = string(m)
		attributes = append(attributes, workflows.ModelKey.ValueSet(model))
	}
	return client.StartWorkflowOptions{
		ID:                                       workflows.OrderWorkflowID(order.OrderKey),
		TaskQueue:                                workflows.TaskQueue,
		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		Memo: map[string]any{
			workflows.MemoRequestHash: hash,
			workflows.MemoOrder:       order,
		},
		TypedSearchAttributes: temporal.NewSearchAttributes(attributes...),
		StaticSummary:         fmt.Sprintf("AWS account for order %s of %s", order.ID, order.Request.Marketplace),
		StaticDetails: fmt.Sprintf("Order **%s**, pool **%s**, %s, accepted %s.",
			order.ID, order.Pool(), model, order.AcceptedAt.UTC().Format("2006-01-02 15:04:05 MST")),
		Priority: temporal.Priority{FairnessKey: order.Provider},
	}
}

// RestartOptions are those with which the workflow of an order is started again after a run that did not end its order.
// While a run is open, or after one that completed, Temporal refuses the start.
func RestartOptions(order provision.Order) client.StartWorkflowOptions {
	options := startOptions(order, order.Request.Hash())
	options.WorkflowIDReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
	return options
}

// OrderNotYetStored reads the order from its workflow's memo.
func (t temporalWorkflows) OrderNotYetStored(ctx context.Context, key provision.OrderKey) (*provision.Order, error) {
	order, _, err := t.describe(ctx, key)
	return order, err
}

func (t temporalWorkflows) describe(ctx context.Context, key provision.OrderKey) (*provision.Order, []byte, error) {
	description, err := t.client.DescribeWorkflow(ctx, workflows.OrderWorkflowID(key), "")
	if isNotFound(err) {
		return nil, nil, fmt.Errorf("workflow of order %s: %w", key, provision.ErrNotFound)
	}
	if err != nil {
		return nil, nil, unavailable(fmt.Errorf("describing the workflow of order %s: %w", key, err))
	}
	var order provision.Order
	var hash []byte
	if err := errors.Join(description.GetMemoValue(workflows.MemoOrder, &order), description.GetMemoValue(workflows.MemoRequestHash, &hash)); err != nil {
		// Another process sealed it with a key that this one does not have yet, or not any more.
		return nil, nil, fmt.Errorf("%w: memo of the workflow of order %s: %w", ErrUnavailable, key, err)
	}
	return &order, hash, nil
}

// updateTimeout bounds the wait for an order's answer. It takes milliseconds when a worker runs; the rest of the request's
// time is for reading the order afterwards.
const updateTimeout = requestTimeout - 5*time.Second

// Correct sends the correction to the order's workflow.
func (t temporalWorkflows) Correct(ctx context.Context, key provision.OrderKey, fields provision.Correction, by provision.Intervention) error {
	return t.update(ctx, key, workflows.UpdateCorrect, by.ID, workflows.Correction{Fields: fields, By: by})
}

// Act sends the verb to the order's workflow.
func (t temporalWorkflows) Act(ctx context.Context, key provision.OrderKey, verb string, by provision.Intervention) error {
	return t.update(ctx, key, verb, by.ID, by)
}

// update waits until the workflow has refused the update, or has taken and recorded it. The SDK repeats a lost call under
// the same update id, so that Temporal does it once; the workflow records it under that id, so that the database does too.
func (t temporalWorkflows) update(ctx context.Context, key provision.OrderKey, name, id string, input any) error {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	handle, err := t.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID:   workflows.OrderWorkflowID(key),
		UpdateName:   name,
		UpdateID:     id,
		Args:         []any{input},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	if err == nil {
		return nil
	}
	if isNotFound(err) { // closed, or gone with the namespace's retention
		return &provision.Failure{Code: provision.CodeTooLate, Reason: fmt.Sprintf("the work on order %q is over: read it to see how it ended", key.ID)}
	}
	var told *temporal.ApplicationError
	if errors.As(err, &told) {
		var failure provision.Failure
		unreadable := told.HasDetails() && told.Details(&failure) != nil // sealed with a key that this process lacks
		if !unreadable && failure.Code != "" && string(failure.Code) == told.Type() {
			return &failure
		}
		if unreadable || told.Type() == acceptedThenClosed || told.Type() == notProcessed {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return unavailable(fmt.Errorf("update %q of order %s: %w", name, key, err))
}

// Types of the failures with which Temporal itself answers an update that the workflow left without an answer: it was
// accepted and the workflow then terminated, or the worker did not look at it. A repeat gets the workflow's own answer, or
// finds it closed.
// Source: temporalio/temporal, service/history/workflow/update/errors_failures.go.
const (
	acceptedThenClosed = "AcceptedUpdateCompletedWorkflow"
	notProcessed       = "UnprocessedUpdate"
)

// VerifyDue starts the verification of what is due, or tells the one that runs that there is more.
func (t temporalWorkflows) VerifyDue(ctx context.Context) error {
	_, err := t.client.SignalWithStartWorkflow(ctx, workflows.VerifyAccountsID, workflows.SignalAccountsDue, nil, client.StartWorkflowOptions{
		TaskQueue: workflows.TaskQueue, StaticSummary: "Verifies the accounts that are due",
	}, workflows.VerifyAccountsName)
	return err
}

// RemoveLeftovers relies on the workflow's id: one removal of an account runs at a time.
func (t temporalWorkflows) RemoveLeftovers(ctx context.Context, removal provision.LeftoverRemoval) error {
	_, err := t.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       workflows.LeftoversWorkflowID(removal.AccountID),
		TaskQueue:                workflows.TaskQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    temporal.NewSearchAttributes(workflows.ProviderKey.ValueSet(removal.Provider), workflows.AccountIDKey.ValueSet(removal.AccountID)),
		StaticSummary:            "Removes what an order left in account " + removal.AccountID,
		Priority:                 temporal.Priority{FairnessKey: removal.Provider},
	}, workflows.RemoveLeftoversName, removal)
	if err != nil {
		return unavailable(fmt.Errorf("starting the removal of what was left in account %s: %w", removal.AccountID, err))
	}
	return nil
}

// StartImport starts the workflow of an import.
func (t temporalWorkflows) StartImport(ctx context.Context, key provision.ImportKey) error {
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

// ImportKept signals the import's workflow.
func (t temporalWorkflows) ImportKept(ctx context.Context, key provision.ImportKey) error {
	return t.client.SignalWorkflow(ctx, workflows.ImportWorkflowID(key), "", workflows.SignalImportKept, nil)
}

// WakeOrders signals the orders. One that has ended meanwhile needs no waking.
func (t temporalWorkflows) WakeOrders(ctx context.Context, keys []provision.OrderKey) error {
	var failed error
	for _, key := range keys {
		if err := t.client.SignalWorkflow(ctx, workflows.OrderWorkflowID(key), "", workflows.SignalStock, nil); err != nil && !isNotFound(err) {
			failed = errors.Join(failed, fmt.Errorf("waking order %s: %w", key, err))
		}
	}
	return failed
}

// WakeWebhooks starts the workflows of webhooks, or tells those that run that there is something to do.
func (t temporalWorkflows) WakeWebhooks(ctx context.Context, keys []provision.WebhookKey) error {
	var failed error
	for _, key := range keys {
		_, err := t.client.SignalWithStartWorkflow(ctx, workflows.WebhookWorkflowID(key), workflows.SignalDeliver, nil, client.StartWorkflowOptions{
			TaskQueue: workflows.TaskQueue, StaticSummary: "Delivers events to a webhook, in their order",
		}, workflows.DeliverWebhooksName, key)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("waking webhook %s: %w", key, err))
		}
	}
	return failed
}

func isNotFound(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}

// unavailable marks an error of Temporal after which a repeat may succeed: no one knows whether the call took effect, or the namespace is
// not set up yet.
func unavailable(err error) error {
	var (
		down      *serviceerror.Unavailable
		late      *serviceerror.DeadlineExceeded
		busy      *serviceerror.ResourceExhausted
		cancelled *serviceerror.Canceled
		notReady  *serviceerror.WorkflowNotReady // a workflow task failed while it held the update
		noAnswer  *client.WorkflowUpdateServiceTimeoutOrCanceledError
	)
	if errors.As(err, &down) || errors.As(err, &late) || errors.As(err, &busy) || errors.As(err, &cancelled) ||
		errors.As(err, &notReady) || errors.As(err, &noAnswer) || temporal.IsCanceledError(err) || namespaceNotReady(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// namespaceNotReady reports whether Temporal refused a call because of its namespace: it is not there yet, it lacks a search attribute, or it
// moves to another cluster. For a missing search attribute Temporal has no code, only a text.
// Source: temporalio/temporal, common/namespace/namespace.go, common/searchattribute/validator.go.
func namespaceNotReady(err error) bool {
	var (
		missing  *serviceerror.NamespaceNotFound
		away     *serviceerror.NamespaceUnavailable
		moving   *serviceerror.NamespaceInvalidState
		inactive *serviceerror.NamespaceNotActive
		refused  *serviceerror.InvalidArgument
	)
	return errors.As(err, &missing) || errors.As(err, &away) || errors.As(err, &moving) || errors.As(err, &inactive) ||
		errors.As(err, &refused) && (strings.Contains(refused.Message, "no mapping defined for search attribute") ||
			strings.Contains(refused.Message, "search attribute") && strings.Contains(refused.Message, "is not defined"))
}
