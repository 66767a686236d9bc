package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"quartermaster/workflows"
)

func actionOf(t *testing.T, action client.ScheduleAction) *client.ScheduleWorkflowAction {
	t.Helper()
	starts, ok := action.(*client.ScheduleWorkflowAction)
	require.True(t, ok, "%T", action)
	return starts
}

func TestEveryScheduleIsCreated(t *testing.T) {
	t.Parallel()
	schedules := mocks.NewScheduleClient(t)
	created := map[string]client.ScheduleOptions{}
	create := func(_ context.Context, options client.ScheduleOptions) (client.ScheduleHandle, error) {
		created[options.ID] = options
		return mocks.NewScheduleHandle(t), nil
	}
	schedules.On("Create", mock.Anything, mock.Anything).Return(create)
	require.NoError(t, workflows.EnsureSchedules(t.Context(), schedules))
	wanted := map[string]struct {
		workflow string
		every    time.Duration
	}{
		"reconcile":       {workflows.ReconcileName, 5 * time.Minute},
		"verify-accounts": {workflows.VerifyAccountsName, time.Minute},
		"watch-stock":     {workflows.WatchStockName, time.Minute},
		"sweep-webhooks":  {workflows.SweepWebhooksName, time.Minute},
	}
	require.Len(t, created, len(wanted))
	for id, want := range wanted {
		schedule := created[id]
		require.Equal(t, []client.ScheduleIntervalSpec{{Every: want.every}}, schedule.Spec.Intervals, id)
		require.Positive(t, schedule.Spec.Jitter, id)
		require.Equal(t, enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, schedule.Overlap, id)
		action := actionOf(t, schedule.Action)
		require.Equal(t, want.workflow, action.Workflow, id)
		require.Equal(t, workflows.TaskQueue, action.TaskQueue, id)
	}
}

func TestAnExistingScheduleIsUpdatedAndStaysPaused(t *testing.T) {
	t.Parallel()
	schedules, handle := mocks.NewScheduleClient(t), mocks.NewScheduleHandle(t)
	isReconcile := func(options client.ScheduleOptions) bool { return options.ID == "reconcile" }
	schedules.On("Create", mock.Anything, mock.MatchedBy(isReconcile)).Return(nil, temporal.ErrScheduleAlreadyRunning)
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
	require.ErrorContains(t, workflows.EnsureSchedules(t.Context(), broken), "schedule reconcile: no route")
}
