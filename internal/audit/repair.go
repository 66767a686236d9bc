package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quartermaster/internal/provision"
)

// Actor signs the audit rows of what the auditor does.
const Actor = "audit"

// maxFindings bounds a report: it is the result of an activity, which Temporal keeps.
const maxFindings = 200

// Report is what an audit found and did.
type Report struct {
	At       time.Time `json:"at"`
	Repaired int       `json:"repaired"` // findings that were put right
	Raised   int       `json:"raised"`   // findings that were not
	Findings []Finding `json:"findings,omitempty"`
	More     int       `json:"more,omitempty"` // findings that are not in the list
}

// way is how a finding is put right.
type way int

const (
	wake    way = iota // tell the order to look
	restart            // start its workflow from the beginning
	carryOn            // let its closed workflow go on where it was
)

// repair is the safe way to put a finding right.
type repair struct {
	how       way
	run       Run
	notBefore time.Time
}

// takeOver is how another run can take over an order that nobody works on; nil when there is no safe way.
//
// Only a terminated run, or one that is gone, left its order by no decision of its own. A run from the beginning reads the
// account and puts back what it read, so it is safe only while nothing in the account was changed. A run that was terminated
// in the middle goes on with all that it knew: Temporal's history has the journal of the account, and every step and undo may
// be repeated. A state in which the undo has begun is never restarted: the new run would claim nothing and close the order.
func takeOver(row Order, run Run) *repair {
	gone := run.ID == ""
	switch {
	case !gone && run.Status != terminated:
		return nil
	case !row.Touched && row.State != provision.Compensating:
		return &repair{how: restart, run: run}
	case gone:
		return nil
	}
	return &repair{how: carryOn, run: run}
}

// FindAndRepair lists everything that is wrong and puts right what is safe. Like Find, it returns what it knows beside an
// error; what it did may be done again.
func (a *Auditor) FindAndRepair(ctx context.Context) (Report, error) {
	found, err := a.Find(ctx)
	mended := map[provision.OrderKey]string{}
	for i := range found {
		f := &found[i]
		if f.repair == nil || a.now().Before(f.repair.notBefore) {
			continue
		}
		done, mendErr := a.mend(ctx, *f)
		if mendErr != nil {
			err = errors.Join(err, fmt.Errorf("repairing order %s: %w", f.Order, mendErr))
		}
		if f.Repaired = done; done != "" && f.repair.how != wake {
			mended[f.Order] = done
		}
	}
	report := Report{At: a.now().UTC()}
	for i := range found {
		if found[i].Kind == KindAccountWithoutWorkflow {
			found[i].Repaired = mended[found[i].Order]
		}
		if found[i].Repaired != "" {
			report.Repaired++
		} else {
			report.Raised++
		}
	}
	report.Findings = found[:min(len(found), maxFindings)]
	report.More = len(found) - len(report.Findings)
	return report, err
}

// mend does the repair and says what was done; empty when things have changed meanwhile and nothing was to do.
func (a *Auditor) mend(ctx context.Context, f Finding) (done string, err error) {
	switch f.repair.how {
	case wake:
		return "the order was woken", a.Workflows.WakeOrders(ctx, []provision.OrderKey{f.Order})
	case restart:
		order, err := a.Store.PrepareRestart(ctx, f.Order, Actor, f.What)
		if errors.Is(err, provision.ErrConflict) {
			return "", nil // it has gone on, or ended
		}
		if err != nil {
			return "", err
		}
		started, err := a.Workflows.Restart(ctx, order)
		if err != nil || !started {
			return "", err
		}
		return "its workflow was started again", nil
	case carryOn:
		continued, err := a.Workflows.Continue(ctx, f.Order, f.repair.run, Actor+": "+f.What)
		if err != nil || !continued {
			return "", err
		}
		return "its workflow goes on where it was", a.Store.NoteAction(ctx, f.Order, "continue", provision.Action{Actor: Actor, Reason: f.What})
	}
	return "", nil
}
