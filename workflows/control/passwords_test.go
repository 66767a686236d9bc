package control

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// closed is the last event of a run that returned the outcome.
func (f *frontend) closed(t *testing.T, outcome provision.PasswordOutcome) []*historypb.HistoryEvent {
	t.Helper()
	result, err := f.data.ToPayloads(outcome)
	require.NoError(t, err)
	return []*historypb.HistoryEvent{{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
		Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{Result: result}}}}
}

func TestARequestForAPasswordIsASignalThatStartsItsWorkflow(t *testing.T) {
	t.Parallel()
	f, temporal := setupOrders(t)
	key := provision.OrderKey{Provider: "acme", ID: "MP-1"}
	request := provision.PasswordRequest{By: provision.Intervention{Actor: "key 1", Reason: "lost", ID: "1"}, EvenIfUsed: true}

	refused := provision.PasswordOutcome{Refused: &provision.Failure{Code: provision.CodeSignInInUse, Reason: "why"}}
	f.Change(func() { f.Histories["started"] = f.closed(t, refused) })
	outcome, ended, err := temporal.IssuePassword(t.Context(), key, request, 10*time.Second)
	require.NoError(t, err)
	require.True(t, ended)
	require.Equal(t, refused, outcome)

	sent := f.SignalsWithStart[0]
	require.Equal(t, "password/acme/MP-1", sent.WorkflowId)
	require.Equal(t, workflows.IssuePasswordName, sent.WorkflowType.Name)
	require.Equal(t, workflows.SignalPassword, sent.SignalName)
	require.Equal(t, workflows.TaskQueue, sent.TaskQueue.Name)
	var signal provision.PasswordRequest
	require.NoError(t, f.data.FromPayloads(sent.SignalInput, &signal))
	require.Equal(t, request, signal)
	require.NotContains(t, sent.String(), "lost", "the reason is sealed")

	f.Change(func() { delete(f.Histories, "started") })
	_, ended, err = temporal.IssuePassword(t.Context(), key, request, 50*time.Millisecond)
	require.NoError(t, err, "the request has arrived, and only its outcome is not known")
	require.False(t, ended)

	f.Change(func() { f.Fail = serviceerror.NewNamespaceNotFound("shop") })
	_, _, err = temporal.IssuePassword(t.Context(), key, request, 10*time.Second)
	require.ErrorIs(t, err, provision.ErrUnavailable)
}
