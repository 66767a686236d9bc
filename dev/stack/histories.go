package stack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/temporalproto"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"quartermaster/api/openapi"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
)

// Record runs every scenario that has no recorded history and writes its history as readable JSON: the data is invented, so the
// payloads are decrypted. Then it does the same for every other workflow. An existing history represents runs in progress, so
// it is never recorded again.
func (p *Playground) Record(ctx context.Context, folder string) (recorded []string, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	keep := func(name string, history func() ([]byte, error)) error {
		file := filepath.Join(folder, name+".json")
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			return nil
		}
		text, err := history()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		recorded = append(recorded, name)
		return os.WriteFile(file, text, 0o644)
	}
	for _, scenario := range Scenarios {
		err := keep(scenario.Name, func() ([]byte, error) {
			order, err := scenario.Run(ctx, p)
			if err != nil {
				return nil, err
			}
			if order.State != scenario.Ends {
				return nil, fmt.Errorf("the order is %s, not %s", order.State, scenario.Ends)
			}
			return p.history(ctx, workflows.OrderWorkflowID(provision.OrderKey{Provider: Provider, ID: order.ID}), "")
		})
		if err != nil {
			return recorded, err
		}
	}
	if err := keep("remove-leftovers", func() ([]byte, error) { return p.removeLeftovers(ctx) }); err != nil {
		return recorded, err
	}
	for name, takeOver := range map[string]bool{"issue-password": false, "refused-password": true} {
		if err := keep(name, func() ([]byte, error) { return p.issuePassword(ctx, name, takeOver) }); err != nil {
			return recorded, err
		}
	}
	if err := p.stir(ctx); err != nil {
		return recorded, fmt.Errorf("start the other workflows: %w", err)
	}
	for name, workflow := range otherWorkflows {
		if err := keep(name, func() ([]byte, error) { return p.lastRun(ctx, workflow) }); err != nil {
			return recorded, err
		}
	}
	return recorded, nil
}

// otherWorkflows are the workflows that no scenario records, by the name of the history.
var otherWorkflows = map[string]string{
	"reconcile":        workflows.ReconcileName,
	"verify-accounts":  workflows.VerifyAccountsName,
	"watch-stock":      workflows.WatchStockName,
	"deliver-webhooks": workflows.DeliverWebhooksName,
	"sweep-webhooks":   workflows.SweepWebhooksName,
	"import-accounts":  workflows.ImportAccountsName,
	"run-batch":        workflows.RunBatchName,
}

// removeLeftovers has the leftovers of an order removed and returns the history of the removal.
func (p *Playground) removeLeftovers(ctx context.Context) ([]byte, error) {
	order := NewOrder("recorded-removal", provision.ModelECAM)
	ended, err := p.simple(ctx, order, deny("CreateLoginProfile", "DeleteUser"), p.failAndEndUndo)
	if err != nil {
		return nil, err
	}
	if err := p.RemoveLeftovers(ctx, *ended.AccountID); err != nil {
		return nil, err
	}
	return p.history(ctx, workflows.LeftoversWorkflowID(*ended.AccountID), "")
}

// issuePassword requests a new password for a completed order, and returns the history of that. After a takeover it is refused.
func (p *Playground) issuePassword(ctx context.Context, name string, takeOver bool) ([]byte, error) {
	order, err := p.simple(ctx, NewOrder("recorded-"+name, provision.ModelECAM), nil, nil)
	if err == nil && takeOver {
		err = p.TakeOver(order)
	}
	if err != nil {
		return nil, err
	}
	status, _, err := p.IssuePassword(ctx, order.ID, false)
	if refused := status == http.StatusConflict; refused != takeOver {
		return nil, fmt.Errorf("the request for a new password of order %s was answered with %d: %w", order.ID, status, err)
	}
	return p.history(ctx, workflows.PasswordWorkflowID(provision.OrderKey{Provider: Provider, ID: order.ID}), "")
}

// IssuePassword requests a new password for the customer of an order.
func (p *Playground) IssuePassword(ctx context.Context, orderID string, evenIfUsed bool) (status int, order openapi.Order, err error) {
	status, err = p.Client.Do(ctx, http.MethodPost, "/v1/orders/"+orderID+"/password",
		openapi.NewPassword{Reason: "the link was lost", EvenIfUsed: &evenIfUsed}, &order)
	return status, order, err
}

// TakeOver makes the sign-in the customer's own, as a first sign-in does.
func (p *Playground) TakeOver(order openapi.Order) error {
	return p.Sim.Edit(order.Result.AccountID, func(a *awssim.Account) {
		user := a.Users[order.IAMUserName]
		user.LoginProfile.PasswordSHA256, user.LoginProfile.ResetRequired = awssim.HashPassword("the customer's own"), false
		a.Users[order.IAMUserName] = user
	})
}

// RemoveLeftovers lets the simulated AWS allow everything in the account again, and requests the removal of leftovers.
func (p *Playground) RemoveLeftovers(ctx context.Context, accountID string) error {
	p.Sim.ClearFaults(accountID)
	_, err := p.Client.Do(ctx, http.MethodPost, "/v1/accounts/"+accountID+"/remove-leftovers",
		map[string]string{"reason": "the role may do it now"}, &openapi.Account{})
	return err
}

// stir starts every other workflow: it tests a webhook, imports an account, cancels orders that do not exist and triggers the schedules.
func (p *Playground) stir(ctx context.Context) error {
	noContent := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	address, err := p.serve(ctx, noContent, 0, false)
	if err != nil {
		return err
	}
	var hook openapi.WebhookWithSecret
	if _, err := p.Client.Do(ctx, http.MethodPost, "/v1/webhooks", openapi.NewWebhook{URL: address + "/hooks"}, &hook); err != nil {
		return err
	}
	if _, err := p.Client.Do(ctx, http.MethodPost, "/v1/webhooks/"+hook.Webhook.ID+"/test", nil, &json.RawMessage{}); err != nil {
		return err
	}
	const marketplace = "recorded-import"
	if err := p.Pool(ctx, marketplace, provision.DataExport); err != nil {
		return err
	}
	file := "account_id,marketplace,environment,model,name,root_email,role_arn\r\n" +
		"333000000001," + marketplace + ",production,ECAM,Imported," +
		"aws+333000000001@acme.example,arn:aws:iam::333000000001:role/" + roleName + "\r\n"
	if err := p.Client.Upload(ctx, "/v1/account-imports", "text/csv", file); err != nil {
		return err
	}
	var ids []string
	for i := range 50 { // two pages
		ids = append(ids, fmt.Sprintf("unknown-%02d", i))
	}
	if _, err := p.Client.Do(ctx, http.MethodPost, "/v1/batches", openapi.NewBatch{ID: uuid.NewString(), Verb: provision.BatchCancel,
		Orders: &openapi.OrderTargets{IDs: &ids}, ExpectedCount: len(ids), Reason: "to be recorded"}, &openapi.Batch{}); err != nil {
		return err
	}
	schedules, err := p.Workflow.ScheduleClient().List(ctx, client.ScheduleListOptions{})
	if err != nil {
		return err
	}
	for schedules.HasNext() {
		schedule, err := schedules.Next()
		if err != nil {
			return err
		}
		if err := p.Workflow.ScheduleClient().GetHandle(ctx, schedule.ID).Trigger(ctx, client.ScheduleTriggerOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// lastRun waits for a completed run of a workflow and returns the history of the longest one.
func (p *Playground) lastRun(ctx context.Context, workflow string) ([]byte, error) {
	query := fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Completed'", workflow)
	for {
		found, err := p.Workflow.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace, Query: query})
		if err != nil {
			return nil, err
		}
		if runs := found.Executions; len(runs) > 0 {
			longest := slices.MaxFunc(runs, func(a, b *workflowpb.WorkflowExecutionInfo) int {
				return cmp.Compare(a.HistoryLength, b.HistoryLength)
			})
			return p.history(ctx, longest.Execution.WorkflowId, longest.Execution.RunId)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no run of %s has completed: %w", workflow, ctx.Err())
		case <-time.After(200 * time.Millisecond): // visibility lags behind
		}
	}
}

// history reads the history of a run to its end and decrypts its payloads.
func (p *Playground) history(ctx context.Context, id, run string) ([]byte, error) {
	// The row of an order ends a moment before its workflow does.
	_ = p.Workflow.GetWorkflow(ctx, id, run).Get(ctx, nil) // the scenario checks how it ended
	history := &historypb.History{}
	events := p.Workflow.GetWorkflowHistory(ctx, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return nil, err
		}
		history.Events = append(history.Events, event)
	}
	ring, err := secrets.ParseRing(p.SealKeys)
	if err != nil {
		return nil, err
	}
	codec := secrets.NewCodec(ring)
	err = proxy.VisitPayloads(ctx, history, proxy.VisitPayloadsOptions{
		Visitor: func(_ *proxy.VisitPayloadsContext, sealed []*commonpb.Payload) ([]*commonpb.Payload, error) {
			return codec.Decode(sealed)
		},
		SkipSearchAttributes: true, // they are not sealed
	})
	if err != nil {
		return nil, err
	}
	return temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(history)
}
