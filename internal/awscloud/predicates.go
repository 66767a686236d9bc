package awscloud

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The predicates match AWS's error codes, never its texts; the one exception is IsBucketNotVerified. A code means the
// same on every protocol, but its spelling differs between services, hence the lists.

// Code is the error's code on the wire, such as EntityAlreadyExists; empty when AWS did not answer.
func Code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// RequestID is AWS's id of the refused call; empty when AWS did not answer.
func RequestID(err error) string {
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return response.RequestID
	}
	return ""
}

// Operation is the call that failed, such as "IAM", "CreateUser": the innermost one, so that the refusal to assume the
// role is not mistaken for the call that needed the credentials. Both are empty when err is not an SDK's.
func Operation(err error) (service, operation string) {
	for {
		op, ok := errors.AsType[*smithy.OperationError](err)
		if !ok {
			return service, operation
		}
		service, operation, err = op.ServiceID, op.OperationName, op.Err
	}
}

// IsAssumeRole tells whether what failed was the way into the account.
func IsAssumeRole(err error) bool {
	_, operation := Operation(err)
	return operation == "AssumeRole"
}

// IsNotFound reports that the thing is not there, or not yet, or not any more.
func IsNotFound(err error) bool {
	return is(err, "NoSuchEntity", "ResourceNotFoundException", "NotFound", "NoSuchBucket", "NoSuchBucketPolicy", "NoSuchTagSet",
		"NoSuchTagSetError", "NoSuchKey")
}

// IgnoreNotFound is err, or nil when the thing is not there: what a delete wants.
func IgnoreNotFound(err error) error {
	if IsNotFound(err) {
		return nil
	}
	return err
}

// IsAlreadyExists reports that a thing of that name is there. Whose it is must be looked up: after a lost reply it is our own.
func IsAlreadyExists(err error) bool {
	return is(err, "EntityAlreadyExists", "DuplicateReportNameException", "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
}

// IsThrottled reports too many calls, by AWS's judgement or by our own limiter's. The call had no effect.
func IsThrottled(err error) bool {
	return errors.Is(err, ErrPaced) || is(err, "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException",
		"RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown")
}

// IsAccessDenied reports that the credentials do not allow the call. HEAD requests of S3 are answered without a code.
func IsAccessDenied(err error) bool {
	return is(err, "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden")
}

// IsExpiredToken reports that the session's credentials are over. The call had no effect.
func IsExpiredToken(err error) bool {
	return is(err, "ExpiredToken", "ExpiredTokenException", "RequestExpired")
}

// IsBadCredentials reports that AWS does not know the key or the signature is wrong: the caller's own configuration is broken.
func IsBadCredentials(err error) bool {
	return is(err, "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "IncompleteSignature")
}

// IsConcurrentModification reports that somebody else changes the same thing right now. The SDK does not retry it; it passes.
func IsConcurrentModification(err error) bool {
	return is(err, "ConcurrentModification", "ConcurrentModificationException", "OperationAborted", "ConflictException")
}

// IsTemporarilyUnmodifiable reports that AWS is still busy with the thing. The SDK does not retry it; it passes.
func IsTemporarilyUnmodifiable(err error) bool {
	return is(err, "EntityTemporarilyUnmodifiable", "EntityTemporarilyUnmodifiableException")
}

// IsDeleteConflict reports that the thing still has others hanging on it, or the bucket has objects.
func IsDeleteConflict(err error) bool { return is(err, "DeleteConflict", "BucketNotEmpty") }

// IsQuota reports that a quota of the account is used up. LimitExceeded is IAM's quota; LimitExceededException, elsewhere, a throttle.
func IsQuota(err error) bool {
	return is(err, "LimitExceeded", "ReportLimitReachedException", "ServiceQuotaExceededException", "TooManyBuckets")
}

// IsValidation reports that AWS refuses what was sent. Sending it again changes nothing.
func IsValidation(err error) bool {
	return is(err, "ValidationError", "ValidationException", "InvalidInput", "InvalidParameterValue", "MalformedPolicyDocument", "MalformedPolicy",
		"PolicyNotAttachable", "InvalidArgument", "InvalidRequest", "InvalidBucketName", "InvalidLocationConstraint", "InvalidTag")
}

// IsPolicyNotAttachable reports that the policy exists, but cannot be attached to a user.
func IsPolicyNotAttachable(err error) bool { return is(err, "PolicyNotAttachable") }

// IsPasswordPolicyViolation reports that the account's password policy refuses the password.
func IsPasswordPolicyViolation(err error) bool { return is(err, "PasswordPolicyViolation") }

// IsAccountProblem reports that AWS does not serve the account: it is suspended, closed or not signed up.
func IsAccountProblem(err error) bool {
	return is(err, "OptInRequired", "AccountProblem", "AccountSuspended", "AllAccessDisabled", "NotSignedUp")
}

// IsBucketNotVerified reports that the billing service could not see yet, or at all, that it may write into the report's bucket. AWS
// gives it no code of its own.
func IsBucketNotVerified(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == "ValidationException" && strings.Contains(strings.ToLower(api.ErrorMessage()), "failed to verify customer bucket permission")
}

// IsAmbiguous reports that nobody knows whether the call had its effect: no answer, an answer that cannot be read, or a server's
// error. Look before you repeat it.
func IsAmbiguous(err error) bool {
	if err == nil || IsThrottled(err) {
		return false
	}
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && response.HTTPStatusCode() >= http.StatusInternalServerError {
		return true
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorFault() == smithy.FaultServer
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return true
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && isOperation(err) {
		return true
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// isOperation tells a call's own time-out from the end of somebody's context.
func isOperation(err error) bool {
	_, ok := errors.AsType[*smithy.OperationError](err)
	return ok
}

func is(err error, codes ...string) bool {
	if err == nil {
		return false
	}
	got := Code(err)
	if got == "" {
		return false
	}
	for _, code := range codes {
		if got == code {
			return true
		}
	}
	return false
}
