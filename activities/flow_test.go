package activities

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// done holds the results of all steps.
type done struct {
	inspected Inspection
	user      provision.User
	written   *provision.WrittenContacts
	report    provision.Report
	asked     asked // for a new password, after the hand-over
}

// do runs all steps until one fails, like the workflow.
func (w *fixture) do() (d done, err error) {
	w.t.Helper()
	if d.inspected, err = run(w, w.acts.Inspect, w.work()); err != nil {
		return d, err
	}
	err = w.setUp(&d)
	return d, err
}

// setContacts, restoreContacts, restoreAlias and compare return the inputs of these activities.
func (d done) setContacts(work Work) SetContacts { return d.inspected.setContacts(work) }

func (found Inspection) setContacts(work Work) SetContacts {
	before := provision.WrittenContacts{FullName: found.Journal.Contact.FullName, Alternates: found.Journal.AlternateContacts}
	return SetContacts{Work: work, Before: before}
}

func (d done) restoreContacts(work Work) RestoreContacts {
	return RestoreContacts{Work: work, Journal: d.inspected.Journal, Written: d.written}
}

func (d done) restoreAlias(work Work) RestoreAlias {
	return RestoreAlias{work, d.inspected.Journal.Alias}
}

func (d done) compare(work Work) CompareWithJournal {
	return CompareWithJournal{Work: work, Journal: d.inspected.Journal, Written: d.written}
}

func (w *fixture) setUp(d *done) (err error) {
	w.t.Helper()
	if d.user, err = run(w, w.acts.CreateUser, w.work()); err != nil {
		return err
	}
	written, err := run(w, w.acts.SetContacts, d.setContacts(w.work()))
	if err != nil {
		return err
	}
	d.written = &written
	if _, err = run(w, w.acts.SetAlias, w.work()); err != nil {
		return err
	}
	if d.report, err = run(w, w.acts.SetUpReport, SetUpReport{Work: w.work(), Existing: d.inspected.ExistingReport}); err != nil {
		return err
	}
	_, err = run(w, w.acts.EnableSignIn, EnableSignIn{Work: w.work(), User: d.user})
	return err
}

// mustDo runs all steps and requires success.
func (w *fixture) mustDo() done {
	w.t.Helper()
	d, err := w.do()
	require.NoError(w.t, err)
	return d
}

// undo runs all undos and requires success.
func (w *fixture) undo(d done) (notes []string, verified Comparison) {
	w.t.Helper()
	notes, verified, err := w.tryUndo(d)
	require.NoError(w.t, err)
	return notes, verified
}

// tryUndo runs all undos, newest first, and the comparison, like the workflow. A failure does not stop the others.
func (w *fixture) tryUndo(d done) (notes []string, verified Comparison, failed error) {
	w.t.Helper()
	work := w.work()
	work.Until = time.Now().Add(w.undoFor)
	userUndo := UserUndo{Work: work, UserID: d.user.ID}
	for _, undo := range []func() (Undone, error){
		func() (Undone, error) { return run(w, w.acts.DisableSignIn, userUndo) },
		func() (Undone, error) { return run(w, w.acts.RemoveUser, userUndo) },
		func() (Undone, error) { return run(w, w.acts.RestoreContacts, d.restoreContacts(work)) },
		func() (Undone, error) { return run(w, w.acts.RestoreAlias, d.restoreAlias(work)) },
		func() (Undone, error) {
			return run(w, w.acts.RemoveReport, RemoveReport{Work: work, Report: d.report})
		},
	} {
		undone, err := undo()
		failed = errors.Join(failed, err)
		notes = append(notes, undone.Notes...)
	}
	verified, err := run(w, w.acts.CompareWithJournal, d.compare(work))
	return notes, verified, errors.Join(failed, err)
}

func TestAllStepsAndAllUndos(t *testing.T) {
	t.Parallel()
	w := setup(t)
	d := w.mustDo()

	a := w.account()
	user := a.Users["alice"]
	require.Equal(t, provision.User{Name: "alice", ID: user.ID, ARN: "arn:aws:iam::" + accountID + ":user/marketplace/alice"}, d.user)
	require.Equal(t, "/marketplace/", user.Path)
	require.Equal(t, map[string]string{"mp:order-id": "acme/order-1", "mp:order-nonce": nonce, "mp:managed-by": "quartermaster"}, user.Tags)
	require.Equal(t, []string{changePassword, readOnly}, user.AttachedPolicies)
	require.True(t, user.LoginProfile.ResetRequired)
	require.Equal(t, awssim.HashPassword(w.password()), user.LoginProfile.PasswordSHA256)

	require.Equal(t, "alice-corp", a.Alias)
	require.Equal(t, &awssim.Contact{FullName: "Alice Customer", AddressLine1: "1 Main St", AddressLine2: "Floor 2", City: "Seattle",
		StateOrRegion: "WA",
		PostalCode:    "98101", CountryCode: "US", PhoneNumber: "+1 206 555 0100", CompanyName: "Distributor Inc"}, a.Contact,
		"only the name is replaced")
	for _, kind := range []string{"BILLING", "OPERATIONS", "SECURITY"} {
		require.Equal(t, awssim.AlternateContact{Name: "Bob Customer", Title: "CFO", EmailAddress: "bob@customer.example",
			PhoneNumber: "+49 30 1234"}, a.AlternateContacts[kind])
	}

	require.Equal(t, provision.DataExport, d.report.Kind)
	require.False(t, d.report.Existing)
	require.Regexp(t, `^mp-cur-[0-9a-f]{12}$`, d.report.Name)
	require.Equal(t, "mp-cur-"+accountID+d.report.Name[len("mp-cur"):], d.report.Bucket)
	export := a.Exports[d.report.Name]
	require.Equal(t, export.ARN, d.report.ARN)
	require.Equal(t, nonce, export.Tags["mp:order-nonce"])
	require.Equal(t, "TRUE", export.TableConfigurations["COST_AND_USAGE_REPORT"]["INCLUDE_RESOURCES"])
	require.Equal(t, "TRUE", export.TableConfigurations["COST_AND_USAGE_REPORT"]["INCLUDE_CAPACITY_RESERVATION_DATA"])
	for _, column := range []string{"line_item_user_identifier", "capacity_reservation_capacity_reservation_arn",
		"capacity_reservation_capacity_reservation_status", "capacity_reservation_capacity_reservation_type"} {
		require.Contains(t, export.QueryStatement, " "+column+",")
	}
	bucket := a.Buckets[d.report.Bucket]
	require.Equal(t, "eu-central-1", bucket.Region)
	require.Equal(t, "BucketOwnerEnforced", bucket.ObjectOwnership)
	require.Equal(t, nonce, bucket.Tags["mp:order-nonce"])
	require.Equal(t, &awssim.PublicAccessBlock{BlockPublicAcls: true, IgnorePublicAcls: true, BlockPublicPolicy: true,
		RestrictPublicBuckets: true}, bucket.PublicAccessBlock)

	require.Equal(t, "old-alias", d.inspected.Journal.Alias)
	require.Equal(t, "Pool Owner", d.inspected.Journal.Contact.FullName)
	require.Equal(t, map[string]provision.AlternateContact{"BILLING": {Name: "Old Billing", Email: "old-billing@example.com",
		Phone: "+1 206 555 0101", Title: "Clerk"}},
		d.inspected.Journal.AlternateContacts)
	for _, step := range []provision.Step{provision.StepInspect, provision.StepUser, provision.StepContacts, provision.StepAlias,
		provision.StepReport, provision.StepSignIn} {
		require.Equal(t, provision.StepDone, w.stepRow(step).State, step)
	}

	// The customer can sign in only after everything else.
	effects := w.sim.Effects()
	require.Equal(t, "CreateLoginProfile", effects[len(effects)-1].Operation)
}

func TestRepeatingAStepChangesNothing(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*initialState){"data export": func(*initialState) {}, "legacy report": legacyReport} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, kind)
			first := w.mustDo()
			state, effects, password := string(w.sim.Snapshot(accountID)), len(w.sim.Effects()), w.password()
			second := done{inspected: first.inspected}
			require.NoError(t, w.setUp(&second))
			require.Equal(t, first, second)
			require.Equal(t, password, w.password())
			require.Equal(t, state, string(w.sim.Snapshot(accountID)))
			for _, e := range w.sim.Effects()[effects:] {
				require.Contains(t, []string{"UpdateLoginProfile", "PutAlternateContact"}, e.Operation,
					"a repeat may only overwrite a value with the same value")
			}
		})
	}
}

func TestUndosAreSafeTwiceAndWithoutTheirStep(t *testing.T) {
	t.Parallel()
	w := setup(t)
	inspected, err := run(w, w.acts.Inspect, w.work())
	require.NoError(t, err)
	notes, verified := w.undo(done{inspected: inspected})
	require.Empty(t, notes)
	require.Empty(t, verified.Leftovers)
	require.Empty(t, w.sim.Effects(), "nothing was done, so nothing is undone")

	w.forgetSteps()
	d := w.mustDo()
	for range 2 {
		notes, verified = w.undo(d)
		require.Empty(t, notes)
		require.Empty(t, verified.Leftovers)
		w.requireRestored()
	}
}

// eventually makes every read lag behind the writes, each by a different time.
func eventually(from *initialState) {
	from.sim.Delay = 20 * time.Millisecond
	from.timings.VisibleFor, from.timings.AbsentFor, from.timings.PollEvery = 5*time.Second, 60*time.Millisecond, 2*time.Millisecond
}

func TestStepsAndUndosWaitForPropagation(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*initialState){"data export": func(*initialState) {}, "legacy report": legacyReport} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, eventually, kind)
			d := w.mustDo()
			notes, verified := w.undo(d)
			require.Empty(t, notes)
			require.Empty(t, verified.Leftovers)
			w.requireRestored()
		})
	}
	t.Run("a lost reply that is undone before it is visible", func(t *testing.T) {
		t.Parallel()
		for _, op := range []string{"CreateUser", "PutContactInformation", "PutAlternateContact", "CreateAccountAlias", "CreateBucket",
			"CreateExport", "CreateLoginProfile"} {
			w := setup(t, eventually)
			inspected, err := run(w, w.acts.Inspect, w.work())
			require.NoError(t, err)
			w.sim.Inject(awssim.Fault{Operation: op, Nth: 1, When: awssim.After, Kind: awssim.Reset})
			d := done{inspected: inspected}
			w.setUpUntilFault(&d)
			w.requireUndone(d, awssim.Fault{Operation: op, Nth: 1})
		}
	})
}

// The repeat cannot see what the first attempt did. Only AWS's refusal shows it.
func TestLostRepliesDuringPropagation(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(*initialState){"data export": func(*initialState) {}, "legacy report": legacyReport} {
		clean := setup(t, kind)
		d := clean.mustDo()
		between := len(clean.sim.Requests())
		writes := mutations(clean.sim.Requests(), 0)
		clean.undo(d)
		undos := mutations(clean.sim.Requests(), between)
		if name == "legacy report" { // the rest of the flow is the same
			writes, undos = mutations(clean.sim.Requests()[:between], 0, "cur"), mutations(clean.sim.Requests(), between, "cur")
		}
		for _, at := range writes {
			t.Run(name+" "+at.Operation, func(t *testing.T) {
				t.Parallel()
				w := setup(t, eventually, kind)
				w.spoil(ways[0], lostReply, at)
				d := w.mustDo()
				w.requireSpoilt(ways[0], lostReply, at)
				for _, created := range []string{"CreateUser", "CreateBucket", "CreateLoginProfile", "CreateAccountAlias"} {
					require.Equal(t, 1, w.effects(created), created)
				}
				require.Equal(t, 1, w.effects("CreateExport")+w.effects("PutReportDefinition"))
				w.requirePasswordSet()
				w.requireUndone(d, at)
			})
		}
		for _, at := range undos {
			t.Run(fmt.Sprintf("%s undo %s %d", name, at.Operation, at.Nth), func(t *testing.T) {
				t.Parallel()
				w := setup(t, eventually, kind)
				d := w.mustDo()
				w.spoil(ways[0], lostReply, at)
				w.requireUndone(d, at)
			})
		}
	}
}

func TestStepsRecordHowTheyEnd(t *testing.T) {
	t.Parallel()
	w := setup(t)
	remove := w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.Throttle})
	_, err := once(w, 1, w.acts.CreateUser, w.work())
	w.requireFailure(err, provision.CodeThrottled)
	require.Equal(t, provision.StepRetrying, w.stepRow(provision.StepUser).State)
	remove()

	remove = w.sim.Inject(awssim.Fault{Operation: "CreateUser", Kind: awssim.AccessDenied})
	_, err = once(w, 2, w.acts.CreateUser, w.work())
	failure := w.requireFailure(err, provision.CodePermissionMissing)
	require.Contains(t, failure.Reason, "iam:CreateUser")
	require.NotEmpty(t, failure.RequestID)
	require.Equal(t, provision.StepFailed, w.stepRow(provision.StepUser).State)
	require.Contains(t, w.stepRow(provision.StepUser).Problem, "iam:CreateUser")
	remove()

	w.store.breakWith(errors.New("the database is down"))
	_, err = once(w, 3, w.acts.CreateUser, w.work())
	w.requireFailure(err, provision.CodeInternal)
	require.Empty(t, w.account().Users, "nothing is done without a record")
}

// TestErrorsContainNoPersonalData makes AWS refuse every step in every way, and reads all errors and recorded problems.
func TestErrorsContainNoPersonalData(t *testing.T) {
	t.Parallel()
	w := setup(t)
	d := w.mustDo()
	texts := []string{w.password()}
	for _, kind := range []awssim.Fault{{Kind: awssim.AccessDenied}, {Kind: awssim.Throttle},
		{Kind: awssim.Error, Code: "ValidationException", Status: 400, Message: "bob@customer.example +49 30 1234 Alice Customer " + texts[0]}} {
		for _, operation := range []string{"GetContactInformation", "GetUser", "ListAccountAliases", "GetBucketTagging",
			"GetAccountPasswordPolicy"} {
			f := kind
			f.Operation = operation
			remove := w.sim.Inject(f)
			for _, call := range []func() error{
				func() error { _, err := once(w, 1, w.acts.Inspect, w.work()); return err },
				func() error { _, err := once(w, 1, w.acts.SetContacts, d.setContacts(w.work())); return err },
				func() error { _, err := once(w, 1, w.acts.RestoreContacts, d.restoreContacts(w.work())); return err },
				func() error { _, err := once(w, 1, w.acts.SetAlias, w.work()); return err },
				func() error { _, err := once(w, 1, w.acts.EnableSignIn, EnableSignIn{w.work(), d.user}); return err },
				func() error { _, err := once(w, 1, w.acts.CompareWithJournal, d.compare(w.work())); return err },
			} {
				if err := call(); err != nil {
					texts = append(texts, err.Error())
				}
			}
			remove()
		}
	}
	require.Greater(t, len(texts), 30)
	for _, text := range append(texts[1:], w.store.problems...) {
		for _, secret := range append(w.personal(), texts[0]) {
			require.NotContains(t, text, secret)
		}
	}
}
