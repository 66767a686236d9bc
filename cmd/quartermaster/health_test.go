package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestHealthSaysWhetherWorkersAreAlive(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	well := s.must("health")
	require.Regexp(t, `(?m)^database +ok `, well)
	require.Regexp(t, `(?m)^activity +2 +\S+Z +3$`, well)
	require.Regexp(t, `(?m)^reconcile +active +\S+Z +completed +-$`, well)
	require.Contains(t, s.must("health", "--json"), `"status":"ok"`)

	s.temporal.Workers = 0
	ill := s.run("health")
	require.ErrorContains(t, ill.err, "the service is failing")
	require.Equal(t, exitFailed, exitCode(ill.err))
	require.Regexp(t, `(?m)^workers +failing +No worker polls for .* no-workers$`, ill.out)
	require.Equal(t, "failing\n", s.run("health", "-q").out)
}

func TestHistoryShowsWhoDidWhat(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("o-1", provision.ActionRequired)
	s.must("orders", "retry", "o-1", "--reason=quota raised")
	s.must("pools", "update", "--marketplace=nordic", "--threshold=5")
	s.must("keys", "create", "--name=store", "--marketplace=nordic")
	all := s.must("history")
	require.Regexp(t, `(?m)^\S+Z +key \S+ +order +o-1 +retry .* quota raised$`, all)
	require.Regexp(t, `(?m)^\S+Z +key \S+ +pool +nordic/production +stock_threshold +- +5 +-$`, all)
	require.Regexp(t, `(?m)^\S+Z +key \S+ +access +\S+ +created `, all)
	require.Equal(t, itemsOf(t, s.get("/v1/history?kind=order")), s.must("history", "--kind=order", "--json"))
	require.NotContains(t, s.must("history", "--kind=pool", "--since=1h"), "o-1")
	require.Empty(t, s.must("history", "--until=1h", "-q"))
	file := s.must("history", "--kind=order", "--csv")
	require.True(t, strings.HasPrefix(file, "at,kind,actor,order_id,"), file)
	require.Equal(t, strings.TrimSpace(s.get("/v1/history/export?kind=order")), file)
	require.ErrorContains(t, s.run("history", "--csv", "--json").err, "can't be used together")
	require.Equal(t, exitRefused, exitCode(s.run("history", "--kind=weather").err))
}
