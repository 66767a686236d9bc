package stack_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/awssim"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/workflows"
)

// TestTerminatedOrderIsRepairedAndEndsAsOrdered terminates the workflows of two orders, of one in the middle of its work and of one
// that has changed nothing yet. `quartermaster reconcile` reports them, the schedule repairs them, and both end as ordered.
func TestTerminatedOrderIsRepairedAndEndsAsOrdered(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// Minutes are seconds here: no attempt of this test takes longer.
	s, err := stack.Start(ctx, stack.Options{
		Progress: os.Stderr, Program: playground.Program, Delay: 20 * time.Millisecond,
		Env: []string{"QM_RECONCILE_GRACE=3s", "QM_RECONCILE_SETTLED=8s"},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()
	p, err := stack.NewPlayground(ctx, s)
	require.NoError(t, err)

	for _, c := range []struct {
		id       string
		hangs    awssim.Fault // keeps the order where it is
		until    func(openapi.Order) bool
		repaired string
	}{
		{
			"terminated-in-the-middle",
			awssim.Fault{Service: "account", Operation: "PutContactInformation", Kind: awssim.Throttle},
			stack.StepDone(provision.StepAlias),
			"continue",
		},
		{
			"terminated-at-the-beginning",
			awssim.Fault{Service: "account", Operation: "GetContactInformation", Kind: awssim.Throttle},
			stepRetries,
			"restart",
		},
	} {
		t.Run(c.id, func(t *testing.T) {
			ids, err := p.Stock(ctx, c.id, provision.ModelECAM, 1)
			require.NoError(t, err)
			require.NoError(t, p.Reconcile(ctx))
			c.hangs.AccountID = ids[0]
			heal := p.Sim.Inject(c.hangs)
			order := stack.NewOrder(c.id, provision.ModelECAM)
			require.NoError(t, p.Place(ctx, order))
			_, err = p.Until(ctx, c.id, c.until)
			require.NoError(t, err)
			workflow := workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: c.id})
			was, err := p.Workflow.DescribeWorkflowExecution(ctx, workflow, "")
			require.NoError(t, err)
			require.NoError(t, p.Workflow.TerminateWorkflow(ctx, workflow, "", "an operator's mistake"))
			heal()

			require.Eventually(t, func() bool { err = p.Reconcile(ctx); return err != nil }, 30*time.Second, 200*time.Millisecond)
			require.ErrorContains(t, err, string(reconcile.KindOrderWithoutWorkflow)+" [stuck] order "+stack.Provider+"/"+c.id)
			require.ErrorContains(t, err, string(reconcile.KindAccountWithoutWorkflow))
			require.ErrorContains(t, err, "its workflow has closed as Terminated, since ")
			require.ErrorContains(t, err, "exit status 1")
			stuck, err := p.Client.Order(ctx, c.id)
			require.NoError(t, err)
			require.False(t, stuck.State.Ended())

			// What the schedule does every five minutes.
			schedule := p.Workflow.ScheduleClient().GetHandle(ctx, workflows.ReconcileID)
			audits := time.NewTicker(time.Second)
			defer audits.Stop()
			ended := stuck
			for !ended.State.Ended() {
				select {
				case <-audits.C:
					_ = schedule.Trigger(ctx, client.ScheduleTriggerOptions{})
				case <-ctx.Done():
					require.FailNow(t, "the order was not repaired", "%+v", ended)
				}
				ended, err = p.Client.Order(ctx, c.id)
				require.NoError(t, err)
			}
			require.Equal(t, provision.Completed, ended.State, "%+v", ended.Failure)
			requireAsOrderedOn(t, p, ended)
			now, err := p.Workflow.DescribeWorkflowExecution(ctx, workflow, "")
			require.NoError(t, err)
			require.NotEqual(t, was.WorkflowExecutionInfo.Execution.RunId, now.WorkflowExecutionInfo.Execution.RunId)
			require.Eventually(t, func() bool { err = p.Reconcile(ctx); return err == nil }, 30*time.Second, 200*time.Millisecond)
			require.Equal(t, []string{c.repaired}, actionsOf(ctx, t, p, c.id), "the history says what was done, and why")
		})
	}
}

// stepRetries reports that the order has claimed its account and retries a step.
func stepRetries(o openapi.Order) bool {
	for _, step := range o.Steps {
		if step.State == string(provision.StepRetrying) {
			return true
		}
	}
	return false
}

// actionsOf returns the history entries of an order whose actor is the reconciler.
func actionsOf(ctx context.Context, t *testing.T, p *stack.Playground, order string) (actions []string) {
	t.Helper()
	opened, err := postgres.Open(ctx, p.Database)
	require.NoError(t, err)
	defer func() { require.NoError(t, opened.Close()) }()
	db := opened.SQL()
	require.NoError(t, db.SelectContext(ctx, &actions,
		`SELECT code FROM order_history WHERE order_id = $1 AND actor = $2 ORDER BY seq`, order, reconcile.Actor))
	return actions
}
