package provision

import "time"

// AwaitsVerification is the reason of an account that was added and has not been verified yet. The account is Invalid until it
// passes, so that no order draws it.
const AwaitsVerification = "waits for its verification"

// VerificationActor is the actor that histories name for verification.
const VerificationActor = "verification"

// AccountVerification is what is known about an account's verification.
type AccountVerification struct {
	// Version counts the changes that an editor can see.
	Version    int64      `json:"version,omitempty"     db:"version"`
	VerifyAt   *time.Time `json:"verify_at,omitempty"   db:"verify_at"`   // when it is verified next; nil: not automatically
	VerifiedAt *time.Time `json:"verified_at,omitempty" db:"verified_at"` // when it last passed; nil: never
	Finding    string     `json:"finding,omitempty"     db:"finding"`     // why it did not pass the last time
	// ReadyWhenVerified says that the account becomes Ready when it passes.
	ReadyWhenVerified bool `json:"ready_when_verified,omitempty" db:"ready_when_verified"`
	// RemovingSince is since when an order's leftovers are being removed from the account; nil: they are not.
	RemovingSince *time.Time `json:"removing_since,omitempty" db:"removing_since"`
}

// VerificationResult is the outcome of the verification of one account.
type VerificationResult struct {
	AccountID string   `json:"account_id"`
	Failure   *Failure `json:"failure,omitempty"` // why it did not pass; nil: it passed
	// LookedAt is when the verification began, by the database's clock. A verification that was requested later is still due.
	// Nil: no verification took place, which says nothing about the account.
	LookedAt *time.Time `json:"looked_at,omitempty"`
	// Version is the version of the account that was verified. The result does not cover later updates, such as another role.
	Version int64 `json:"version,omitempty"`
	// Inconclusive says that AWS or Quartermaster could not answer in time, which says nothing about the account.
	Inconclusive bool `json:"inconclusive,omitempty"`
	// Checks are the single checks. Empty: the verification was inconclusive, or made by a version that does not report them.
	Checks []AccountCheck `json:"checks,omitempty"`
}

// Fail makes the failure the result. The check that failed shows it.
func (r *VerificationResult) Fail(failure Failure) {
	r.Failure = &failure
	for i, check := range r.Checks {
		if check.Outcome == CheckFailed {
			r.Checks[i].Found = failure.Explained()
		}
	}
}

// Times of verification.
const (
	VerifyEvery        = 24 * time.Hour   // a Ready account, plus or minus a tenth
	VerifyAgainAfter   = 15 * time.Minute // after a first failure, or when the verification was inconclusive
	VerifyFirstRetry   = time.Minute      // an account that is to become Ready: AWS may still propagate its role; doubles each time
	VerifyLongestRetry = 6 * time.Hour    // the longest of these waits
	// VerifyWindow limits the comparison of failures within a pool to accounts that were verified this recently.
	VerifyWindow = 2 * VerifyAgainAfter
)

// VerifyNeighbors is how many other accounts of the pool are verified when one fails, to find out whether the account or AWS is
// at fault.
const VerifyNeighbors = 9
