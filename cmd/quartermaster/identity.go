package main

import (
	"context"
	"log/slog"
	"time"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/postgres"
)

// identityRetry is how long a worker waits before it tries again to report its identity.
const identityRetry = time.Minute

// reportIdentity writes down as whom this worker calls AWS, so that the API can name that identity in the trust policies of roles. It
// tries until it succeeds or ctx ends.
func reportIdentity(ctx context.Context, cloud *awscloud.Cloud, processes postgres.Processes, log *slog.Logger) {
	for {
		arn, err := cloud.OwnIdentity(ctx)
		if err == nil {
			err = processes.ReportIdentity(ctx, arn)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		log.WarnContext(ctx, "could not report the worker's identity in AWS; trying again", "in", identityRetry, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(identityRetry):
		}
	}
}
