package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/internal/provision"
)

// wake signals waiting orders that have got an account. A signal that cannot be delivered is no loss: WatchStock sends it again.
func wake(ctx workflow.Context, orders []provision.OrderKey) {
	sent := make([]workflow.Future, len(orders))
	for i, key := range orders {
		sent[i] = workflow.SignalExternalWorkflow(ctx, OrderWorkflowID(key), "", SignalStock, nil)
	}
	for i, key := range orders {
		if err := sent[i].Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Warn("could not wake a waiting order; it is woken again within two minutes", "order", key.String())
		}
	}
}

// announce shows operators in the Web UI where the order is: as search attributes, which are not encrypted and so hold only coarse
// words, and as details in Markdown, which are encrypted.
func announce(ctx workflow.Context, state provision.OrderState, code provision.Code, details string) {
	workflow.SetCurrentDetails(ctx, details)
	upsert(ctx, StateKey.ValueSet(string(state)), ReasonKey.ValueSet(string(code)))
}

func announceAccount(ctx workflow.Context, account provision.Account) {
	workflow.SetCurrentDetails(ctx, "Provisioning account `"+account.ID+"`.")
	upsert(ctx, StateKey.ValueSet(string(provision.Provisioning)), ReasonKey.ValueSet(""),
		AccountIDKey.ValueSet(account.ID), ModelKey.ValueSet(string(account.Model)))
}

func upsert(ctx workflow.Context, attributes ...temporal.SearchAttributeUpdate) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, attributes...); err != nil {
		workflow.GetLogger(ctx).Warn("could not write search attributes; is the namespace set up?", "error", err)
	}
}
