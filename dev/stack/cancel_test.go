package stack_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// TestCancelRightAfterThePostIsRecordedOnce cancels orders within 50 ms after they were placed, each at another
// moment. The response is correct, the history says once who cancelled and why, and the run ends like its order.
func TestCancelRightAfterThePostIsRecordedOnce(t *testing.T) {
	ctx := setup(t)
	const pool, orders = "hasty", 48
	_, err := playground.Stock(ctx, pool, provision.ModelSPAM, orders/2) // the others wait, and are cancelled then
	require.NoError(t, err)
	opened, err := postgres.Open(ctx, playground.Database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, opened.Close()) })
	db := opened.SQL()

	id := func(i int) string { return fmt.Sprintf("%s-%02d", pool, i) }
	reason := func(i int) string { return fmt.Sprintf("the customer changed his mind after %d ms", i) }
	var cancelled [orders]bool
	var hasty errgroup.Group
	hasty.SetLimit(8)
	for i := range orders {
		hasty.Go(func() error {
			order := stack.NewOrder(id(i), provision.ModelSPAM)
			order.Marketplace = pool
			if err := playground.Place(ctx, order); err != nil {
				return err
			}
			if err := pause(ctx, time.Duration(i)*time.Millisecond); err != nil {
				return err
			}
			status, err := playground.Client.Do(ctx, http.MethodPost, "/v1/orders/"+order.ID+"/cancel",
				map[string]string{"reason": reason(i)}, &openapi.Order{})
			if cancelled[i] = status == http.StatusAccepted; !cancelled[i] && status != http.StatusConflict {
				return fmt.Errorf("order %s: status %d: %w", order.ID, status, err)
			}
			return nil
		})
	}
	require.NoError(t, hasty.Wait())
	for i := range orders {
		ended, err := playground.Ended(ctx, id(i))
		require.NoError(t, err)
		want, closed := provision.Completed, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
		if cancelled[i] {
			want, closed = provision.Cancelled, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
		}
		require.Equal(t, want, ended.State, "%s: %+v", id(i), ended.Failure)
		require.Empty(t, ended.Leftovers)
		var actors []string
		require.NoError(t, db.SelectContext(ctx, &actors,
			`SELECT actor FROM order_history WHERE provider = $1 AND order_id = $2 AND code = 'cancel' AND reason = $3`,
			stack.Provider, id(i), reason(i)))
		if cancelled[i] {
			require.Len(t, actors, 1, "%s: the history says once who cancelled", id(i))
			require.Regexp(t, `^key `, actors[0])
		} else {
			require.Empty(t, actors, "%s: nothing was cancelled", id(i))
		}
		workflow := workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: id(i)})
		_ = playground.Workflow.GetWorkflow(ctx, workflow, "").Get(ctx, nil) // it closes a moment after its order
		run, err := playground.Workflow.DescribeWorkflowExecution(ctx, workflow, "")
		require.NoError(t, err)
		require.Equal(t, closed, run.WorkflowExecutionInfo.Status, "%s: a run ends as its order", id(i))
	}
	if err := playground.Reconcile(ctx, "QM_RECONCILE_GRACE=0s"); err != nil {
		require.NotContains(t, err.Error(), "/"+pool+"-")
	}
}
