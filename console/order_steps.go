package console

import (
	"cmp"
	"slices"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// accountWork is what an order did in one account.
type accountWork struct {
	Account string // empty: the order holds none yet
	Steps   []stepRow
	Undo    []stepRow // empty: nothing is being undone
	Done    int       // of Steps
	Took    string    // from the first step to the last; empty: it goes on
}

// stepRow is a step, or its undo.
type stepRow struct {
	ID       string // of the list of failed attempts, which stays the same while the page is open
	Name     string
	Status   status
	Attempts int
	Problem  string // the newest
	AWS      *openapi.AWSAnswer
	Failed   []openapi.FailedAttempt
	Began    *time.Time
	Took     string
	Bar      *bar
}

// bar is when a step ran, on a line as wide as all of the work in its account.
type bar struct {
	X, Width int
	Class    string
}

// barWidth is the width of the line, in units of its drawing.
const barWidth = 200

// stepOrder lists the steps of the work in an account in their order, and those of its undo.
var (
	stepOrder = []provision.Step{provision.StepClaim, provision.StepInspect, provision.StepUser, provision.StepContacts,
		provision.StepAlias, provision.StepReport, provision.StepSignIn, provision.StepAllocate, provision.StepNewPassword}
	undoOrder = []provision.Step{provision.StepSignIn, provision.StepReport, provision.StepAlias, provision.StepContacts, provision.StepUser}
)

// work returns what the order did, by account, the newest one first.
func work(o openapi.Order, now time.Time) []accountWork {
	var accounts []string
	steps := map[string][]openapi.Step{}
	for _, s := range slices.SortedStableFunc(slices.Values(o.Steps), func(a,
		b openapi.Step) int {
		return a.StartedAt.Compare(b.StartedAt)
	}) {
		id := s.AccountID
		if id == "" && o.AccountID != nil && len(accounts) == 0 {
			id = *o.AccountID
		}
		if _, known := steps[id]; !known {
			accounts = append(accounts, id)
		}
		steps[id] = append(steps[id], s)
	}
	if len(accounts) > 1 && accounts[0] == "" { // the first claim belongs to the account that it found
		steps[accounts[1]] = append(steps[""], steps[accounts[1]]...)
		accounts = accounts[1:]
	}
	if len(accounts) == 0 && !o.State.Ended() {
		accounts = []string{""}
	}
	slices.Reverse(accounts)
	var all []accountWork
	for i, id := range accounts {
		all = append(all, workIn(id, steps[id], o, i == 0, now))
	}
	return all
}

// workIn returns what the order did in an account. The newest account also shows what has not begun.
func workIn(id string, steps []openapi.Step, o openapi.Order, newest bool, now time.Time) accountWork {
	w := accountWork{Account: id}
	goesOn := newest && (o.State == provision.Accepted || o.State == provision.WaitingForAccount || o.State == provision.Provisioning ||
		o.State == provision.ActionRequired)
	span := spanOf(steps, now)
	find := func(step provision.Step) (openapi.Step, bool) {
		i := slices.IndexFunc(steps, func(s openapi.Step) bool { return provision.Step(s.Step) == step })
		if i < 0 {
			return openapi.Step{}, false
		}
		return steps[i], true
	}
	for _, step := range stepsOf(steps) {
		s, begun := find(step)
		switch {
		case begun:
			w.Steps = append(w.Steps, rowOf(s, o.State, span))
			if provision.StepState(s.State) == provision.StepDone {
				w.Done++
			}
		case step == provision.StepClaim && id != "": // the claim has no row: it is done when the order holds the account
			w.Steps = append(w.Steps, stepRow{Name: stepName(step), Status: stepStatus(provision.StepDone)})
			w.Done++
		case step == provision.StepClaim && o.State == provision.WaitingForAccount:
			w.Steps = append(w.Steps, stepRow{Name: stepName(step), Status: orderStatus(o.State)})
		case goesOn && step != provision.StepNewPassword:
			w.Steps = append(w.Steps, stepRow{Name: stepName(step), Status: stepNotBegun})
		}
	}
	if !goesOn && len(steps) > 0 {
		w.Took = took(span.end.Sub(span.begin))
	}
	_, compares := find(provision.StepCompare)
	if !compares && !slices.ContainsFunc(steps, undoing) && (o.State != provision.Compensating || !newest) {
		return w
	}
	for _, step := range undoOrder {
		if s, begun := find(step); begun {
			w.Undo = append(w.Undo, undoRow(s))
		}
	}
	compare := stepRow{Name: stepName(provision.StepCompare), Status: stepNotBegun}
	if s, begun := find(provision.StepCompare); begun {
		compare = rowOf(s, o.State, span)
		compare.Bar = nil
	}
	w.Undo = append(w.Undo, compare)
	return w
}

// stepsOf lists the known steps in their order, and then those that this version does not know.
func stepsOf(steps []openapi.Step) []provision.Step {
	all := slices.Clone(stepOrder)
	for _, s := range steps {
		if step := provision.Step(s.Step); step != provision.StepCompare && !slices.Contains(all, step) {
			all = append(all, step)
		}
	}
	return all
}

func undoing(s openapi.Step) bool {
	state := provision.StepState(s.State)
	return state == provision.StepUndoing || state == provision.StepUndone
}

// rowOf returns a step. Of one that is being undone, times and problems are those of the undo.
func rowOf(s openapi.Step, order provision.OrderState, span span) stepRow {
	row := stepRow{ID: "step-" + s.AccountID + s.Step, Name: stepName(s.Step), Status: stepStatus(provision.StepState(s.State)),
		Attempts: s.Attempt, Began: &s.StartedAt}
	for _, attempt := range listed(s.FailedAttempts) {
		if attempt.Undo == nil || !*attempt.Undo {
			row.Failed = append(row.Failed, attempt)
		}
	}
	if len(row.Failed) == 1 && s.Problem != nil && row.Failed[0].Problem == *s.Problem {
		row.Failed = nil // the problem says it
	}
	if undoing(s) {
		row.Status = status{"Undone", "undo", "calm"}
		if s.State == string(provision.StepUndoing) {
			row.Status.Word = "To undo"
		}
		return row
	}
	if s.Problem != nil {
		row.Problem, row.AWS = *s.Problem, s.AWS
	}
	if s.State == string(provision.StepFailed) && order == provision.ActionRequired {
		row.Status = stepAsks
	}
	row.Bar = span.bar(s, row.Status)
	if s.FinishedAt != nil {
		row.Took = took(s.FinishedAt.Sub(s.StartedAt))
	}
	return row
}

// undoRow returns the undo of a step.
func undoRow(s openapi.Step) stepRow {
	row := stepRow{ID: "undo-" + s.AccountID + s.Step, Name: stepName(s.Step), Status: stepNotBegun}
	if !undoing(s) {
		return row
	}
	row.Status, row.Began = stepStatus(provision.StepState(s.State)), s.FinishedAt
	if s.Problem != nil {
		row.Problem, row.AWS = *s.Problem, s.AWS
	}
	for _, attempt := range listed(s.FailedAttempts) {
		if attempt.Undo != nil && *attempt.Undo {
			row.Failed = append(row.Failed, attempt)
		}
	}
	return row
}

// span is the time that the work in an account took, without its undo.
type span struct{ begin, end time.Time }

func spanOf(steps []openapi.Step, now time.Time) (of span) {
	for _, s := range steps {
		if s.Step == string(provision.StepNewPassword) || s.Step == string(provision.StepCompare) {
			continue // it comes later
		}
		end := now
		switch {
		case undoing(s):
			end = s.StartedAt // what it has is the end of the undo
		case s.FinishedAt != nil:
			end = *s.FinishedAt
		}
		if of.begin.IsZero() || s.StartedAt.Before(of.begin) {
			of.begin = s.StartedAt
		}
		if end.After(of.end) {
			of.end = end
		}
	}
	return of
}

// bar draws a step; nil: it is not of this time.
func (of span) bar(s openapi.Step, shown status) *bar {
	whole := of.end.Sub(of.begin)
	if s.Step == string(provision.StepNewPassword) || whole <= 0 {
		return nil
	}
	end := of.end
	if s.FinishedAt != nil {
		end = *s.FinishedAt
	}
	at := func(t time.Time) int { return int(float64(barWidth) * float64(t.Sub(of.begin)) / float64(whole)) }
	x := min(at(s.StartedAt), barWidth-2)
	return &bar{X: x, Width: max(2, at(end)-x), Class: cmp.Or(map[string]string{"go turn": "go", "calm": "quiet"}[shown.Class], shown.Class)}
}
