package api

import (
	"context"
	"errors"
	"fmt"

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
		return nil, nil, fmt.Errorf("memo of the workflow of order %s: %w", key, err)
	}
	return &order, hash, nil
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

func isNotFound(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}

// unavailable marks an error of Temporal after which nobody knows whether the call took effect.
func unavailable(err error) error {
	var (
		down      *serviceerror.Unavailable
		late      *serviceerror.DeadlineExceeded
		busy      *serviceerror.ResourceExhausted
		cancelled *serviceerror.Canceled
	)
	if errors.As(err, &down) || errors.As(err, &late) || errors.As(err, &busy) || errors.As(err, &cancelled) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
