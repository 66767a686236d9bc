package awscloud

import (
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The predicates match AWS's error codes, never its messages, except for IsBucketNotVerified and DenyingPolicy. Services spell the
// code of the same error in different ways, hence the lists.

// Code returns the error's code on the wire, such as EntityAlreadyExists; empty when AWS did not answer.
func Code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// RequestID returns AWS's id of the failed call; empty when AWS did not answer.
func RequestID(err error) string {
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return response.RequestID
	}
	return ""
}

// Operation returns the call that failed, such as "IAM", "CreateUser". It is the innermost call of the error, so that a failed
// AssumeRole is not mistaken for the call that needed the credentials. It also names a call that did not answer before the context's
// deadline. Both results are empty when err does not come from the SDK.
func Operation(err error) (service, operation string) {
	for {
		op, ok := errors.AsType[*smithy.OperationError](err)
		if !ok {
			return service, operation
		}
		service, operation, err = op.ServiceID, op.OperationName, op.Err
	}
}

// IsAssumeRole reports whether the call that failed was AssumeRole.
func IsAssumeRole(err error) bool {
	_, operation := Operation(err)
	return operation == assumeRole
}

// IsNotFound reports that the resource does not exist: it never did, is not visible yet, or was deleted.
func IsNotFound(err error) bool {
	return is(err, "NoSuchEntity", "ResourceNotFoundException", "NotFound", "NoSuchBucket", "NoSuchBucketPolicy", "NoSuchTagSet",
		"NoSuchTagSetError", "NoSuchKey")
}

// IgnoreNotFound returns nil when the resource does not exist, else err. It suits deletions.
func IgnoreNotFound(err error) error {
	if IsNotFound(err) {
		return nil
	}
	return err
}

// IsAlreadyExists reports that a resource with that name exists. The caller must look up whose it is: after a lost reply it may be
// its own.
func IsAlreadyExists(err error) bool {
	return is(err, "EntityAlreadyExists", "DuplicateReportNameException", "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
}

// IsThrottled reports that AWS, or our own limiter, rejected the call because there were too many. The call had no effect.
func IsThrottled(err error) bool {
	return errors.Is(err, ErrPaced) || is(err, "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException",
		"RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown", "BandwidthLimitExceeded") ||
		status(err) == http.StatusTooManyRequests
}

// IsAccessDenied reports that the credentials do not allow the call. Forbidden is the code of S3's HEAD requests, whose responses
// have no body.
func IsAccessDenied(err error) bool {
	return is(err, "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden")
}

// IsExpiredToken reports that the session's credentials have expired. The call had no effect.
func IsExpiredToken(err error) bool {
	return is(err, "ExpiredToken", "ExpiredTokenException", "RequestExpired")
}

// IsBadCredentials reports that AWS does not know the access key, or that the signature or our clock is wrong. The cause is the
// service's own configuration. S3 also gives this answer in a region that the account has not enabled.
func IsBadCredentials(err error) bool {
	return is(err, "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch",
		"InvalidSignatureException", "IncompleteSignature", "IncompleteSignatureException", "MissingAuthenticationToken",
		"MissingAuthenticationTokenException", "AuthFailure", "RequestTimeTooSkewed", "RequestInTheFuture")
}

// IsConcurrentModification reports that another call is changing the same resource. It passes; the SDK does not retry it.
func IsConcurrentModification(err error) bool {
	return is(err, "ConcurrentModification", "ConcurrentModificationException", "OperationAborted", "ConflictException")
}

// IsTemporarilyUnmodifiable reports that AWS is still working on the resource. It passes; the SDK does not retry it.
func IsTemporarilyUnmodifiable(err error) bool {
	return is(err, "EntityTemporarilyUnmodifiable", "EntityTemporarilyUnmodifiableException")
}

// IsDeleteConflict reports that other resources still depend on the resource, or that the bucket still has objects.
func IsDeleteConflict(err error) bool { return is(err, "DeleteConflict", "BucketNotEmpty") }

// IsQuota reports that a quota of the account is used up. LimitExceeded is IAM's code for a quota; the LimitExceededException of other
// services means throttling.
func IsQuota(err error) bool {
	return is(err, "LimitExceeded", "ReportLimitReachedException", "ServiceQuotaExceededException", "TooManyBuckets")
}

// IsBucketQuota reports that the account's quota of buckets is used up.
func IsBucketQuota(err error) bool { return is(err, "TooManyBuckets") }

// IsRegionDisabled reports that the account has deactivated STS in the region of the call.
func IsRegionDisabled(err error) bool { return is(err, "RegionDisabledException", "RegionDisabled") }

// IsRegionRefused reports that S3 cannot create a bucket in the region for this account: the account has not enabled the region, or
// the region does not exist. Source: Amazon S3 API Reference, "Error responses".
func IsRegionRefused(err error) bool {
	return is(err, "IllegalLocationConstraintException", "InvalidLocationConstraint", "InvalidRegionName", "InvalidRegion",
		"AuthorizationHeaderMalformed", "UnsupportedRegion", "RegionNotEnabled")
}

// IsValidation reports that AWS refuses the input. Sending it again does not help.
func IsValidation(err error) bool {
	return is(err, "ValidationError", "ValidationException", "InvalidInput", "InvalidParameterValue", "MalformedPolicyDocument",
		"MalformedPolicy", "PolicyNotAttachable", "InvalidArgument", "InvalidRequest", "InvalidBucketName", "InvalidTag")
}

// IsPolicyNotAttachable reports that the policy exists, but cannot be attached to a user.
func IsPolicyNotAttachable(err error) bool { return is(err, "PolicyNotAttachable") }

// IsPasswordPolicyViolation reports that the account's password policy refuses the password.
func IsPasswordPolicyViolation(err error) bool { return is(err, "PasswordPolicyViolation") }

// IsAccountProblem reports that AWS does not serve the account: it is suspended, closed or not signed up.
func IsAccountProblem(err error) bool {
	return is(err, "OptInRequired", "SubscriptionRequiredException", "PendingVerification", "AccountProblem", "AccountSuspended",
		"AllAccessDisabled", "NotSignedUp")
}

// IsBucketNotVerified reports that the billing service could not confirm that it may write to the report's bucket: the bucket's policy
// has not propagated yet, or does not allow it. AWS has no code for it, so the message decides.
func IsBucketNotVerified(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == "ValidationException" &&
		strings.Contains(strings.ToLower(api.ErrorMessage()), "failed to verify customer bucket permission")
}

// IsRefused reports an answer with a status of 4xx that no other predicate matches. Sending the call again does not help.
func IsRefused(err error) bool {
	code := status(err)
	if code < http.StatusBadRequest || code >= http.StatusInternalServerError {
		return false
	}
	if code == http.StatusRequestTimeout || code == http.StatusTooEarly {
		return false
	}
	for _, known := range []func(error) bool{IsNotFound, IsAlreadyExists, IsThrottled, IsAccessDenied, IsExpiredToken, IsBadCredentials,
		IsConcurrentModification, IsTemporarilyUnmodifiable, IsDeleteConflict, IsQuota, IsRegionDisabled, IsRegionRefused, IsValidation,
		IsPasswordPolicyViolation, IsAccountProblem, IsAmbiguous} {
		if known(err) {
			return false
		}
	}
	return true
}

// status returns the HTTP status of AWS's answer; 0 when there is no answer.
func status(err error) int {
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}

// Types of policies that can deny a call, as AWS's messages name them.
const (
	ServiceControlPolicy  = "service control policy"
	ResourceControlPolicy = "resource control policy"
	PermissionsBoundary   = "permissions boundary"
	SessionPolicy         = "session policy"
	ResourcePolicy        = "resource-based policy"
	IdentityPolicy        = "identity-based policy"
	EndpointPolicy        = "VPC endpoint policy"
	TrustPolicy           = "role trust policy"
)

var denyingPolicies = []string{
	ServiceControlPolicy,
	ResourceControlPolicy,
	PermissionsBoundary,
	SessionPolicy,
	ResourcePolicy,
	IdentityPolicy,
	EndpointPolicy,
	TrustPolicy,
}

var denial = regexp.MustCompile(`(?i)(?:with an explicit deny in (?:an?|the)|because (?:no|the)) ([a-z -]+?policy|permissions boundary)\b`)

// DenyingPolicy returns the type of the policy that denies the call, one of the constants above, or "" when AWS does not name it. It
// never returns text from AWS's message, which can contain names from the account.
// Source: IAM User Guide, "Troubleshoot access denied error messages".
func DenyingPolicy(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || !IsAccessDenied(err) {
		return ""
	}
	found := denial.FindStringSubmatch(api.ErrorMessage())
	if found == nil {
		return ""
	}
	for _, policy := range denyingPolicies {
		if strings.EqualFold(policy, found[1]) {
			return policy
		}
	}
	return ""
}

// IsAmbiguous reports that the call may or may not have had its effect: there was no answer, an unreadable answer, or a server
// error. Check the effect before you repeat a write.
func IsAmbiguous(err error) bool {
	if err == nil || IsThrottled(err) {
		return false
	}
	if status(err) >= http.StatusInternalServerError || is(err, "RequestTimeout", "RequestTimeoutException") {
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

// isOperation reports whether the error comes from a call, and not only from the end of the caller's context.
func isOperation(err error) bool {
	_, ok := errors.AsType[*smithy.OperationError](err)
	return ok
}

func is(err error, codes ...string) bool {
	got := Code(err)
	return got != "" && slices.Contains(codes, got)
}
