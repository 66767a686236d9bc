package main

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
	"quartermaster/workflows/control/controltest"
)

var orderOne = provision.OrderKey{Provider: "acme", ID: "o-1"}

// setupAcceptedOrder makes a database with one accepted order, orderOne, and a Temporal frontend in which its workflow runs.
// The test cannot be parallel: Temporal's address comes from the environment of the process.
func setupAcceptedOrder(t *testing.T) (f *controltest.Frontend, url string, db *postgres.DB) {
	t.Helper()
	f, address := controltest.Serve(t)
	t.Setenv("TEMPORAL_ADDRESS", address)
	url = pgtest.URL(t)
	db, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Providers.Create(t.Context(), "acme", "Acme"))
	pool := provision.Pool{Provider: "acme", Marketplace: "north", Environment: provision.Production}
	_, err = db.Pools.Create(t.Context(), "test", provision.DefaultPool(pool))
	require.NoError(t, err)
	_, err = db.Orders.Open(t.Context(), provision.Order{OrderKey: orderOne, AcceptedAt: controltest.StartedAt,
		Request: provision.Request{Marketplace: "north", Environment: provision.Production, ContactName: "Jane Roe", IAMUserName: "jane"}})
	require.NoError(t, err)
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	return f, url, db
}

// reconcileNow runs the command and makes sure that it prints no personal data.
func reconcileNow(t *testing.T, url string, args ...string) (string, error) {
	t.Helper()
	r := callWith(t.Context(), streams{}, append([]string{"reconcile", "--database-url=" + url}, args...)...)
	require.NotContains(t, r.out+r.logs, "Jane")
	return r.out, r.err
}

func TestReconcileFailsWhenItFindsSomething(t *testing.T) {
	f, url, _ := setupAcceptedOrder(t)
	out, err := reconcileNow(t, url)
	require.NoError(t, err)
	require.Equal(t, "nothing is stuck and nothing contradicts itself\n", out)

	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	out, err = reconcileNow(t, url)
	require.EqualError(t, err, "findings: 1")
	require.Contains(t, out, "order_without_workflow [stuck] order acme/o-1: the order is accepted, "+
		"but its workflow has closed as Terminated, since 2026-11-22T11:00:00Z")
	require.Empty(t, f.Starts, "without --repair it changes nothing")
	require.Equal(t, 1, strings.Count(out, "\n"))

	out, err = reconcileNow(t, url, "--json")
	require.EqualError(t, err, "findings: 1")
	var finding reconcile.Finding
	require.NoError(t, json.Unmarshal([]byte(out), &finding))
	require.Equal(t, reconcile.KindOrderWithoutWorkflow, finding.Kind)
	require.Equal(t, orderOne, finding.Order)
	require.True(t, finding.Repairable)
}

func TestReconcileRepairsWithTheKeysOfTheWorkers(t *testing.T) {
	f, url, db := setupAcceptedOrder(t)
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	_, err := reconcileNow(t, url, "--repair")
	require.ErrorContains(t, err, "QM_SEAL_KEYS")
	k1, k2 := secrets.GenerateKey("k1"), secrets.GenerateKey("k2")
	announce(t, db, provision.ProcessWorker, "b", ringOf(t, k1), nil)
	_, err = reconcileNow(t, url, "--repair", "--seal-keys="+k2)
	require.ErrorContains(t, err, "no key of QM_SEAL_KEYS is known to every running process")
	require.Empty(t, f.Starts)

	out, err := reconcileNow(t, url, "--repair", "--seal-keys="+k2+","+k1)
	require.NoError(t, err, "everything is repaired")
	require.Contains(t, out, "-- repaired: its workflow was started again")
	require.Len(t, f.Starts, 1)
	require.Equal(t, "order/acme/o-1", f.Starts[0].WorkflowId)
	require.Equal(t, "binary/encrypted", string(f.Starts[0].Input.Payloads[0].Metadata["encoding"]))
	_, err = ringOf(t, k1).Open(f.Starts[0].Input.Payloads[0].Data, "temporal-payload")
	require.NoError(t, err, "the order is sealed with the key that the worker has")
}

func TestReconcileChecksTheDatabaseWhenTemporalDoesNotAnswer(t *testing.T) {
	_, url, db := setupAcceptedOrder(t)
	_, err := db.SQL().ExecContext(t.Context(), `BEGIN; SET LOCAL session_replication_role = replica;
		UPDATE orders SET state_since = now() - interval '1 day'; COMMIT`)
	require.NoError(t, err)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	for _, address := range []string{"127.0.0.1:1", silent.Addr().String()} {
		t.Setenv("TEMPORAL_ADDRESS", address)
		out, err := reconcileNow(t, url)
		require.ErrorContains(t, err, "connecting to Temporal")
		require.ErrorContains(t, err, "findings: 1")
		require.Contains(t, out, "order_overdue")
	}
}

func TestReconcileReportsMissingWorkersAndTheOrdersThatWaitForThem(t *testing.T) {
	f, url, _ := setupAcceptedOrder(t)
	f.Queues[enumspb.TASK_QUEUE_TYPE_WORKFLOW], f.Queues[enumspb.TASK_QUEUE_TYPE_ACTIVITY] = controltest.Queue(), controltest.Queue()
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING).SearchAttributes =
		controltest.Attributes(t, map[string]string{workflows.StateKey.GetName(): string(provision.Accepted)})
	out, err := reconcileNow(t, url)
	require.Error(t, err)
	require.Contains(t, out, "no_workers [stuck]: no worker asks for workflow tasks -- start `quartermaster worker`")
	require.Contains(t, out, "no_workers [stuck]: no worker asks for activity tasks")
	require.Contains(t, out, "order_not_started [stuck] order acme/o-1: the order was accepted, "+
		"but no worker has begun with it, since 2026-11-22T10:00:00Z")
}

func TestTheBoundsOfTheCommandAreThoseOfTheReconciler(t *testing.T) {
	t.Parallel()
	var options struct{ reconcileOptions }
	parser, err := kong.New(&options)
	require.NoError(t, err)
	_, err = parser.Parse(nil)
	require.NoError(t, err)
	require.Equal(t, reconcile.DefaultBounds(), options.bounds())
}
