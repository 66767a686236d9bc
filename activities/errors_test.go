package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

func TestEachErrorHasItsCode(t *testing.T) {
	t.Parallel()
	api := func(service, operation, code string) error {
		return &smithy.OperationError{ServiceID: service, OperationName: operation,
			Err: &smithy.GenericAPIError{Code: code, Message: "secret@example.com"}}
	}
	assume := func(code string) error { // as a call returns it that needed the credentials
		return &smithy.OperationError{ServiceID: "IAM", OperationName: "GetUser",
			Err: fmt.Errorf("get credentials: %w", api("STS", "AssumeRole", code))}
	}
	denial := func(why string) error {
		return &smithy.OperationError{ServiceID: "IAM", OperationName: "CreateUser", Err: &smithy.GenericAPIError{Code: "AccessDenied",
			Message: "User: arn:aws:sts::123456789012:assumed-role/q/ord-1 is not authorized to perform: iam:CreateUser on resource: x " + why}}
	}
	for _, c := range []struct {
		name     string
		err      error
		at       provision.Step
		code     provision.Code
		final    bool
		benign   bool
		delayed  bool
		mentions string
	}{
		{name: "throttled", err: api("IAM", "CreateUser", "Throttling"), code: provision.CodeThrottled, benign: true, delayed: true,
			mentions: "iam:CreateUser"},
		{name: "throttled, account", err: api("Account", "PutContactInformation", "TooManyRequestsException"), code: provision.CodeThrottled,
			benign: true, delayed: true, mentions: "account:PutContactInformation"},
		{name: "our own limiter", err: &smithy.OperationError{ServiceID: "IAM", OperationName: "GetUser", Err: awscloud.ErrPaced},
			code: provision.CodeThrottled, benign: true, delayed: true},
		{name: "role denied", err: assume("AccessDenied"), at: provision.StepInspect, code: provision.CodeAccountCannotBeEntered, final: true,
			benign: true},
		{name: "role denied later", err: assume("AccessDenied"), code: provision.CodeAccountCannotBeReentered, final: true, benign: true},
		{name: "role in a region that is off", err: assume("RegionDisabledException"), at: provision.StepInspect,
			code: provision.CodeAccountCannotBeEntered, final: true, benign: true},
		{name: "role malformed", err: assume("ValidationError"), at: provision.StepInspect, code: provision.CodeAccountCannotBeEntered,
			final: true, benign: true},
		{name: "our own keys", err: assume("InvalidClientTokenId"), code: provision.CodeInternal},
		{name: "role throttled", err: assume("Throttling"), code: provision.CodeThrottled, benign: true, delayed: true,
			mentions: "sts:AssumeRole"},
		{name: "wrong account", err: &awscloud.IdentityError{Want: "111122223333", Got: "444455556666"}, code: provision.CodeWrongAccount,
			final: true, benign: true, mentions: "444455556666"},
		{name: "suspended", err: api("IAM", "GetUser", "AccountProblem"), code: provision.CodeAccountSuspended, final: true, benign: true},
		{name: "opt-in", err: api("S3", "CreateBucket", "OptInRequired"), code: provision.CodeAccountSuspended, final: true, benign: true},
		{name: "denied", err: api("IAM", "CreateUser", "AccessDenied"), code: provision.CodePermissionMissing, final: true, benign: true,
			mentions: "iam:CreateUser"},
		{name: "denied by the organization", err: denial("with an explicit deny in a service control policy: " +
			"arn:aws:organizations::123456789012:policy/o-1/secret@example.com"), code: provision.CodePermissionMissing, final: true,
			benign: true, mentions: "service control policy of the account's organization denies iam:CreateUser"},
		{name: "denied by a boundary", err: denial("because no permissions boundary allows the iam:CreateUser action"),
			code: provision.CodePermissionMissing, final: true, benign: true, mentions: "permissions boundary of the role"},
		{name: "denied by the role", err: denial("because no identity-based policy allows the iam:CreateUser action"),
			code: provision.CodePermissionMissing, final: true, benign: true, mentions: "quartermaster accounts role"},
		{name: "buckets", err: api("S3", "CreateBucket", "TooManyBuckets"), at: provision.StepReport, code: provision.CodeQuotaReached,
			final: true, benign: true, mentions: "quota of S3 buckets"},
		{name: "denied, json", err: api("BCM Data Exports", "CreateExport", "AccessDeniedException"), code: provision.CodePermissionMissing,
			final: true, benign: true, mentions: "bcm-data-exports:CreateExport"},
		{name: "denied, cur", err: api("Cost and Usage Report Service", "PutReportDefinition", "AccessDeniedException"),
			code: provision.CodePermissionMissing, final: true, benign: true, mentions: "cur:PutReportDefinition"},
		{name: "quota", err: api("IAM", "CreateUser", "LimitExceeded"), at: provision.StepUser, code: provision.CodeQuotaReached, final: true,
			benign: true},
		{name: "throttle that looks like a quota", err: api("IAM", "CreateUser", "LimitExceededException"), code: provision.CodeAWSRefused,
			final: true, benign: true},
		{name: "report quota", err: api("Cost and Usage Report Service", "PutReportDefinition", "ReportLimitReachedException"),
			at: provision.StepReport, code: provision.CodeReportQuotaReached, final: true, benign: true},
		{name: "password", err: api("IAM", "CreateLoginProfile", "PasswordPolicyViolation"), code: provision.CodePasswordRefused, final: true,
			benign: true},
		{name: "server's fault", err: &smithy.GenericAPIError{Code: "ServiceFailure", Fault: smithy.FaultServer},
			code: provision.CodeAWSUnavailable},
		{name: "500", err: &smithyhttp.ResponseError{Err: errors.New("?"), Response: &smithyhttp.Response{
			Response: &http.Response{StatusCode: http.StatusInternalServerError}}}, code: provision.CodeAWSUnavailable},
		{name: "no answer", err: &smithy.OperationError{ServiceID: "IAM", OperationName: "CreateUser",
			Err: &smithyhttp.RequestSendError{Err: io.EOF}}, code: provision.CodeAWSUnavailable},
		{name: "unreadable answer", err: &smithy.DeserializationError{Err: io.ErrUnexpectedEOF}, code: provision.CodeAWSUnavailable},
		{name: "timeout of a call", err: &smithy.OperationError{ServiceID: "IAM", OperationName: "CreateUser",
			Err: context.DeadlineExceeded}, code: provision.CodeAWSUnavailable},
		{name: "concurrent", err: api("IAM", "CreateAccountAlias", "ConcurrentModification"), code: provision.CodeAWSNotReady, benign: true},
		{name: "busy", err: api("IAM", "DeleteLoginProfile", "EntityTemporarilyUnmodifiable"), code: provision.CodeAWSNotReady, benign: true},
		{name: "conflict", err: api("IAM", "DeleteUser", "DeleteConflict"), code: provision.CodeAWSNotReady, benign: true},
		{name: "S3 busy", err: api("S3", "CreateBucket", "OperationAborted"), code: provision.CodeAWSNotReady, benign: true},
		{name: "expired", err: api("IAM", "GetUser", "ExpiredToken"), code: provision.CodeAWSNotReady, benign: true},
		{name: "not found is not final", err: api("IAM", "AttachUserPolicy", "NoSuchEntity"), code: provision.CodeNotYetVisible, benign: true},
		{name: "exists is not final", err: api("IAM", "CreateUser", "EntityAlreadyExists"), code: provision.CodeNotYetVisible, benign: true},
		{name: "user name refused", err: api("IAM", "CreateUser", "ValidationError"), at: provision.StepUser,
			code: provision.CodeInputRefused, final: true, benign: true},
		{name: "store: no row", err: fmt.Errorf("order x: %w", provision.ErrNotFound), code: provision.CodeDatabaseUnavailable, benign: true,
			mentions: "missing"},
		{name: "store: no answer", err: fmt.Errorf("claim: %w: dial tcp: secret@example.com", provision.ErrUnavailable),
			code: provision.CodeDatabaseUnavailable, benign: true, mentions: "none is lost"},
		{name: "store: no answer in time", err: fmt.Errorf("claim: %w", context.DeadlineExceeded), code: provision.CodeDatabaseUnavailable,
			benign: true, mentions: "none is lost"},
		{name: "store: not the order's any more", err: &provision.Failure{Code: provision.CodeOrderNotInProgress,
			Reason: "the order is cancelled"}, code: provision.CodeOrderNotInProgress, final: true, benign: true},
		{name: "lease", err: &smithy.OperationError{ServiceID: "IAM", OperationName: "CreateUser",
			Err: fmt.Errorf("CreateUser: %w", awscloud.ErrLeaseExpired)}, code: provision.CodeAttemptEnded, benign: true,
			mentions: "writes nothing more"},
		{name: "store: down", err: errors.New("dial tcp: secret@example.com"), code: provision.CodeInternal},
		{name: "unheard of", err: api("IAM", "CreateUser", "SomethingNew"), code: provision.CodeAWSRefused, final: true, benign: true,
			mentions: "iam:CreateUser"},
		{name: "unheard of, without a code", err: &smithy.OperationError{ServiceID: "S3", OperationName: "HeadBucket",
			Err: &smithyhttp.ResponseError{
				Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusBadRequest}}, Err: errors.New("?")}},
			code: provision.CodeAWSRefused, final: true, benign: true, mentions: "s3:HeadBucket"},
		{name: "ours", err: fmt.Errorf("wrapped: %w", &provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}),
			code: provision.CodeAliasTaken, final: true, benign: true, mentions: "taken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.at == "" {
				c.at = provision.StepAlias
			}
			err := translate(c.err, c.at)
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, string(c.code), app.Type())
			require.Equal(t, c.final, app.NonRetryable())
			require.Equal(t, c.benign, app.Category() == temporal.ApplicationErrorCategoryBenign)
			require.Equal(t, c.delayed, app.NextRetryDelay() > 0)
			require.NoError(t, errors.Unwrap(app), "AWS's own text must not get into a history")
			require.NotContains(t, err.Error(), "secret@example.com")
			require.Contains(t, app.Error(), c.mentions)
			failure, final := failureOf(err)
			require.Equal(t, c.code, failure.Code)
			require.Equal(t, c.at, failure.Step)
			require.Equal(t, c.final, final)
			if answer := failure.AWS(); answer != nil {
				require.Equal(t, awscloud.Code(c.err), answer.Code)
				require.Equal(t, callName(c.err), answer.Operation)
			}
			require.Same(t, err, translate(err, provision.StepClaim), "translating twice changes nothing")
		})
	}
	require.NoError(t, translate(nil, provision.StepAlias))
	cancelled := &smithy.OperationError{ServiceID: "IAM", OperationName: "GetUser", Err: context.Canceled}
	require.Same(t, error(cancelled), translate(cancelled, provision.StepAlias), "a cancel is passed on as it is")
	failure, final := failureOf(errors.New("not ours"))
	require.Equal(t, provision.CodeInternal, failure.Code)
	require.False(t, final)
}

// The AWS SDK and the database driver return errors of their own for a call that was stopped.
func TestAStoppedAttemptLogsNothing(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"AWS":      &smithy.OperationError{ServiceID: "IAM", OperationName: "CreateUser", Err: &aws.RequestCanceledError{Err: context.Canceled}},
		"database": errors.New("pq: canceling statement due to user request"),
		"anything": errors.New("use of closed network connection"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, lines := setup(t), &logged{}
			w.log = lines.handler()
			work := func(stop bool) error {
				return inAttempt(w, func(ctx context.Context) error {
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					if stop {
						cancel()
					}
					reported := conclude(ctx, err, provision.StepUser)
					if stop {
						require.Equal(t, context.Canceled, reported)
						return nil
					}
					return reported
				})
			}
			require.NoError(t, work(true))
			require.Empty(t, lines.errors(t))
			require.Error(t, work(false))
			require.NotEmpty(t, lines.errors(t), "without a cancel the log shows the error")
		})
	}
}

// An outage does not fill the log, no matter how many orders wait.
func TestADatabaseOutageIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	w, lines := setup(t), &logged{}
	w.log = lines.handler()
	w.store.breakWith(fmt.Errorf("%w: dial tcp 10.0.0.5:5432: connection refused", provision.ErrUnavailable))
	attempt := func() {
		_, err := once(w, 1, w.acts.CreateUser, w.work())
		w.requireFailure(err, provision.CodeDatabaseUnavailable)
		_, err = once(w, 1, w.acts.RemoveUser, UserUndo{Work: w.work()})
		w.requireFailure(err, provision.CodeDatabaseUnavailable)
	}
	for range 5 {
		attempt()
	}
	said := lines.errors(t)
	require.Len(t, said, 1)
	require.Equal(t, "the database does not answer; orders wait, and none is lost", said[0]["msg"])
	require.Contains(t, said[0]["error"], "connection refused")
	require.Empty(t, w.sim.Requests())

	w.outages.line.Interval = time.Nanosecond // the minute is over
	attempt()
	require.Len(t, lines.errors(t), 3)
}
