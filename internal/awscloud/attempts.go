package awscloud

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"
)

// readAttempts is how many times a read is sent before its failure is returned.
const readAttempts = 3

// IsRead reports whether the operation, judged by its name, only reads. Sending it again is harmless.
func IsRead(operation string) bool {
	for _, verb := range []string{"Get", "List", "Describe", "Head"} {
		if strings.HasPrefix(operation, verb) {
			return true
		}
	}
	return false
}

// newRetryer returns the SDK's standard retryer with three rules before its own:
//
//   - A call that was not sent because the role could not be assumed is not repeated: AssumeRole has its own retries.
//   - A write whose outcome is unknown is never sent again.
//   - A call that was rejected because the credentials had expired is sent again: it had no effect.
//
// The second rule is the important one. By default the SDK repeats a CreateUser whose reply was lost, and the caller sees
// only EntityAlreadyExists, as if the user were someone else's.
func newRetryer(longestDelay time.Duration) aws.Retryer {
	return retry.NewStandard(retries(longestDelay))
}

// adaptive returns the same retryer with a limit of attempts per second, which follows the answers of AWS: there is none until AWS
// throttles a call.
func adaptive(longestDelay time.Duration) aws.Retryer {
	return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
		o.StandardOptions = append(o.StandardOptions, retries(longestDelay))
	})
}

func retries(longestDelay time.Duration) func(*retry.StandardOptions) {
	return func(o *retry.StandardOptions) {
		o.MaxAttempts = readAttempts
		o.MaxBackoff = longestDelay
		o.Retryables = append([]retry.IsErrorRetryable{
			retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				_, isCredentials := errors.AsType[*credentialsError](err)
				_, isWrite := errors.AsType[*writeError](err)
				if isCredentials || isWrite {
					return aws.FalseTernary
				}
				return aws.UnknownTernary
			}),
			retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				if IsExpiredToken(err) {
					return aws.TrueTernary
				}
				return aws.UnknownTernary
			}),
		}, o.Retryables...)
	}
}

// writeError marks the failure of a call that changes something.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// attempts is the middleware around each attempt of each call in one session.
type attempts struct {
	credentials *roleCredentials
	pace        *pace
}

func (a *attempts) apiOptions() []func(*middleware.Stack) error {
	return []func(*middleware.Stack) error{func(stack *middleware.Stack) error {
		if err := stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("QuartermasterLease", underLease), middleware.After); err != nil {
			return err
		}
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("QuartermasterAttempt", a.handle), "Retry", middleware.After)
	}}
}

// handle paces the attempt, discards credentials that AWS rejects, so that the next attempt assumes the role again, and marks the
// failures of writes for the retryer.
func (a *attempts) handle(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	out middleware.FinalizeOutput, metadata middleware.Metadata, err error,
) {
	operation := awsmiddleware.GetOperationName(ctx)
	if err := a.pace.wait(ctx, awsmiddleware.GetServiceID(ctx), operation); err != nil {
		return out, metadata, err
	}
	out, metadata, err = next.HandleFinalize(ctx, in)
	switch {
	case err == nil:
		return out, metadata, nil
	case IsExpiredToken(err):
		a.credentials.Invalidate()
		return out, metadata, err
	case IsBadCredentials(err): // deleting and creating the role again ends its sessions
		a.credentials.Invalidate()
	}
	if !IsRead(operation) {
		return out, metadata, &writeError{err}
	}
	return out, metadata, err
}
