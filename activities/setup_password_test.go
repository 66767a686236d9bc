package activities

import (
	"context"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// asked is a request for a new password that was accepted.
type asked struct {
	request provision.PasswordRequest
}

// in is the input of SetPassword. A test of an order that has no such request gets the one that it would have.
func (a asked) in(w *fixture) SetPassword {
	if a.request.By.ID == "" {
		a.request = w.wanted("none")
	}
	return SetPassword{Work: w.work(), Request: a.request}
}

// insisting is the request of an operator who insists.
func (a asked) insisting() asked {
	a.request.EvenIfUsed = true
	return a
}

// handOver runs all steps and completes the order.
func (w *fixture) handOver() done {
	w.t.Helper()
	d := w.mustDo()
	w.allocate()
	w.start = string(w.sim.Snapshot(accountID))
	return d
}

// allocate completes the order, whose steps are done.
func (w *fixture) allocate() {
	w.t.Helper()
	require.NoError(w.t, w.store.Orders.Allocate(w.t.Context(), w.w.Order, accountID,
		provision.Result{AccountID: accountID, IAMUserName: "alice", AccountAlias: "alice-corp"}))
}

// wanted is a request for a new password.
func (*fixture) wanted(id string) provision.PasswordRequest {
	return provision.PasswordRequest{By: provision.Intervention{Actor: "key 1", Reason: "lost", ID: id}}
}

// ask accepts a request for a new password.
func (w *fixture) ask(id string) asked {
	w.t.Helper()
	a := asked{request: w.wanted(id)}
	account, err := run(w, w.acts.BeginPassword, AskedPassword{Order: w.w.Order, Request: a.request})
	require.NoError(w.t, err)
	require.Equal(w.t, w.w.Account.ID, account)
	return a
}

// end records how a request ended, as the workflow does.
func (w *fixture) end(a asked, err error) {
	w.t.Helper()
	var outcome provision.PasswordOutcome
	if err != nil {
		failure, _ := failureOf(err)
		outcome.Refused = &failure
	}
	ended := EndedPassword{Order: w.w.Order, RequestID: a.request.By.ID, Outcome: outcome}
	require.NoError(w.t, inAttempt(w, func(ctx context.Context) error { return w.acts.EndPassword(ctx, ended) }))
}

// passwordOf describes the password of the order.
func (w *fixture) passwordOf() provision.PasswordView {
	w.t.Helper()
	view, err := w.store.Orders.Get(w.t.Context(), provision.Tenant{Provider: w.w.Order.Provider}, w.w.Order.ID)
	require.NoError(w.t, err)
	require.NotNil(w.t, view.Password)
	return *view.Password
}

// revealed takes the password of a link, as the customer does.
func (w *fixture) revealed(link *provision.PasswordLinkView) (password string, err error) {
	w.t.Helper()
	require.NotNil(w.t, link)
	err = w.store.Passwords.Reveal(w.t.Context(), link.ID, "192.0.2.1", func(r provision.RevealedPassword) error {
		opened, err := w.acts.Sealer.Open(r.Sealed, provision.PasswordPurpose(r.OrderKey, r.AccountID))
		password = string(opened)
		return err
	})
	return password, err
}

// editUser changes the customer's user, as the customer or an administrator of the account does.
func (w *fixture) editUser(change func(*awssim.User)) {
	w.t.Helper()
	w.edit(func(a *awssim.Account) {
		u := a.Users["alice"]
		change(&u)
		a.Users["alice"] = u
	})
}
