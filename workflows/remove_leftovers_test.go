package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

var removal = provision.LeftoverRemoval{Provider: "acme", AccountID: "000000000001", By: provision.Intervention{Actor: "key desk",
	Reason: "the policy is mended"}}

// kept is the undo that an order has left, as it would be kept.
func kept(t *testing.T) activities.KeptUndo {
	t.Helper()
	env, w := setup(t)
	w.fail["EnableSignIn"] = refused(provision.CodeAccountsExhausted)
	w.left = []string{"the IAM user of the order still exists"}
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Error(t, env.GetWorkflowError())
	require.NotNil(t, w.kept)
	w.kept.Kept = &provision.Assignment{Order: theOrder.OrderKey, Request: theOrder.Request,
		Account: provision.Account{ID: w.kept.AccountID}}
	return *w.kept
}

func setupRemoval(t *testing.T, undo activities.KeptUndo) (env *testsuite.TestWorkflowEnvironment, w *activityScript,
	removed *provision.LeftoversRemoved, verified *int) {
	t.Helper()
	env, w = setup(t)
	removed, verified = new(provision.LeftoversRemoved), new(int)
	env.RegisterWorkflowWithOptions(workflows.RemoveLeftovers, workflow.RegisterOptions{Name: workflows.RemoveLeftoversName})
	env.RegisterWorkflowWithOptions(func(workflow.Context) error { *verified++; return nil },
		workflow.RegisterOptions{Name: workflows.VerifyAccountsName})
	var a *activities.Activities
	env.OnActivity(a.OpenUndo, mock.Anything, mock.Anything).Return(func(_ context.Context,
		in provision.LeftoverRemoval) (activities.KeptUndo, error) {
		require.Equal(t, removal, in)
		return undo, w.did("OpenUndo")
	})
	env.OnActivity(a.EndRemoval, mock.Anything, mock.Anything).Return(func(_ context.Context, in provision.LeftoversRemoved) error {
		*removed = in
		return w.did("EndRemoval")
	})
	return env, w, removed, verified
}

func TestLeftoversAreRemovedByTheSameUndo(t *testing.T) {
	t.Parallel()
	undo := kept(t)
	env, w, removed, verified := setupRemoval(t, undo)
	env.ExecuteWorkflow(workflows.RemoveLeftoversName, removal)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"OpenUndo", "DisableSignIn", "RemoveUser", "RestoreContacts", "RestoreAlias", "RemoveReport",
		"CompareWithJournal", "EndRemoval"}, w.calls)
	require.Equal(t, theOrder.OrderKey, removed.Order)
	require.Equal(t, removal, removed.Removal)
	require.Empty(t, removed.Leftovers)
	require.Equal(t, "JANE ROE", w.restores[0].Written.FullName)
	require.WithinDuration(t, theOrder.AcceptedAt.Add(time.Hour), w.until[0], time.Minute)
	require.Equal(t, 1, *verified, "it becomes Ready by its verification")
}

func TestWhatCannotBeRemovedIsStillLeft(t *testing.T) {
	t.Parallel()
	env, w, removed, verified := setupRemoval(t, kept(t))
	w.fail["RemoveUser"] = refused(provision.CodePermissionMissing)
	w.left = []string{"the IAM user of the order still exists"}
	env.ExecuteWorkflow(workflows.RemoveLeftoversName, removal)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"the IAM user of the order still exists", "IAM user: refused for the test"}, removed.Leftovers)
	require.Zero(t, *verified)
}

// Without the journal, no one knows what the account was before the order.
func TestAnUndoWithoutItsJournal(t *testing.T) {
	t.Parallel()
	undo := kept(t)
	undo.Touched = true
	env, w, removed, _ := setupRemoval(t, undo)
	env.ExecuteWorkflow(workflows.RemoveLeftoversName, removal)
	require.NoError(t, env.GetWorkflowError())
	require.NotContains(t, w.calls, "RestoreAlias")
	require.Len(t, removed.Leftovers, 1)
}

func TestNothingIsKeptOfAnUndo(t *testing.T) {
	t.Parallel()
	env, w, _, _ := setupRemoval(t, activities.KeptUndo{})
	w.fail["OpenUndo"] = refused(provision.CodeOrderNotInProgress)
	env.ExecuteWorkflow(workflows.RemoveLeftoversName, removal)
	require.Equal(t, string(provision.CodeOrderNotInProgress), codeOf(t, env.GetWorkflowError()))
	require.Equal(t, []string{"OpenUndo"}, w.calls)
}
