package workflows_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	productworker "quartermaster/worker"
	"quartermaster/workflows"
)

// histories are the recorded ones, by the workflow that they are of.
func histories(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("testdata/histories/*.json")
	require.NoError(t, err)
	found := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		history, err := client.HistoryFromJSON(bytes.NewReader(text), client.HistoryJSONOptions{})
		require.NoError(t, err, file)
		name := history.Events[0].GetWorkflowExecutionStartedEventAttributes().WorkflowType.Name
		found[name] = append(found[name], file)
	}
	require.GreaterOrEqual(t, len(found[workflows.ProvisionOrderName]), 18, "histories are missing: record them with make histories")
	return found
}

func replay(t *testing.T, file string, register func(worker.WorkflowRegistry)) error {
	t.Helper()
	replayer := worker.NewWorkflowReplayer()
	register(replayer)
	return replayer.ReplayWorkflowHistoryFromJSONFile(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), file)
}

// workflowNames is a registry that only hears which workflows there are.
type workflowNames struct {
	worker.Registry
	names []string
}

func (r *workflowNames) RegisterWorkflowWithOptions(_ any, options workflow.RegisterOptions) {
	r.names = append(r.names, options.Name)
}

func (r *workflowNames) RegisterActivity(any) {}

func TestEveryWorkflowHasAHistory(t *testing.T) {
	t.Parallel()
	var all workflowNames
	productworker.Register(&all, nil)
	require.NotEmpty(t, all.names)
	found := histories(t)
	for _, name := range all.names {
		require.NotEmpty(t, found[name], "no history of %s: record one with make histories", name)
	}
}

// A history that does not replay is a run in progress that the change would break. Keep the old way next to the new one
// with workflow.GetVersion (CONTRIBUTING.md); never record the history of a released workflow again.
func TestRunsInProgressSurviveThisVersion(t *testing.T) {
	t.Parallel()
	for _, files := range histories(t) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
				t.Parallel()
				require.NoError(t, replay(t, file, func(r worker.WorkflowRegistry) { productworker.RegisterWorkflows(r) }))
			})
		}
	}
}

// What an order adds to its history decides what it costs Temporal, its database and every replay. The input of an activity names the
// order and the account; the database has the rest.
func TestAnOrdinaryOrderHasASmallHistory(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"completed-new-report", "completed-existing-report", "completed-new-legacy-report"} {
		text, err := os.ReadFile("testdata/histories/" + file + ".json")
		require.NoError(t, err)
		history, err := client.HistoryFromJSON(bytes.NewReader(text), client.HistoryJSONOptions{})
		require.NoError(t, err)
		require.LessOrEqual(t, len(history.Events), 46, file)
		size := 0
		for _, event := range history.Events {
			size += proto.Size(event)
			for _, input := range event.GetActivityTaskScheduledEventAttributes().GetInput().GetPayloads() {
				require.LessOrEqual(t, len(input.Data), 700, "%s: input of event %d", file, event.EventId)
			}
		}
		require.LessOrEqual(t, size, 14_000, file)
	}
}

// The negative control: the first two steps in the other order.
func TestAReorderedWorkflowDoesNotReplay(t *testing.T) {
	t.Parallel()
	var a *activities.Activities
	local := func(ctx workflow.Context) workflow.Context {
		return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 1})
	}
	reordered := func(ctx workflow.Context, order provision.Order) (provision.Result, error) {
		var claim provision.Claim
		if err := workflow.ExecuteLocalActivity(local(ctx), a.ClaimAccount, order.OrderKey).Get(ctx, &claim); err != nil {
			return provision.Result{}, err
		}
		return provision.Result{}, workflow.ExecuteLocalActivity(local(ctx), a.OpenOrder, order).Get(ctx, nil)
	}
	for _, file := range histories(t)[workflows.ProvisionOrderName] {
		require.Error(t, replay(t, file, func(r worker.WorkflowRegistry) {
			r.RegisterWorkflowWithOptions(reordered, workflow.RegisterOptions{Name: workflows.ProvisionOrderName})
		}), file)
	}
}
