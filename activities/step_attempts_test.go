package activities

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// failedAttempts returns the failed attempts at a step and at its undo.
func (w *fixture) failedAttempts(step provision.Step) (failed []provision.FailedAttempt) {
	w.t.Helper()
	var text []byte
	require.NoError(w.t, w.store.SQL().Get(&text, `SELECT COALESCE(failed_attempts, '[]') FROM order_steps WHERE step = $1`, step))
	require.NoError(w.t, json.Unmarshal(text, &failed))
	return failed
}

func TestFailedAttemptsAreKeptWithAWSAnswer(t *testing.T) {
	t.Parallel()
	w, in := undoOfAlias(t)
	require.Empty(t, w.failedAttempts(provision.StepAlias), "no attempt has failed")
	w.forgetSteps()
	remove := w.sim.Inject(awssim.Fault{Operation: "ListAccountAliases", Kind: awssim.Throttle})
	_, err := once(w, 1, w.acts.SetAlias, in.Work)
	first := w.requireFailure(err, provision.CodeThrottled)
	remove()
	_, err = once(w, 2, w.acts.SetAlias, in.Work)
	require.NoError(t, err)
	remove = w.sim.Inject(awssim.Fault{Operation: "DeleteAccountAlias", Kind: awssim.Throttle})
	_, err = once(w, 1, w.acts.RestoreAlias, in)
	second := w.requireFailure(err, provision.CodeThrottled)
	remove()
	_, err = once(w, 2, w.acts.RestoreAlias, in)
	require.NoError(t, err)

	attempts := w.failedAttempts(provision.StepAlias)
	require.Len(t, attempts, 2)
	for i, failure := range []provision.Failure{first, second} {
		attempt := attempts[i]
		require.Equal(t, i+1, attempt.Number)
		require.Equal(t, failure.Explained(), attempt.Problem)
		require.Equal(t, failure.AWS(), attempt.AWS)
		require.NotEmpty(t, attempt.AWS.Code)
		require.NotEmpty(t, attempt.AWS.RequestID)
		require.True(t, attempt.Ended.After(attempt.Began))
	}
	require.Equal(t, "iam:ListAccountAliases", attempts[0].AWS.Operation)
	require.False(t, attempts[0].Undo)
	require.Equal(t, "iam:DeleteAccountAlias", attempts[1].AWS.Operation)
	require.True(t, attempts[1].Undo)
}
