package provision

import "time"

// Claim is the account that an order gets from its pool.
type Claim struct {
	Account *Account   `json:"account,omitempty"` // nil: no account matches yet, and the order waits
	Woken   []OrderKey `json:"woken,omitempty"`   // other orders that got an account in the same transaction
	// Touched says that a step of this order has already begun to write to the account. A run that has no journal of the
	// account can complete the order, but cannot restore the account.
	Touched bool `json:"touched,omitempty"`
}

// Rejection is what happened when an order gave up its account.
type Rejection struct {
	Woken     []OrderKey // other orders that got an account in the same transaction
	Verify    bool       // accounts of the pool are due for verification now
	Suspended string     // why the rejection suspended the claims of the pool; empty: it did not
}

// The claims of a pool are suspended when ClaimsRefusals accounts in a row refuse one order, or when that many of the accounts
// that orders tried within ClaimsWindow refuse, and they are at least half of those tried.
const (
	ClaimsWindow   = 10 * time.Minute
	ClaimsRefusals = 2
	// VerifySuspended is the longest time that a set-aside account waits for its next verification while claims are suspended.
	// The schedule of verifications adds up to a minute.
	VerifySuspended = 4 * time.Minute
)
