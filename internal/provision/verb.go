package provision

import (
	"fmt"
	"slices"
)

// What someone may do to a running order, as its history and the updates of its workflow call it.
const (
	ActionCorrect = "correct"
	ActionRetry   = "retry"
	ActionCancel  = "cancel"
	ActionFail    = "fail"
	ActionSwap    = "swap"
	ActionEndUndo = "end-undo" // while an account is being undone
)

// What someone may do to an account, as its history calls it.
const (
	ActionVerify          = "verify"
	ActionInvalidate      = "invalidate"
	ActionReturn          = "return"
	ActionUpdate          = "update"
	ActionDelete          = "delete"
	ActionRemoveLeftovers = "remove-leftovers"
)

// IsRefusal reports whether an order answers a request with this code. Failures of other codes do not concern the caller.
func (c Code) IsRefusal() bool { return c == CodeNotAsked || c == CodeTooLate || c == CodeInputRefused }

// Forbids returns the refusal of an action that the order's row rules out, or nil. Final states never change. An order that is being
// undone can only end. Only an order that is being undone, or that is provisioning and may be undoing one account before it takes the
// next, has an undo to end.
func (v OrderView) Forbids(action string) error {
	switch {
	case v.State.Ended():
		return refuses(CodeTooLate, "order %q is %s: it can no longer be changed", v.ID, v.State)
	case v.State == Compensating && (action == ActionCancel || action == ActionFail || action == ActionSwap):
		return refuses(CodeTooLate, "order %q is already being undone: read it until it has ended", v.ID)
	case action == ActionEndUndo && v.State != Compensating && v.State != Provisioning:
		return refuses(CodeNotAsked, "order %q is %s: it has no undo to end", v.ID, v.State)
	}
	return nil
}

// Foresees returns the refusal that an action on the order will probably get, or nil. Only the order's workflow knows for certain.
func (v OrderView) Foresees(action string) error {
	if err := v.Forbids(action); err != nil {
		return err
	}
	switch {
	case action == ActionRetry && v.State != ActionRequired:
		return refuses(CodeNotAsked, "order %q is %s: it waits for nothing that a retry could repeat", v.ID, v.State)
	case action == ActionSwap && v.State != Provisioning && v.State != ActionRequired:
		return refuses(CodeNotAsked, "order %q is %s: it holds no account that could be swapped", v.ID, v.State)
	case action == ActionEndUndo && v.State != Compensating:
		return refuses(CodeNotAsked, "order %q is %s: it is not being undone, so there is nothing to end", v.ID, v.State)
	}
	return nil
}

// refuses returns the refusal of an action.
func refuses(code Code, reason string, args ...any) error {
	return &Failure{Code: code, Reason: fmt.Sprintf(reason, args...)}
}

// accountActions says in which statuses an account allows an action, and how the refusal calls it.
var accountActions = map[string]struct {
	done    string
	allowed []AccountStatus
}{
	ActionVerify:          {"verified", []AccountStatus{AccountReady, AccountInvalid, AccountProvisioningFailed}},
	ActionInvalidate:      {"made Invalid", []AccountStatus{AccountReady, AccountProvisioningFailed, AccountInvalid}},
	ActionReturn:          {"returned to Ready", []AccountStatus{AccountInvalid, AccountProvisioningFailed}},
	ActionUpdate:          {"edited", []AccountStatus{AccountReady, AccountInvalid}},
	ActionDelete:          {"deleted", []AccountStatus{AccountReady, AccountInvalid}},
	ActionRemoveLeftovers: {"cleared of leftovers", []AccountStatus{AccountInvalid, AccountProvisioningFailed}},
}

// Forbids returns a *StateError when the account's status does not allow an action, and nil otherwise. The error names the statuses
// that do.
func (a Account) Forbids(action string) error {
	rule := accountActions[action]
	switch {
	case action == ActionInvalidate && a.Status == AccountInvalid && !a.ReadyWhenVerified:
		return &StateError{Reason: "account " + a.ID + " is Invalid already: " + a.Reason}
	case a.RemovingSince != nil:
		return &StateError{Reason: fmt.Sprintf(
			"account %s: the leftovers of order %s are being removed: wait until that has ended", a.ID, a.OrderID)}
	case slices.Contains(rule.allowed, a.Status):
		return nil
	}
	labels := make([]string, len(rule.allowed))
	for i, status := range rule.allowed {
		labels[i] = status.Label()
	}
	return &StateError{Reason: fmt.Sprintf("account %s is %s: only an account that is %s can be %s", a.ID, a.Status.Label(),
		JoinWords(labels, "or"), rule.done)}
}
