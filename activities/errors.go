package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// throttleDelay is how long a throttled attempt waits before the next one: AWS's buckets are full again by then.
const throttleDelay = 5 * time.Second

// translate is the only place that decides what is retried. It turns whatever an activity ran into, an error of AWS, a
// *provision.Failure or an error of the store, into an application error that carries the failure. A cancel is passed on
// as it is. Neither the message nor the failure's reason holds data of the customer: texts of AWS never get through.
func translate(err error, at provision.Step) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || temporal.IsCanceledError(err) {
		return err
	}
	if _, done := errors.AsType[*temporal.ApplicationError](err); done {
		return err
	}
	failure := classify(err, at)
	if failure.Step == "" {
		failure.Step = at
	}
	kind := failure.Code.Kind()
	opts := temporal.ApplicationErrorOptions{
		NonRetryable: kind == provision.KindInput || kind == provision.KindAccount || kind == provision.KindPermission || kind == provision.KindOrder,
		Details:      []any{failure},
	}
	if failure.Code != provision.CodeInternal && failure.Code != provision.CodeUnavailable {
		opts.Category = temporal.ApplicationErrorCategoryBenign // expected: an answer for somebody, not an alert; or report alerts
	}
	if failure.Code == provision.CodeThrottled {
		opts.NextRetryDelay = throttleDelay
	}
	return temporal.NewApplicationErrorWithOptions(failure.Error(), string(failure.Code), opts)
}

// report is translate for the end of an activity: what nobody foresaw goes into the log, with all that may stand there. The
// texts of AWS may not, because they can quote the customer's input. That the database does not answer is said once a minute
// (Outages). An attempt that was stopped ends with the error of its context, and what it ran into then is no news.
func report(ctx context.Context, err error, at provision.Step) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	translated := translate(err, at)
	if translated == nil {
		return nil
	}
	switch failure, _ := failureOf(translated); failure.Code {
	case provision.CodeDatabase:
		sayOutage(ctx, failure.Reason, "step", at, "error", err.Error())
	case provision.CodeInternal:
		details := []any{"step", at, "error", err.Error()}
		if awscloud.Code(err) != "" {
			details = []any{"step", at, "call", callName(err), "aws_code", awscloud.Code(err), "aws_request_id", awscloud.RequestID(err)}
		}
		activity.GetLogger(ctx).Error("an unexpected error; it is tried again", details...)
	}
	return translated
}

// stopped is the error of an attempt that was stopped, in the form that the SDK does not log as a failure. Where the reason is
// a cancel, the SDK finds it inside and reports a cancel; otherwise the attempt is repeated.
func stopped(why error) error {
	failure := provision.Failure{Code: provision.CodeAttemptEnded, Reason: "the attempt was stopped: " + why.Error()}
	return temporal.NewApplicationErrorWithOptions(failure.Error(), string(failure.Code),
		temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign, Details: []any{failure}, Cause: context.Canceled})
}

// failureOf is what translate put into the error, and whether it is final.
func failureOf(err error) (failure provision.Failure, final bool) {
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok || !app.HasDetails() || app.Details(&failure) != nil {
		return provision.Failure{Code: provision.CodeInternal, Reason: "an unexpected error; the log has the details"}, false
	}
	return failure, app.NonRetryable()
}

// classify is the table of what can go wrong: which error means what, and so who can help. Sources: the errors of each
// operation in AWS's API models, and the AWS documentation on error handling of each service.
func classify(err error, at provision.Step) provision.Failure {
	if failure, ok := errors.AsType[*provision.Failure](err); ok {
		return *failure
	}
	if wrong, ok := errors.AsType[*awscloud.IdentityError](err); ok {
		return provision.Failure{Code: provision.CodeWrongAccount,
			Reason: fmt.Sprintf("the role of account %s leads into account %s: correct the role of the account", wrong.Want, wrong.Got)}
	}
	f := provision.Failure{AWSCode: awscloud.Code(err), RequestID: awscloud.RequestID(err)}
	call := callName(err)
	switch {
	case errors.Is(err, awscloud.ErrLeaseExpired):
		f.Code = provision.CodeAttemptEnded
		f.Reason = "the attempt was paused, or did not reach Temporal, for so long that another one may be at work: it changes nothing any more"
	case errors.Is(err, provision.ErrUnavailable), errors.Is(err, context.DeadlineExceeded) && call == "":
		f.Code, f.Reason = provision.CodeDatabase, "the database does not answer; orders wait, none is lost"
	case errors.Is(err, provision.ErrNotFound): // after a restore of the database: the row comes back
		f.Code, f.Reason = provision.CodeDatabase, "the order's row is missing in the database; the order waits until the reconciler has written it again"
	case awscloud.IsThrottled(err):
		f.Code, f.Reason = provision.CodeThrottled, "AWS asks for a slower pace ("+call+"); it is tried again by itself"
	case awscloud.IsBadCredentials(err):
		f.Code, f.Reason = provision.CodeInternal, "AWS does not accept our own credentials ("+call+"): check the service's AWS configuration"
	case awscloud.IsAccountProblem(err):
		f.Code, f.Reason = provision.CodeAccountSuspended, "AWS does not serve the account ("+f.AWSCode+"): it is suspended, closed or not signed up"
	case awscloud.IsAssumeRole(err) && (awscloud.IsAccessDenied(err) || awscloud.IsValidation(err)):
		f.Code = provision.CodeCannotEnter
		f.Reason = "the role cannot be assumed: the role, its trust policy or the external id is wrong, or the account is suspended"
	case awscloud.IsAccessDenied(err):
		f.Code, f.Reason = provision.CodePermissionMissing, "the role in the account may not call "+call+": compare its policy with the one we ship"
	case awscloud.IsQuota(err):
		f.Code, f.Reason = provision.CodeQuotaReached, "a quota of the account is used up ("+call+"): have it raised or make room"
		if at == provision.StepReport {
			f.Code, f.Reason = provision.CodeReportQuota, "the account has as many cost reports as AWS allows ("+call+"): delete one or order with an existing one"
		}
	case awscloud.IsPasswordPolicyViolation(err):
		f.Code, f.Reason = provision.CodePasswordRefused, "the account's password policy refuses the generated password: check the policy"
	case awscloud.IsAmbiguous(err):
		f.Code, f.Reason = provision.CodeUnavailable, "AWS did not answer, or answered with an error of its own ("+call+"); it is tried again by itself"
	case awscloud.IsConcurrentModification(err), awscloud.IsTemporarilyUnmodifiable(err), awscloud.IsDeleteConflict(err), awscloud.IsExpiredToken(err):
		f.Code, f.Reason = provision.CodeUnavailable, "AWS is not ready for "+call+" yet; it is tried again by itself"
	case awscloud.IsNotFound(err), awscloud.IsAlreadyExists(err):
		// Answers, not failures: whoever asked looks again on the next attempt and decides by what is there then.
		f.Code, f.Reason = provision.CodeNotYetVisible, "AWS does not show the result of an earlier call yet ("+call+"); it is tried again by itself"
	case awscloud.IsValidation(err):
		f.Code, f.Field, f.Reason = provision.CodeInputRefused, fieldOf[at], "AWS refuses the value ("+call+"): correct it"
	default:
		f.Code, f.Reason = provision.CodeInternal, "an unexpected error"
		if call != "" {
			f.Reason += " of " + call
		}
		f.Reason += "; the log has the details, and it is tried again by itself"
	}
	return f
}

// fieldOf is the field of the order that a step writes to AWS and that may be corrected although the step has begun. The user and
// the report may stand already under what was ordered first, so their later refusals are for an operator.
var fieldOf = map[provision.Step]string{
	provision.StepContacts: "aws_contact_name",
	provision.StepAlias:    "aws_account_alias",
}

// callName is the failed call the way a policy writes it, such as iam:CreateUser.
func callName(err error) string {
	service, operation := awscloud.Operation(err)
	if operation == "" {
		return ""
	}
	prefix := map[string]string{
		"Cost and Usage Report Service": "cur",
		"BCM Data Exports":              "bcm-data-exports",
	}[service]
	if prefix == "" {
		prefix = strings.ToLower(service)
	}
	return prefix + ":" + operation
}

// notYet says that something that was written cannot be read back yet; the next attempt looks again.
func notYet(what string) error {
	return &provision.Failure{Code: provision.CodeNotYetVisible, Reason: "AWS does not show " + what + " yet; it is tried again by itself"}
}

// withCause adds AWS's code and request id to a failure: what AWS Support asks for.
func withCause(failure *provision.Failure, err error) *provision.Failure {
	failure.AWSCode, failure.RequestID = awscloud.Code(err), awscloud.RequestID(err)
	return failure
}
