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
	"quartermaster/internal/audit"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

func setupAudit(t *testing.T, audited func() (audit.Report, error)) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	suite := new(testsuite.WorkflowTestSuite)
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflowWithOptions(workflows.AuditStock, workflow.RegisterOptions{Name: workflows.AuditStockName})
	var a *activities.Activities
	env.RegisterActivity(a)
	env.OnActivity(a.AuditStock, mock.Anything).Return(func(context.Context) (audit.Report, error) { return audited() })
	return env
}

func TestAnAuditShowsWhatItFoundAndDid(t *testing.T) {
	t.Parallel()
	stuck := audit.New(audit.KindOrderWithoutWorkflow, provision.OrderKey{Provider: "acme", ID: "o-1"}, "", time.Now().UTC(), "the order is waiting_for_account, but its workflow has closed as Terminated")
	stuck.Repaired = "its workflow was started again"
	raised := audit.New(audit.KindPasswordKept, provision.OrderKey{Provider: "acme", ID: "o-2"}, "000000000002", time.Now().UTC(), "the order is failed, but a password is kept")
	report := audit.Report{Repaired: 1, Raised: 1, Findings: []audit.Finding{stuck, raised}, More: 3}
	env := setupAudit(t, func() (audit.Report, error) { return report, nil })
	env.ExecuteWorkflow(workflows.AuditStockName)
	require.NoError(t, env.GetWorkflowError())
	var got audit.Report
	require.NoError(t, env.GetWorkflowResult(&got))
	require.Equal(t, report, got)

	shown := workflows.AuditDetails(report)
	require.Contains(t, shown, "**1 findings need somebody**, 1 were repaired.")
	require.Contains(t, shown, "order acme/o-1: the order is waiting_for_account")
	require.Contains(t, shown, "repaired: its workflow was started again")
	require.Contains(t, shown, "password_kept [broken] order acme/o-2 account 000000000002")
	require.Contains(t, shown, "and 3 more")
	require.Equal(t, "Nothing is stuck and nothing contradicts itself.", workflows.AuditDetails(audit.Report{}))
}

func TestAnAuditIsTriedAgainAndGivesUpBeforeTheNext(t *testing.T) {
	t.Parallel()
	tries := 0
	env := setupAudit(t, func() (audit.Report, error) {
		if tries++; tries < 3 {
			return audit.Report{}, errors.New("the database is down")
		}
		return audit.Report{}, nil
	})
	env.ExecuteWorkflow(workflows.AuditStockName)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, tries)

	env = setupAudit(t, func() (audit.Report, error) { return audit.Report{}, errors.New("the database is down") })
	started := env.Now()
	env.ExecuteWorkflow(workflows.AuditStockName)
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
		"audit-stock":     {workflows.AuditStockName, 5 * time.Minute},
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
	isAudit := func(options client.ScheduleOptions) bool { return options.ID == "audit-stock" }
	schedules.On("Create", mock.Anything, mock.MatchedBy(isAudit)).Return(nil, temporal.ErrScheduleAlreadyRunning)
	schedules.On("Create", mock.Anything, mock.Anything).Return(mocks.NewScheduleHandle(t), nil)
	schedules.On("GetHandle", mock.Anything, "audit-stock").Return(handle)
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
	require.Equal(t, workflows.AuditStockName, actionOf(t, updated.Schedule.Action).Workflow)
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
	for _, other := range []string{"audit-stock", "order/", "order/acme", "webhook/acme/o-1"} {
		_, ok := workflows.OrderKeyOf(other)
		require.False(t, ok, other)
	}
}
