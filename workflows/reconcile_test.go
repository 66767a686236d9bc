package workflows_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/workflows"
)

func setupReconcile(t *testing.T, audited func() (reconcile.Report, error)) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	suite := new(testsuite.WorkflowTestSuite)
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflowWithOptions(workflows.Reconcile, workflow.RegisterOptions{Name: workflows.ReconcileName})
	var a *activities.Activities
	env.RegisterActivity(a)
	env.OnActivity(a.Reconcile, mock.Anything).Return(func(context.Context) (reconcile.Report, error) { return audited() })
	return env
}

func TestAnAuditShowsWhatItFoundAndDid(t *testing.T) {
	t.Parallel()
	stuck := reconcile.New(reconcile.KindOrderWithoutWorkflow, provision.OrderKey{Provider: "acme", ID: "o-1"}, "", time.Now().UTC(), "the order is waiting_for_account, but its workflow has closed as Terminated")
	stuck.Repaired = "its workflow was started again"
	raised := reconcile.New(reconcile.KindPasswordKept, provision.OrderKey{Provider: "acme", ID: "o-2"}, "000000000002", time.Now().UTC(), "the order is failed, but a password is kept")
	report := reconcile.Report{Repaired: 1, Raised: 1, Findings: []reconcile.Finding{stuck, raised}, More: 3}
	env := setupReconcile(t, func() (reconcile.Report, error) { return report, nil })
	env.ExecuteWorkflow(workflows.ReconcileName)
	require.NoError(t, env.GetWorkflowError())
	var got reconcile.Report
	require.NoError(t, env.GetWorkflowResult(&got))
	require.Equal(t, report, got)

	shown := workflows.ReconcileDetails(report)
	require.Contains(t, shown, "**1 findings need somebody**, 1 were repaired.")
	require.Contains(t, shown, "order acme/o-1: the order is waiting_for_account")
	require.Contains(t, shown, "repaired: its workflow was started again")
	require.Contains(t, shown, "password_kept [broken] order acme/o-2 account 000000000002")
	require.Contains(t, shown, "and 3 more")
	require.Equal(t, "Nothing is stuck and nothing contradicts itself.", workflows.ReconcileDetails(reconcile.Report{}))
}

func TestAnAuditIsTriedAgainAndGivesUpBeforeTheNext(t *testing.T) {
	t.Parallel()
	tries := 0
	env := setupReconcile(t, func() (reconcile.Report, error) {
		if tries++; tries < 3 {
			return reconcile.Report{}, errors.New("the database is down")
		}
		return reconcile.Report{}, nil
	})
	env.ExecuteWorkflow(workflows.ReconcileName)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, tries)

	env = setupReconcile(t, func() (reconcile.Report, error) { return reconcile.Report{}, errors.New("the database is down") })
	started := env.Now()
	env.ExecuteWorkflow(workflows.ReconcileName)
	require.Error(t, env.GetWorkflowError(), "the Web UI shows it red")
	require.LessOrEqual(t, env.Now().Sub(started), 5*time.Minute)
}

func actionOf(t *testing.T, action client.ScheduleAction) *client.ScheduleWorkflowAction {
	t.Helper()
	starts, ok := action.(*client.ScheduleWorkflowAction)
	require.True(t, ok, "%T", action)
	return starts
}

func TestEverySweepIsScheduled(t *testing.T) {
	t.Parallel()
	schedules := mocks.NewScheduleClient(t)
	made := map[string]client.ScheduleOptions{}
	remember := func(_ context.Context, options client.ScheduleOptions) (client.ScheduleHandle, error) {
		made[options.ID] = options
		return mocks.NewScheduleHandle(t), nil
	}
	schedules.On("Create", mock.Anything, mock.Anything).Return(remember)
	require.NoError(t, workflows.EnsureSchedules(t.Context(), schedules))
	wanted := map[string]struct {
		workflow string
		every    time.Duration
	}{
		"reconcile":       {workflows.ReconcileName, 5 * time.Minute},
		"verify-accounts": {workflows.VerifyAccountsName, time.Minute},
		"watch-stock":     {workflows.WatchStockName, time.Minute},
		"webhooks":        {workflows.SweepWebhooksName, time.Minute},
	}
	require.Len(t, made, len(wanted))
	for id, want := range wanted {
		schedule := made[id]
		require.Equal(t, []client.ScheduleIntervalSpec{{Every: want.every}}, schedule.Spec.Intervals, id)
		require.Positive(t, schedule.Spec.Jitter, id)
		require.Equal(t, enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, schedule.Overlap, id)
		action := actionOf(t, schedule.Action)
		require.Equal(t, want.workflow, action.Workflow, id)
		require.Equal(t, workflows.TaskQueue, action.TaskQueue, id)
	}
}

func TestAScheduleThatIsThereIsBroughtUpToDateAndStaysPaused(t *testing.T) {
	t.Parallel()
	schedules, handle := mocks.NewScheduleClient(t), mocks.NewScheduleHandle(t)
	isAudit := func(options client.ScheduleOptions) bool { return options.ID == "reconcile" }
	schedules.On("Create", mock.Anything, mock.MatchedBy(isAudit)).Return(nil, temporal.ErrScheduleAlreadyRunning)
	schedules.On("Create", mock.Anything, mock.Anything).Return(mocks.NewScheduleHandle(t), nil)
	schedules.On("GetHandle", mock.Anything, "reconcile").Return(handle)
	var updated *client.ScheduleUpdate
	handle.On("Update", mock.Anything, mock.Anything).Return(func(_ context.Context, options client.ScheduleUpdateOptions) (err error) {
		updated, err = options.DoUpdate(client.ScheduleUpdateInput{Description: client.ScheduleDescription{Schedule: client.Schedule{
			Spec:   &client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Hour}}},
			Policy: &client.SchedulePolicies{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL},
			Action: &client.ScheduleWorkflowAction{Workflow: "AnOlderName"},
			State:  &client.ScheduleState{Paused: true, Note: "maintenance"},
		}}})
		return err
	}).Once()
	require.NoError(t, workflows.EnsureSchedules(t.Context(), schedules))
	require.Equal(t, 5*time.Minute, updated.Schedule.Spec.Intervals[0].Every)
	require.Equal(t, enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, updated.Schedule.Policy.Overlap)
	require.Equal(t, workflows.ReconcileName, actionOf(t, updated.Schedule.Action).Workflow)
	require.Equal(t, &client.ScheduleState{Paused: true, Note: "maintenance"}, updated.Schedule.State)

	broken := mocks.NewScheduleClient(t)
	broken.On("Create", mock.Anything, mock.Anything).Return(nil, errors.New("no route"))
	require.ErrorContains(t, workflows.EnsureSchedules(t.Context(), broken), "schedule audit-stock: no route")
}

func TestTheOrderOfAWorkflow(t *testing.T) {
	t.Parallel()
	order := provision.OrderKey{Provider: "acme", ID: "a:b.c"}
	got, ok := workflows.OrderKeyOf(workflows.OrderWorkflowID(order))
	require.True(t, ok)
	require.Equal(t, order, got)
	for _, other := range []string{"reconcile", "order/", "order/acme", "webhook/acme/o-1"} {
		_, ok := workflows.OrderKeyOf(other)
		require.False(t, ok, other)
	}
}
