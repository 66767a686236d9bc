package workflows_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// sweep is a pool in which some accounts are due, as a script.
type sweep struct {
	mu      sync.Mutex
	due     []string
	down    map[string]bool // AWS does not answer for it
	judged  map[string]provision.VerificationResult
	running int
	most    int // at once
	batches int
	woken   []string // ids of workflows
}

func setupSweep(t *testing.T, due int) (*testsuite.TestWorkflowEnvironment, *sweep) {
	t.Helper()
	env := newEnvironment()
	s := &sweep{down: map[string]bool{}, judged: map[string]provision.VerificationResult{}}
	for i := range due {
		s.due = append(s.due, fmt.Sprintf("%012d", i))
	}
	var a *activities.Activities
	env.OnActivity(a.DueAccounts, mock.Anything, mock.Anything).Return(func(_ context.Context, limit int) ([]string, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.due[:min(limit, len(s.due))], nil
	})
	env.OnActivity(a.VerifyAccount, mock.Anything, mock.Anything).Return(func(_ context.Context, id string) (provision.VerificationResult,
		error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running++
		s.most = max(s.most, s.running)
		defer func() { s.running-- }()
		if s.down[id] {
			f := provision.Failure{Code: provision.CodeAWSUnavailable, Reason: "AWS did not answer"}
			return provision.VerificationResult{}, temporal.NewApplicationError(f.Error(), string(f.Code), f)
		}
		return provision.VerificationResult{AccountID: id}, nil
	})
	env.OnActivity(a.ApplyVerifications, mock.Anything, mock.Anything).Return(func(_ context.Context,
		results []provision.VerificationResult) (activities.Woken, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.batches++
		for _, r := range results {
			s.judged[r.AccountID] = r
		}
		s.due = s.due[len(results):]
		return activities.Woken{Orders: []provision.OrderKey{{Provider: "acme", ID: fmt.Sprintf("o-%d", s.batches)}}}, nil
	})
	env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, mock.Anything, workflows.SignalStock, mock.Anything).Return(
		func(_, workflowID, _, _ string, _ any) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.woken = append(s.woken, workflowID)
			return nil
		})
	return env, s
}

func TestEveryAccountThatIsDueIsVerified(t *testing.T) {
	t.Parallel()
	env, s := setupSweep(t, 50)
	env.ExecuteWorkflow(workflows.VerifyAccounts)
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, s.judged, 50)
	require.Equal(t, 3, s.batches)
	require.LessOrEqual(t, s.most, 4)
	require.ElementsMatch(t, []string{"order/acme/o-1", "order/acme/o-2", "order/acme/o-3"}, s.woken)
}

func TestAnAccountThatAWSDoesNotAnswerForIsInconclusive(t *testing.T) {
	t.Parallel()
	env, s := setupSweep(t, 3)
	s.down["000000000001"] = true
	env.ExecuteWorkflow(workflows.VerifyAccounts)
	require.NoError(t, env.GetWorkflowError())
	require.True(t, s.judged["000000000001"].Inconclusive)
	require.Equal(t, provision.CodeAWSUnavailable, s.judged["000000000001"].Failure.Code)
	require.False(t, s.judged["000000000002"].Inconclusive)
}

func TestAccountsThatCameDuringASweepAreVerifiedToo(t *testing.T) {
	t.Parallel()
	env, s := setupSweep(t, 1)
	env.RegisterDelayedCallback(func() {
		s.mu.Lock()
		s.due = append(s.due, "000000000007")
		s.mu.Unlock()
		env.SignalWorkflow(workflows.SignalAccountsDue, nil)
	}, 0)
	env.ExecuteWorkflow(workflows.VerifyAccounts)
	require.NoError(t, env.GetWorkflowError())
	require.Contains(t, s.judged, "000000000007")
}
