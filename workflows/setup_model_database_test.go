package workflows_test

import (
	"context"
	"os"
	"regexp"
	"slices"

	"quartermaster/activities"
	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// databaseModel is the database in memory: what internal/postgres promises, one transaction a method. Its tables of transitions
// are read from the migration, so that they cannot differ from the real ones.
//
// The property tests do not use PostgreSQL, because they would take about nine times as long: they run 6,800 orders with 62,000 calls of
// the database. One order took 17 ms with the model. On PostgreSQL, its pool and accounts took 64 ms and its nine calls 9 ms each, in the
// same session on a busy machine. The model also lets a test plant a bug into the database. TestTheModelOfTheDatabaseAnswersLikePostgreSQL
// shows that the model answers as PostgreSQL does.
type databaseModel struct {
	activities.Orders
	activities.Leftovers // nil: the tests of this file call Assignment and KeepUndo only
	w                    *orderModel
}

// unsealed seals nothing: nothing in this world is secret.
type unsealed struct{}

func (unsealed) Seal(plain []byte, _ string) ([]byte, error)  { return plain, nil }
func (unsealed) Open(sealed []byte, _ string) ([]byte, error) { return sealed, nil }

// orderRow is the order's row.
type orderRow struct {
	state     provision.OrderState
	request   provision.Request
	earlier   []provision.Request // before each correction
	failure   *provision.Failure
	result    *provision.Result
	leftovers []string
	notes     []string
	actions   map[string]bool // by the id of the update
}

// transitions are the rows of a table of transitions, as "from>to".
func transitions(file, table string) map[string]bool {
	sql, err := os.ReadFile("../migrations/" + file)
	if err != nil {
		panic(err)
	}
	rows := regexp.MustCompile(`(?s)INSERT INTO ` + table + ` .*?;\n`).Find(sql)
	found := map[string]bool{}
	for _, pair := range regexp.MustCompile(`\('(\w+)',\s*'(\w+)'`).FindAllSubmatch(rows, -1) {
		found[string(pair[1])+">"+string(pair[2])] = true
	}
	return found
}

var orderTransitions, accountTransitions = transitions("00004_orders.sql", "order_transitions"), transitions("00005_accounts.sql",
	"account_transitions")

func (w *orderModel) setOrder(state provision.OrderState) {
	if from := w.order.state; from != state && !orderTransitions[string(from)+">"+string(state)] {
		w.violate("the order may not go from %s to %s", from, state)
	}
	w.order.state = state
	w.states = append(w.states, state)
}

func (w *orderModel) setAccount(a *accountModel, status provision.AccountStatus, reason string) {
	if from := a.row.Status; !accountTransitions[string(from)+">"+string(status)] {
		w.violate("account %s may not go from %s to %s", a.row.ID, from, status)
	}
	if reason == "" && (status == provision.AccountInvalid || status == provision.AccountProvisioningFailed) {
		w.violate("account %s is %s without a reason", a.row.ID, status)
	}
	a.row.Status, a.row.Reason = status, reason
}

// agree is the constraint triggers account_and_order_agree, and the unique index accounts_one_per_order.
func (w *orderModel) agree() {
	var statuses []provision.AccountStatus
	for _, a := range w.accounts {
		if a.row.Status == provision.AccountProvisioning || a.row.Status == provision.AccountAllocated {
			statuses = append(statuses, a.row.Status)
		}
	}
	if len(statuses) > 1 {
		w.violate("the order holds %d accounts at once", len(statuses))
	}
	want, state := []provision.AccountStatus(nil), w.order.state
	switch state {
	case provision.Completed:
		want = []provision.AccountStatus{provision.AccountAllocated}
	case provision.Provisioning, provision.ActionRequired, provision.Compensating:
		want = []provision.AccountStatus{provision.AccountProvisioning}
	}
	if state == provision.Compensating && len(statuses) == 0 {
		return // it was stopped while its account was being rejected
	}
	if !slices.Equal(want, statuses) {
		w.violate("the order is %s and its accounts are %v", state, statuses)
	}
}

// held is the account that the order holds; nil when it holds none.
func (w *orderModel) held() *accountModel {
	for _, a := range w.accounts {
		if a.row.Status == provision.AccountProvisioning {
			return a
		}
	}
	return nil
}

// tx is one transaction: all of it or, when the database fails before its commit, nothing. That failure goes around the
// activity, which would log it, and a log needs a real worker.
func (w *orderModel) tx(ctx context.Context, change func() error) error {
	var err error
	if w.env == nil { // no workflow runs: the test calls the model itself
		if err = change(); err == nil && w.order != nil {
			w.agree()
		}
		return err
	}
	if lost := attemptOf(ctx).lost; lost != nil { // the attempt is over
		return lost
	}
	lost := attemptOf(ctx).write(func() {
		if err = change(); err == nil && w.order != nil {
			w.agree()
		}
	})
	attemptOf(ctx).lost = lost
	return err
}

// match gives the order the oldest Ready account, if it waits.
func (w *orderModel) match() {
	if w.order.state != provision.WaitingForAccount || w.held() != nil || w.suspended {
		return
	}
	if a := w.oldestReady(); a != nil {
		w.setAccount(a, provision.AccountProvisioning, "")
		w.setOrder(provision.Provisioning)
	}
}

// verify is VerifyAccounts, which looks at set-aside accounts at once and, while the claims are suspended, at Ready
// ones: what can be entered
// is Ready, and resumes the claims.
func (w *orderModel) verify() {
	for _, a := range w.accounts {
		if a.row.Status == provision.AccountInvalid && a.setAside && !a.bad {
			w.setAccount(a, provision.AccountReady, "verified")
			a.setAside, w.suspended = false, false
		}
		if a.row.Status == provision.AccountReady && !a.bad {
			w.suspended = false
		}
	}
}

func (w *orderModel) oldestReady() *accountModel {
	for _, a := range w.accounts {
		if a.row.Status == provision.AccountReady {
			return a
		}
	}
	return nil
}

func (s databaseModel) Open(ctx context.Context, order provision.Order) (opened provision.OpenedOrder, err error) {
	err = s.w.tx(ctx, func() error {
		if s.w.order == nil {
			s.w.order = &orderRow{state: provision.Accepted, request: order.Request, actions: map[string]bool{}}
		}
		opened = provision.OpenedOrder{Nonce: modelNonce, Settings: s.w.settings, Request: s.w.order.request, OrderStatus: s.w.status()}
		return nil
	})
	return opened, err
}

// status is the row as OrderStatus reads it.
func (w *orderModel) status() provision.OrderStatus {
	status := provision.OrderStatus{State: w.order.state, Failure: w.order.failure, Result: w.order.result}
	for _, a := range w.accounts {
		if a.row.Status == provision.AccountProvisioning || a.row.Status == provision.AccountAllocated {
			status.AccountID = a.row.ID
		}
	}
	return status
}

func (s databaseModel) Status(ctx context.Context, _ provision.OrderKey) (status provision.OrderStatus, err error) {
	err = s.w.tx(ctx, func() error { status = s.w.status(); return nil })
	return status, err
}

func (s databaseModel) Claim(ctx context.Context, _ provision.OrderKey) (claim provision.Claim, err error) {
	err = s.w.tx(ctx, func() error {
		switch s.w.order.state {
		case provision.Accepted:
			s.w.setOrder(provision.WaitingForAccount)
		case provision.WaitingForAccount, provision.Provisioning, provision.ActionRequired:
		default:
			if s.w.order.state != provision.Compensating || s.w.held() == nil {
				return s.notInProgress("claims no account any more")
			}
		}
		if s.w.bug == bugClaimsTwice && s.w.order.state == provision.Provisioning {
			if next := s.w.oldestReady(); next != nil {
				s.w.setAccount(next, provision.AccountProvisioning, "")
			}
		}
		s.w.verify()
		s.w.match()
		claim = provision.Claim{}
		if a := s.w.held(); a != nil {
			row := a.row
			claim = provision.Claim{Account: &row}
		}
		return nil
	})
	return claim, err
}

func (s databaseModel) notInProgress(what string) error {
	return &provision.Failure{Code: provision.CodeOrderNotInProgress, Reason: "the order is " + string(s.w.order.state) + " and " + what}
}

func (s databaseModel) RejectAccount(ctx context.Context, _ provision.OrderKey, accountID string, why provision.Failure,
	setAside bool) (rejected provision.Rejection, err error) {
	err = s.w.tx(ctx, func() error {
		if a := s.w.account(accountID); a.row.Status == provision.AccountProvisioning {
			s.w.setAccount(a, provision.AccountInvalid, why.Error())
			a.setAside = setAside
			s.w.refuse(accountID, setAside)
			if s.w.order.state != provision.Compensating {
				s.w.setOrder(provision.WaitingForAccount)
				s.w.order.failure = nil
			}
		}
		s.w.match()
		return nil
	})
	return provision.Rejection{Verify: setAside}, err
}

// refuse notes that an account was given up. Two that cannot be entered, one after the other, suspend the claims.
func (w *orderModel) refuse(accountID string, setAside bool) {
	switch {
	case !setAside:
		w.rejected++
		w.refusedBy = ""
	case w.refusedBy != "" && w.refusedBy != accountID:
		w.refusedBy, w.suspended = "", true
	default:
		w.refusedBy = accountID
	}
}

func (s databaseModel) Assignment(ctx context.Context, key provision.OrderKey, accountID string) (now provision.Assignment, err error) {
	err = s.w.tx(ctx, func() error {
		now = s.w.assigned(activities.Work{Order: key, AccountID: accountID})
		return nil
	})
	return now, err
}

func (s databaseModel) KeepUndo(ctx context.Context, _ provision.OrderKey, _ string, _ []byte) error {
	return s.w.tx(ctx, func() error { return nil })
}

func (s databaseModel) RereadSettings(ctx context.Context, _ provision.OrderKey) (settings provision.PoolSettings, err error) {
	opened, err := s.Open(ctx, provision.Order{Request: s.w.order.request})
	return opened.Settings, err
}

func (s databaseModel) RequireAction(ctx context.Context, _ provision.OrderKey, why provision.Failure) error {
	return s.w.tx(ctx, func() error {
		if s.w.order.state == provision.Provisioning || s.w.order.state == provision.ActionRequired {
			s.w.setOrder(provision.ActionRequired)
			s.w.order.failure = &why
		}
		return nil
	})
}

func (s databaseModel) Resume(ctx context.Context, _ provision.OrderKey) error {
	return s.w.tx(ctx, func() error {
		if s.w.order.state == provision.ActionRequired {
			s.w.setOrder(provision.Provisioning)
			s.w.order.failure = nil
		}
		return nil
	})
}

func (s databaseModel) Correct(ctx context.Context, _ provision.OrderKey, corrected provision.Request, _ provision.Intervention) error {
	return s.w.tx(ctx, func() error {
		s.w.order.earlier, s.w.order.request = append(s.w.order.earlier, s.w.order.request), corrected
		return nil
	})
}

func (s databaseModel) NoteAction(ctx context.Context, _ provision.OrderKey, action string, _ provision.Intervention) error {
	return s.w.tx(ctx, func() error {
		s.w.endedUndo = s.w.endedUndo || action == workflows.UpdateEndUndo
		return nil
	})
}

func (s databaseModel) Stop(ctx context.Context, _ provision.OrderKey, _ string, why provision.Failure, by provision.Intervention) error {
	return s.w.tx(ctx, func() error {
		switch state := s.w.order.state; {
		case s.w.order.actions[by.ID]:
			return nil
		case state == provision.Compensating || state.Ended():
			return &provision.Failure{Code: provision.CodeTooLate, Reason: "the order is " + string(state)}
		case s.w.held() != nil:
			s.beginUndo(why)
		case why.Code == provision.CodeOrderCancelled:
			s.w.setOrder(provision.Cancelled)
		default:
			s.w.setOrder(provision.Failed)
		}
		s.w.order.failure = &why
		s.w.order.actions[by.ID] = true
		return nil
	})
}

func (s databaseModel) BeginUndo(ctx context.Context, _ provision.OrderKey, why provision.Failure) error {
	return s.w.tx(ctx, func() error { s.beginUndo(why); return nil })
}

func (s databaseModel) beginUndo(why provision.Failure) {
	if s.w.order.state == provision.Provisioning || s.w.order.state == provision.ActionRequired {
		s.w.setOrder(provision.Compensating)
		s.w.order.failure = &why
	}
}

func (s databaseModel) Close(ctx context.Context, c provision.OrderClosing) ([]provision.OrderKey, error) {
	return nil, s.w.tx(ctx, func() error {
		if s.w.order.state.Ended() {
			return nil
		}
		s.beginUndo(c.Failure)
		if a := s.w.held(); a != nil {
			switch {
			case len(c.Leftovers) > 0:
				s.w.setAccount(a, provision.AccountProvisioningFailed, "left by the order")
			case c.OnFailure == provision.OnFailurePark:
				s.w.setAccount(a, provision.AccountProvisioningFailed, "clean, but parked")
			default:
				s.w.setAccount(a, provision.AccountReady, "returned clean")
			}
		}
		s.w.setOrder(c.State)
		s.w.order.failure, s.w.order.leftovers, s.w.order.notes = &c.Failure, c.Leftovers, c.Notes
		return nil
	})
}

func (s databaseModel) Allocate(ctx context.Context, _ provision.OrderKey, accountID string, result provision.Result) error {
	return s.w.tx(ctx, func() error {
		a := s.w.account(accountID)
		if s.w.order.state == provision.Completed && a.row.Status == provision.AccountAllocated {
			return nil
		}
		if a.row.Status != provision.AccountProvisioning || s.w.order.state != provision.Provisioning {
			return s.notInProgress("cannot be completed")
		}
		s.w.setAccount(a, provision.AccountAllocated, "")
		s.w.setOrder(provision.Completed)
		s.w.order.failure, s.w.order.result = nil, &result
		return nil
	})
}
