package stack_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"quartermaster/api/openapi"
	"quartermaster/workflows"
)

// The health of the running product: what the API reports about the real Temporal, its workers and its schedules.
func TestHealthOfTheRunningProduct(t *testing.T) {
	ctx := setup(t)
	trigger := client.ScheduleTriggerOptions{}
	require.Eventually(t, func() bool { // the worker creates the schedules a moment after its start
		return playground.Workflow.ScheduleClient().GetHandle(ctx, workflows.ReconcileID).Trigger(ctx, trigger) == nil
	}, time.Minute, 200*time.Millisecond)
	var health openapi.Health
	checks := map[string]openapi.HealthCheck{}
	require.Eventually(t, func() bool {
		if _, err := playground.Client.Do(ctx, http.MethodGet, "/v1/health", nil, &health); err != nil {
			return false
		}
		for _, check := range health.Checks {
			checks[check.Name] = check
		}
		return strings.HasPrefix(checks["reconcile"].Message, "The reconciler found") && checks["schedules"].Status == "ok"
	}, time.Minute, 200*time.Millisecond, "%+v", &health)
	for _, name := range []string{"database", "schema", "temporal", "workers", "schedules"} {
		require.Equal(t, "ok", checks[name].Status, checks[name].Message)
	}
	require.Len(t, health.Workers, 2)
	for _, workers := range health.Workers {
		require.Positive(t, workers.Count)
		require.WithinDuration(t, time.Now(), *workers.SeenAt, 2*time.Minute)
	}
	require.Len(t, health.Schedules, len(workflows.ScheduleIDs()))
	for _, schedule := range health.Schedules {
		require.True(t, schedule.Exists, schedule.ID)
		require.NotNil(t, schedule.NextRunAt, schedule.ID)
	}
}
