package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

func TestTranslate(t *testing.T) {
	t.Parallel()
	api := func(service, operation, code string) error {
		return &smithy.OperationError{ServiceID: service, OperationName: operation, Err: &smithy.GenericAPIError{Code: code, Message: "secret@example.com"}}
	}
	assume := func(code string) error { // as it comes out of a call that needed the credentials
		return &smithy.OperationError{ServiceID: "IAM", OperationName: "GetUser", Err: fmt.Errorf("get credentials: %w", api("STS", "AssumeRole", code))}
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
		{name: "throttled", err: api("IAM", "CreateUser", "Throttling"), code: provision.CodeThrottled, benign: true, delayed: true, mentions: "iam:CreateUser"},
		{name: "throttled, account", err: api("Account", "PutContactInformation", "TooManyRequestsException"), code: provision.CodeThrottled, benign: true, delayed: true, mentions: "account:PutContactInformation"},
		{name: "our own limiter", err: &smithy.OperationError{ServiceID: "IAM", OperationName: "GetUser", Err: awscloud.ErrPaced}, code: provision.CodeThrottled, benign: true, delayed: true},
		{name: "role denied", err: assume("AccessDenied"), code: provision.CodeCannotEnter, final: true, benign: true},
		{name: "role malformed", err: assume("ValidationError"), code: provision.CodeCannotEnter, final: true, benign: true},
		{name: "our own keys", err: assume("InvalidClientTokenId"), code: provision.CodeInternal},
		{name: "role throttled", err: assume("Throttling"), code: provision.CodeThrottled, benign: true, delayed: true, mentions: "sts:AssumeRole"},
		{name: "wrong account", err: &awscloud.IdentityError{Want: "111122223333", Got: "444455556666"}, code: provision.CodeWrongAccount, final: true, benign: true, mentions: "444455556666"},
		{name: "suspended", err: api("IAM", "GetUser", "AccountProblem"), code: provision.CodeAccountSuspended, final: true, benign: true},
		{name: "opt-in", err: api("S3", "CreateBucket", "OptInRequired"), code: provision.CodeAccountSuspended, final: true, benign: true},
		{name: "denied", err: api("IAM", "CreateUser", "AccessDenied"), code: provision.CodePermissionMissing, final: true, benign: true, mentions: "iam:CreateUser"},
		{name: "denied, json", err: api("BCM Data Exports", "CreateExport", "AccessDeniedException"), code: provision.CodePermissionMissing, final: true, benign: true, mentions: "bcm-data-exports:CreateExport"},
		{name: "denied, cur", err: api("Cost and Usage Report Service", "PutReportDefinition", "AccessDeniedException"), code: provision.CodePermissionMissing, final: true, benign: true, mentions: "cur:PutReportDefinition"},
		{name: "quota", err: api("IAM", "CreateUser", "LimitExceeded"), at: provision.StepUser, code: provision.CodeQuotaReached, final: true, benign: true},
		{name: "throttle that looks like a quota", err: api("IAM", "CreateUser", "LimitExceededException"), code: provision.CodeInternal},
		{name: "report quota", err: api("Cost and Usage Report Service", "PutReportDefinition", "ReportLimitReachedException"), at: provision.StepReport, code: provision.CodeReportQuota, final: true, benign: true},
		{name: "password", err: api("IAM", "CreateLoginProfile", "PasswordPolicyViolation"), code: provision.CodePasswordRefused, final: true, benign: true},
		{name: "server's fault", err: &smithy.GenericAPIError{Code: "ServiceFailure", Fault: smithy.FaultServer}, code: provision.CodeUnavailable},
		{name: "500", err: &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusInternalServerError}}, Err: errors.New("?")}, code: provision.CodeUnavailable},
		{name: "no answer", err: &smithy.OperationError{ServiceID: "IAM", OperationName: "CreateUser", Err: &smithyhttp.RequestSendError{Err: io.EOF}}, code: provision.CodeUnavailable},
		{name: "unreadable answer", err: &smithy.DeserializationError{Err: io.ErrUnexpectedEOF}, code: provision.CodeUnavailable},
		{name: "time-out of a call", err: &smithy.OperationError{ServiceID: "IAM", OperationName: "CreateUser", Err: context.DeadlineExceeded}, code: provision.CodeUnavailable},
		{name: "concurrent", err: api("IAM", "CreateAccountAlias", "ConcurrentModification"), code: provision.CodeUnavailable},
		{name: "busy", err: api("IAM", "DeleteLoginProfile", "EntityTemporarilyUnmodifiable"), code: provision.CodeUnavailable},
		{name: "conflict", err: api("IAM", "DeleteUser", "DeleteConflict"), code: provision.CodeUnavailable},
		{name: "S3 busy", err: api("S3", "CreateBucket", "OperationAborted"), code: provision.CodeUnavailable},
		{name: "expired", err: api("IAM", "GetUser", "ExpiredToken"), code: provision.CodeUnavailable},
		{name: "not found is not final", err: api("IAM", "AttachUserPolicy", "NoSuchEntity"), code: provision.CodeNotYetVisible, benign: true},
		{name: "exists is not final", err: api("IAM", "CreateUser", "EntityAlreadyExists"), code: provision.CodeNotYetVisible, benign: true},
		{name: "user name refused", err: api("IAM", "CreateUser", "ValidationError"), at: provision.StepUser, code: provision.CodeInputRefused, final: true, benign: true},
		{name: "store: gone", err: fmt.Errorf("order x: %w", provision.ErrNotFound), code: provision.CodeOrderNotInProgress, final: true, benign: true},
		{name: "store: down", err: errors.New("dial tcp: secret@example.com"), code: provision.CodeInternal},
		{name: "unheard of", err: api("IAM", "CreateUser", "SomethingNew"), code: provision.CodeInternal, mentions: "iam:CreateUser"},
		{name: "ours", err: fmt.Errorf("wrapped: %w", &provision.Failure{Code: provision.CodeAliasTaken, Reason: "taken"}), code: provision.CodeAliasTaken, final: true, benign: true, mentions: "taken"},
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
