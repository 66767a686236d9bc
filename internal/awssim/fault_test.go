package awssim_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/account"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	cur "github.com/aws/aws-sdk-go-v2/service/costandusagereportservice"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
)

// mutation is one mutating call of each service, and what it leaves behind.
type mutation struct {
	service, operation string
	call               func(ctx context.Context, w *world) error
	done               func(a awssim.Account) bool
}

func mutations() []mutation {
	return []mutation{
		{"iam", "CreateUser", func(ctx context.Context, w *world) error {
			_, err := w.iam.CreateUser(ctx, createUserInput(userName))
			return err
		}, func(a awssim.Account) bool { return len(a.Users) == 1 }},
		{"account", "PutAlternateContact", func(ctx context.Context, w *world) error {
			_, err := w.account.PutAlternateContact(ctx, billing())
			return err
		}, func(a awssim.Account) bool { return len(a.AlternateContacts) == 1 }},
		{"cur", "PutReportDefinition", func(ctx context.Context, w *world) error {
			_, err := w.cur.PutReportDefinition(ctx, reportInput())
			return err
		}, func(a awssim.Account) bool { return len(a.Reports) == 1 }},
		{"bcm-data-exports", "CreateExport", func(ctx context.Context, w *world) error {
			_, err := w.exports.CreateExport(ctx, exportInput())
			return err
		}, func(a awssim.Account) bool { return len(a.Exports) == 1 }},
		{"s3", "CreateBucket", func(ctx context.Context, w *world) error {
			_, err := w.s3.CreateBucket(ctx, createBucketInput(bucket+"-new"))
			return err
		}, func(a awssim.Account) bool { return len(a.Buckets) == 2 }},
	}
}

func TestFaultsAnswerInEveryServicesOwnCode(t *testing.T) {
	t.Parallel()
	type answer struct {
		code   string
		status int
	}
	for kind, answers := range map[awssim.Kind]map[string]answer{
		awssim.Throttle: {
			"iam": {"Throttling", 400}, "account": {"TooManyRequestsException", 429}, "cur": {"ThrottlingException", 400},
			"bcm-data-exports": {"ThrottlingException", 400}, "s3": {"SlowDown", 503},
		},
		awssim.InternalError: {
			"iam": {"ServiceFailure", 500}, "account": {"InternalServerException", 500}, "cur": {"InternalErrorException", 500},
			"bcm-data-exports": {"InternalServerException", 500}, "s3": {"InternalError", 500},
		},
		awssim.Unavailable: {
			"iam": {"ServiceUnavailable", 503}, "s3": {"ServiceUnavailable", 503},
			"account": {"ServiceUnavailableException", 503}, "cur": {"ServiceUnavailableException", 503},
			"bcm-data-exports": {"ServiceUnavailableException", 503},
		},
		awssim.AccessDenied: {
			"iam": {"AccessDenied", 403}, "account": {"AccessDeniedException", 403}, "cur": {"AccessDeniedException", 400},
			"bcm-data-exports": {"AccessDeniedException", 400}, "s3": {"AccessDenied", 403},
		},
		awssim.ExpiredToken: {
			"iam": {"ExpiredToken", 403}, "account": {"ExpiredTokenException", 403}, "cur": {"ExpiredTokenException", 400},
			"bcm-data-exports": {"ExpiredTokenException", 400}, "s3": {"ExpiredToken", 400},
		},
		awssim.ConcurrentModification: {
			"iam": {"ConcurrentModification", 409}, "account": {"ConflictException", 409}, "cur": {"ConflictException", 409},
			"bcm-data-exports": {"ConflictException", 409}, "s3": {"OperationAborted", 409},
		},
	} {
		for _, when := range []awssim.When{awssim.Before, awssim.After} {
			w := setup(t, withReportBucket())
			for _, m := range mutations() {
				remove := w.sim.Inject(awssim.Fault{
					Service: m.service, Operation: m.operation, AccountID: accountID, When: when, Kind: kind,
				})
				err := m.call(t.Context(), w)
				requireCode(t, err, answers[m.service].code)
				requireStatus(t, err, answers[m.service].status)
				require.Equal(t, string(kind), w.last().Decision)
				a, _ := w.sim.Account(accountID)
				require.Equalf(t, when == awssim.After, m.done(a), "%s %s of %s", kind, when, m.operation)
				remove()
			}
		}
	}
}

func TestEntityTemporarilyUnmodifiableAndAnyOtherError(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	remove := w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.EntityTemporarilyUnmodifiable})
	_, err := w.iam.CreateUser(ctx, createUserInput(userName))
	requireCode(t, err, "EntityTemporarilyUnmodifiable")
	requireStatus(t, err, 409)
	remove()
	w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Error, Code: "LimitExceeded", Status: 409, Message: "No more users."})
	_, err = w.iam.CreateUser(ctx, createUserInput(userName))
	var limit *iamtypes.LimitExceededException
	require.ErrorAs(t, err, &limit)
	require.Equal(t, "No more users.", limit.ErrorMessage())
}

func TestResetIsATransportError(t *testing.T) {
	t.Parallel()
	for _, when := range []awssim.When{awssim.Before, awssim.After} {
		w := setup(t, withReportBucket())
		for _, m := range mutations() {
			remove := w.sim.Inject(awssim.Fault{Service: m.service, When: when, Kind: awssim.Reset})
			err := m.call(t.Context(), w)
			require.ErrorContains(t, err, "connection reset by peer")
			var apiError smithy.APIError
			require.NotErrorAs(t, err, &apiError)
			a, _ := w.sim.Account(accountID)
			require.Equal(t, when == awssim.After, m.done(a), m.operation)
			remove()
		}
	}
}

func TestMalformedBodies(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	w.sim.Inject(awssim.Fault{When: awssim.After, Kind: awssim.MalformedBody})
	reads := w.oneCallEach(t)
	for _, service := range []string{"iam", "account", "cur", "bcm-data-exports"} {
		var broken *smithy.DeserializationError
		require.ErrorAs(t, reads[service](), &broken, service)
	}
	_, err := w.iam.CreateUser(ctx, createUserInput(userName))
	require.Error(t, err)
	a, _ := w.sim.Account(accountID)
	require.Contains(t, a.Users, userName, "the effect is there, the answer cannot be read")
}

func TestTimeoutHoldsTheRequestUntilTheClientGoes(t *testing.T) {
	t.Parallel()
	for _, when := range []awssim.When{awssim.Before, awssim.After} {
		w := setup(t)
		w.sim.Inject(awssim.Fault{Operation: "CreateUser", When: when, Kind: awssim.Timeout})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := w.iam.CreateUser(ctx, createUserInput(userName))
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, "timeout", w.last().Decision)
		require.Equal(t, when == awssim.After, len(w.sim.Effects()) == 1)
	}
}

func TestTimeoutWithALimitCutsTheConnection(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Timeout, Delay: time.Millisecond})
	_, err := w.iam.CreateUser(t.Context(), createUserInput(userName))
	require.ErrorContains(t, err, "EOF")
}

func TestSlowAnswersAreRight(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Slow, Delay: 50 * time.Millisecond})
	begin := time.Now()
	_, err := w.iam.CreateUser(t.Context(), createUserInput(userName))
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), 50*time.Millisecond)
	require.Equal(t, "ok", w.last().Decision)
}

func TestStaleReadsShowTheStateBeforeTheLastWrite(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	w.mustUser(ctx)
	w.sim.Inject(awssim.Fault{Operation: "GetUser", Kind: awssim.StaleRead, Times: 1})
	_, err := w.iam.GetUser(ctx, &iam.GetUserInput{UserName: name})
	requireCode(t, err, "NoSuchEntity")
	_, err = w.iam.GetUser(ctx, &iam.GetUserInput{UserName: name})
	require.NoError(t, err)
}

// The SDK's own retries turn a lost reply into "already exists": that code does not show whether the user is
// his own.
func TestTheSDKTurnsALostReplyIntoAlreadyExists(t *testing.T) {
	t.Parallel()
	for _, kind := range []awssim.Kind{awssim.Reset, awssim.InternalError} {
		w, ctx := setup(t), t.Context()
		w.use(patient(w.config(w.assume(accountID))))
		w.sim.Inject(awssim.Fault{Operation: "CreateUser", Nth: 1, When: awssim.After, Kind: kind})
		_, err := w.iam.CreateUser(ctx, createUserInput(userName))
		var exists *iamtypes.EntityAlreadyExistsException
		require.ErrorAs(t, err, &exists)
		require.Len(t, w.sim.Effects(), 1)

		requests := w.sim.Requests()[len(w.sim.Requests())-2:]
		require.Equal(t, requests[0].InvocationID, requests[1].InvocationID, "one call of the SDK")
		require.NotEmpty(t, requests[0].InvocationID)
		require.Equal(t, []int{1, 2}, []int{requests[0].Attempt, requests[1].Attempt})
		require.Equal(t, []string{string(kind), "EntityAlreadyExists"}, []string{requests[0].Decision, requests[1].Decision})
		require.Equal(t, 1, w.sim.Effects()[0].Attempt)
	}
}

func TestFaultsCountTheirMatches(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		fault awssim.Fault
		want  string // what six calls see: x spoiled, . right
	}{
		"always":             {awssim.Fault{}, "xxxxxx"},
		"the third":          {awssim.Fault{Nth: 3}, "..x..."},
		"every second":       {awssim.Fault{Every: 2}, ".x.x.x"},
		"every second, once": {awssim.Fault{Every: 2, Times: 1}, ".x...."},
		"twice":              {awssim.Fault{Times: 2}, "xx...."},
		"another account":    {awssim.Fault{AccountID: otherID}, "......"},
		"another operation":  {awssim.Fault{Operation: "GetUser"}, "......"},
		"another service":    {awssim.Fault{Service: "s3"}, "......"},
	} {
		w, got := setup(t), ""
		c.fault.Kind = awssim.Throttle
		remove := w.sim.Inject(c.fault)
		for range 6 {
			if w.oneCallEach(t)["iam"]() == nil {
				got += "."
			} else {
				got += "x"
			}
		}
		require.Equal(t, c.want, got, what)
		require.Equal(t, strings.Count(got, "x"), w.sim.Faults()[0].Fired)
		remove()
		require.Empty(t, w.sim.Faults())
		require.NoError(t, w.oneCallEach(t)["iam"]())
	}
}

func TestFaultsOnAssumeRoleMatchTheAccountThatIsEntered(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.sim.Inject(awssim.Fault{Service: "sts", Operation: "AssumeRole", AccountID: otherID, Kind: awssim.Throttle})
	w.assume(accountID)
	_, err := w.sts.AssumeRole(t.Context(), w.assumeInput(otherID))
	requireCode(t, err, "Throttling")
	require.Equal(t, otherID, w.last().AccountID)
}

func TestFaultsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for want, f := range map[string]awssim.Fault{
		`awssim: fault: kind "" must be one of`:                          {},
		`awssim: fault: when "later" must be before or after`:            {Kind: awssim.Reset, When: "later"},
		`awssim: fault: kind error needs a code`:                         {Kind: awssim.Error},
		`awssim: fault: kind slow needs a delay`:                         {Kind: awssim.Slow},
		`awssim: fault: nth -1`:                                          {Kind: awssim.Reset, Nth: -1},
		`awssim: fault: service "ec2" must be one of`:                    {Kind: awssim.Reset, Service: "ec2"},
		`awssim: fault: operation "CreateUsr" does not exist in service`: {Kind: awssim.Reset, Operation: "CreateUsr"},
	} {
		func() {
			defer func() { require.Contains(t, recover(), want) }()
			w.sim.Inject(f)
		}()
	}
	require.Empty(t, w.sim.Faults())
}

func TestAnUnknownOperationIsRefusedInEveryProtocol(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t, withPolicy(allPowers)), t.Context()
	for code, call := range map[string]func() error{
		"InvalidAction": func() error { _, err := w.iam.ListRoles(ctx, &iam.ListRolesInput{}); return err },
		"UnknownOperationException": func() error {
			_, errs := w.cur.UntagResource(ctx, &cur.UntagResourceInput{ReportName: aws.String("r"), TagKeys: []string{}})
			_, err := w.exports.ListTables(ctx, &bcmdataexports.ListTablesInput{})
			requireCode(t, errs, "UnknownOperationException")
			return err
		},
		"InvalidRequest": func() error {
			_, err := w.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
			return err
		},
	} {
		err := call()
		requireCode(t, err, code)
		requireStatus(t, err, 400)
	}
	_, err := w.account.ListRegions(ctx, &account.ListRegionsInput{})
	requireCode(t, err, "UnknownOperationException")
}

func TestRequestsThatAreNotAWS(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for want, header := range map[string]string{
		"MissingAuthenticationToken": "",
		"IncompleteSignature":        "AWS4-HMAC-SHA256 Credential=x",
		"Credential should be scoped to correct service": "AWS4-HMAC-SHA256 Credential=k/20261120/us-east-1/ec2/aws4_request, " +
			"SignedHeaders=host, Signature=00",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url, strings.NewReader("Action=GetCallerIdentity"))
		require.NoError(t, err)
		if header != "" {
			request.Header.Set("Authorization", header)
		}
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		body := make([]byte, 4096)
		n, _ := response.Body.Read(body)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusForbidden, response.StatusCode)
		require.Contains(t, string(body[:n]), want)
	}
}

func TestSignaturesCoverTheTimeAndTheBody(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const form = "Action=GetCallerIdentity&Version=2011-06-15"
	for _, c := range []struct {
		service, signed, sent string
		at                    time.Time
		decision              string
	}{
		{"sts", form, form, time.Now(), "ok"},
		{"sts", form, form, time.Now().Add(-16 * time.Minute), "SignatureDoesNotMatch"},
		{"sts", form, form, time.Now().Add(16 * time.Minute), "SignatureDoesNotMatch"},
		{"sts", form, form + "&More=1", time.Now(), "XAmzContentSHA256Mismatch"},
		{"s3", "", "", time.Now().Add(-16 * time.Minute), "RequestTimeTooSkewed"},
	} {
		sum := sha256.Sum256([]byte(c.signed))
		hash := hex.EncodeToString(sum[:])
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url, strings.NewReader(c.sent))
		require.NoError(t, err)
		request.Header.Set("X-Amz-Content-Sha256", hash)
		keys := aws.Credentials{AccessKeyID: "AKIAPROVISIONER00000", SecretAccessKey: "provisioner-secret"}
		require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), keys, request, hash, c.service, "us-east-1", c.at))
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, c.decision, w.last().Decision)
	}
}

func TestNoTypedErrorIsLost(t *testing.T) {
	t.Parallel()
	w, ctx := setup(t), t.Context()
	for code, target := range map[string]any{
		"NoSuchEntity": new(*iamtypes.NoSuchEntityException), "EntityAlreadyExists": new(*iamtypes.EntityAlreadyExistsException),
		"LimitExceeded": new(*iamtypes.LimitExceededException), "DeleteConflict": new(*iamtypes.DeleteConflictException),
		"ConcurrentModification": new(*iamtypes.ConcurrentModificationException), "ServiceFailure": new(*iamtypes.ServiceFailureException),
	} {
		remove := w.sim.Inject(awssim.Fault{Service: "iam", Kind: awssim.Error, Code: code,
			Status: awssim.ModelledStatus("iam", "DeleteUser", code, 409)})
		_, err := w.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name})
		if code == "EntityAlreadyExists" { // not declared for DeleteUser: the SDK gives the generic type
			requireCode(t, err, code)
			require.NotErrorAs(t, err, target)
		} else {
			require.ErrorAs(t, err, target, code)
		}
		remove()
	}
}
