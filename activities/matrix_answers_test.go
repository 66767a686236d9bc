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
	"quartermaster/internal/provision"
)

// The fault matrix, the other dimension: an answer of AWS that never changes, to every call of the order, of its undo and of a
// verification. No answer is retried without end: it becomes a question, an unusable account, or a leftover.

// answersForGood are answers that no attempt changes. Services spell them differently.
var answersForGood = []struct {
	name   string
	status int
	reads  bool // whether a read can be answered like that
	undos  bool // whether an undo is answered like that as well: it treats the others alike
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

// byService spells a code as IAM, STS and S3 do, or as the services with JSON do.
func byService(xml, json string) func(string) string {
	return func(service string) string {
		if service == "iam" || service == "sts" || service == "s3" {
			return xml
		}
		return json
	}
}

// impatient believes an answer of AWS at once, and waits for nothing.
func impatient(from *initialState) {
	from.timings = Timings{VisibleFor: 8 * time.Millisecond, AbsentFor: time.Millisecond, PollEvery: time.Millisecond / 2, DeniedFor: 1,
		RefusedFor: 1}
}

// linked is the flow with a report that exists, and with a boundary.
func linked(from *initialState) {
	linking(theExport(simExport("HEALTHY")))(from)
	from.w.Settings.PermissionsBoundary = "arn:aws:iam::aws:policy/AdministratorAccess"
}

// flows are the flows of this dimension, and whose calls each is about.
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

// TestEveryPermanentAnswerToAnOrderEnds gives every call of the order the same answer for good.
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
				db := newDatabase(t)
				for _, at := range answerable(doing, answer.reads) {
					w := setup(t, withResourcesOfOthers, flow.change, impatient, in(db))
					lied := answer.name == "not there" && awscloud.IsRead(at.Operation)
					w.answer(at, answer.status, answer.code(at.Service))
					d, err := w.do()
					if err != nil {
						failure := w.requireAnswered(at, err, !lied)
						require.Contains(t, []provision.FailureKind{provision.KindInput, provision.KindAccount, provision.KindPermission},
							failure.Code.Kind(), failure.Explained())
					}
					w.sim.ClearFaults(accountID)
					if err != nil && d.written == nil && d.user.ID == "" && len(w.sim.Effects()) == 0 {
						continue // the inspection has refused the account, or asks
					}
					if answer.name == "not there" && at.Operation == "GetAlternateContact" {
						continue // so the journal says, and AWS is the only one who could know better
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
					lied := answer.name == "not there" && awscloud.IsRead(at.Operation) // and the whole account may look as before
					w.undoFor = -time.Second
					notes, verified, err := w.tryUndo(d)
					for _, failed := range each(err) {
						w.requireAnswered(at, failed, !lied)
					}
					if !lied && string(w.sim.Snapshot(accountID)) != w.start {
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

// It is a strike against the account, not a verification that never ends.
func TestEveryPermanentAnswerToAVerificationIsItsResult(t *testing.T) {
	t.Parallel()
	clean := setup(t, impatient, waiting)
	_, err := run(clean, clean.acts.VerifyAccount, accountID)
	require.NoError(t, err)
	for _, answer := range answersForGood {
		t.Run(answer.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
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
					require.NotEmpty(t, verified.Failure.RequestID, at.Operation)
					require.NotContains(t, verified.Failure.Explained(), "secret")
				}
			}
		})
	}
}

// answer makes AWS give one answer to a call from now on, with a message that must not be copied.
func (w *fixture) answer(at awssim.Fault, status int, code string) {
	w.sim.Inject(awssim.Fault{Service: at.Service, Operation: at.Operation, AccountID: accountID, Kind: awssim.Error, Code: code,
		Status: status, Message: "secret " + w.w.Request.ContactName})
}

// requireAnswered requires an error that ends the attempts and shows an operator AWS's answer. Where AWS says that a thing is not
// there when we look for it, that is no refusal, and has no code.
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
	require.NotEmpty(w.t, failure.RequestID, "%s: %s", at.Operation, failure.Reason)
	return failure
}

// answerable are the calls that an answer is given to.
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

// each takes joined errors apart.
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
