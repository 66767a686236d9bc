package stack_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/awssim"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
	"quartermaster/workflows/control"
)

// resetsOfEach is the number of points at which each order is reset; `make test-resets` tries all of them.
func resetsOfEach() int {
	if os.Getenv("QM_RESETS") == "all" {
		return 1000
	}
	return 3
}

// closedAs is the final status of the run of an ended order.
var closedAs = map[provision.OrderState]enumspb.WorkflowExecutionStatus{
	provision.Completed: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED,
	provision.Failed:    enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
	provision.Cancelled: enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
}

// TestResetOfAnEndedOrderChangesNothing resets orders that have ended in each possible way, and starts their workflows again.
// Nothing changes in AWS or in the database, and every run ends like its order. A completed order is reset at every workflow task of
// its history.
func TestResetOfAnEndedOrderChangesNothing(t *testing.T) {
	for _, scenario := range stack.Scenarios {
		points := resetsOfEach()
		if scenario.Name == "completed-new-report" {
			points = 1000
		}
		t.Run(scenario.Name, func(t *testing.T) {
			order := played(t, scenario)
			t.Parallel() // the others are played first
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
			defer cancel()
			before := worldOf(ctx, t, order)
			run := firstRun(ctx, t, order.ID)
			var wanted provision.Result
			if order.State == provision.Completed {
				require.NoError(t, playground.Workflow.GetWorkflow(ctx, workflowOf(order.ID), run).Get(ctx, &wanted))
			}
			for _, point := range spread(resetPoints(ctx, t, order.ID, run), points) {
				again := resetAt(ctx, t, order.ID, run, point)
				requireEndsAs(ctx, t, order, again, wanted, "reset at event %d", point)
				require.Equal(t, before, worldOf(ctx, t, order), "reset at event %d", point)
			}
			again := startAgain(ctx, t, order.ID)
			requireEndsAs(ctx, t, order, again, wanted, "started again")
			require.Equal(t, before, worldOf(ctx, t, order), "started again")
		})
	}
}

// world is all that an order has changed.
type world struct {
	Order    openapi.Order
	Events   int
	Accounts []string // of its pool, as the database has them and as they are in AWS
}

func worldOf(ctx context.Context, t *testing.T, order openapi.Order) (w world) {
	t.Helper()
	var err error
	w.Order, err = playground.Client.Order(ctx, order.ID)
	require.NoError(t, err)
	accounts, err := playground.Store.Accounts.List(ctx, stack.Provider,
		provision.AccountFilter{Marketplace: order.Marketplace, Limit: 100})
	require.NoError(t, err)
	for _, a := range accounts {
		w.Accounts = append(w.Accounts, fmt.Sprintf("%s is %s since %s, order %q: %s\n%s",
			a.ID, a.Status, a.StatusSince, a.OrderID, a.Reason, playground.Sim.Snapshot(a.ID)))
	}
	opened, err := postgres.Open(ctx, playground.Database)
	require.NoError(t, err)
	defer func() { require.NoError(t, opened.Close()) }()
	db := opened.SQL()
	require.NoError(t, db.GetContext(ctx, &w.Events,
		`SELECT count(*) FROM order_history WHERE provider = $1 AND order_id = $2`, stack.Provider, order.ID))
	return w
}

func requireEndsAs(ctx context.Context, t *testing.T, order openapi.Order, run string, wanted provision.Result, why string, args ...any) {
	t.Helper()
	var result provision.Result
	err := playground.Workflow.GetWorkflow(ctx, workflowOf(order.ID), run).Get(ctx, &result)
	if order.State == provision.Completed {
		require.NoErrorf(t, err, why, args...)
		require.Equalf(t, wanted, result, why, args...)
	}
	described, err := playground.Workflow.DescribeWorkflowExecution(ctx, workflowOf(order.ID), run)
	require.NoError(t, err)
	require.Equalf(t, closedAs[order.State], described.WorkflowExecutionInfo.Status, why, args...)
}

func workflowOf(order string) string {
	return workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: order})
}

// firstRun returns the newest run of an order that was not reset yet.
func firstRun(ctx context.Context, t *testing.T, order string) string {
	t.Helper()
	described, err := playground.Workflow.DescribeWorkflowExecution(ctx, workflowOf(order), "")
	require.NoError(t, err)
	return described.WorkflowExecutionInfo.Execution.RunId
}

// resetPoints returns the events at which a run can be reset.
func resetPoints(ctx context.Context, t *testing.T, order, run string) (ids []int64) {
	t.Helper()
	events := playground.Workflow.GetWorkflowHistory(ctx, workflowOf(order), run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		if event.EventType == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			ids = append(ids, event.EventId)
		}
	}
	require.NotEmpty(t, ids)
	return ids
}

// spread picks n of the points, including the first and the last.
func spread(points []int64, n int) (picked []int64) {
	if n >= len(points) {
		return points
	}
	for i := range n {
		picked = append(picked, points[i*(len(points)-1)/max(1, n-1)])
	}
	return picked
}

// resetAt does what `temporal workflow reset` and the Web UI do, and returns the new run.
func resetAt(ctx context.Context, t *testing.T, order, run string, event int64) string {
	t.Helper()
	reset, err := playground.Workflow.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: "default", WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: workflowOf(order), RunId: run},
		Reason: "an operator means well", WorkflowTaskFinishEventId: event, RequestId: rand.Text(),
	})
	require.NoError(t, err)
	return reset.RunId
}

// startAgain starts the workflow of an order again with the same input, and returns the new run.
func startAgain(ctx context.Context, t *testing.T, id string) string {
	t.Helper()
	described, err := playground.Workflow.DescribeWorkflow(ctx, workflowOf(id), "")
	require.NoError(t, err)
	var order provision.Order
	require.NoError(t, described.GetMemoValue(workflows.MemoOrder, &order))
	options := control.RestartOptions(order, "")
	options.WorkflowIDReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	run, err := playground.Workflow.ExecuteWorkflow(ctx, options, workflows.ProvisionOrderName, order)
	require.NoError(t, err)
	return run.GetRunID()
}

// TestResetOfARunningOrderStillEndsAsOrdered resets running orders, each at another workflow task of its history. They end
// as they would have without the reset, with one account.
func TestResetOfARunningOrderStillEndsAsOrdered(t *testing.T) {
	for _, c := range []struct {
		name    string
		holds   []awssim.Fault
		until   func(openapi.Order) bool
		arrange func(ctx context.Context, order openapi.NewOrder, ids []string) error // before it is reset; nil: nothing
		release func(ctx context.Context, order openapi.NewOrder) error               // after the reset, besides the faults; nil: nothing
		ends    provision.OrderState
		stock   int
	}{
		{name: "provisioning", ends: provision.Completed, stock: 2,
			holds: []awssim.Fault{{Service: "account", Operation: "PutContactInformation", Kind: awssim.Throttle}},
			until: func(o openapi.Order) bool {
				return stack.StepDone(provision.StepUser)(o) && stack.StepDone(provision.StepAlias)(o) &&
					stack.StepDone(provision.StepReport)(o)
			}},
		{name: "waiting", ends: provision.Completed,
			until: func(o openapi.Order) bool { return o.State == provision.WaitingForAccount },
			release: func(ctx context.Context, order openapi.NewOrder) error {
				_, err := playground.Stock(ctx, order.Marketplace, provision.ModelECAM, 1)
				return err
			}},
		{name: "asking", ends: provision.Completed, stock: 2,
			arrange: func(_ context.Context, order openapi.NewOrder, ids []string) error { // another account has the alias
				return playground.Sim.Edit(ids[1], func(a *awssim.Account) { a.Alias = order.AWSAccountAlias })
			},
			until: func(o openapi.Order) bool { return o.State == provision.ActionRequired },
			release: func(ctx context.Context, order openapi.NewOrder) error {
				return untilTaken(ctx, http.MethodPatch, "/v1/orders/"+order.ID,
					map[string]string{"aws_account_alias": "corrected-" + order.ID})
			}},
		{name: "undoing", ends: provision.Cancelled, stock: 2,
			holds: []awssim.Fault{{Service: "account", Operation: "PutContactInformation", Kind: awssim.Throttle},
				{Service: "iam", Operation: "DeleteAccountAlias", Kind: awssim.Throttle}},
			until: stack.StepDone(provision.StepAlias)},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			n, points := resetsOfEach(), 1
			for i := 0; i < min(n, points); i++ {
				order := stack.NewOrder(fmt.Sprintf("reset-%s-%d", c.name, i), provision.ModelECAM)
				ids, err := playground.Stock(ctx, order.Marketplace, provision.ModelECAM, c.stock)
				require.NoError(t, err)
				if c.arrange != nil {
					require.NoError(t, c.arrange(ctx, order, ids))
				}
				before := map[string]string{}
				for _, id := range ids {
					before[id] = string(playground.Sim.Snapshot(id))
				}
				for _, fault := range c.holds {
					fault.AccountID = ids[0]
					playground.Sim.Inject(fault)
				}
				require.NoError(t, playground.Place(ctx, order))
				_, err = playground.Until(ctx, order.ID, c.until)
				require.NoError(t, err)
				if c.ends == provision.Cancelled {
					require.NoError(t, untilTaken(ctx, http.MethodPost, "/v1/orders/"+order.ID+"/cancel", nil))
					require.Eventually(t, func() bool { return fired(ids[0]) == len(c.holds) }, time.Minute, 20*time.Millisecond)
				}
				run := firstRun(ctx, t, order.ID)
				all := resetPoints(ctx, t, order.ID, run)
				points = len(all)
				again := resetAt(ctx, t, order.ID, run, all[i*(points-1)/max(1, min(n, points)-1)])

				for _, id := range ids {
					playground.Sim.ClearFaults(id)
				}
				if c.release != nil {
					require.NoError(t, c.release(ctx, order))
				}
				ended, err := playground.Ended(ctx, order.ID)
				require.NoError(t, err)
				require.Equal(t, c.ends, ended.State, "%+v", ended.Failure)
				if ended.State == provision.Completed {
					requireAsOrdered(t, ended)
				}
				requireEndsAs(ctx, t, ended, again, resultOf(ctx, t, ended), "reset number %d", i)
				requireOneAccountAtMost(ctx, t, ended, before)
			}
		})
	}
}

// fired counts the faults of an account that hit a call.
func fired(accountID string) (n int) {
	for _, f := range playground.Sim.Faults() {
		if f.Fault.AccountID == accountID && f.Fired > 0 {
			n++
		}
	}
	return n
}

// requireOneAccountAtMost checks the accounts of the order's pool: the order changed only its own, and an account that is back in
// stock is as it was.
func requireOneAccountAtMost(ctx context.Context, t *testing.T, order openapi.Order, before map[string]string) {
	t.Helper()
	accounts, err := playground.Store.Accounts.List(ctx, stack.Provider,
		provision.AccountFilter{Marketplace: order.Marketplace, Limit: 100})
	require.NoError(t, err)
	mine := 0
	for _, a := range accounts {
		if a.OrderID == order.ID {
			mine++
			continue
		}
		require.Equal(t, provision.AccountReady, a.Status)
		require.Equal(t, before[a.ID], string(playground.Sim.Snapshot(a.ID)), "account %s is as it was", a.ID)
	}
	require.LessOrEqual(t, mine, 1)
	if order.State == provision.Completed {
		require.Equal(t, 1, mine)
	}
}

func resultOf(ctx context.Context, t *testing.T, order openapi.Order) (result provision.Result) {
	t.Helper()
	view, err := playground.Store.Orders.Get(ctx, provision.Tenant{Provider: stack.Provider}, order.ID)
	require.NoError(t, err)
	if view.Result != nil {
		result = *view.Result
	}
	return result
}

// untilTaken repeats a request until the order's workflow accepts it: a reset run must first get back to where it was.
func untilTaken(ctx context.Context, method, path string, body any) error {
	for {
		_, err := playground.Client.Do(ctx, method, path, body, &openapi.Order{})
		if err == nil {
			return nil
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return err
		}
	}
}
