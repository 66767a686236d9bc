package worker

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// All parallel steps of an order begin without a further call to Temporal, and enough calls wait for tasks.
func TestAWorkerTakesAllParallelStepsAtOnce(t *testing.T) {
	t.Parallel()
	options := Options(nil, nil)
	require.Equal(t, 4, *options.MaxEagerActivityReservationsPerWorkflowTask)
	require.False(t, options.DisableEagerActivities)
	require.Zero(t, options.TaskQueueActivitiesPerSecond, "a limit would switch eager activities off")
	require.Equal(t, 10, options.MaxConcurrentActivityTaskPollers)
	require.Equal(t, 10, options.MaxConcurrentWorkflowTaskPollers)
}
