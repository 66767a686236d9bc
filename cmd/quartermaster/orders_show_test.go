package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestOrdersAreFoundByOneTextAndByWhomTheyAsk(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("MP-1", provision.ActionRequired)
	s.order("MP-2", provision.Completed)
	s.order("X-3", provision.Cancelled)
	require.Equal(t, "MP-2\nMP-1", s.must("orders", "list", "--search=mp-", "-q"))
	require.Equal(t, "MP-1", s.must("orders", "list", "--search=0000-0050-0001", "-q"))
	require.Equal(t, "MP-1", s.must("orders", "list", "--asks=customer", "-q"))
	require.Empty(t, s.must("orders", "list", "--asks=operator", "-q"))
	require.Equal(t, "X-3\nMP-2", s.must("orders", "list", "--ended-after=1h", "-q"))
	require.Empty(t, s.must("orders", "list", "--ended-before=1h", "-q"))
	r := s.run("orders", "list", "--asks=me")
	require.ErrorContains(t, r.err, "--asks must be one of")
	require.Equal(t, exitUsage, exitCode(r.err))
	require.Contains(t, s.must("orders", "retry", "--asks=customer", "--reason=by phone", "--yes", "--json"), `"id":"MP-1"`)
}

func TestOrdersAreCountedByTheCommand(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("MP-1", provision.ActionRequired)
	s.order("MP-2", provision.Completed)
	s.order("MP-3", provision.Cancelled)
	counts := s.must("orders", "counts", "--ended-since=1h")
	for _, line := range []string{"action_required +1", "  ask the customer +1", "  ask an operator +0", "completed +1", "failed +0",
		"ended since \\S+Z +2", "all +3"} {
		require.Regexp(t, "(?m)^"+line+"$", counts)
	}
	require.Contains(t, s.must("orders", "counts", "--json"), `"all":{"count":3,"more":false}`)
}

func TestWhatAWSAnsweredIsShown(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("MP-1", provision.Provisioning)
	key, answer := provision.OrderKey{Provider: "acme", ID: "MP-1"}, &provision.AWSAnswer{Code: "Throttling", Operation: "iam:CreateUser",
		RequestID: "3f0c"}
	require.NoError(t, pgtest.Err(s.store.Steps.Begin(t.Context(), key, "000000500001", provision.StepUser, 1)))
	require.NoError(t, s.store.Steps.End(t.Context(), key, "000000500001", provision.StepUser, provision.AttemptEnd{
		State: provision.StepFailed, Problem: "Throttled: AWS throttles", AWS: answer, Took: 1500 * time.Millisecond}))
	_, _, err := s.store.Steps.BeginUndo(t.Context(), key, "000000500001", provision.StepUser, 0)
	require.NoError(t, err)
	require.NoError(t, s.store.Steps.End(t.Context(), key, "000000500001", provision.StepUser, provision.AttemptEnd{
		State: provision.StepUndoing, Problem: "AWSUnavailable: no answer"}))
	require.NoError(t, s.store.Orders.RequireAction(t.Context(), key, provision.Failure{Code: provision.CodePermissionMissing,
		Reason: "denied", AWSCode: answer.Code, AWSOperation: answer.Operation, RequestID: answer.RequestID}))
	shown := s.must("orders", "show", "MP-1")
	require.Regexp(t, `(?m)^asks +operator$`, shown)
	require.Regexp(t, `(?m)^AWS answered +Throttling to iam:CreateUser, request 3f0c$`, shown)
	require.Regexp(t, `(?m)^iam_user +000000500001 +1 +\S+Z +1.5s `+
		`+Throttling to iam:CreateUser, request 3f0c +Throttled: AWS throttles$`, shown)
	require.Regexp(t, `(?m)^undo of iam_user +000000500001 +2 +\S+Z +0s +- +AWSUnavailable: no answer$`, shown)
}

func TestManualStepsAreTickedByTheCommand(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("MP-1", provision.Completed)
	require.Regexp(t, `(?m)^by hand +2. Set the currency.$`, s.must("orders", "show", "MP-1"))
	ticked := s.must("orders", "tick", "MP-1", "2", "--reason=by phone")
	require.Regexp(t, `(?m)^by hand +2. Set the currency. \(done at \S+Z by key \S+\)$`, ticked)
	require.Regexp(t, `(?m)^\S+Z +key \S+ .* tick +by phone$`, s.must("orders", "history", "MP-1"))
	require.Regexp(t, `(?m)^by hand +2. Set the currency.$`, s.must("orders", "tick", "MP-1", "2", "--undo"))
	require.Equal(t, exitNotFound, exitCode(s.run("orders", "tick", "MP-1", "3").err))
	s.order("MP-2", provision.Accepted)
	require.Equal(t, exitRefused, exitCode(s.run("orders", "tick", "MP-2", "1").err))
}
