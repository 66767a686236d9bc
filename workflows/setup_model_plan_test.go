package workflows_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"pgregory.net/rapid"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// orderPlan is everything that is left to chance in one run. All of it is drawn before the run begins, so that a run is
// repeated by its plan, and made smaller by leaving things out of it.
type orderPlan struct {
	Accounts, Bad                       int // ready at the beginning, and how many of the oldest cannot be entered
	HadAlias, HadBilling                bool
	NameInUse, AliasTaken, NoSuchReport bool // what the customer ordered cannot be had
	Alternate, LinkReport               bool // what is ordered
	Park                                bool
	Deaf                                bool // a running step does not hear that it is cancelled
	Pace                                []int
	Faults                              []plannedFault
	Events                              []plannedEvent
}

// plannedFault makes one call of one attempt fail.
type plannedFault struct {
	Activity string
	Attempt  int  // counted over the whole run, from 1
	Write    int  // which of its writes, from 0; more than there are: its answer
	Took     bool // it had its effect all the same
	Early    bool // not once the activity has written something into the account
	Code     provision.Code
	Field    string
}

func (f plannedFault) failure() provision.Failure {
	return provision.Failure{Code: f.Code, Field: f.Field, Reason: "drawn"}
}

// plannedEvent is what comes from outside, and when: before or after an attempt, or a while later.
type plannedEvent struct {
	Do       string
	Activity string
	Attempt  int
	Late     bool
	After    time.Duration
	Fields   int // of a correction: a bit for each field; 0: the field that is asked for
	Value    int // of a correction: the last one is refused
}

// fault is what goes wrong with that attempt; nil when the plan says nothing, or when it cannot be.
func (w *orderModel) fault(activity string, attempt int) *plannedFault {
	for i, f := range w.plan.Faults {
		if f.Activity != activity || f.Attempt != attempt {
			continue
		}
		a := w.held()
		tooLate := f.Early && a != nil && a.wrote[activity]
		ordered := provision.TopField(f.Field) != "aws_alternate_contact" || w.wanted.AlternateContact != nil
		if ordered && !tooLate {
			return &w.plan.Faults[i]
		}
	}
	return nil
}

// calm reports whether every planned fault passes without an intervention.
func (p *orderPlan) calm() bool {
	lasting := func(f plannedFault) bool { return f.Code.Kind() != provision.KindTransient }
	return p.Accounts > 0 && p.Bad == 0 && len(p.Events) == 0 && !slices.ContainsFunc(p.Faults, lasting) &&
		!p.NameInUse && !p.AliasTaken && (!p.LinkReport || !p.NoSuchReport)
}

// size is how many things go wrong or come from outside.
func (p *orderPlan) size() int { return len(p.Faults) + len(p.Events) }

func (p *orderPlan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d accounts, %d of them bad; had alias %t, billing contact %t; name in use %t, alias taken %t, "+
		"no such report %t; alternate %t, link %t, park %t, deaf %t, pace %v",
		p.Accounts, p.Bad, p.HadAlias, p.HadBilling, p.NameInUse, p.AliasTaken,
		p.NoSuchReport, p.Alternate, p.LinkReport, p.Park, p.Deaf, p.Pace)
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "\n  fault: %+v", f)
	}
	for _, e := range p.Events {
		fmt.Fprintf(&b, "\n  event: %+v", e)
	}
	return b.String()
}

// plannedRefusal is one way in which an activity refuses for good. They are those of package activities, with their fields.
type plannedRefusal struct {
	code  provision.Code
	field string
	early bool // only before anything was written: the refused value is what the step writes first
}

var (
	ofAnyStep = []plannedRefusal{{code: provision.CodePermissionMissing}, {code: provision.CodeAccountSuspended},
		{code: provision.CodeAccountCannotBeEntered}, {code: provision.CodeQuotaReached}}
	ofStep = map[string][]plannedRefusal{
		"Inspect": {{code: provision.CodeWrongAccount}, {code: provision.CodeAccountContactInvalid},
			{code: provision.CodeReportQuotaReached},
			{provision.CodeUserNameTaken, "iam_user_name", true}, {provision.CodeReportBroken, "use_existing_cur", true}},
		"CreateUser": {{provision.CodeUserNameTaken, "iam_user_name", true}, {provision.CodeInputRefused, "iam_user_name", true},
			{code: provision.CodePoolSettingsRefused}},
		"SetContacts": {{provision.CodeContactRefused, "aws_alternate_contact.phone", false}, {provision.CodeContactRefused,
			"aws_contact_name", true},
			{code: provision.CodeAccountContactInvalid}},
		"SetAlias": {{provision.CodeAliasTaken, "aws_account_alias", true}, {provision.CodeInputRefused, "aws_account_alias", true}},
		"SetUpReport": {{code: provision.CodeReportQuotaReached}, {code: provision.CodeResourceNotOurs},
			{code: provision.CodePoolSettingsRefused}},
		"EnableSignIn":    {{code: provision.CodeResourceNotOurs}, {code: provision.CodePasswordRefused}},
		"RestoreAlias":    {{code: provision.CodeResourceNotOurs}},
		"RestoreContacts": {{code: provision.CodeAccountContactInvalid}},
		"RemoveUser":      nil, "RemoveReport": nil, "DisableSignIn": nil, "CompareWithJournal": nil,
	}
	// The database refuses nothing by chance: what it cannot do now it does later.
	databaseActivities = []string{"OpenOrder", "ClaimAccount", "RejectAccount", "RequireAction", "Resume", "Correct", "NoteAction",
		"RereadSettings", "BeginUndo", "CloseOrder", "Allocate"}
	awsActivities = append(append([]string{"Inspect"}, stepNames...), "DisableSignIn", "RemoveUser", "RestoreContacts",
		"RestoreAlias", "RemoveReport", "CompareWithJournal")
	customerChanges = [][]string{
		{"customer alias", "customer name", "customer billing"},
		{"cancel workflow", workflows.UpdateCancel, workflows.UpdateFail, workflows.UpdateSwap, workflows.UpdateRetry,
			workflows.UpdateCorrect, workflows.UpdateEndUndo},
		{"stock", "stock unheard", "alias snatched"},
	}
	answerEvents = []string{
		workflows.UpdateCorrect, workflows.UpdateRetry, workflows.UpdateSwap, workflows.UpdateCancel, workflows.UpdateFail,
	}
	stopEvents  = []string{workflows.UpdateCancel, workflows.UpdateFail, workflows.UpdateSwap, "cancel workflow"}
	eventDelays = []time.Duration{0, 500 * time.Millisecond, time.Minute, time.Hour, 30 * 24 * time.Hour}
)

// Rapid draws small numbers and early values more often, so what matters comes first.

var genFault = rapid.Custom(func(t *rapid.T) plannedFault {
	f := plannedFault{
		Activity: rapid.SampledFrom(rapid.SampledFrom([][]string{stepNames, awsActivities, databaseActivities}).Draw(t, "where")).Draw(t,
			"activity"),
		Attempt: rapid.IntRange(1, 2).Draw(t, "attempt"),
		Write:   rapid.IntRange(0, 2).Draw(t, "write"),
		Took:    rapid.Bool().Draw(t, "took"),
		Code:    provision.CodeAWSUnavailable,
	}
	if refusals, cloud := ofStep[f.Activity]; cloud && rapid.IntRange(0, 2).Draw(t, "for good") > 0 {
		r := rapid.SampledFrom(append(slices.Clone(refusals), ofAnyStep...)).Draw(t, "refusal")
		f.Code, f.Field = r.code, r.field
		if f.Early = r.early; r.early {
			f.Write, f.Took = 0, false
		}
	}
	return f
})

var genEvent = rapid.Custom(func(t *rapid.T) plannedEvent {
	e := plannedEvent{
		Do:       rapid.SampledFrom(rapid.SampledFrom(customerChanges).Draw(t, "who")).Draw(t, "do"),
		Activity: rapid.SampledFrom(rapid.SampledFrom([][]string{awsActivities, databaseActivities}).Draw(t, "where")).Draw(t, "at"),
		Attempt:  rapid.IntRange(1, 2).Draw(t, "attempt"),
		Late:     rapid.Bool().Draw(t, "late"),
		After:    rapid.SampledFrom(eventDelays).Draw(t, "after"),
	}
	if strings.HasPrefix(e.Do, "customer") && rapid.Bool().Draw(t, "in time") { // after the steps, before the undo
		e.Activity, e.Attempt, e.After = "RemoveUser", 1, 0
	}
	return e
})

// genAnswer draws the answer to an order's question: mostly the one that it asks for.
var genAnswer = rapid.Custom(func(t *rapid.T) plannedEvent {
	e := plannedEvent{
		Do:       rapid.SampledFrom(answerEvents).Draw(t, "do"),
		Activity: "RequireAction",
		Attempt:  rapid.IntRange(1, 3).Draw(t, "attempt"),
		Late:     true,
		After:    rapid.SampledFrom(eventDelays).Draw(t, "after"),
	}
	if e.Do == workflows.UpdateCorrect {
		e.Value = rapid.IntRange(0, 3).Draw(t, "value")
		if rapid.IntRange(0, 3).Draw(t, "astray") == 3 {
			e.Fields = rapid.IntRange(1, 31).Draw(t, "fields")
		}
	}
	return e
})

// genPlan draws a plan with at most so many faults and so many events. With a scene it often has the one that chance alone
// seldom makes: a step that stops half-way with a question, the answer to it, and an end before the step was repeated.
func genPlan(faults, events int, scene bool) *rapid.Generator[*orderPlan] {
	return rapid.Custom(func(t *rapid.T) *orderPlan {
		draw := func(name string) bool { return rapid.Bool().Draw(t, name) }
		seldom := func(name string) bool { return rapid.IntRange(0, 4).Draw(t, name) == 4 }
		p := &orderPlan{
			Accounts: rapid.SampledFrom([]int{1, 2, 3, 6, 0}).Draw(t, "accounts"),
			HadAlias: draw("had alias"), HadBilling: draw("had billing"), Alternate: draw("alternate"), LinkReport: draw("link"),
			NameInUse: seldom("name in use"), AliasTaken: seldom("alias taken"), NoSuchReport: seldom("no such report"),
			Park: seldom("park"), Deaf: draw("deaf"),
			Pace:   rapid.SliceOfN(rapid.IntRange(0, 6), 0, faults).Draw(t, "pace"),
			Faults: rapid.SliceOfN(genFault, 0, faults).Draw(t, "faults"),
			Events: rapid.SliceOfN(genEvent, 0, events).Draw(t, "events"),
		}
		if seldom("bad accounts") {
			p.Bad = rapid.IntRange(1, 6).Draw(t, "bad")
		}
		if scene && p.Alternate && draw("question") {
			p.Faults = append(p.Faults, plannedFault{Activity: "SetContacts", Attempt: 1, Write: rapid.IntRange(0, 3).Draw(t, "write"),
				Code: provision.CodeContactRefused, Field: "aws_alternate_contact.phone"})
			if draw("answer") {
				p.Events = append(p.Events, plannedEvent{Do: workflows.UpdateCorrect, Activity: "RequireAction", Attempt: 1, Late: true})
			}
			if draw("stop") {
				how := rapid.SampledFrom(stopEvents).Draw(t, "how")
				p.Events = append(p.Events, plannedEvent{Do: how, Activity: "SetContacts", Attempt: 2, Late: draw("late")})
			}
		}
		p.Events = append(p.Events, rapid.SliceOfN(genAnswer, 0, events).Draw(t, "answers")...)
		return p
	})
}

// moment lets the events come that belong to it.
func (w *orderModel) moment(activity string, attempt int, late bool) {
	for i, e := range w.plan.Events {
		switch {
		case e.Activity != activity || e.Attempt != attempt || e.Late != late || w.without[i]:
		case e.After == 0:
			w.happen(i, e)
		default:
			w.env.RegisterDelayedCallback(func() { w.happen(i, e) }, e.After)
		}
	}
}

func (w *orderModel) happen(i int, e plannedEvent) {
	by := provision.Intervention{Actor: "operator", Reason: "drawn"}
	switch e.Do {
	case "cancel workflow":
		w.env.CancelWorkflow()
	case "stock", "stock unheard":
		w.createAccount(false)
		if w.order != nil {
			w.match()
			w.agree()
		}
		if e.Do == "stock" {
			w.env.SignalWorkflow(workflows.SignalStock, nil)
		}
	case "customer alias":
		w.customer("SetAlias", "alias", func(a *accountModel) { a.now.Alias = "customers-own" })
	case "customer name":
		w.customer("SetContacts", "name", func(a *accountModel) { a.now.Contact.FullName = "Customer's Own" })
	case "customer billing":
		if w.wanted.AlternateContact == nil {
			return // what the order does not write is not looked at
		}
		w.customer("SetContacts", "billing", func(a *accountModel) { a.now.Alternates["BILLING"] = customersBilling })
	case "alias snatched":
		for _, a := range w.accounts {
			if a.before.Alias != "" && a.now.Alias != a.before.Alias {
				w.aliasTaken[a.before.Alias] = true
			}
		}
	case workflows.UpdateCorrect:
		w.update(i, e.Do, workflows.Correction{Fields: w.correction(e), By: by})
	default:
		w.update(i, e.Do, by)
	}
}

var customersBilling = provision.AlternateContact{Name: "Customer", Email: "own@example.test", Phone: "9", Title: "Owner"}

// customer changes something in the account that the order holds or got, once the step that writes it is over. Between an
// undo's look and its write, and after the last look, the customer changes nothing: AWS has no conditional write, so the
// product cannot guard these moments.
func (w *orderModel) customer(step, field string, change func(*accountModel)) {
	for _, a := range w.accounts {
		if a.row.Status != provision.AccountProvisioning && a.row.Status != provision.AccountAllocated {
			continue
		}
		looking := a.running[step] + a.running["Restore"+step[len("Set"):]] + a.running["CompareWithJournal"]
		if a.succeeded[step] && looking == 0 && !a.succeeded["CompareWithJournal"] {
			change(a)
			a.changed[field] = true
		}
	}
}

// correction replaces what is asked for, or whatever was drawn.
func (w *orderModel) correction(e plannedEvent) (c provision.Correction) {
	fields := e.Fields
	if fields == 0 && w.order != nil && w.order.failure != nil {
		fields = 1 << max(0, slices.Index(correctableFields, provision.TopField(w.order.failure.Field)))
	}
	value := func(bit int, format string) *string {
		if fields&(1<<bit) == 0 {
			return nil
		}
		v := fmt.Sprintf(format, e.Value)
		if e.Value == 3 {
			v = "not allowed: /\n"
		}
		return &v
	}
	c.IAMUserName, c.ContactName, c.AccountAlias = value(0, "other-user-%d"), value(1, "Other Name %d"), value(2, "other-alias-%d")
	if phone := value(3, "+1 206 555 010%d"); phone != nil {
		c.AlternateContact = &provision.AlternateContact{Name: "Other", Email: "other@example.test", Phone: *phone, Title: "CFO"}
	}
	if c.UseExistingCUR = value(4, "no-such-report-%d"); c.UseExistingCUR != nil && e.Value < 2 {
		*c.UseExistingCUR = []string{"", theirReportName}[e.Value]
	}
	return c
}

var correctableFields = []string{"iam_user_name", "aws_contact_name", "aws_account_alias", "aws_alternate_contact", "use_existing_cur"}

const theirReportName = "their-report"

func (w *orderModel) update(i int, name string, in any) {
	w.env.UpdateWorkflow(name, fmt.Sprint("update-", i), &testsuite.TestUpdateCallback{
		OnAccept: func() {
			w.accepted[name]++
		},
		OnReject: func(err error) {
			w.rejections = append(w.rejections, i)
			if !temporal.IsApplicationError(err) {
				w.violate("update %s is refused with %T, which has no code: %v", name, err, err)
			}
		},
		OnComplete: func(_ any, err error) {
			w.answered[name]++
			if c, corrected := in.(workflows.Correction); corrected && err == nil {
				w.wanted = c.Fields.Apply(w.wanted)
			}
			app, isApp := errors.AsType[*temporal.ApplicationError](err)
			switch {
			case err == nil:
				w.done[name]++
			case isApp && (app.Type() == string(provision.CodeTooLate) || app.Type() == string(provision.CodeNotAsked)):
				// the database, or an update that came before it, decided otherwise, and the answer says so
			case !w.cancelHeard:
				w.violate("update %s was accepted and then failed: %v", name, err)
			}
		},
	}, in)
}
