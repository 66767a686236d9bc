package activities

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// The fault matrix combines each changing call of the order and of its undo with what may happen to the call and with who repeats
// it. In every case the account ends as ordered, or exactly as it was before, and what is not ours does not change by a byte.

// way says who repeats a failed call, and for which faults.
type way struct {
	name   string
	faults []awssim.Fault
	change func(*initialState)
	arm    func(w *fixture, at awssim.Fault) // prepares a second fault at the call; nil: none
	check  func(w *fixture, at awssim.Fault) // requires that the call was repeated in this way; nil: no check
}

var lostReply = awssim.Fault{When: awssim.After, Kind: awssim.Reset}

var ways = []way{
	{name: "our retry", change: func(*initialState) {}, faults: []awssim.Fault{
		lostReply,
		{When: awssim.After, Kind: awssim.InternalError},
		{When: awssim.After, Kind: awssim.MalformedBody},
		{When: awssim.Before, Kind: awssim.Reset},
		{When: awssim.Before, Kind: awssim.Unavailable},
		{When: awssim.Before, Kind: awssim.InternalError},
		{When: awssim.Before, Kind: awssim.Throttle},
		{When: awssim.Before, Kind: awssim.ExpiredToken},
		{When: awssim.Before, Kind: awssim.ConcurrentModification},
		{When: awssim.Before, Kind: awssim.EntityTemporarilyUnmodifiable},
	}},
	{name: "our retry after a timeout", change: func(from *initialState) { from.cloud.CallTimeout = 150 * time.Millisecond },
		faults: []awssim.Fault{
			{When: awssim.After, Kind: awssim.Timeout},
			{When: awssim.Before, Kind: awssim.Timeout},
		}},
	// The SDK sends the call again, as it does by default, and we see only the result of the repeat.
	{name: "the SDK's retry", change: sdkRetries, check: repeatedBySDK, faults: []awssim.Fault{
		lostReply,
		{When: awssim.After, Kind: awssim.InternalError},
		{When: awssim.Before, Kind: awssim.Reset},
		{When: awssim.Before, Kind: awssim.Unavailable},
		{When: awssim.Before, Kind: awssim.Throttle},
	}},
	// The process is killed during the call. Another process, which does not know about the call, gets the next attempt.
	{name: "the process is killed", change: func(*initialState) {}, arm: killedAt, check: killed, faults: []awssim.Fault{
		{When: awssim.After, Kind: awssim.Timeout},
		{When: awssim.Before, Kind: awssim.Timeout},
	}},
	{name: "stale reads follow", change: patient, arm: staleAfter, faults: []awssim.Fault{
		lostReply,
		{When: awssim.Before, Kind: awssim.StaleRead}, // the call itself goes well
	}},
}

func sdkRetries(from *initialState) {
	from.cloud.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 3, time.Millisecond })
	}
}

// repeatedBySDK requires that the SDK has sent a call of the operation more than once.
func repeatedBySDK(w *fixture, at awssim.Fault) {
	w.t.Helper()
	require.True(w.t, slices.ContainsFunc(w.sim.Requests(), func(r awssim.Request) bool {
		return r.Operation == at.Operation && r.Attempt > 1
	}),
		"the SDK did not repeat %s", at.Operation)
}

// killedAt kills the process at the moment at which the call hangs.
func killedAt(w *fixture, at awssim.Fault) {
	w.onRequest(func(operation, fault string) {
		if operation == at.Operation && fault == string(awssim.Timeout) {
			w.kill()
		}
	})
}

func killed(w *fixture, at awssim.Fault) {
	w.t.Helper()
	require.Greater(w.t, w.workers, 1, "the process was not killed at %s", at.Operation)
}

func patient(from *initialState) { from.timings.AbsentFor = 40 * time.Millisecond }

// staleAfter makes the next read of the service show the state before the call. With more than one stale read, the speed of the
// machine would decide how many of them happen while the undo waits.
func staleAfter(w *fixture, at awssim.Fault) {
	n := at.Nth - w.sent(at)
	w.onRequest(func(operation, _ string) {
		if operation != at.Operation {
			return
		}
		if n--; n == 0 {
			w.sim.Inject(awssim.Fault{Service: at.Service, AccountID: accountID, Kind: awssim.StaleRead, Times: 1})
		}
	})
}

// mutations lists the changing calls of a log of requests from an index on, with their place among the calls of the same operation.
func mutations(requests []awssim.Request, from int, services ...string) (calls []awssim.Fault) {
	mutating := map[awssim.Operation]bool{}
	for _, op := range awssim.MutatingOperations {
		mutating[op] = op.Service != "sts"
	}
	count := map[awssim.Operation]int{}
	for i, r := range requests {
		op := awssim.Operation{Service: r.Service, Name: r.Operation}
		if !mutating[op] {
			continue
		}
		if count[op]++; i >= from && (len(services) == 0 || slices.Contains(services, r.Service)) {
			calls = append(calls, awssim.Fault{Service: op.Service, Operation: op.Name, Nth: count[op]})
		}
	}
	return calls
}

// plan describes a flow without faults: its changing calls, and the account at its end.
type plan struct {
	writes, undos []awssim.Fault
	ordered       string // the account's shape
}

// kinds are the flows of the matrix. The two differ in the report only.
var kinds = []struct {
	name          string
	writes, undos int
	change        func(*initialState)
	services      []string // whose calls fail; none: all
}{
	{"everything", 13, 14, func(*initialState) {}, nil},
	{"legacy report", 4, 3, legacyReport, []string{"s3", "cur"}},
}

func planned(t *testing.T, writes, undos int, services []string, changes ...func(*initialState)) plan {
	t.Helper()
	clean := setup(t, changes...)
	d := clean.mustDo()
	p := plan{ordered: clean.shape(), writes: mutations(clean.sim.Requests(), 0, services...)}
	require.Len(t, p.writes, writes, "%v", p.writes)
	before := len(clean.sim.Requests())
	clean.requireUndone(d, awssim.Fault{})
	p.undos = mutations(clean.sim.Requests(), before, services...)
	require.Len(t, p.undos, undos, "%v", p.undos)
	return p
}

// TestEveryFaultAtEveryWrite makes each changing call fail in each way: once during an order that completes, once during its undo,
// and once with the order cancelled at the failed call.
func TestEveryFaultAtEveryWrite(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		p := planned(t, kind.writes, kind.undos, kind.services, withResourcesOfOthers, kind.change)
		for _, by := range ways {
			for _, f := range by.faults {
				t.Run(fmt.Sprintf("%s/%s/%s %s", kind.name, by.name, f.When, f.Kind), func(t *testing.T) {
					t.Parallel()
					db := pgtest.New(t)
					for _, at := range p.writes {
						w := setup(t, withResourcesOfOthers, kind.change, by.change, in(db))
						w.spoil(by, f, at)
						d := w.mustDo()
						w.requireSpoilt(by, f, at)
						w.requireAsOrdered(p, at)
						w.requireUndone(d, at)
					}
					for _, at := range p.undos {
						w := setup(t, withResourcesOfOthers, kind.change, by.change, in(db))
						d := w.mustDo()
						w.spoil(by, f, at)
						w.requireUndone(d, at)
						w.requireSpoilt(by, f, at)
					}
					if f.Kind != lostReply.Kind && f.Kind != awssim.Timeout || by.check != nil && f.Kind == lostReply.Kind {
						return // the call did not fail with its outcome unknown
					}
					for _, at := range p.writes {
						w := setup(t, withResourcesOfOthers, kind.change, by.change, in(db))
						inspected, err := run(w, w.acts.Inspect, w.work())
						require.NoError(t, err)
						w.spoil(by, f, at)
						d := done{inspected: inspected}
						w.setUpUntilFault(&d)
						w.requireUndone(d, at)
					}
				})
			}
		}
	}
}

// TestEveryDenialAtEveryWrite takes away the permission for each changing call. The order stops and names the missing permission.
// With the permission it continues and completes; when it is cancelled without it, its undo restores the account.
func TestEveryDenialAtEveryWrite(t *testing.T) {
	t.Parallel()
	denied := func(w *fixture, at awssim.Fault) (mend func()) {
		return w.sim.Inject(awssim.Fault{Service: at.Service, Operation: at.Operation, AccountID: accountID, Kind: awssim.AccessDenied})
	}
	for _, kind := range kinds {
		p := planned(t, kind.writes, kind.undos, kind.services, withResourcesOfOthers, kind.change)
		for _, at := range onePerOperation(p.writes) {
			t.Run(kind.name+"/"+at.Operation, func(t *testing.T) {
				t.Parallel()
				db := pgtest.New(t)
				for _, givenUp := range []bool{false, true} {
					w := setup(t, withResourcesOfOthers, kind.change, quick, in(db))
					mend := denied(w, at)
					d, err := w.do()
					failure := w.requireFailure(err, provision.CodePermissionMissing)
					require.Contains(t, failure.Reason, ":"+at.Operation, "what the operator has to allow")
					if !givenUp {
						mend()
						require.NoError(t, w.setUp(&d))
						w.requireAsOrdered(p, at)
					}
					w.requireUndone(d, at)
				}
			})
		}
		for _, at := range onePerOperation(p.undos) {
			t.Run(kind.name+"/undo "+at.Operation, func(t *testing.T) {
				t.Parallel()
				w := setup(t, withResourcesOfOthers, kind.change, quick)
				d := w.mustDo()
				mend := denied(w, at)
				w.undoFor = -time.Second
				_, verified, err := w.tryUndo(d)
				w.requireFailure(err, provision.CodePermissionMissing)
				require.NotEmpty(t, verified.Leftovers, "what is left is named")
				w.requireOthersUntouched()
				mend()
				w.requireUndone(d, at)
			})
		}
	}
}

// TestResourcesOfOthersWithTheSameNamesAreNeverTouched creates a resource of someone else with exactly the name that
// the order gives. With every call up to there spoilt, the order stops with the right question and its undo leaves that
// thing, and everything else, byte for byte as it was.
func TestResourcesOfOthersWithTheSameNamesAreNeverTouched(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, foreign foreigner, changes ...func(*initialState)) (*fixture, done) {
		t.Helper()
		w, d := begin(t, off{}, foreign.put, append(slices.Clone(foreign.changes), changes...)...)
		if foreign.elsewhere != nil {
			w.updateOther(func(a *awssim.Account) { foreign.elsewhere(w, a) })
		}
		return w, d
	}
	for _, foreign := range foreigners {
		clean, d := begin(t, foreign)
		before := len(clean.sim.Requests())
		clean.requireFailure(clean.setUp(&d), foreign.code)
		writes := mutations(clean.sim.Requests(), 0)
		require.Len(t, writes, foreign.writes, "%v", writes)
		require.Greater(t, len(clean.sim.Requests()), before)
		for _, by := range ways {
			for _, f := range by.faults {
				if f.When != awssim.After || f.Kind != awssim.Reset && f.Kind != awssim.Timeout {
					continue // only where the outcome is unknown may a resource of someone else be taken for the order's
				}
				t.Run(fmt.Sprintf("%s/%s/%s %s", foreign.name, by.name, f.When, f.Kind), func(t *testing.T) {
					t.Parallel()
					db := pgtest.New(t)
					for _, at := range writes {
						w, d := begin(t, foreign, by.change, in(db))
						w.spoil(by, f, at)
						w.requireFailure(w.setUp(&d), foreign.code)
						w.requireSpoilt(by, f, at)
						notes, verified := w.undo(d)
						require.Len(t, notes, foreign.unproven, "%s %d", at.Operation, at.Nth)
						require.Len(t, verified.Leftovers, foreign.unproven, "%s %d", at.Operation, at.Nth)
						w.requireRestored()
					}
				})
			}
		}
	}
}

func onePerOperation(calls []awssim.Fault) []awssim.Fault {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(calls), func(at awssim.Fault) bool {
		again := seen[at.Operation]
		seen[at.Operation] = true
		return again
	})
}

// sent counts the requests of the call's operation so far.
func (w *fixture) sent(at awssim.Fault) (n int) {
	for _, r := range w.sim.Requests() {
		if r.Service == at.Service && r.Operation == at.Operation {
			n++
		}
	}
	return n
}

// spoil injects the fault at the call, and what the way adds. A call that was counted before counts no more.
func (w *fixture) spoil(by way, f, at awssim.Fault) {
	if by.arm != nil {
		by.arm(w, at)
	}
	f.Service, f.Operation, f.AccountID, f.Nth = at.Service, at.Operation, accountID, at.Nth-w.sent(at)
	w.sim.Inject(f)
}

// setUpUntilFault runs one attempt of each step and stops at the first that fails, as a cancel does.
func (w *fixture) setUpUntilFault(d *done) {
	w.t.Helper()
	var err error
	for _, step := range []func(){
		func() { d.user, err = once(w, 1, w.acts.CreateUser, w.work()) },
		func() { _, err = once(w, 1, w.acts.SetContacts, d.setContacts(w.work())) },
		func() { _, err = once(w, 1, w.acts.SetAlias, w.work()) },
		func() { d.report, err = once(w, 1, w.acts.SetUpReport, SetUpReport{Work: w.work()}) },
		func() { _, err = once(w, 1, w.acts.EnableSignIn, EnableSignIn{Work: w.work(), User: d.user}) },
	} {
		if step(); err != nil {
			return
		}
	}
	require.Error(w.t, err, "the fault was not met")
}

// requireAsOrdered wants everything to be there, made once.
func (w *fixture) requireAsOrdered(p plan, at awssim.Fault) {
	w.t.Helper()
	require.Equal(w.t, p.ordered, w.shape(), "%s %d", at.Operation, at.Nth)
	for _, created := range []string{"CreateUser", "CreateBucket", "CreateLoginProfile", "CreateAccountAlias"} {
		require.Equal(w.t, 1, w.effects(created), "%s after a fault at %s %d", created, at.Operation, at.Nth)
	}
	require.Equal(w.t, 1, w.effects("CreateExport")+w.effects("PutReportDefinition"))
	require.Equal(w.t, awssim.HashPassword(w.password()), w.account().Users["alice"].LoginProfile.PasswordSHA256,
		"the kept password is the one that is set")
	w.requireOthersUntouched()
}

func (w *fixture) requireUndone(d done, at awssim.Fault) {
	w.t.Helper()
	notes, verified := w.undo(d)
	require.Empty(w.t, notes, "fault at %s %d", at.Operation, at.Nth)
	require.Empty(w.t, verified.Leftovers, "fault at %s %d", at.Operation, at.Nth)
	w.requireRestored()
	require.Empty(w.t, w.sealedPasswords(), "the password is forgotten")
	require.Equal(w.t, provision.StepUndone, w.stepRow(provision.StepUser).State)
}

// requireSpoilt wants the fault to have happened: a matrix that misses its calls proves nothing.
func (w *fixture) requireSpoilt(by way, f, at awssim.Fault) {
	w.t.Helper()
	require.True(w.t, f.Kind == awssim.StaleRead || slices.ContainsFunc(w.sim.Requests(), func(r awssim.Request) bool {
		return r.Operation == at.Operation && r.Decision == string(f.Kind)
	}), "%s %d was not spoilt", at.Operation, at.Nth)
	if by.check != nil {
		by.check(w, at)
	}
}

// foreigner is a resource of someone else with the same name as a resource of the order.
type foreigner struct {
	name      string
	code      provision.Code                      // the question that the order ends with
	writes    int                                 // how many changing calls it makes until then
	put       func(w *fixture, a *awssim.Account) // into the order's account, after its inspection
	elsewhere func(w *fixture, a *awssim.Account) // into the other account
	changes   []func(*initialState)
	unproven  int // how much the undo cannot prove to be clean, and says so
}

var notOurTags = map[string]string{tagOrder: "acme/order-2", tagNonce: "another", tagManagedBy: managedBy}

func foreignUser(_ *fixture, a *awssim.Account) {
	put(&a.Users, "alice", awssim.User{Path: userPath, Tags: notOurTags, AttachedPolicies: []string{readOnly},
		AccessKeys: []string{"AKIAI44QH8DHBEXAMPLE"}})
}

// put adds to a map of the account that may not be there yet.
func put[T any](things *map[string]T, name string, thing T) {
	if *things == nil {
		*things = map[string]T{}
	}
	(*things)[name] = thing
}

var (
	foreignExport = foreigner{name: "a data export", code: provision.CodeResourceNotOurs, writes: 12,
		put: func(w *fixture, a *awssim.Account) {
			e := simExport("HEALTHY")
			e.Tags = notOurTags
			put(&a.Exports, w.w.reportName(), e)
		}}
	foreignReport = foreigner{name: "a legacy report", code: provision.CodeResourceNotOurs, writes: 12,
		changes: []func(*initialState){legacyReport}, put: func(w *fixture, a *awssim.Account) {
			r := simReport("SUCCESS")
			r.Tags = notOurTags
			put(&a.Reports, w.w.reportName(), r)
		}}
	foreignBucket = foreigner{name: "a bucket", code: provision.CodeResourceNotOurs, writes: 9, put: func(w *fixture, a *awssim.Account) {
		put(&a.Buckets, w.w.bucketName(), awssim.Bucket{Region: "eu-central-1", Tags: notOurTags})
	}}
	foreigners = []foreigner{
		{name: "a user", code: provision.CodeUserNameTaken, writes: 1, put: foreignUser},
		{name: "an alias elsewhere", code: provision.CodeAliasTaken, writes: 8,
			elsewhere: func(w *fixture, a *awssim.Account) { a.Alias = w.w.Request.AccountAlias }},
		{name: "a bucket elsewhere", code: provision.CodeResourceNotOurs, writes: 9, unproven: 1, elsewhere: func(w *fixture, a *awssim.Account) {
			put(&a.Buckets, w.w.bucketName(), awssim.Bucket{Region: "eu-central-1"})
		}},
		foreignBucket, foreignExport, foreignReport,
	}
)

// withResourcesOfOthers adds resources of others: to the order's account some whose names and tags are nearly the order's, and to
// the other account some with exactly the order's names.
func withResourcesOfOthers(from *initialState) {
	w := from.w
	theirs := awssim.User{ID: "AIDASOMEBODYELSE00000", Path: userPath, Tags: notOurTags, AttachedPolicies: []string{readOnly},
		AccessKeys: []string{"AKIAIOSFODNN7EXAMPLE"}, Groups: []string{"admins"},
		InlinePolicies: map[string]string{"more": `{"Version":"2012-10-17","Statement":[]}`}}
	plain := theirs
	plain.Path, plain.Tags = "/", nil
	export, report := simExport("HEALTHY"), simReport("SUCCESS")
	export.Tags, report.Tags = notOurTags, notOurTags
	bucket := awssim.Bucket{Region: "eu-central-1", Tags: notOurTags,
		Objects: map[string]int{"cur/" + testObject: 0, "cur/usage.parquet": 4711}}

	from.account.Users = map[string]awssim.User{"alice2": theirs, "bob": plain}
	from.account.Exports = map[string]awssim.Export{w.reportName() + "-2": export}
	from.account.Reports = map[string]awssim.Report{w.reportName() + "-3": report}
	from.account.Buckets = map[string]awssim.Bucket{w.bucketName() + "-2": bucket}

	from.other.Contact = from.account.Contact
	from.other.AlternateContacts = from.account.AlternateContacts
	from.other.Users = map[string]awssim.User{w.Request.IAMUserName: theirs}
	from.other.Exports = map[string]awssim.Export{w.reportName(): export}
	from.other.Reports = map[string]awssim.Report{w.reportName(): report}
	from.other.Buckets = map[string]awssim.Bucket{w.bucketName() + "-3": bucket}
}
