package awscloud

import (
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The predicates match AWS's error codes, never its texts; the exceptions are IsBucketNotVerified and DenyingPolicy. A code means the
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
// role is not mistaken for the call that needed the credentials. It also names the call that did not answer until the context's
// deadline. Both are empty when err is not an SDK's.
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
	return operation == assumeRole
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
		"RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown", "BandwidthLimitExceeded") ||
		status(err) == http.StatusTooManyRequests
}

// IsAccessDenied reports that the credentials do not allow the call. HEAD requests of S3 are answered without a code.
func IsAccessDenied(err error) bool {
	return is(err, "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden")
}

// IsExpiredToken reports that the session's credentials are over. The call had no effect.
func IsExpiredToken(err error) bool {
	return is(err, "ExpiredToken", "ExpiredTokenException", "RequestExpired")
}

// IsBadCredentials reports that AWS does not know the key, or that the signature or our clock is wrong: the caller's own configuration
// is broken. S3 also answers like this in a region that the account has not enabled.
func IsBadCredentials(err error) bool {
	return is(err, "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch",
		"InvalidSignatureException", "IncompleteSignature", "IncompleteSignatureException", "MissingAuthenticationToken",
		"MissingAuthenticationTokenException", "AuthFailure", "RequestTimeTooSkewed", "RequestInTheFuture")
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

// IsBucketQuota reports that the account has as many buckets as it may have.
func IsBucketQuota(err error) bool { return is(err, "TooManyBuckets") }

// IsRegionDisabled reports that STS is switched off in the region that was asked, for the account that was asked for.
func IsRegionDisabled(err error) bool { return is(err, "RegionDisabledException", "RegionDisabled") }

// IsRegionRefused reports that S3 cannot make a bucket in the region for this account: it has not enabled the region, or there is no
// such region. Source: Amazon S3 API Reference, "Error responses".
func IsRegionRefused(err error) bool {
	return is(err, "IllegalLocationConstraintException", "InvalidLocationConstraint", "InvalidRegionName", "InvalidRegion",
		"AuthorizationHeaderMalformed", "UnsupportedRegion", "RegionNotEnabled")
}

// IsValidation reports that AWS refuses what was sent. Sending it again changes nothing.
func IsValidation(err error) bool {
	return is(err, "ValidationError", "ValidationException", "InvalidInput", "InvalidParameterValue", "MalformedPolicyDocument", "MalformedPolicy",
		"PolicyNotAttachable", "InvalidArgument", "InvalidRequest", "InvalidBucketName", "InvalidTag")
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

// IsBucketNotVerified reports that the billing service could not see yet, or at all, that it may write into the report's bucket. AWS
// gives it no code of its own.
func IsBucketNotVerified(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == "ValidationException" && strings.Contains(strings.ToLower(api.ErrorMessage()), "failed to verify customer bucket permission")
}

// IsRefused reports an answer of AWS that no other predicate knows and that sending the call again does not change: a status of 4xx.
func IsRefused(err error) bool {
	code := status(err)
	if code < http.StatusBadRequest || code >= http.StatusInternalServerError || code == http.StatusRequestTimeout || code == http.StatusTooEarly {
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

// status is the HTTP status of AWS's answer; 0 when there is none.
func status(err error) int {
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}

// The types of policy that can deny a call.
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

var denyingPolicies = []string{ServiceControlPolicy, ResourceControlPolicy, PermissionsBoundary, SessionPolicy, ResourcePolicy, IdentityPolicy,
	EndpointPolicy, TrustPolicy}

var denial = regexp.MustCompile(`(?i)(?:with an explicit deny in (?:an?|the)|because (?:no|the)) ([a-z -]+?policy|permissions boundary)\b`)

// DenyingPolicy returns the type of policy that denies the call, one of the constants above, or nothing when AWS does not say it. It
// never returns AWS's text, which can hold names of the account.
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

// IsAmbiguous reports that nobody knows whether the call had its effect: no answer, an answer that cannot be read, or a server's
// error. Look before you repeat it.
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
