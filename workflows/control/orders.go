package control

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// StartOrder starts the workflow of an order, once. When the order has a workflow already, StartOrder returns the order and the
// hash of the request with which that workflow was started. Errors wrap provision.ErrUnavailable when the workflow may or may
// not have been started.
//
// Temporal provides the "once": within the namespace's retention no two workflows have the same id, and after it the order's row
// takes over. The SDK repeats a lost call under the same request id, so Temporal does not take the repeat for a duplicate.
func (t *Temporal) StartOrder(ctx context.Context, order provision.Order, hash []byte) (started bool, existing *provision.Order,
	existingHash []byte, err error) {
	_, err = t.client.ExecuteWorkflow(ctx, startOptions(order, hash, t.publicURL), workflows.ProvisionOrderName, order)
	if err == nil {
		return true, nil, nil, nil
	}
	if _, exists := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); !exists {
		return false, nil, nil, unavailable(fmt.Errorf("starting the workflow of order %s: %w", order.OrderKey, err))
	}
	existing, existingHash, err = t.readMemo(ctx, order.OrderKey)
	if errors.Is(err, provision.ErrNotFound) { // deleted between the two calls: a repeat of the request finds out what is true then
		err = fmt.Errorf("%w: %w", provision.ErrUnavailable, err)
	}
	return false, existing, existingHash, err
}

// startOptions make Temporal refuse an id that is taken, whether its workflow is open or closed. Anyone who can read the namespace
// can read search attributes, the id and the fairness key, so none of them holds anything of the customer's. The details link to the
// order's page of the console if the URL of the API is known.
func startOptions(order provision.Order, hash []byte, publicURL string) client.StartWorkflowOptions {
	model := "any model"
	attributes := []temporal.SearchAttributeUpdate{
		workflows.OrderIDKey.ValueSet(order.ID),
		workflows.ProviderKey.ValueSet(order.Provider),
		workflows.MarketplaceKey.ValueSet(order.Request.Marketplace),
		workflows.StateKey.ValueSet(string(provision.Accepted)),
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
		StaticDetails: fmt.Sprintf("Order **%s**, pool **%s**, %s, accepted %s.%s",
			order.ID, order.Pool(), model, order.AcceptedAt.UTC().Format("2006-01-02 15:04:05 MST"), consoleLink(order.OrderKey, publicURL)),
		Priority: temporal.Priority{FairnessKey: order.Provider},
	}
}

// consoleLink is a sentence of Markdown with a link to the order's page of the console, or empty.
func consoleLink(key provision.OrderKey, publicURL string) string {
	if publicURL == "" {
		return ""
	}
	return fmt.Sprintf(" [Open it in the console](%s/console/%s/orders/%s).",
		strings.TrimSuffix(publicURL, "/"), url.PathEscape(key.Provider), url.PathEscape(key.ID))
}

// RestartOptions are the options that start the workflow of an order again after a run that did not end its order. Temporal
// refuses the start while a run is open, and after a run that completed. The URL of the API may be empty.
func RestartOptions(order provision.Order, publicURL string) client.StartWorkflowOptions {
	options := startOptions(order, order.Request.Hash(), publicURL)
	options.WorkflowIDReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
	return options
}

// OrderNotYetStored reads an order of the tenant that has a workflow but no row yet, from the workflow's memo. Errors:
// provision.ErrNotFound.
func (t *Temporal) OrderNotYetStored(ctx context.Context, of provision.Tenant, id string) (*provision.Order, error) {
	key := provision.OrderKey{Provider: of.Provider, ID: id}
	order, _, err := t.readMemo(ctx, key)
	if err == nil && !of.Includes(order.Request.Marketplace) {
		return nil, fmt.Errorf("order %s is of marketplace %s: %w", key, order.Request.Marketplace, provision.ErrNotFound)
	}
	return order, err
}

// readMemo reads the order and the hash of its request from the memo of its workflow.
func (t *Temporal) readMemo(ctx context.Context, key provision.OrderKey) (*provision.Order, []byte, error) {
	description, err := t.client.DescribeWorkflow(ctx, workflows.OrderWorkflowID(key), "")
	if isNotFound(err) {
		return nil, nil, fmt.Errorf("workflow of order %s: %w", key, provision.ErrNotFound)
	}
	if err != nil {
		return nil, nil, unavailable(fmt.Errorf("describing the workflow of order %s: %w", key, err))
	}
	var order provision.Order
	var hash []byte
	if err := errors.Join(description.GetMemoValue(workflows.MemoOrder, &order), description.GetMemoValue(workflows.MemoRequestHash,
		&hash)); err != nil {
		// Another process sealed the memo with a key that this process does not have yet, or no longer has.
		return nil, nil, fmt.Errorf("%w: memo of the workflow of order %s: %w", provision.ErrUnavailable, key, err)
	}
	return &order, hash, nil
}

// UpdateTimeout bounds how long Correct and Act wait for the workflow's answer. While a worker runs, the answer takes milliseconds.
const UpdateTimeout = 10 * time.Second

// Correct sends a correction to the workflow of an order and returns when the workflow has recorded it. Errors: a
// *provision.Failure when the order refuses the correction (NotAsked, InputRefused) or has ended (TooLate);
// provision.ErrUnavailable when the order may or may not have received it.
func (t *Temporal) Correct(ctx context.Context, key provision.OrderKey, fields provision.Correction, by provision.Intervention) error {
	return t.update(ctx, key, workflows.UpdateCorrect, by.ID, workflows.Correction{Fields: fields, By: by})
}

// Act sends an update that carries nothing but a reason (workflows.UpdateCancel, for example) to the workflow of an order. It
// returns when the workflow has recorded the update, not when everything is undone. Errors: as Correct.
func (t *Temporal) Act(ctx context.Context, key provision.OrderKey, update string, by provision.Intervention) error {
	return t.update(ctx, key, update, by.ID, by)
}

// update waits until the workflow has refused the update, or has accepted and recorded it. The SDK repeats a lost call under the
// same update id, so Temporal executes it once; the workflow records it under the same id, so the database does too.
func (t *Temporal) update(ctx context.Context, key provision.OrderKey, name, id string, input any) error {
	ctx, cancel := context.WithTimeout(ctx, UpdateTimeout)
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
	if isNotFound(err) { // closed, or deleted after the namespace's retention
		return &provision.Failure{Code: provision.CodeTooLate,
			Reason: fmt.Sprintf("the work on order %q is over: read it to see how it ended", key.ID)}
	}
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		var failure provision.Failure
		readable := !app.HasDetails() || app.Details(&failure) == nil // not sealed with a key that this process lacks
		if readable && failure.Code != "" && string(failure.Code) == app.Type() {
			return &failure
		}
		if !readable || app.Type() == acceptedThenClosed || app.Type() == notProcessed {
			err = fmt.Errorf("%w: %w", provision.ErrUnavailable, err)
		}
	}
	return unavailable(fmt.Errorf("update %q of order %s: %w", name, key, err))
}

// Types of the failures that Temporal itself returns for an update that the workflow left unanswered: the workflow accepted it and
// was then terminated, or the worker did not process it. A repeat gets the workflow's own answer, or finds it closed.
// Source: temporalio/temporal, service/history/workflow/update/errors_failures.go.
const (
	acceptedThenClosed = "AcceptedUpdateCompletedWorkflow"
	notProcessed       = "UnprocessedUpdate"
)

// WakeOrders signals waiting orders to look for an account. It is a hint: an order that misses it looks later. An order whose
// workflow has closed is no error.
func (t *Temporal) WakeOrders(ctx context.Context, keys []provision.OrderKey) error {
	var failed error
	for _, key := range keys {
		err := t.client.SignalWorkflow(ctx, workflows.OrderWorkflowID(key), "", workflows.SignalStock, nil)
		if err != nil && !isNotFound(err) {
			failed = errors.Join(failed, fmt.Errorf("waking order %s: %w", key, err))
		}
	}
	return failed
}
