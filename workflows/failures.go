package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/provision"
)

// failureOf returns the failure that an error carries, as people may read it.
func failureOf(err error) provision.Failure {
	var failure provision.Failure
	if by, ok := errors.AsType[*stopError](err); ok {
		return by.failure
	}
	if temporal.IsCanceledError(err) {
		return provision.Failure{Code: provision.CodeOrderCancelled, Reason: "the order was cancelled"}
	}
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok && app.HasDetails() && app.Details(&failure) == nil &&
		failure.Code != "" {
		return failure
	}
	return provision.Failure{Code: provision.CodeInternal, Reason: "an unexpected error; the workflow's history has the details"}
}

// isAccountFault reports whether an error makes the account unusable, so that the order goes on with another one.
func isAccountFault(err error) bool { return failureOf(err).Code.Kind() == provision.KindAccount }

// failed returns the error that carries a failure.
func failed(failure provision.Failure) error {
	return temporal.NewApplicationErrorWithOptions(failure.Error(), string(failure.Code), temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{failure}})
}

// refuse returns the error with which a validator refuses an update. The sender of the update may read the reason.
func refuse(code provision.Code, field, reason string) error {
	return failed(provision.Failure{Code: code, Field: field, Reason: reason})
}

// bare returns an error as a workflow may end with it: any wrapper of it would hide its type from Temporal.
func bare(err error) error {
	by, ok := errors.AsType[*stopError](err)
	switch {
	case !ok:
		return err
	case by.failure.Code == provision.CodeOrderCancelled:
		return temporal.NewCanceledError()
	}
	return failed(by.failure)
}

func waitedTooLong(patience time.Duration) error {
	return failed(provision.Failure{Code: provision.CodeWaitDeadlinePassed, Step: provision.StepClaim,
		Reason: fmt.Sprintf("the pool lets an order wait %s for an account, and none became Ready: "+
			"add accounts to the pool and place the order again under a new id", patience)})
}

func accountsExhausted(last error) error {
	f := failureOf(last)
	return failed(provision.Failure{Code: provision.CodeAccountsExhausted, Step: provision.StepInspect, AWSCode: f.AWSCode,
		AWSOperation: f.AWSOperation, RequestID: f.RequestID,
		Reason: fmt.Sprintf("%d accounts of the pool in a row were unusable; the last one: %s", maxAccounts, f.Reason)})
}

func noOneAnswered(failure provision.Failure, patience time.Duration) error {
	failure.Reason = "no one mended this within " + patience.String() + ": " + failure.Reason
	failure.Code = provision.CodeActionDeadlinePassed
	return failed(failure)
}
