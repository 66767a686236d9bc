package control

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	schedulepb "go.temporal.io/api/schedule/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"quartermaster/internal/provision"
	"quartermaster/internal/reconcile"
	"quartermaster/workflows"
)

// scheduled describes a schedule that has started these workflows, oldest first, a minute apart; the newest at that time.
func scheduled(at time.Time, paused bool, started ...string) *workflowservice.DescribeScheduleResponse {
	info := &schedulepb.ScheduleInfo{CreateTime: timestamppb.New(at.Add(-time.Hour)),
		FutureActionTimes: []*timestamppb.Timestamp{timestamppb.New(at.Add(5 * time.Minute))}}
	for i, id := range started {
		began := timestamppb.New(at.Add(-time.Duration(len(started)-1-i) * time.Minute))
		info.RecentActions = append(info.RecentActions, &schedulepb.ScheduleActionResult{ScheduleTime: began, ActualTime: began,
			StartWorkflowResult: &commonpb.WorkflowExecution{WorkflowId: id, RunId: "run-of-" + id}})
	}
	return &workflowservice.DescribeScheduleResponse{
		Schedule: &schedulepb.Schedule{
			Spec:  &schedulepb.ScheduleSpec{Interval: []*schedulepb.IntervalSpec{{Interval: durationpb.New(5 * time.Minute)}}},
			State: &schedulepb.ScheduleState{Paused: paused},
			Action: &schedulepb.ScheduleAction{Action: &schedulepb.ScheduleAction_StartWorkflow{
				StartWorkflow: &workflowpb.NewWorkflowExecutionInfo{WorkflowId: "x", WorkflowType: &commonpb.WorkflowType{Name: "X"},
					TaskQueue: &taskqueuepb.TaskQueue{Name: workflows.TaskQueue}},
			}},
		},
		Info: info,
	}
}

func TestSchedulesAreReportedAsTheyAre(t *testing.T) {
	t.Parallel()
	f, temporal := setup(t)
	at := time.Now().UTC().Truncate(time.Second)
	f.Schedules = map[string]*workflowservice.DescribeScheduleResponse{
		workflows.ReconcileID:      scheduled(at, false, "reconcile-1", "reconcile-2"),
		workflows.VerifyAccountsID: scheduled(at, true, "verify-1"),
		workflows.WatchStockID:     scheduled(at, false),
	}
	f.AddRun("reconcile-2", "run-of-reconcile-2", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	f.AddRun("verify-1", "run-of-verify-1", enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT)
	states, err := temporal.Schedules(t.Context())
	require.NoError(t, err)
	created, next := at.Add(-time.Hour), at.Add(5*time.Minute)
	is := func(id, result string, paused bool, ran *time.Time) provision.ScheduleState {
		return provision.ScheduleState{ID: id, Exists: true, Paused: paused, Every: 5 * time.Minute, CreatedAt: &created, LastRun: ran,
			NextRun: &next, LastResult: result}
	}
	require.Equal(t, []provision.ScheduleState{
		is(workflows.ReconcileID, provision.RunRunning, false, &at),
		is(workflows.VerifyAccountsID, "timed_out", true, &at),
		is(workflows.WatchStockID, "", false, nil),
		{ID: workflows.SweepWebhooksID},
	}, states)

	f.Change(func() { f.Fail = serviceerror.NewUnavailable("down") })
	_, err = temporal.Schedules(t.Context())
	require.Error(t, err)
}

func TestTheLastReconciliationIsTheNewestThatCompleted(t *testing.T) {
	t.Parallel()
	f, temporal := setup(t)
	last, err := temporal.LastReconciliation(t.Context())
	require.NoError(t, err)
	require.Nil(t, last, "there is no schedule")

	at := time.Now().UTC().Truncate(time.Second)
	f.Schedules = map[string]*workflowservice.DescribeScheduleResponse{
		workflows.ReconcileID: scheduled(at, false, "reconcile-1", "reconcile-2", "reconcile-3", "reconcile-4"),
	}
	f.AddRun("reconcile-3", "run-of-reconcile-3", enumspb.WORKFLOW_EXECUTION_STATUS_FAILED)
	f.AddRun("reconcile-4", "run-of-reconcile-4", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	last, err = temporal.LastReconciliation(t.Context())
	require.NoError(t, err)
	require.Nil(t, last, "Temporal has forgotten the runs that may have completed")

	f.AddRun("reconcile-2", "run-of-reconcile-2", enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED)
	report, err := converter.GetDefaultDataConverter().ToPayloads(reconcile.Report{At: at, Repaired: 1, Raised: 2})
	require.NoError(t, err)
	f.Histories["run-of-reconcile-2"] = []*historypb.HistoryEvent{{
		EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
		Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{Result: report},
		},
	}}
	last, err = temporal.LastReconciliation(t.Context())
	require.NoError(t, err)
	require.Equal(t, &provision.Reconciliation{At: at, Repaired: 1, Raised: 2}, last)
}
