package workflows_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// passwordScript is what the activities of IssuePassword do, as a script.
type passwordScript struct {
	calls   []string
	fail    map[string]error // by activity and id of the request; activities that have no entry succeed
	after   map[string]func()
	sent    []activities.SetPassword
	outcome map[string]provision.PasswordOutcome // that was recorded, by request
}

func (s *passwordScript) did(name, request string) error {
	call := name + " " + request
	s.calls = append(s.calls, call)
	if then := s.after[call]; then != nil {
		then()
	}
	return s.fail[call]
}

func setupPassword(t *testing.T) (*testsuite.TestWorkflowEnvironment, *passwordScript) {
	t.Helper()
	env := newEnvironment()
	s := &passwordScript{fail: map[string]error{}, after: map[string]func(){}, outcome: map[string]provision.PasswordOutcome{}}
	var a *activities.Activities
	env.OnActivity(a.BeginPassword, mock.Anything, mock.Anything).Return(func(_ context.Context,
		in activities.AskedPassword) (string, error) {
		return "000000000001", s.did("BeginPassword", in.Request.By.ID)
	})
	env.OnActivity(a.SetPassword, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.SetPassword) (struct{}, error) {
		s.sent = append(s.sent, in)
		return struct{}{}, s.did("SetPassword", in.Request.By.ID)
	})
	env.OnActivity(a.NotePassword, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.AskedPassword) error {
		return s.did("NotePassword", in.Request.By.ID)
	})
	env.OnActivity(a.EndPassword, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.EndedPassword) error {
		s.outcome[in.RequestID] = in.Outcome
		return s.did("EndPassword", in.RequestID)
	})
	return env, s
}

func wanted(id string) provision.PasswordRequest {
	return provision.PasswordRequest{By: provision.Intervention{Actor: "key 1", Reason: "lost", ID: id}}
}

// outcomeOf runs the workflow with a first request.
func outcomeOf(t *testing.T, env *testsuite.TestWorkflowEnvironment, first provision.PasswordRequest) (outcome provision.PasswordOutcome) {
	t.Helper()
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalPassword, first) }, 0)
	env.ExecuteWorkflow(workflows.IssuePassword, theOrder.OrderKey)
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	require.NoError(t, env.GetWorkflowResult(&outcome))
	return outcome
}

func TestANewPasswordIsSetAndRecorded(t *testing.T) {
	t.Parallel()
	env, s := setupPassword(t)
	require.Nil(t, outcomeOf(t, env, wanted("1")).Refused)
	require.Equal(t, []string{"BeginPassword 1", "SetPassword 1", "EndPassword 1"}, s.calls)
	require.Equal(t, activities.SetPassword{Work: activities.Work{Order: theOrder.OrderKey, AccountID: "000000000001"},
		Request: wanted("1")}, s.sent[0])
	require.Nil(t, s.outcome["1"].Refused)
}

// Requests that arrive while a password is being set get that password, and are recorded.
func TestRequestsAtTheSameTimeMakeOnePassword(t *testing.T) {
	t.Parallel()
	env, s := setupPassword(t)
	s.after["SetPassword 1"] = func() {
		env.SignalWorkflow(workflows.SignalPassword, wanted("2"))
		env.SignalWorkflow(workflows.SignalPassword, wanted("3"))
	}
	s.after["EndPassword 1"] = func() { env.SignalWorkflow(workflows.SignalPassword, wanted("4")) }
	require.Nil(t, outcomeOf(t, env, wanted("1")).Refused)
	require.Equal(t, []string{"BeginPassword 1", "SetPassword 1", "EndPassword 1", "NotePassword 2", "NotePassword 3", "NotePassword 4"},
		s.calls)
}

func TestARefusedPasswordIsRecordedWithItsReason(t *testing.T) {
	t.Parallel()
	for _, activity := range []string{"BeginPassword", "SetPassword"} {
		env, s := setupPassword(t)
		s.fail[activity+" 1"] = refused(provision.CodeSignInInUse)
		outcome := outcomeOf(t, env, wanted("1"))
		require.NotNil(t, outcome.Refused)
		require.Equal(t, provision.CodeSignInInUse, outcome.Refused.Code)
		require.Equal(t, outcome, s.outcome["1"])
		require.Equal(t, activity == "SetPassword", len(s.sent) == 1)
	}
}

// An operator who insists while another request is being refused is not refused with it.
func TestARequestThatInsistsIsLookedAtByItself(t *testing.T) {
	t.Parallel()
	env, s := setupPassword(t)
	s.fail["SetPassword 1"] = refused(provision.CodeSignInInUse)
	insists := wanted("2")
	insists.EvenIfUsed = true
	s.after["SetPassword 1"] = func() { env.SignalWorkflow(workflows.SignalPassword, insists) }
	require.Nil(t, outcomeOf(t, env, wanted("1")).Refused)
	require.Equal(t, []string{"BeginPassword 1", "SetPassword 1", "EndPassword 1", "BeginPassword 2", "SetPassword 2", "EndPassword 2"},
		s.calls)
	require.NotNil(t, s.outcome["1"].Refused)
	require.True(t, s.sent[1].Request.EvenIfUsed)
}

// A cancel in the Web UI leaves no request open.
func TestACancelledPasswordIsRefused(t *testing.T) {
	t.Parallel()
	env, s := setupPassword(t)
	f := provision.Failure{Code: provision.CodeAWSUnavailable, Reason: "AWS did not answer"}
	s.fail["SetPassword 1"] = temporal.NewApplicationError(f.Error(), string(f.Code), f)
	s.after["SetPassword 1"] = env.CancelWorkflow
	outcome := outcomeOf(t, env, wanted("1"))
	require.Equal(t, provision.CodeFailedByOperator, outcome.Refused.Code)
	require.Contains(t, outcome.Refused.Reason, "request it again")
	require.Equal(t, "EndPassword 1", s.calls[len(s.calls)-1])
	require.Equal(t, outcome, s.outcome["1"])
}
