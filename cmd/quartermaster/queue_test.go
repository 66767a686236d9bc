package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
	"quartermaster/workflows/control/controltest"
)

// Not parallel: Temporal's address comes from the environment, which is the process's.
func TestVerifyReportsDeadWorkersAndTheOrdersThatWaitForThem(t *testing.T) {
	f, address := controltest.Serve(t)
	t.Setenv("TEMPORAL_ADDRESS", address)
	f.Queues[enumspb.TASK_QUEUE_TYPE_WORKFLOW], f.Queues[enumspb.TASK_QUEUE_TYPE_ACTIVITY] = controltest.Queue(), controltest.Queue()
	f.AddRun("order/acme/o-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING).SearchAttributes =
		controltest.Attributes(t, map[string]string{workflows.StepKey.GetName(): string(provision.Accepted)})
	var out, logs bytes.Buffer
	require.Error(t, run(t.Context(), []string{"verify", "--database-url=" + pgtest.URL(t)}, &out, &logs))
	require.Contains(t, out.String(), "no_workers [stuck]: no worker asks for workflow tasks -- start `quartermaster worker`")
	require.Contains(t, out.String(), "no_workers [stuck]: no worker asks for activity tasks")
	require.Contains(t, out.String(), "order_not_started [stuck] order acme/o-1: the order was accepted, but no worker has begun with it, since 2026-11-22T10:00:00Z")
}
