package activities

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/awssim"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// The second dimension of the fault matrix: AWS always gives the same answer to a call of the order, of its undo or of a
// verification. No answer is retried without end: it becomes a question, an unusable account or a leftover.

// answersForGood are the answers that never change. Each service has its own codes for them.
var answersForGood = []struct {
	name   string
	status int
	reads  bool // whether AWS can answer a read like that
	undos  bool // whether undos are tested with it: they treat the other answers in the same way
	code   func(service string) string
}{
	{"denied", 403, true, true, byService("AccessDenied", "AccessDeniedException")},
	{"never heard of", 418, true, true, byService("TeapotException", "TeapotException")},
	{"invalid", 400, true, false, byService("ValidationError", "ValidationException")},
	{"not there", 404, true, true, func(service string) string {
		return map[string]string{"iam": "NoSuchEntity", "s3": "NoSuchBucket"}[service] +
			map[string]string{"account": "ResourceNotFoundException", "cur": "ResourceNotFoundException",
				"bcm-data-exports": "ResourceNotFoundException", "sts": "NoSuchEntity"}[service]
	}},
	{"there already", 409, false, false, func(service string) string {
		return map[string]string{"s3": "BucketAlreadyExists", "cur": "DuplicateReportNameException"}[service] +
			map[string]string{"iam": "EntityAlreadyExists", "sts": "EntityAlreadyExists",
				"account": "ConflictException", "bcm-data-exports": "ConflictException"}[service]
	}},
	{"too many", 409, false, false, byService("LimitExceeded", "ServiceQuotaExceededException")},
	{"not signed up", 400, true, false, byService("SubscriptionRequiredException", "SubscriptionRequiredException")},
	{"busy", 409, false, true, byService("ConcurrentModification", "ConflictException")},
}

// byService returns the code of IAM, STS and S3, or the code of the services that use JSON.
func byService(xml, json string) func(string) string {
	return func(service string) string {
		if service == "iam" || service == "sts" || service == "s3" {
			return xml
		}
		return json
	}
}

// impatient makes every answer of AWS final at once.
func impatient(from *initialState) {
	from.timings = Timings{VisibleFor: 8 * time.Millisecond, AbsentFor: time.Millisecond, PollEvery: time.Millisecond / 2, DeniedFor: 1,
		RefusedFor: 1}
}

// linked makes the order link an existing report, in a pool with a permissions boundary.
func linked(from *initialState) {
	linking(theExport(simExport("HEALTHY")))(from)
	from.w.Settings.PermissionsBoundary = "arn:aws:iam::aws:policy/AdministratorAccess"
}

// flows are the flows of this dimension, each with the services whose calls it tests.
var flows = []struct {
	name     string
	change   func(*initialState)
	services []string // none: all
}{
	{"everything", func(*initialState) {}, nil},
	{"legacy report", legacyReport, []string{"cur"}},
	{"linked report", linked, []string{"bcm-data-exports", "cur", "s3", "iam"}},
}

// called lists the operations of the requests, each once.
func called(requests []awssim.Request, services []string) (operations []awssim.Fault) {
	for _, r := range requests {
		at := awssim.Fault{Service: r.Service, Operation: r.Operation}
		if !slices.Contains(operations, at) && (len(services) == 0 || slices.Contains(services, r.Service)) {
			operations = append(operations, at)
		}
	}
	return operations
}

// TestEveryPermanentAnswerToAnOrderEnds gives each call of the order the same answer until the order ends.
func TestEveryPermanentAnswerToAnOrderEnds(t *testing.T) {
	t.Parallel()
	for _, flow := range flows {
		clean := setup(t, withResourcesOfOthers, flow.change, impatient)
		d := clean.mustDo()
		doing := called(clean.sim.Requests(), flow.services)
		before := len(clean.sim.Requests())
		clean.startWorker() // the role is assumed again
		clean.undo(d)
		undoing := called(clean.sim.Requests()[before:], flow.services)
		require.Greater(t, len(doing), 1)
		for _, answer := range answersForGood {
			t.Run(flow.name+"/"+answer.name, func(t *testing.T) {
				t.Parallel()
				db := pgtest.New(t)
				for _, at := range answerable(doing, answer.reads) {
					w := setup(t, withResourcesOfOthers, flow.change, impatient, in(db))
					denies := answer.name == "not there" && awscloud.IsRead(at.Operation)
					w.answer(at, answer.status, answer.code(at.Service))
					d, err := w.do()
					if err != nil {
						failure := w.requireAnswered(at, err, !denies)
						require.Contains(t, []provision.FailureKind{provision.KindInput, provision.KindAccount, provision.KindPermission},
							failure.Code.Kind(), failure.Explained())
					}
					w.sim.ClearFaults(accountID)
					if err != nil && d.written == nil && d.user.ID == "" && len(w.sim.Effects()) == 0 {
						continue // the inspection has refused the account, or asks
					}
					if answer.name == "not there" && at.Operation == "GetAlternateContact" {
						continue // so the journal has no such contact, and only AWS knows better
					}
					w.requireNothingLeft(d, at)
				}
				if !answer.undos {
					return
				}
				for _, at := range answerable(undoing, answer.reads) {
					w := setup(t, withResourcesOfOthers, flow.change, impatient, in(db))
					d := w.mustDo()
					w.startWorker()
					w.answer(at, answer.status, answer.code(at.Service))
					denies := answer.name == "not there" && awscloud.IsRead(at.Operation) // and the whole account may look as before
					w.undoFor = -time.Second
					notes, verified, err := w.tryUndo(d)
					for _, failed := range each(err) {
						w.requireAnswered(at, failed, !denies)
					}
					if !denies && string(w.sim.Snapshot(accountID)) != w.start {
						require.True(t, err != nil || len(notes)+len(verified.Leftovers) > 0, "%s: what is left is not named", at.Operation)
					}
					w.requireOthersUntouched()
					w.sim.ClearFaults(accountID)
					w.requireNothingLeft(d, at)
				}
			})
		}
	}
}

// The answer is a failure of the account, and not a verification that never ends.
func TestEveryPermanentAnswerToAVerificationIsItsResult(t *testing.T) {
	t.Parallel()
	clean := setup(t, impatient, waiting)
	_, err := run(clean, clean.acts.VerifyAccount, accountID)
	require.NoError(t, err)
	for _, answer := range answersForGood {
		t.Run(answer.name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			for _, at := range answerable(called(clean.sim.Requests(), nil), answer.reads) {
				w := setup(t, impatient, waiting, in(db))
				w.answer(at, answer.status, answer.code(at.Service))
				verified, err := run(w, w.acts.VerifyAccount, accountID)
				require.NoError(t, err, at.Operation)
				require.NotNil(t, verified.LookedAt)
				harmless := answer.name == "denied" && at.Operation == "GetAccountInformation" || answer.name == "not there" &&
					at.Operation == "GetAlternateContact"
				require.Equal(t, harmless, verified.Failure == nil, at.Operation)
				if !harmless {
					require.NotEmpty(t, verified.Failure.AWSCode, at.Operation)
					require.NotEmpty(t, verified.Failure.AWSOperation, at.Operation)
					require.NotEmpty(t, verified.Failure.RequestID, at.Operation)
					require.NotContains(t, verified.Failure.Explained(), "secret")
				}
			}
		})
	}
}

// answer makes AWS give the same answer to a call from now on, with a message that no error may repeat.
func (w *fixture) answer(at awssim.Fault, status int, code string) {
	w.sim.Inject(awssim.Fault{Service: at.Service, Operation: at.Operation, AccountID: accountID, Kind: awssim.Error, Code: code,
		Status: status, Message: "secret " + w.w.Request.ContactName})
}

// requireAnswered requires an error that ends the attempts and shows AWS's answer to an operator. When AWS answers a read with "not
// found", that is not a refusal, and the error has no code of AWS.
func (w *fixture) requireAnswered(at awssim.Fault, err error, refused bool) provision.Failure {
	w.t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(w.t, err, &app, at.Operation)
	var failure provision.Failure
	require.NoError(w.t, app.Details(&failure))
	require.True(w.t, app.NonRetryable(), "%s is retried without end: %s", at.Operation, failure.Explained())
	require.NotEmpty(w.t, failure.Step)
	require.NotContains(w.t, err.Error(), "secret")
	for _, secret := range w.personal() {
		require.NotContains(w.t, failure.Explained(), secret)
	}
	if !refused {
		return failure
	}
	require.NotEmpty(w.t, failure.AWSCode, "%s: %s", at.Operation, failure.Reason)
	require.NotEmpty(w.t, failure.AWSOperation, "%s: %s", at.Operation, failure.Reason)
	require.NotEmpty(w.t, failure.RequestID, "%s: %s", at.Operation, failure.Reason)
	return failure
}

// answerable returns the calls that get an answer: all of them, or all but the reads.
func answerable(calls []awssim.Fault, reads bool) []awssim.Fault {
	return slices.DeleteFunc(slices.Clone(calls), func(at awssim.Fault) bool { return !reads && awscloud.IsRead(at.Operation) })
}

// requireNothingLeft undoes the order, now that AWS answers as usual.
func (w *fixture) requireNothingLeft(d done, at awssim.Fault) {
	w.t.Helper()
	notes, verified := w.undo(d)
	require.Empty(w.t, notes, at.Operation)
	require.Empty(w.t, verified.Leftovers, at.Operation)
	w.requireRestored()
}

// each splits joined errors.
func each(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, each(one)...)
	}
	return all
}
