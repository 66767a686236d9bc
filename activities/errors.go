package activities

import (
	"cmp"
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
	return raise(failure, kind == provision.KindInput || kind == provision.KindAccount || kind == provision.KindPermission || kind == provision.KindOrder)
}

// raise makes the error that carries the failure through Temporal. A final one is not repeated.
func raise(failure provision.Failure, final bool) error {
	opts := temporal.ApplicationErrorOptions{NonRetryable: final, Details: []any{failure}}
	if failure.Code != provision.CodeInternal && failure.Code != provision.CodeAWSUnavailable {
		opts.Category = temporal.ApplicationErrorCategoryBenign // expected: an answer for somebody, not an alert; or report alerts
	}
	if failure.Code == provision.CodeThrottled {
		opts.NextRetryDelay = throttleDelay
	}
	return temporal.NewApplicationErrorWithOptions(failure.Error(), string(failure.Code), opts)
}

// patience is how long an answer of AWS must last before it is believed; 0: the first one counts, or none ever does.
func (t Timings) patience(failure provision.Failure) time.Duration {
	switch failure.Code {
	case provision.CodePermissionMissing:
		if failure.AWSCode != "" {
			return cmp.Or(t.DeniedFor, deniedFor)
		}
	case provision.CodeAWSRefused, provision.CodeNotYetVisible, provision.CodeAWSNotReady, provision.CodeAccountCannotBeReentered:
		return cmp.Or(t.RefusedFor, refusedFor)
	}
	return 0
}

// How long AWS may refuse a step before an operator is asked. A new permission takes up to minutes to hold everywhere.
// Source: IAM User Guide, "Changes that I make are not always immediately visible".
const (
	deniedFor  = 2 * time.Minute
	refusedFor = 10 * time.Minute
)

// tryAgain ends the reason of what is repeated without anybody's help.
const tryAgain = "; it is tried again by itself"

// believed is the failure for the operator, after AWS has given the same answer for so long.
func believed(failure provision.Failure, patience time.Duration) provision.Failure {
	if failure.Code.Kind() == provision.KindTransient {
		failure.Code = provision.CodeAWSRefused
	}
	reason, repeated := strings.CutSuffix(failure.Reason, tryAgain)
	if repeated {
		failure.Reason = fmt.Sprintf("%s, and has not for %s: look into the account, then retry the order, or take the next account", reason, patience)
	}
	return failure
}

// timeOver is the failure of an attempt whose time was over before AWS had answered, or shown everything.
func timeOver(err error, step provision.Step) provision.Failure {
	failure := provision.Failure{Code: provision.CodeAWSUnavailable, Step: step, Reason: "AWS has not shown what was written before the attempt's time was over" + tryAgain}
	if call := callName(err); call != "" {
		failure.Reason = "AWS did not answer " + call + " before the attempt's time was over" + tryAgain
	}
	return failure
}

// conclude is translate for the end of an activity: what nobody foresaw goes into the log, with all that may stand there. The
// texts of AWS may not, because they can quote the customer's input. That the database does not answer is said once a minute
// (Outages). An attempt that was stopped ends with the error of its context, and what it ran into then is no news.
func conclude(ctx context.Context, err error, at provision.Step) error {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	translated := translate(err, at)
	if translated == nil {
		return nil
	}
	switch failure, _ := failureOf(translated); failure.Code {
	case provision.CodeDatabaseUnavailable:
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
		f.Code, f.Reason = provision.CodeDatabaseUnavailable, "the database does not answer; orders wait, none is lost"
	case errors.Is(err, provision.ErrNotFound): // after a restore of the database: the row comes back
		f.Code, f.Reason = provision.CodeDatabaseUnavailable, "the order's row is missing in the database; the order waits until the reconciler has written it again"
	case awscloud.IsThrottled(err):
		f.Code, f.Reason = provision.CodeThrottled, "AWS asks for a slower pace ("+call+")"+tryAgain
	case awscloud.IsBadCredentials(err):
		f.Code, f.Reason = provision.CodeInternal, "AWS does not accept our own credentials ("+call+"): check the service's AWS configuration"
	case awscloud.IsAccountProblem(err):
		f.Code, f.Reason = provision.CodeAccountSuspended, "AWS does not serve the account ("+f.AWSCode+"): it is suspended, closed or not signed up"
	case awscloud.IsAssumeRole(err) && f.AWSCode != "" && !awscloud.IsAmbiguous(err) && !awscloud.IsExpiredToken(err):
		f.Code = provision.CodeAccountCannotBeEntered
		f.Reason = "the role cannot be assumed: the role, its trust policy or the external id is wrong, the service's own identity may not assume it, or the account is suspended"
		if at.Changes() {
			f.Code = provision.CodeAccountCannotBeReentered
			f.Reason = "the role could be assumed when the work began, and cannot be any more: look at the role, at its trust policy and at the service's own identity"
		}
	case awscloud.IsAccessDenied(err):
		f.Code, f.Reason = provision.CodePermissionMissing, denied(call, awscloud.DenyingPolicy(err))
	case awscloud.IsQuota(err):
		f.Code, f.Reason = provision.CodeQuotaReached, "a quota of the account is used up ("+call+"): have it raised or make room"
		switch {
		case awscloud.IsBucketQuota(err):
			f.Reason = "the account has as many S3 buckets as AWS allows (" + call + "): have the quota raised or delete buckets, then retry the order"
		case at == provision.StepReport:
			f.Code, f.Reason = provision.CodeReportQuotaReached, "the account has as many cost reports as AWS allows ("+call+"): delete one or order with an existing one"
		}
	case awscloud.IsPasswordPolicyViolation(err):
		f.Code, f.Reason = provision.CodePasswordRefused, "the account's password policy refuses the generated password: check the policy"
	case awscloud.IsAmbiguous(err):
		f.Code, f.Reason = provision.CodeAWSUnavailable, "AWS did not answer, or answered with an error of its own ("+call+")"+tryAgain
	case awscloud.IsConcurrentModification(err), awscloud.IsTemporarilyUnmodifiable(err), awscloud.IsDeleteConflict(err), awscloud.IsExpiredToken(err):
		f.Code, f.Reason = provision.CodeAWSNotReady, "AWS is not ready for "+call+" yet"+tryAgain
	case awscloud.IsNotFound(err), awscloud.IsAlreadyExists(err):
		// Answers, not failures: whoever asked looks again on the next attempt and decides by what is there then.
		f.Code, f.Reason = provision.CodeNotYetVisible, "AWS does not show the result of an earlier call yet ("+call+")"+tryAgain
	case awscloud.IsValidation(err):
		f.Code, f.Field, f.Reason = provision.CodeInputRefused, fieldOf[at], "AWS refuses the value ("+call+"): correct it"
	case f.AWSCode != "", awscloud.IsRefused(err): // a HEAD is refused without a code
		f.Code, f.Reason = provision.CodeAWSRefused, "AWS refuses "+call+" with an answer that is not foreseen"+tryAgain
	default:
		f.Code, f.Reason = provision.CodeInternal, "an unexpected error"
		if call != "" {
			f.Reason += " of " + call
		}
		f.Reason += "; the log has the details, and it is tried again by itself"
	}
	return f
}

// denied says which policy denies the call, as far as AWS tells, and so who can allow it.
func denied(call, policy string) string {
	switch policy {
	case awscloud.ServiceControlPolicy, awscloud.ResourceControlPolicy:
		return "a " + policy + " of the account's organization denies " + call + ": whoever manages the organization must allow it to the role"
	case awscloud.PermissionsBoundary:
		return "the permissions boundary of the role in the account does not allow " + call + ": widen the boundary, or take it away"
	case awscloud.ResourcePolicy, awscloud.EndpointPolicy, awscloud.SessionPolicy:
		return "a " + policy + " denies " + call + ": correct that policy"
	}
	return "the role in the account may not call " + call + ": compare its policy with the one that `quartermaster accounts role` prints"
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
	return &provision.Failure{Code: provision.CodeNotYetVisible, Reason: "AWS does not show " + what + " yet" + tryAgain}
}

// withCause adds AWS's code and request id to a failure: what AWS Support asks for.
func withCause(failure *provision.Failure, err error) *provision.Failure {
	failure.AWSCode, failure.RequestID = awscloud.Code(err), awscloud.RequestID(err)
	return failure
}
