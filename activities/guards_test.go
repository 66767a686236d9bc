package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// Each guard is switched off once: the proxy alters the answers of AWS so that the guard lets everything pass. A slice of the fault
// matrix must then fail. A guard that can be off without a failure is either not needed or not tested.

// off says how a guard is switched off: which answers the proxy alters in each phase of the order.
type off struct {
	inspecting, doing, undoing func(w *fixture) alterations
	forget                     func(*fixture, *RemoveReport) // removes from the undo's input what the guard needs
	fences                     func(w *fixture)              // switches off a check of the database or of the clock
}

func (o off) at(w *fixture, phase func(*fixture) alterations) {
	if phase == nil {
		w.proxy.alter(nil)
		return
	}
	w.proxy.alter(phase(w))
}

// slice is a part of the matrix. It fails tb when an account does not end as it must.
type slice func(tb testing.TB, o off)

type guard struct {
	name  string
	slice slice
	off   off
}

func only(operation string, altered alteration) func(*fixture) alterations {
	return func(*fixture) alterations { return alterations{operation: altered} }
}

func guards() []guard {
	ours := func(w *fixture) alterations { return alterations{"GetUser": everyUserIsOurs(w.w)} }
	reports := func(w *fixture) alterations { return alterations{"ListTagsForResource": everyReportIsOurs(w.w)} }
	buckets := func(w *fixture) alterations { return alterations{"GetBucketTagging": everyBucketIsOurs(w.w)} }
	sameID := func(w *fixture) alterations {
		return alterations{"GetUser": rewrite(func(body string) string {
			return userIDXML.ReplaceAllString(body,
				"<UserId>"+recordedUser+"</UserId>")
		})}
	}
	all := []guard{
		{"adopt the user by its tags", meetsForeignUser, off{inspecting: ours, doing: ours}},
		{"remove the user by its tags", meetsForeignUser, off{undoing: ours}},
		{"adopt the data export by its tags", meetsForeign(foreignExport), off{doing: reports}},
		{"remove the data export by its tags", meetsForeign(foreignExport), off{undoing: reports}},
		{"adopt the legacy report by its tags", meetsForeign(foreignReport), off{doing: reports}},
		{"remove the legacy report by its tags", meetsForeign(foreignReport), off{undoing: reports}},
		{"adopt the bucket by its tags", meetsForeign(foreignBucket), off{doing: buckets}},
		{"remove the bucket by its tags", meetsForeign(foreignBucket), off{undoing: buckets}},
		{"compare the user's id before it gets a password", userWasReplaced, off{doing: sameID}},
		{"compare the user's id before it is removed", userWasReplaced, off{undoing: sameID}},
		{"compare the user's id again right before it is deleted", userIsReplacedDuringUndo, off{undoing: func(w *fixture) alterations {
			id := w.account().Users["alice"].ID
			return alterations{"GetUser": rewrite(func(body string) string { return userIDXML.ReplaceAllString(body, "<UserId>"+id+"</UserId>") })}
		}}},
		{"leave a user alone that has signed in", userHasSignedIn, off{doing: func(*fixture) alterations {
			return alterations{"GetLoginProfile": rewrite(func(body string) string {
				return strings.Replace(body, "<PasswordResetRequired>false<", "<PasswordResetRequired>true<", 1)
			})}
		}}},
		{"journal the earlier alias", undoneInFull, off{inspecting: only("ListAccountAliases", theAliasIs(""))}},
		{"restore the earlier alias", undoneInFull, off{undoing: only("CreateAccountAlias", swallow)}},
		{"take the ordered alias away", undoneInFull, off{undoing: func(w *fixture) alterations {
			return alterations{"DeleteAccountAlias": swallow, "CreateAccountAlias": swallow}
		}}},
		{"compare the alias before it is restored", changedByTheCustomer, off{undoing: func(w *fixture) alterations {
			return alterations{"ListAccountAliases": theAliasIs(w.w.Request.AccountAlias)}
		}}},
		{"compare the primary contact before it is restored", changedByTheCustomer, off{undoing: func(w *fixture) alterations {
			return alterations{"GetContactInformation": rewriteJSON("ContactInformation",
				func(fields map[string]any) { fields["FullName"] = w.w.Request.ContactName })}
		}}},
		{"compare the alternate contacts before they are restored", changedByTheCustomer, off{undoing: func(w *fixture) alterations {
			ordered := w.w.Request.AlternateContact
			return alterations{"GetAlternateContact": rewriteJSON("AlternateContact", func(fields map[string]any) {
				maps.Copy(fields, map[string]any{"Name": ordered.Name, "EmailAddress": ordered.Email, "PhoneNumber": ordered.Phone,
					"Title": ordered.Title})
			})}
		}}},
		{"restore the primary contact", undoneInFull, off{undoing: only("PutContactInformation", answer("{}"))}},
		{"restore the alternate contact", undoneInFull, off{undoing: only("PutAlternateContact", answer("{}"))}},
		{"delete the alternate contacts that were not there", undoneInFull, off{undoing: only("DeleteAlternateContact", answer("{}"))}},
		{"never delete a bucket with objects of others", bucketWasUsed, off{undoing: everyObjectIsTheTestObject}},
		{"never delete a linked report", linkedReportLooksLikeOurs, off{forget: func(w *fixture, in *RemoveReport) {
			w.w.Request.UseExistingCUR, in.Report.Existing = "", false
		}}},
		{"ask whether the order holds the account", accountOfAnotherOrder, off{fences: believeEveryAttempt}},
		{"ask whether the undo has begun", lateAttempt, off{fences: believeEveryAttempt}},
		{"write only while the lease lives", attemptWasPaused, off{fences: func(w *fixture) { w.heartbeats.Now = awscloud.Now }}},
		{"heartbeat before anything else", attemptWasGivenUp, off{fences: func(w *fixture) { w.heartbeatTimeout = 0 }}},
		{"know the account before the first write", roleLeadsElsewhere, off{inspecting: identityIs(accountID), doing: identityIs(accountID)}},
	}
	for _, operation := range []string{"DeleteLoginProfile", "DeleteAccessKey", "DeactivateMFADevice", "DeleteVirtualMFADevice",
		"DeleteSigningCertificate",
		"DeleteSSHPublicKey", "DeleteServiceSpecificCredential", "RemoveUserFromGroup", "DetachUserPolicy", "DeleteUserPolicy", "DeleteUser"} {
		all = append(all, guard{"the delete ladder: " + operation, everythingOnTheUser, off{undoing: only(operation, swallow)}})
	}
	return all
}

func TestEveryGuardIsNeeded(t *testing.T) {
	t.Parallel()
	for _, g := range guards() {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, trial(t, func(tb testing.TB) { tb.Helper(); g.slice(tb, off{}) }), "with every guard on")
			require.NotEmpty(t, trial(t, func(tb testing.TB) { tb.Helper(); g.slice(tb, g.off) }),
				"the matrix passes with the guard %q off: the guard is untested, or not needed", g.name)
		})
	}
}

// verdict collects the failures of a trial, so that they do not fail the test.
type verdict struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

func (*verdict) Helper()  {}
func (*verdict) FailNow() { runtime.Goexit() }

func (v *verdict) Errorf(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failures = append(v.failures, fmt.Sprintf(format, args...))
}

// trial runs a part of the matrix and returns its failures; empty when it passes.
func trial(tb testing.TB, part func(testing.TB)) string {
	tb.Helper()
	v, done := &verdict{TB: tb}, make(chan struct{})
	go func() {
		defer close(done)
		part(v)
	}()
	<-done
	return strings.Join(v.failures, "\n")
}

// quick shortens all waits, for tests in which AWS refuses to the end.
func quick(from *initialState) {
	from.timings.VisibleFor, from.timings.AbsentFor, from.timings.PollEvery = 40*time.Millisecond, 2*time.Millisecond, time.Millisecond
}

// begin inspects the account, and then adds the foreign resources, which must not change.
func begin(tb testing.TB, o off, foreign func(w *fixture, a *awssim.Account), changes ...func(*initialState)) (*fixture, done) {
	tb.Helper()
	w := setup(tb, append(changes, quick)...)
	o.at(w, o.inspecting)
	inspected, err := run(w, w.acts.Inspect, w.work())
	require.NoError(tb, err)
	if foreign != nil {
		w.edit(func(a *awssim.Account) { foreign(w, a) })
		w.start = string(w.sim.Snapshot(accountID))
	}
	o.at(w, o.doing)
	return w, done{inspected: inspected}
}

// meetsForeignUser: someone creates a user of the ordered name after the account was inspected.
func meetsForeignUser(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, foreignUser)
	err := w.setUp(&d)
	w.requireFailure(err, provision.CodeUserNameTaken)
	o.at(w, o.undoing)
	w.undo(done{inspected: d.inspected})
	w.requireRestored()
}

// meetsForeign: the resources of the order's report already exist and are someone else's.
func meetsForeign(foreign foreigner) slice {
	return func(tb testing.TB, o off) {
		tb.Helper()
		w, d := begin(tb, o, foreign.put, foreign.changes...)
		w.requireFailure(w.setUp(&d), provision.CodeResourceNotOurs)
		o.at(w, o.undoing)
		w.undo(d)
		w.requireRestored()
	}
}

const recordedUser = "AIDARECORDEDBYTHEORDER"

// userWasReplaced: someone deleted the order's user and created it again with all its tags, as tools do that copy users.
func userWasReplaced(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, nil)
	w.proxy.alter(nil)
	user, err := run(w, w.acts.CreateUser, w.work())
	require.NoError(tb, err)
	user.ID, d.user = recordedUser, user
	d.user.ID = recordedUser
	w.start = string(w.sim.Snapshot(accountID))
	o.at(w, o.doing)
	_, err = run(w, w.acts.EnableSignIn, EnableSignIn{Work: w.work(), User: d.user})
	w.requireFailure(err, provision.CodeResourceNotOurs)
	o.at(w, o.undoing)
	undone, err := run(w, w.acts.RemoveUser, UserUndo{Work: w.work(), UserID: d.user.ID})
	require.NoError(tb, err)
	require.Len(tb, undone.Notes, 1)
	w.requireRestored()
}

// userIsReplacedDuringUndo: someone deletes the order's user and creates it again while the undo deletes it.
func userIsReplacedDuringUndo(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, nil)
	require.NoError(tb, w.setUp(&d))
	o.at(w, o.undoing)
	w.replaceUserAt("DetachUserPolicy")
	undone, err := run(w, w.acts.RemoveUser, UserUndo{Work: w.work(), UserID: d.user.ID})
	require.NoError(tb, err)
	require.Len(tb, undone.Notes, 1)
	require.Equal(tb, "AIDASOMEBODYELSE00000", w.account().Users["alice"].ID)
}

// userHasSignedIn: the step is repeated after the customer has set a password of their own.
func userHasSignedIn(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, nil)
	w.proxy.alter(nil)
	require.NoError(tb, w.setUp(&d))
	w.edit(func(a *awssim.Account) {
		u := a.Users["alice"]
		u.LoginProfile.PasswordSHA256, u.LoginProfile.ResetRequired = awssim.HashPassword("the customer's own"), false
		a.Users["alice"] = u
	})
	w.start = string(w.sim.Snapshot(accountID))
	o.at(w, o.doing)
	_, err := run(w, w.acts.EnableSignIn, EnableSignIn{Work: w.work(), User: d.user})
	w.requireFailure(err, provision.CodeResourceNotOurs)
	w.requireRestored()
}

// undoneInFull: all steps run, and then all undos.
func undoneInFull(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, nil)
	require.NoError(tb, w.setUp(&d))
	o.at(w, o.undoing)
	w.requireUndone(d, awssim.Fault{})
}

// everythingOnTheUser: before the undo, the customer attached to the user everything that IAM can attach.
func everythingOnTheUser(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, nil)
	require.NoError(tb, w.setUp(&d))
	w.hangEverythingOnTheUser()
	o.at(w, o.undoing)
	w.requireUndone(d, awssim.Fault{})
}

// changedByTheCustomer: before the undo, the customer changed the alias and the contacts.
func changedByTheCustomer(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, nil)
	require.NoError(tb, w.setUp(&d))
	theirs := awssim.AlternateContact{Name: "Their Own", Title: "CEO", EmailAddress: "ceo@customer.example", PhoneNumber: "+49 30 9999"}
	w.edit(func(a *awssim.Account) {
		a.Alias, a.Contact.FullName, a.AlternateContacts["BILLING"] = "their-own", "Their Own", theirs
	})
	o.at(w, o.undoing)
	notes, _ := w.undo(d)
	a := w.account()
	require.Equal(tb, "their-own", a.Alias)
	require.Equal(tb, "Their Own", a.Contact.FullName)
	require.Equal(tb, map[string]awssim.AlternateContact{"BILLING": theirs}, a.AlternateContacts)
	require.Len(tb, notes, 3, "the notes name what the undo left alone")
	w.requireOthersUntouched()
}

// bucketWasUsed: AWS has delivered, or the customer has stored something, before the order is undone.
func bucketWasUsed(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, nil)
	require.NoError(tb, w.setUp(&d))
	w.edit(func(a *awssim.Account) { a.Buckets[w.w.bucketName()].Objects["cur/data/usage.parquet"] = 4711 })
	before := w.account().Buckets[w.w.bucketName()].Objects
	o.at(w, o.undoing)
	notes, verified := w.undo(d)
	require.Equal(tb, before, w.account().Buckets[w.w.bucketName()].Objects)
	require.Len(tb, notes, 1)
	require.Len(tb, verified.Leftovers, 1)
}

// everyObjectIsTheTestObject lists every object as the test object, and deletes them all when the test object is deleted.
func everyObjectIsTheTestObject(w *fixture) alterations {
	return alterations{
		"ListObjectVersions": rewrite(func(body string) string { return keyXML.ReplaceAllString(body, "<Key>"+testObject+"</Key>") }),
		"DeleteObject": func(sim *awssim.Sim, _ func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
			if err := sim.Edit(accountID, func(a *awssim.Account) { clear(a.Buckets[w.w.bucketName()].Objects) }); err != nil {
				panic(err)
			}
			return httptest.NewRecorder()
		},
	}
}

// linkedReportLooksLikeOurs: the order links a report that has the order's own name and tags, because an earlier run of the same
// order created it. Only the fact that it is linked protects it.
func linkedReportLooksLikeOurs(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, nil)
	require.NoError(tb, w.setUp(&d))
	w.w.Request.UseExistingCUR = w.w.reportName()
	found, err := run(w, w.acts.Inspect, w.work())
	require.NoError(tb, err)
	d.report, err = run(w, w.acts.SetUpReport, SetUpReport{Work: w.work(), Existing: found.ExistingReport})
	require.NoError(tb, err)
	w.start = string(w.sim.Snapshot(accountID))
	in := RemoveReport{Work: w.work(), Report: d.report}
	if o.forget != nil {
		o.forget(w, &in)
	}
	_, err = run(w, w.acts.RemoveReport, in)
	require.NoError(tb, err)
	w.requireRestored()
}

// credulous lets every attempt at a step or an undo begin.
type credulous struct {
	Steps
	w *fixture
}

func believeEveryAttempt(w *fixture) { w.acts.Steps = credulous{w.acts.Steps, w} }

func (c credulous) Begin(context.Context, provision.OrderKey, string, provision.Step, int32) (provision.Assignment, error) {
	return provision.Assignment(c.w.w), nil
}

func (c credulous) BeginUndo(context.Context, provision.OrderKey, string, provision.Step,
	time.Duration) (provision.Assignment, time.Duration, error) {
	return provision.Assignment(c.w.w), 0, nil
}

// fence switches off the checks that the trial is about.
func (o off) fence(w *fixture) {
	if o.fences != nil {
		o.fences(w)
	}
}

// accountOfAnotherOrder: the order has ended, and its alias is in an account that another order holds now.
func accountOfAnotherOrder(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, nil)
	require.NoError(tb, w.setUp(&d))
	w.start = string(w.sim.Snapshot(accountID))
	w.become(anothers)
	o.fence(w)
	_, err := run(w, w.acts.RestoreAlias, RestoreAlias{w.work(), d.inspected.Journal.Alias})
	w.requireFailure(err, provision.CodeOrderNotInProgress)
	w.requireRestored()
}

// lateAttempt: an attempt at a step begins after the step was undone.
func lateAttempt(tb testing.TB, o off) {
	tb.Helper()
	w, d := begin(tb, o, nil)
	w.undo(d)
	o.fence(w)
	_, err := run(w, w.acts.SetAlias, w.work())
	w.requireFailure(err, provision.CodeOrderNotInProgress)
	w.requireRestored()
}

// attemptWasPaused: the process pauses after the database has answered, and continues when the lease is over.
func attemptWasPaused(tb testing.TB, o off) {
	tb.Helper()
	w, _ := begin(tb, o, nil)
	clock := w.clock()
	w.store.asked = func() { clock.pause(time.Minute) }
	o.fence(w)
	_, err := once(w, 1, w.acts.SetAlias, w.work())
	w.requireFailure(err, provision.CodeAttemptEnded)
	w.requireRestored()
}

// attemptWasGivenUp: Temporal gave the attempt up before the process began it.
func attemptWasGivenUp(tb testing.TB, o off) {
	tb.Helper()
	w, _ := begin(tb, o, nil)
	w.heartbeat(time.Minute, func(int) error { return serviceerror.NewNotFound("no such activity") })
	o.fence(w)
	_, err := once(w, 1, w.acts.SetAlias, w.work())
	require.Error(tb, err)
	w.requireRestored()
}

func identityIs(id string) func(*fixture) alterations {
	return only("GetCallerIdentity", rewrite(func(body string) string { return strings.ReplaceAll(body, otherID, id) }))
}

// roleLeadsElsewhere: the role ARN of the pool's account names a role in someone else's account, which can be assumed.
func roleLeadsElsewhere(tb testing.TB, o off) {
	tb.Helper()
	w := setup(tb, quick)
	w.w.Account.RoleARN = strings.Replace(w.w.Account.RoleARN, accountID, otherID, 1)
	o.at(w, o.inspecting)
	_, err := run(w, w.acts.CreateUser, w.work())
	w.requireFailure(err, provision.CodeWrongAccount)
	_, err = run(w, w.acts.SetAlias, w.work())
	w.requireFailure(err, provision.CodeWrongAccount)
	w.requireRestored()
}

var (
	userTagsXML = regexp.MustCompile(`<Tags>.*</Tags>`)
	userIDXML   = regexp.MustCompile(`<UserId>\w+</UserId>`)
	keyXML      = regexp.MustCompile(`<Key>[^<]*</Key>`)
)

// ourTagsXML returns the tags of the order's resources.
func ourTagsXML(w Assignment, element string) string {
	var text strings.Builder
	for _, t := range w.tags() {
		fmt.Fprintf(&text, "<%s><Key>%s</Key><Value>%s</Value></%s>", element, t.key, t.value, element)
	}
	return text.String()
}

// everyUserIsOurs adds the order's tags to every user.
func everyUserIsOurs(w Assignment) alteration {
	return rewrite(func(body string) string {
		return strings.Replace(userTagsXML.ReplaceAllString(body, ""), "</User>", "<Tags>"+ourTagsXML(w, "member")+"</Tags></User>", 1)
	})
}

// everyReportIsOurs does the same for exports and legacy reports, each of which has its own member for tags.
func everyReportIsOurs(w Assignment) alteration {
	var tags []map[string]string
	for _, t := range w.tags() {
		tags = append(tags, map[string]string{"Key": t.key, "Value": t.value})
	}
	body, err := json.Marshal(map[string]any{"ResourceTags": tags, "Tags": tags})
	if err != nil {
		panic(err)
	}
	return answer(string(body))
}

func everyBucketIsOurs(w Assignment) alteration {
	return answer("<Tagging><TagSet>" + ourTagsXML(w, "Tag") + "</TagSet></Tagging>")
}

// theAliasIs answers that the account has the alias, or no alias when it is empty.
func theAliasIs(alias string) alteration {
	member := ""
	if alias != "" {
		member = "<member>" + alias + "</member>"
	}
	return answer("<ListAccountAliasesResponse><ListAccountAliasesResult><AccountAliases>" + member +
		"</AccountAliases><IsTruncated>false</IsTruncated></ListAccountAliasesResult></ListAccountAliasesResponse>")
}
