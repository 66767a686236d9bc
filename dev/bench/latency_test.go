package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

func TestTheCriticalPathIsTheLongestChainOfDifferentCalls(t *testing.T) {
	t.Parallel()
	began := time.Now()
	call := func(ms int, service, operation string) awssim.Request {
		return awssim.Request{Time: began.Add(time.Duration(ms) * time.Millisecond), Service: service, Operation: operation}
	}
	path := longestPath([]awssim.Request{
		call(0, "sts", "AssumeRole"),                 // until 60
		call(70, "iam", "CreateUser"),                // until 220
		call(70, "cur", "DescribeReportDefinitions"), // at the same time, until 470
		call(230, "iam", "GetUser"),                  // until 380
		call(1000, "iam", "GetUser"),                 // the same again, after a pause
		call(1200, "s3", "CreateBucket"),             // until 1280
	})
	require.Equal(t, 540*time.Millisecond, path.took())
	require.Equal(t, "3 calls: AssumeRole DescribeReportDefinitions CreateBucket", path.String())
}
