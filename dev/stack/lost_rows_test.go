package stack_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
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

// TestOrdersThatTheDatabaseLostAreRestored deletes the rows of orders, as a restore of an older backup does: of one that completed, of
// one that failed, of one that was cancelled, and of one whose workflow was terminated in the middle of its work. `quartermaster
// reconcile` reports them, the schedule repairs them, and each is in the state in which its workflow left it.
func TestOrdersThatTheDatabaseLostAreRestored(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	// Minutes are seconds here: no attempt of this test takes longer.
	s, err := stack.Start(ctx, stack.Options{
		Progress: os.Stderr, Delay: 20 * time.Millisecond,
		Env: []string{"QM_RECONCILE_ACCEPTED=2s", "QM_RECONCILE_GRACE=1s", "QM_RECONCILE_SETTLED=8s"},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()
	p, err := stack.NewPlayground(ctx, s)
	require.NoError(t, err)
	opened, err := postgres.Open(ctx, p.Database)
	require.NoError(t, err)
	defer func() { require.NoError(t, opened.Close()) }()
	db := opened.SQL()

	const sold, waiting, terminated, failed, cancelled = "lost-sold", "lost-waiting", "lost-terminated", "lost-failed", "lost-cancelled"
	hang := map[string]awssim.Fault{
		terminated: {Service: "account", Operation: "PutContactInformation", Kind: awssim.Throttle},
		failed:     {Service: "account", Operation: "GetContactInformation", Kind: awssim.Throttle},
	}
	heal := map[string]func(){}
	account := map[string]string{}
	for _, id := range []string{sold, waiting, terminated, failed, cancelled} {
		if id == cancelled || id == waiting { // there is no stock
			require.NoError(t, p.Pool(ctx, id, provision.DataExport))
		} else {
			ids, err := p.Stock(ctx, id, provision.ModelECAM, 1)
			require.NoError(t, err)
			account[id] = ids[0]
		}
		if fault, hangs := hang[id]; hangs {
			fault.AccountID = account[id]
			heal[id] = p.Sim.Inject(fault)
		}
		require.NoError(t, p.Place(ctx, stack.NewOrder(id, provision.ModelECAM)))
	}
	workflow := func(id string) string {
		return workflows.OrderWorkflowID(provision.OrderKey{Provider: stack.Provider, ID: id})
	}
	until := func(id string, holds func(openapi.Order) bool) {
		t.Helper()
		_, err := p.Until(ctx, id, holds)
		require.NoError(t, err)
	}
	act := func(id, verb string) {
		t.Helper()
		_, err := p.Client.Do(ctx, http.MethodPost, "/v1/orders/"+id+"/"+verb,
			map[string]string{"reason": "the test asks for it"}, &openapi.Order{})
		require.NoError(t, err)
		_, err = p.Ended(ctx, id)
		require.NoError(t, err)
	}
	waits := func(o openapi.Order) bool { return o.State == provision.WaitingForAccount }
	until(waiting, waits)
	until(cancelled, waits)
	act(cancelled, "cancel")
	until(failed, stepRetries)
	act(failed, "fail")
	heal[failed]()
	until(terminated, stack.StepDone(provision.StepAlias))
	require.NoError(t, p.Workflow.TerminateWorkflow(ctx, workflow(terminated), "", "an operator's mistake"))
	heal[terminated]()
	before, err := p.Ended(ctx, sold)
	require.NoError(t, err)
	requireAsOrderedOn(t, p, before)
	require.NoError(t, p.Workflow.GetWorkflow(ctx, workflow(sold), "").Get(ctx, nil))

	for _, id := range []string{sold, waiting, terminated, failed, cancelled} {
		loseOrder(ctx, t, db, id)
		order, err := p.Client.Order(ctx, id)
		require.NoError(t, err)
		require.Equal(t, provision.Accepted, order.State, "only Temporal knows it now")
	}
	require.Eventually(t, func() bool {
		err = p.Reconcile(ctx)
		return err != nil && strings.Count(err.Error(), string(reconcile.KindWorkflowWithoutOrder)) == 4
	}, 30*time.Second, 200*time.Millisecond)
	require.ErrorContains(t, err, "completed_only_in_temporal [broken] order "+stack.Provider+"/"+sold+" account "+account[sold])
	require.ErrorContains(t, err, "its workflow has closed as Failed (FailedByOperator)")
	require.ErrorContains(t, err, "exit status 1")

	// What the schedule does every five minutes.
	schedule := p.Workflow.ScheduleClient().GetHandle(ctx, workflows.ReconcileID)
	audits := time.NewTicker(time.Second)
	defer audits.Stop()
	for done := false; !done; {
		select {
		case <-audits.C:
			_ = schedule.Trigger(ctx, client.ScheduleTriggerOptions{})
		case <-ctx.Done():
			require.FailNow(t, "the orders were not repaired", "%v", p.Reconcile(ctx))
		}
		done = true
		for _, id := range []string{sold, waiting, terminated, failed, cancelled} {
			order, err := p.Client.Order(ctx, id)
			require.NoError(t, err)
			done = done && (order.State.Ended() || waits(order))
		}
	}
	after := map[string]openapi.Order{}
	for _, id := range []string{sold, waiting, terminated, failed, cancelled} {
		after[id], err = p.Client.Order(ctx, id)
		require.NoError(t, err)
	}
	require.Equal(t, provision.Completed, after[sold].State)
	require.Equal(t, before.CreatedAt, after[sold].CreatedAt)
	before.Result.Password, after[sold].Result.Password = nil, nil // the link is lost, its replacement is an operator's business
	require.Equal(t, before.Result, after[sold].Result)
	requireAsOrderedOn(t, p, after[sold])
	_, err = p.Stock(ctx, waiting, provision.ModelECAM, 1)
	require.NoError(t, err)
	got, err := p.Ended(ctx, waiting)
	require.NoError(t, err)
	requireAsOrderedOn(t, p, got)
	require.Equal(t, provision.Completed, after[terminated].State, "%+v", after[terminated].Failure)
	require.Equal(t, account[terminated], after[terminated].Result.AccountID, "with the account that it had")
	requireAsOrderedOn(t, p, after[terminated])
	require.Equal(t, provision.Failed, after[failed].State, "an operator ended it, so it stays ended")
	require.Equal(t, string(provision.CodeFailedByOperator), after[failed].Failure.Code)
	require.Equal(t, "the test asks for it", *after[failed].Failure.Comment)
	requireStatusOn(t, p, account[failed], provision.AccountProvisioningFailed)
	require.Equal(t, provision.Cancelled, after[cancelled].State)
	require.Eventually(t, func() bool { err = p.Reconcile(ctx); return err == nil }, 30*time.Second, 200*time.Millisecond)
	for id := range after {
		require.Contains(t, actionsOf(ctx, t, p, id), "restore", id)
	}
}

// loseOrder deletes an order from the database, as the restore of a backup that is older than the order does.
func loseOrder(ctx context.Context, t *testing.T, db *sqlx.DB, id string) {
	t.Helper()
	tx, err := db.BeginTxx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()                                         // after the commit this does nothing
	_, err = tx.ExecContext(ctx, `SET LOCAL session_replication_role = replica`) // no trigger, no foreign key
	require.NoError(t, err)
	for _, statement := range []string{
		`UPDATE accounts SET status = 'ready', order_id = NULL, reason = ''
		WHERE id IN (SELECT account_id FROM account_history WHERE order_id = $1)`,
		`DELETE FROM account_history WHERE order_id = $1`,
		`DELETE FROM order_history WHERE order_id = $1`,
		`DELETE FROM order_steps WHERE order_id = $1`,
		`DELETE FROM order_passwords WHERE order_id = $1`,
		`DELETE FROM orders WHERE id = $1`,
	} {
		_, err := tx.ExecContext(ctx, statement, id)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
	require.NoError(t, postgres.New(db).Reconciliation.RepairCounts(ctx)) // a backup has the counts of its rows
}
