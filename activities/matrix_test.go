package activities

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// faults are what may happen to any call that changes the account.
var faults = []awssim.Fault{
	{When: awssim.After, Kind: awssim.Reset}, // the lost reply
	{When: awssim.After, Kind: awssim.InternalError},
	{When: awssim.After, Kind: awssim.MalformedBody},
	{When: awssim.Before, Kind: awssim.Reset},
	{When: awssim.Before, Kind: awssim.Unavailable},
	{When: awssim.Before, Kind: awssim.Throttle},
	{When: awssim.Before, Kind: awssim.ExpiredToken},
	{When: awssim.Before, Kind: awssim.ConcurrentModification},
}

// mutations lists the changing calls between two moments of the simulator's log, with their place among the calls of
// the same operation.
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

// TestEveryFaultAtEveryWrite spoils every single changing call of the flow in every way, once while everything goes
// well otherwise, once while it is undone, and once with the order given up at the spoiled call. Whatever happens, the
// account ends up as ordered, or exactly as it was.
func TestEveryFaultAtEveryWrite(t *testing.T) {
	t.Parallel()
	t.Run("everything", func(t *testing.T) {
		t.Parallel()
		spoilEveryWrite(t, 13, 14, func(*scene) {})
	})
	t.Run("legacy report", func(t *testing.T) { // the rest of the flow is the same
		t.Parallel()
		spoilEveryWrite(t, 4, 3, legacyReport, "s3", "cur")
	})
}

func spoilEveryWrite(t *testing.T, wantWrites, wantUndos int, change func(*scene), services ...string) {
	clean := setup(t, change)
	d := clean.mustDo()
	ordered, before := clean.shape(), len(clean.sim.Requests())
	writes := mutations(clean.sim.Requests(), 0, services...)
	require.Len(t, writes, wantWrites, "%v", writes)
	notes, verified := clean.undo(d)
	require.Empty(t, notes)
	require.Empty(t, verified.Leftovers)
	clean.requireRestored()
	undos := mutations(clean.sim.Requests(), before, services...)
	require.Len(t, undos, wantUndos, "%v", undos)

	for _, f := range faults {
		t.Run(fmt.Sprintf("%s %s", f.When, f.Kind), func(t *testing.T) {
			t.Parallel()
			for _, at := range writes {
				w := setup(t, change)
				w.spoil(f, at)
				d := w.mustDo()
				w.requireSpoilt(f, at)
				require.Equal(t, ordered, w.shape(), "%s %d", at.Operation, at.Nth)
				for _, created := range []string{"CreateUser", "CreateBucket", "CreateLoginProfile", "CreateAccountAlias"} {
					require.Equal(t, 1, w.effects(created), "%s after a fault at %s %d", created, at.Operation, at.Nth)
				}
				require.Equal(t, 1, w.effects("CreateExport")+w.effects("PutReportDefinition"))
				require.Equal(t, awssim.HashPassword(w.password()), w.account().Users["alice"].LoginProfile.PasswordSHA256, "the kept password is the one that is set")
				w.requireUndone(d, at)
			}
			for _, at := range undos {
				w := setup(t, change)
				d := w.mustDo()
				w.spoil(f, at)
				w.requireUndone(d, at)
				w.requireSpoilt(f, at)
			}
		})
	}
	t.Run("given up at the lost reply", func(t *testing.T) {
		t.Parallel()
		for _, at := range writes {
			w := setup(t, change)
			inspected, err := run(w, w.acts.Inspect, w.w)
			require.NoError(t, err)
			w.spoil(faults[0], at)
			d := done{inspected: inspected}
			w.setUpUntilFault(&d)
			w.requireUndone(d, at)
		}
	})
}

// spoil injects the fault at the call. A call that was counted before the fault was injected counts no more.
func (w *world) spoil(f, at awssim.Fault) {
	for _, r := range w.sim.Requests() {
		if r.Service == at.Service && r.Operation == at.Operation {
			at.Nth--
		}
	}
	f.Service, f.Operation, f.AccountID, f.Nth = at.Service, at.Operation, accountID, at.Nth
	w.sim.Inject(f)
}

// setUpUntilFault runs one attempt of each step and stops at the first that fails, as a cancel does.
func (w *world) setUpUntilFault(d *done) {
	w.t.Helper()
	restore := Restore{Assignment: w.w, Journal: d.inspected.Journal}
	var err error
	for _, step := range []func(){
		func() { d.user, err = once(w, 1, w.acts.CreateUser, w.w) },
		func() { _, err = once(w, 1, w.acts.SetContacts, restore) },
		func() { _, err = once(w, 1, w.acts.SetAlias, restore) },
		func() { d.report, err = once(w, 1, w.acts.SetUpReport, SetUpReport{Assignment: w.w}) },
		func() { _, err = once(w, 1, w.acts.EnableSignIn, SignIn{Assignment: w.w, User: d.user}) },
	} {
		if step(); err != nil {
			return
		}
	}
	require.Error(w.t, err, "the fault was not met")
}

func (w *world) requireUndone(d done, at awssim.Fault) {
	w.t.Helper()
	notes, verified := w.undo(d)
	require.Empty(w.t, notes, "fault at %s %d", at.Operation, at.Nth)
	require.Empty(w.t, verified.Leftovers, "fault at %s %d", at.Operation, at.Nth)
	w.requireRestored()
	require.Empty(w.t, w.store.passwords, "the password is forgotten")
	require.Equal(w.t, provision.StepUndone, w.store.steps[provision.StepUser])
}

// requireSpoilt wants the fault to have happened: a matrix that misses its calls proves nothing.
func (w *world) requireSpoilt(f, at awssim.Fault) {
	w.t.Helper()
	require.True(w.t, slices.ContainsFunc(w.sim.Requests(), func(r awssim.Request) bool {
		return r.Operation == at.Operation && r.Decision == string(f.Kind)
	}), "%s %d was not spoilt", at.Operation, at.Nth)
}
