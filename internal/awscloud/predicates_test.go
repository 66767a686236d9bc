package awscloud_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awscloud"
)

func TestEachCodeMatchesItsPredicates(t *testing.T) {
	t.Parallel()
	predicates := map[string]func(error) bool{
		"not found": awscloud.IsNotFound, "exists": awscloud.IsAlreadyExists, "throttled": awscloud.IsThrottled,
		"denied":  awscloud.IsAccessDenied,
		"expired": awscloud.IsExpiredToken, "credentials": awscloud.IsBadCredentials, "concurrent": awscloud.IsConcurrentModification,
		"busy": awscloud.IsTemporarilyUnmodifiable, "conflict": awscloud.IsDeleteConflict, "quota": awscloud.IsQuota,
		"validation": awscloud.IsValidation,
		"password":   awscloud.IsPasswordPolicyViolation, "account": awscloud.IsAccountProblem, "ambiguous": awscloud.IsAmbiguous,
		"region": awscloud.IsRegionRefused, "region of STS": awscloud.IsRegionDisabled,
	}
	for code, want := range map[string]string{
		"NoSuchEntity": "not found", "ResourceNotFoundException": "not found", "NoSuchBucket": "not found", "NotFound": "not found",
		"NoSuchBucketPolicy":  "not found",
		"EntityAlreadyExists": "exists", "DuplicateReportNameException": "exists", "BucketAlreadyOwnedByYou": "exists",
		"BucketAlreadyExists": "exists",
		"Throttling":          "throttled", "ThrottlingException": "throttled", "TooManyRequestsException": "throttled",
		"RequestLimitExceeded": "throttled", "SlowDown": "throttled",
		"AccessDenied": "denied", "AccessDeniedException": "denied", "UnauthorizedOperation": "denied", "Forbidden": "denied",
		"ExpiredToken": "expired", "ExpiredTokenException": "expired", "InvalidClientTokenId": "credentials",
		"SignatureDoesNotMatch":  "credentials",
		"ConcurrentModification": "concurrent", "OperationAborted": "concurrent", "EntityTemporarilyUnmodifiable": "busy",
		"DeleteConflict": "conflict", "BucketNotEmpty": "conflict",
		"LimitExceeded": "quota", "ReportLimitReachedException": "quota", "ServiceQuotaExceededException": "quota",
		"ValidationError": "validation", "ValidationException": "validation", "InvalidInput": "validation",
		"MalformedPolicyDocument": "validation", "PolicyNotAttachable": "validation",
		"PasswordPolicyViolation": "password", "OptInRequired": "account", "AccountProblem": "account",
		"SubscriptionRequiredException": "account", "PendingVerification": "account", "TooManyBuckets": "quota",
		"InvalidToken": "credentials", "RequestTimeTooSkewed": "credentials", "InvalidSignatureException": "credentials",
		"IllegalLocationConstraintException": "region", "InvalidLocationConstraint": "region", "AuthorizationHeaderMalformed": "region",
		"RegionDisabledException": "region of STS", "RequestTimeout": "ambiguous",
		"LimitExceededException": "", "Whatever": "",
	} {
		apiError := &smithy.GenericAPIError{Code: code}
		err := fmt.Errorf("wrapped: %w", &smithy.OperationError{ServiceID: "IAM", OperationName: "X", Err: apiError})
		for name, predicate := range predicates {
			require.Equal(t, name == want, predicate(err), "%s: %s", code, name)
		}
		require.Equal(t, code, awscloud.Code(err))
	}
	for name, predicate := range predicates {
		require.False(t, predicate(nil), name)
		require.False(t, predicate(errors.New("NoSuchEntity AccessDenied Throttling")), "texts are not matched: %s", name)
	}
	require.NoError(t, awscloud.IgnoreNotFound(nil))
	require.NoError(t, awscloud.IgnoreNotFound(&smithy.GenericAPIError{Code: "NoSuchEntity"}))
	require.Error(t, awscloud.IgnoreNotFound(&smithy.GenericAPIError{Code: "AccessDenied"}))
	require.False(t, awscloud.IsAmbiguous(context.DeadlineExceeded), "it is not a call's")

	require.True(
		t,
		awscloud.IsBucketNotVerified(
			&smithy.GenericAPIError{Code: "ValidationException", Message: "Failed to verify customer bucket permission."},
		),
	)
	require.False(t, awscloud.IsBucketNotVerified(&smithy.GenericAPIError{Code: "ValidationException"}))
	require.Empty(t, awscloud.RequestID(errors.New("no answer")))
	require.True(t, awscloud.IsBucketQuota(&smithy.GenericAPIError{Code: "TooManyBuckets"}))
	require.False(t, awscloud.IsBucketQuota(&smithy.GenericAPIError{Code: "ServiceQuotaExceededException"}))
}

// answer returns the error that the SDK makes from an answer of AWS.
func answer(status int, code string) error {
	return &smithy.OperationError{
		ServiceID:     "IAM",
		OperationName: "X",
		Err: &awshttp.ResponseError{RequestID: "r", ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: &smithy.GenericAPIError{Code: code}}},
	}
}

// IsRefused matches answers that no retry changes and that no other predicate matches.
func TestIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		code   string
		want   bool
	}{
		{400, "TeapotException", true}, {418, "TeapotException", true}, {403, "Whatever", true}, {400, "LimitExceededException", true},
		{400, "", true},
		{400, "ValidationException", false}, {403, "AccessDenied", false}, {404, "NoSuchEntity", false}, {400, "Throttling", false},
		{429, "Whatever", false}, {408, "Whatever", false}, {400, "RequestTimeout", false},
		{500, "TeapotException", false}, {503, "", false},
		{200, "Whatever", false},
	} {
		require.Equal(t, c.want, awscloud.IsRefused(answer(c.status, c.code)), "%d %s", c.status, c.code)
	}
	require.True(t, awscloud.IsThrottled(answer(429, "Whatever")))
	require.False(t, awscloud.IsRefused(nil))
	require.False(t, awscloud.IsRefused(context.DeadlineExceeded))
	require.False(t, awscloud.IsRefused(&smithy.GenericAPIError{Code: "TeapotException"}), "there is no answer of HTTP")
}

// The messages are those of the IAM User Guide.
func TestDenyingPolicy(t *testing.T) {
	t.Parallel()
	const (
		begin    = "User: arn:aws:iam::777788889999:user/John is not authorized to perform: codecommit:ListRepositories "
		explicit = begin + "with an explicit deny in "
	)
	for message, want := range map[string]string{
		begin + "because no service control policy allows the codecommit:ListRepositories action": awscloud.ServiceControlPolicy,
		explicit + "a service control policy: arn:aws:organizations::777788889999:policy/o-1/p-1": awscloud.ServiceControlPolicy,
		explicit + "a resource control policy":                                                    awscloud.ResourceControlPolicy,
		begin + "because no VPC endpoint policy allows the codecommit:ListRepositories action":    awscloud.EndpointPolicy,
		explicit + "a VPC endpoint policy":                                                        awscloud.EndpointPolicy,
		begin + "because no permissions boundary allows the codecommit:ListRepositories action":   awscloud.PermissionsBoundary,
		explicit + "a permissions boundary: arn:aws:iam::777788889999:policy/Developer":           awscloud.PermissionsBoundary,
		begin + "because no session policy allows the codecommit:ListRepositories action":         awscloud.SessionPolicy,
		begin + "on resource: arn:aws:s3:::b with an explicit deny in a resource-based policy":    awscloud.ResourcePolicy,
		begin + "because no resource-based policy allows the codecommit:ListRepositories action":  awscloud.ResourcePolicy,
		explicit + "an identity-based policy":                                                     awscloud.IdentityPolicy,
		begin + "because no identity-based policy allows the codecommit:ListRepositories action":  awscloud.IdentityPolicy,
		begin + "because no role trust policy allows the sts:AssumeRole action":                   awscloud.TrustPolicy,
		explicit + "the role trust policy":                                                        awscloud.TrustPolicy,
		begin + "with an explicit deny":                                                           "",
		"Access Denied":                                                                           "",
		explicit + "a policy of John Doe":                                                         "",
	} {
		require.Equal(t, want, awscloud.DenyingPolicy(&smithy.GenericAPIError{Code: "AccessDenied", Message: message}), message)
	}
	const message = "with an explicit deny in a service control policy"
	require.Empty(t, awscloud.DenyingPolicy(&smithy.GenericAPIError{Code: "ValidationError", Message: message}))
	require.Empty(t, awscloud.DenyingPolicy(errors.New(message)))
	require.Empty(t, awscloud.DenyingPolicy(nil))
}

func TestIsRead(t *testing.T) {
	t.Parallel()
	for _, read := range []string{"GetUser", "ListExports", "DescribeReportDefinitions", "HeadBucket"} {
		require.True(t, awscloud.IsRead(read), read)
	}
	for _, write := range []string{"CreateUser", "PutContactInformation", "AttachUserPolicy", "DeleteUser", "UpdateLoginProfile",
		"AssumeRole"} {
		require.False(t, awscloud.IsRead(write), write)
	}
}
