package awscloud_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awscloud"
)

func TestPredicates(t *testing.T) {
	t.Parallel()
	predicates := map[string]func(error) bool{
		"not found": awscloud.IsNotFound, "exists": awscloud.IsAlreadyExists, "throttled": awscloud.IsThrottled, "denied": awscloud.IsAccessDenied,
		"expired": awscloud.IsExpiredToken, "credentials": awscloud.IsBadCredentials, "concurrent": awscloud.IsConcurrentModification,
		"busy": awscloud.IsTemporarilyUnmodifiable, "conflict": awscloud.IsDeleteConflict, "quota": awscloud.IsQuota, "validation": awscloud.IsValidation,
		"password": awscloud.IsPasswordPolicyViolation, "account": awscloud.IsAccountProblem, "ambiguous": awscloud.IsAmbiguous,
	}
	for code, want := range map[string]string{
		"NoSuchEntity": "not found", "ResourceNotFoundException": "not found", "NoSuchBucket": "not found", "NotFound": "not found", "NoSuchBucketPolicy": "not found",
		"EntityAlreadyExists": "exists", "DuplicateReportNameException": "exists", "BucketAlreadyOwnedByYou": "exists", "BucketAlreadyExists": "exists",
		"Throttling": "throttled", "ThrottlingException": "throttled", "TooManyRequestsException": "throttled", "RequestLimitExceeded": "throttled", "SlowDown": "throttled",
		"AccessDenied": "denied", "AccessDeniedException": "denied", "UnauthorizedOperation": "denied", "Forbidden": "denied",
		"ExpiredToken": "expired", "ExpiredTokenException": "expired", "InvalidClientTokenId": "credentials", "SignatureDoesNotMatch": "credentials",
		"ConcurrentModification": "concurrent", "OperationAborted": "concurrent", "EntityTemporarilyUnmodifiable": "busy",
		"DeleteConflict": "conflict", "BucketNotEmpty": "conflict",
		"LimitExceeded": "quota", "ReportLimitReachedException": "quota", "ServiceQuotaExceededException": "quota",
		"ValidationError": "validation", "ValidationException": "validation", "InvalidInput": "validation", "MalformedPolicyDocument": "validation", "PolicyNotAttachable": "validation",
		"PasswordPolicyViolation": "password", "OptInRequired": "account", "AccountProblem": "account",
		"LimitExceededException": "", "Whatever": "",
	} {
		err := fmt.Errorf("wrapped: %w", &smithy.OperationError{ServiceID: "IAM", OperationName: "X", Err: &smithy.GenericAPIError{Code: code}})
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

	require.True(t, awscloud.IsBucketNotVerified(&smithy.GenericAPIError{Code: "ValidationException", Message: "Failed to verify customer bucket permission."}))
	require.False(t, awscloud.IsBucketNotVerified(&smithy.GenericAPIError{Code: "ValidationException"}))
	require.Empty(t, awscloud.RequestID(errors.New("no answer")))
}

func TestIsRead(t *testing.T) {
	t.Parallel()
	for _, read := range []string{"GetUser", "ListExports", "DescribeReportDefinitions", "HeadBucket"} {
		require.True(t, awscloud.IsRead(read), read)
	}
	for _, write := range []string{"CreateUser", "PutContactInformation", "AttachUserPolicy", "DeleteUser", "UpdateLoginProfile", "AssumeRole"} {
		require.False(t, awscloud.IsRead(write), write)
	}
}
