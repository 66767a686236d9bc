package workflows_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

func histories(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/histories/*.json")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 12, "histories are missing: record them with make histories")
	return files
}

func replay(t *testing.T, file string, story any) error {
	t.Helper()
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(story, workflow.RegisterOptions{Name: workflows.ProvisionOrderName})
	return replayer.ReplayWorkflowHistoryFromJSONFile(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), file)
}

// A history that does not replay is an order in progress that the change would break. Keep the old way beside the new one
// with workflow.GetVersion (CONTRIBUTING.md); never record the history again.
func TestRunningOrdersSurviveThisVersion(t *testing.T) {
	t.Parallel()
	for _, file := range histories(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			require.NoError(t, replay(t, file, workflows.ProvisionOrder))
		})
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
	for _, file := range histories(t) {
		require.Error(t, replay(t, file, reordered), file)
	}
}
