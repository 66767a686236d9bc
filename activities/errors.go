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

// throttleDelay is the pause after a throttled attempt. AWS's token buckets are full again by then.
const throttleDelay = 5 * time.Second

// translate turns the error of an activity (from AWS or the database, or a *provision.Failure) into an application error that
// carries a provision.Failure, and decides whether Temporal retries it. It returns a cancel unchanged. Neither the message nor the
// failure's reason contains data of the customer, so AWS's messages are never copied.
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
	return raise(failure, kind == provision.KindInput || kind == provision.KindAccount || kind == provision.KindPermission ||
		kind == provision.KindOrder)
}

// raise returns the application error that carries the failure. Temporal does not retry a final one.
func raise(failure provision.Failure, final bool) error {
	opts := temporal.ApplicationErrorOptions{NonRetryable: final, Details: []any{failure}}
	if failure.Code != provision.CodeInternal && failure.Code != provision.CodeAWSUnavailable {
		opts.Category = temporal.ApplicationErrorCategoryBenign // expected: the order shows it, or conclude has logged it
	}
	if failure.Code == provision.CodeThrottled {
		opts.NextRetryDelay = throttleDelay
	}
	return temporal.NewApplicationErrorWithOptions(failure.Error(), string(failure.Code), opts)
}

// patience returns how long AWS must repeat an answer before it becomes final. With 0 the answer is final at once or never, as
// translate has decided.
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

// The defaults of Timings.DeniedFor and Timings.RefusedFor. A new permission can take minutes to be in effect everywhere.
// Source: IAM User Guide, "Changes that I make are not always immediately visible".
const (
	deniedFor  = 2 * time.Minute
	refusedFor = 10 * time.Minute
)

// tryAgain ends the reason of a failure that is retried automatically.
const tryAgain = "; Quartermaster retries automatically"

// believed returns the failure for the operator, after AWS has repeated the answer for the time of patience.
func believed(failure provision.Failure, patience time.Duration) provision.Failure {
	if failure.Code.Kind() == provision.KindTransient {
		failure.Code = provision.CodeAWSRefused
	}
	reason, repeated := strings.CutSuffix(failure.Reason, tryAgain)
	if repeated {
		failure.Reason = fmt.Sprintf("%s, and this has lasted for %s: check the account, then %s", reason, patience, again(failure.Step))
	}
	return failure
}

// again is what repeats the step after someone has mended what was wrong.
func again(at provision.Step) string {
	if at == provision.StepNewPassword {
		return "request the new password again"
	}
	return "retry the order, or swap the account"
}

// timeOver returns the failure of an attempt that reached its timeout before AWS had answered or had shown what was written.
func timeOver(err error, step provision.Step) provision.Failure {
	failure := provision.Failure{Code: provision.CodeAWSUnavailable, Step: step,
		Reason: "AWS has not shown what was written before the timeout of the attempt" + tryAgain}
	if call := callName(err); call != "" {
		failure.Reason = "AWS did not answer " + call + " before the timeout of the attempt" + tryAgain
	}
	return failure
}

// conclude returns the error of an activity, translated. It logs unexpected errors, but without AWS's messages, which can quote the
// customer's input. It logs an outage of the database once a minute (Outages). If the attempt was stopped, conclude returns
// the error of its context.
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
		logOutage(ctx, failure.Reason, "step", at, "error", err.Error())
	case provision.CodeInternal:
		details := []any{"step", at, "error", err.Error()}
		if awscloud.Code(err) != "" {
			details = []any{"step", at, "call", callName(err), "aws_code", awscloud.Code(err), "aws_request_id", awscloud.RequestID(err)}
		}
		activity.GetLogger(ctx).Error("unexpected error; Temporal retries the activity", details...)
	}
	return translated
}

// stopped returns the error of an attempt that was stopped, in a form that the SDK does not log as a failure. Its cause is a
// cancel: if Temporal asked for one, the SDK reports a cancel; otherwise Temporal retries the activity.
func stopped(why error) error {
	failure := provision.Failure{Code: provision.CodeAttemptEnded, Reason: "the attempt was stopped: " + why.Error()}
	return temporal.NewApplicationErrorWithOptions(failure.Error(), string(failure.Code),
		temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign, Details: []any{failure}, Cause: context.Canceled})
}

// failureOf returns the failure that translate put into the error, and whether it is final.
func failureOf(err error) (failure provision.Failure, final bool) {
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok || !app.HasDetails() || app.Details(&failure) != nil {
		return provision.Failure{Code: provision.CodeInternal, Reason: "unexpected error; the log has the details"}, false
	}
	return failure, app.NonRetryable()
}

// classify maps each error to a code, which decides who can help, and a reason. Sources: the errors of each operation in AWS's API
// models, and the AWS documentation on error handling of each service.
func classify(err error, at provision.Step) provision.Failure {
	if failure, ok := errors.AsType[*provision.Failure](err); ok {
		return *failure
	}
	if wrong, ok := errors.AsType[*awscloud.IdentityError](err); ok {
		return provision.Failure{Code: provision.CodeWrongAccount,
			Reason: fmt.Sprintf("the role of account %s is in account %s: correct the account's role ARN", wrong.Want, wrong.Got)}
	}
	call := callName(err)
	f := provision.Failure{AWSCode: awscloud.Code(err), AWSOperation: call, RequestID: awscloud.RequestID(err)}
	switch {
	case errors.Is(err, awscloud.ErrLeaseExpired):
		f.Code = provision.CodeAttemptEnded
		f.Reason = "the attempt was paused, or could not reach Temporal, for so long that another attempt may be running; it writes nothing more"
	case errors.Is(err, provision.ErrUnavailable), errors.Is(err, context.DeadlineExceeded) && call == "":
		f.Code, f.Reason = provision.CodeDatabaseUnavailable, "the database does not answer; orders wait, and none is lost"
	case errors.Is(err, provision.ErrNotFound): // after a restore of the database
		f.Code = provision.CodeDatabaseUnavailable
		f.Reason = "the order's row is missing in the database; the order waits until the reconciler has written it again"
	case awscloud.IsThrottled(err):
		f.Code, f.Reason = provision.CodeThrottled, "AWS throttles "+call+tryAgain
	case awscloud.IsBadCredentials(err):
		f.Code, f.Reason = provision.CodeInternal, "AWS rejects Quartermaster's own credentials ("+call+"): check the service's AWS "+
			"configuration and its clock"
	case awscloud.IsAccountProblem(err):
		f.Code, f.Reason = provision.CodeAccountSuspended, "AWS does not serve the account ("+f.AWSCode+"), because it is suspended, "+
			"closed or not signed up: contact AWS Support"
	case awscloud.IsAssumeRole(err) && f.AWSCode != "" && !awscloud.IsAmbiguous(err) && !awscloud.IsExpiredToken(err):
		f.Code = provision.CodeAccountCannotBeEntered
		f.Reason = "the role cannot be assumed: check that the role exists, that its trust policy names the service's identity and the " +
			"external id, that the service may call sts:AssumeRole, and that the account is not suspended"
		if at.Changes() {
			f.Code = provision.CodeAccountCannotBeReentered
			f.Reason = "the role could be assumed when the work began, but cannot be assumed now: check the role, its trust policy and " +
				"the service's identity"
		}
	case awscloud.IsAccessDenied(err):
		f.Code, f.Reason = provision.CodePermissionMissing, denied(call, awscloud.DenyingPolicy(err), at)
	case awscloud.IsQuota(err):
		f.Code, f.Reason = provision.CodeQuotaReached, "a quota of the account is used up ("+call+"): ask AWS to raise it, or delete "+
			"resources, then retry the order"
		switch {
		case awscloud.IsBucketQuota(err):
			f.Reason = "the account's quota of S3 buckets is used up (" + call + "): ask AWS to raise it, or delete buckets, then retry the order"
		case at == provision.StepReport:
			f.Code = provision.CodeReportQuotaReached
			f.Reason = "the account's quota of cost reports is used up (" + call + "): delete a report, or name an existing one in the order"
		}
	case awscloud.IsPasswordPolicyViolation(err):
		f.Code, f.Reason = provision.CodePasswordRefused, "the account's password policy refuses a generated password of 24 or more "+
			"characters of all four classes: check the policy"
	case awscloud.IsAmbiguous(err):
		f.Code, f.Reason = provision.CodeAWSUnavailable, "AWS did not answer "+call+", or answered with a server error"+tryAgain
	case busy(err), awscloud.IsDeleteConflict(err), awscloud.IsExpiredToken(err):
		f.Code, f.Reason = provision.CodeAWSNotReady, "AWS is not ready for "+call+" yet"+tryAgain
	case awscloud.IsNotFound(err), awscloud.IsAlreadyExists(err):
		// The next attempt reads again and decides by what it finds then.
		f.Code, f.Reason = provision.CodeNotYetVisible, "AWS does not show the result of an earlier call yet ("+call+")"+tryAgain
	case awscloud.IsValidation(err):
		f.Code, f.Field, f.Reason = provision.CodeInputRefused, fieldOf[at], "AWS refuses a value of the order ("+call+"): correct it"
	case f.AWSCode != "", awscloud.IsRefused(err): // the answer to a HEAD has no code
		f.Code, f.Reason = provision.CodeAWSRefused, "AWS refuses "+call+" with an unexpected answer"+tryAgain
	default:
		f.Code, f.Reason = provision.CodeInternal, "unexpected error"
		if call != "" {
			f.Reason += " of " + call
		}
		f.Reason += ", see the log" + tryAgain
	}
	return f
}

// denied returns a reason that names the policy that denies the call, if AWS named it, and how to allow the call.
func denied(call, policy string, at provision.Step) string {
	switch policy {
	case awscloud.ServiceControlPolicy, awscloud.ResourceControlPolicy:
		return "a " + policy + " of the account's organization denies " + call +
			": ask the administrator of the organization to allow it to the role"
	case awscloud.PermissionsBoundary:
		return "the permissions boundary of the role in the account does not allow " + call + ": extend the boundary, or remove it from the role"
	case awscloud.ResourcePolicy, awscloud.EndpointPolicy, awscloud.SessionPolicy:
		return "a " + policy + " denies " + call + ": correct that policy"
	}
	return "the role in the account may not call " + call + ": compare its policy with the one that `quartermaster accounts role` " +
		"prints, then " + again(at)
}

// fieldOf is the field of the order that a step writes to AWS and that the customer may still correct after the step has begun. The
// user and the report may already exist under the values of the first request, so their refusals go to an operator.
var fieldOf = map[provision.Step]string{
	provision.StepContacts: "aws_contact_name",
	provision.StepAlias:    "aws_account_alias",
}

// callName returns the failed call in the form of a policy's action, such as iam:CreateUser.
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

// notYet reports that AWS does not show yet what was written. The next attempt reads again.
func notYet(what string) error { return notYetAfter(nil, what) }

// notYetAfter is notYet with AWS's answer to the call that should have created the resource; nil when there was none.
func notYetAfter(answer error, what string) error {
	failure := &provision.Failure{Code: provision.CodeNotYetVisible, Reason: "AWS does not show " + what + " yet" + tryAgain}
	if answer == nil {
		return failure
	}
	return withCause(failure, answer)
}

// withCause adds AWS's answer to a failure: its code, the call and the request id. AWS Support asks for them.
func withCause(failure *provision.Failure, err error) *provision.Failure {
	failure.AWSCode, failure.AWSOperation, failure.RequestID = awscloud.Code(err), callName(err), awscloud.RequestID(err)
	return failure
}
