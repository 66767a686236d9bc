package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a row of options must hold so that an outage of ours fails no order and fills no history.
func TestOurOwnTroubleHasNoLimit(t *testing.T) {
	t.Parallel()
	require.Zero(t, patient.ScheduleToCloseTimeout)
	require.Zero(t, patient.ScheduleToStartTimeout)
	require.Zero(t, patient.RetryPolicy.MaximumAttempts)
	require.Empty(t, patient.RetryPolicy.NonRetryableErrorTypes)
	require.LessOrEqual(t, patient.RetryPolicy.MaximumInterval, time.Minute, "orders go on soon after the outage")

	const workflowTask = 10 * time.Second // Temporal's default
	require.Less(t, database.ScheduleToCloseTimeout, workflowTask*8/10, "a longer one adds workflow tasks to the history while it lasts")
}
