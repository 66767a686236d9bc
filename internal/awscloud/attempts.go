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

// readAttempts is how often a read is sent before its failure is reported.
const readAttempts = 3

// IsRead tells from an operation's name whether it changes nothing, so that sending it again is harmless.
func IsRead(operation string) bool {
	for _, verb := range []string{"Get", "List", "Describe", "Head"} {
		if strings.HasPrefix(operation, verb) {
			return true
		}
	}
	return false
}

// newRetryer is the SDK's standard retryer with three rules before its own: a call that was not sent because the role could not
// be assumed is not repeated, because AssumeRole itself has been; a write whose outcome is unknown is never sent again; and
// credentials that expired are worth another attempt, because they were refused before anything happened.
//
// The second rule is the important one. Left alone the SDK repeats a CreateUser whose reply was lost, and the caller sees
// only EntityAlreadyExists, which looks like somebody else's user.
func newRetryer(longestDelay time.Duration) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = readAttempts
		o.MaxBackoff = longestDelay
		o.Retryables = append([]retry.IsErrorRetryable{
			retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				if errors.As(err, new(*credentialsError)) || errors.As(err, new(*writeError)) {
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
	})
}

// writeError marks the failure of a call that changes something.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// attempts is what happens around every single attempt of a call to one account.
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

// handle paces the attempt, drops credentials that AWS calls expired or does not know any more, so that the next attempt assumes
// the role anew, and marks the failures of writes for the retryer.
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
	case IsBadCredentials(err): // a role that is made anew ends its sessions
		a.credentials.Invalidate()
	}
	if !IsRead(operation) {
		return out, metadata, &writeError{err}
	}
	return out, metadata, err
}
