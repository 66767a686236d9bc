package provision

import "time"

// AwaitsVerification is the reason of an account that was added and has not been verified yet: it is Invalid until then, so that no
// order meets it.
const AwaitsVerification = "waits for its verification"

// VerificationActor stands in the audit for the verification of accounts.
const VerificationActor = "verification"

// AccountVerification is what is known of an account's verification.
type AccountVerification struct {
	Version           int64      `json:"version,omitempty"             db:"version"`             // counts what an editor sees of the account
	VerifyAt          *time.Time `json:"verify_at,omitempty"           db:"verify_at"`           // when it is verified next; nil: not by itself
	VerifiedAt        *time.Time `json:"verified_at,omitempty"         db:"verified_at"`         // when it last passed; nil: never
	Finding           string     `json:"finding,omitempty"             db:"finding"`             // why it did not pass the last time
	ReadyWhenVerified bool       `json:"ready_when_verified,omitempty" db:"ready_when_verified"` // a verification that passes makes it Ready
	RemovingSince     *time.Time `json:"removing_since,omitempty"      db:"removing_since"`      // since when what an order left there is removed; nil: it is not
}

// Verified is how the verification of one account went.
type Verified struct {
	AccountID string   `json:"account_id"`
	Failure   *Failure `json:"failure,omitempty"` // why it did not pass; nil: it passed
	// LookedAt is when the look began, by the clock of the database: who asked for a look after that wants another one. Nil:
	// nobody looked, which says nothing about the account.
	LookedAt *time.Time `json:"looked_at,omitempty"`
	// Version is the account's that was looked at: what was edited meanwhile, its role above all, was not seen.
	Version int64 `json:"version,omitempty"`
	// Inconclusive says that AWS, or we, could not tell in time: that says nothing about the account.
	Inconclusive bool `json:"inconclusive,omitempty"`
}

// Times of verification.
const (
	VerifyEvery        = 24 * time.Hour   // a Ready account, give or take a tenth
	VerifyAgainAfter   = 15 * time.Minute // after a first strike, or when it was inconclusive
	VerifyFirstRetry   = time.Minute      // an account that is to become Ready: its role may be on its way; doubles
	VerifyLongestRetry = 6 * time.Hour    // and at most this
	// VerifyWindow is how long ago an account was looked at that still counts when the failures of a pool are compared.
	VerifyWindow = 2 * VerifyAgainAfter
)

// VerifyBeside is how many other accounts of the pool are looked at when one strikes: is it the account, or AWS?
const VerifyBeside = 9

// AccountUpdate are the fields of an account that may be changed while it is Ready or Invalid; nil leaves one as it is.
type AccountUpdate struct {
	Name      *string
	RootEmail *string
	RoleARN   *string // the account is verified again before it may be drawn
	Model     *Model
}

// Apply returns the account with the edit done, and the names of the fields that differ now.
func (e AccountUpdate) Apply(a Account) (edited Account, changed []string) {
	set := func(name string, to *string, field *string) {
		if to != nil && *to != *field {
			*field = *to
			changed = append(changed, name)
		}
	}
	set("name", e.Name, &a.Name)
	set("root_email", e.RootEmail, &a.RootEmail)
	set("role_arn", e.RoleARN, &a.RoleARN)
	set("model", (*string)(e.Model), (*string)(&a.Model))
	return a, changed
}

// AccountHistoryEntry is one row of an account's audit.
type AccountHistoryEntry struct {
	Seq        int64         `db:"seq"`
	At         time.Time     `db:"at"`
	Actor      string        `db:"actor"`
	FromStatus AccountStatus `db:"from_status"` // empty: it was added
	ToStatus   AccountStatus `db:"to_status"`   // the same as FromStatus: it was edited, or somebody asked for something
	Reason     string        `db:"reason"`
	OrderID    string        `db:"order_id"`
}

// AccountDeleted is the status in the last row of the audit of an account that was deleted.
const AccountDeleted AccountStatus = "deleted"

// Rejected is what became of an order that gave up its account.
type Rejected struct {
	Woken     []OrderKey // other orders that got an account in the same transaction
	Verify    bool       // accounts of the pool are due for verification now
	Suspended string     // why the claims of the pool were suspended by this; empty: they were not
}

// When the claims of a pool are suspended: so many accounts in a row refuse one order, or so many of those that were tried in the
// pool refuse, and at least half of them.
const (
	ClaimsWindow   = 10 * time.Minute // what was tried before does not count
	ClaimsRefusals = 2
	// VerifySuspended is how long a set-aside account waits for its next verification at most while claims are suspended. The
	// schedule of verifications adds a minute.
	VerifySuspended = 4 * time.Minute
)
