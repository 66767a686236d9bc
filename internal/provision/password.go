package provision

import "time"

// PasswordLifetime is how long the link to a password works after the order completed, or after a new password was set.
const PasswordLifetime = 72 * time.Hour

// PasswordPurpose binds an order's sealed password to this order and account: it cannot be opened for another one.
func PasswordPurpose(order OrderKey, accountID string) string {
	return "order-password/" + order.String() + "/" + accountID
}

// PasswordView describes an order's password without opening it.
type PasswordView struct {
	Link         *PasswordLinkView // nil: the last link was ended, and no new password was set since
	SettingSince *time.Time        // a new password is being set; nil: none is
	Refusal      *PasswordRefusal  // of the newest request for a new password; nil: there was none, or it was not refused
}

// PasswordLinkView describes the link to an order's current password.
type PasswordLinkView struct {
	ID         string // uuid of the row
	ExpiresAt  time.Time
	RevealedAt *time.Time
}

// PasswordRefusal says when and why a request for a new password was refused.
type PasswordRefusal struct {
	At      time.Time
	Failure Failure
}

// RevealedPassword is a sealed password that was taken out of the store; it can be taken once.
type RevealedPassword struct {
	OrderKey  OrderKey
	AccountID string
	Sealed    []byte
	UserName  string
	SignInURL string
}

// PasswordRequest asks for a new password for the customer of a completed order. By.ID identifies the request.
type PasswordRequest struct {
	By Intervention `json:"by"`
	// EvenIfUsed sets the password although the customer has made the sign-in their own, or has removed it.
	EvenIfUsed bool `json:"even_if_used,omitempty"`
	// Once is the request's Idempotency-Key; nil: it has none.
	Once *Once `json:"once,omitempty"`
}

// Action is the code of the request in the order's history.
func (r PasswordRequest) Action() string {
	if r.EvenIfUsed {
		return "password_even_if_used"
	}
	return "password"
}

// PasswordOutcome is how a request for a new password ended.
type PasswordOutcome struct {
	Refused *Failure `json:"refused,omitempty"` // nil: the password was set
}
