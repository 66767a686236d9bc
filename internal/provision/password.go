package provision

import "time"

// PasswordLifetime is how long the link to the first password works after the order completed.
const PasswordLifetime = 72 * time.Hour

// PasswordPurpose binds an order's sealed password to this order and account: it cannot be opened for another one.
func PasswordPurpose(order OrderKey, accountID string) string {
	return "order-password/" + order.String() + "/" + accountID
}

// PasswordView describes an order's password without opening it.
type PasswordView struct {
	ID         string // uuid of the row
	ExpiresAt  time.Time
	RevealedAt *time.Time
}

// RevealedPassword is a sealed password that was taken out of the store; it can be taken once.
type RevealedPassword struct {
	OrderKey  OrderKey
	AccountID string
	Sealed    []byte
	UserName  string
	SignInURL string
}
