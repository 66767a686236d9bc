package main

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/workflows/control/controltest"
)

var orderOne = provision.OrderKey{Provider: "acme", ID: "o-1"}

// Not parallel: Temporal's address comes from the environment, which is the process's.
func TestVerifyTellsByItsExitWhetherAllIsWell(t *testing.T) {
	f, address := controltest.Serve(t)
	t.Setenv("TEMPORAL_ADDRESS", address)
	url := pgtest.URL(t)
	store, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	db := store.SQL()
	pool := provision.Pool{Provider: "acme", Marketplace: "north", Environment: provision.Production}
	require.NoError(t, store.Providers.Create(t.Context(), "acme", "Acme"))
	_, err = store.Pools.Create(t.Context(), "test", provision.DefaultPool(pool))
	require.NoError(t, err)
	_, err = store.Orders.Open(t.Context(), provision.Order{OrderKey: orderOne, AcceptedAt: controltest.StartedAt,
		Request: provision.Request{Marketplace: "north", Environment: provision.Production, ContactName: "Jane Roe", IAMUserName: "jane"}})
	require.NoError(t, err)
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)

	verify := func(args ...string) (string, error) {
		t.Helper()
		var out, logs bytes.Buffer
		err := run(t.Context(), append([]string{"verify", "--database-url=" + url}, args...), &out, &logs)
		require.NotContains(t, out.String()+logs.String(), "Jane")
		return out.String(), err
	}
	out, err := verify()
	require.NoError(t, err)
	require.Equal(t, "nothing is stuck and nothing contradicts itself\n", out)

	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)
	out, err = verify()
	require.EqualError(t, err, "1 findings")
	require.Contains(t, out, "order_without_workflow [stuck] order acme/o-1: the order is accepted, but its workflow has closed as Terminated, since 2026-11-22T11:00:00Z")
	require.Empty(t, f.Starts, "verify changes nothing")
	require.Equal(t, 1, strings.Count(out, "\n"))

	out, err = verify("--json")
	require.EqualError(t, err, "1 findings")
	var finding reconcile.Finding
	require.NoError(t, json.Unmarshal([]byte(out), &finding))
	require.Equal(t, reconcile.KindOrderWithoutWorkflow, finding.Kind)
	require.Equal(t, orderOne, finding.Order)
	require.True(t, finding.Repairable)

	// Without Temporal, and with one that never answers, what the database says is told all the same.
	_, err = db.ExecContext(t.Context(), `BEGIN; SET LOCAL session_replication_role = replica; UPDATE orders SET state_since = now() - interval '1 day'; COMMIT`)
	require.NoError(t, err)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	for _, address := range []string{"127.0.0.1:1", silent.Addr().String()} {
		t.Setenv("TEMPORAL_ADDRESS", address)
		out, err = verify()
		require.ErrorContains(t, err, "connecting to Temporal")
		require.ErrorContains(t, err, "1 findings")
		require.Contains(t, out, "order_overdue")
	}
}
