package awscloud

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
)

// AWS counts AssumeRole against one limit for all workers. A worker whose calls are throttled sends fewer of them.
func TestAThrottledCallerSlowsDown(t *testing.T) {
	t.Parallel()
	retryer, ok := adaptive(time.Second).(aws.RetryerV2)
	require.True(t, ok)
	cannotWait, cancel := context.WithCancel(t.Context())
	cancel()
	call := func(answer error) error {
		release, err := retryer.GetAttemptToken(cannotWait)
		if err == nil {
			err = release(answer)
		}
		return err
	}
	for range 1000 {
		require.NoError(t, call(nil), "without a throttled call there is no limit")
	}
	require.NoError(t, call(&smithy.GenericAPIError{Code: "Throttling"}))
	require.Eventually(t, func() bool { return call(nil) != nil }, time.Minute, time.Nanosecond)
}
