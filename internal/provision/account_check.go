package provision

import "time"

// CheckName names one check of a verification.
type CheckName string

// The checks, in the order in which a verification makes them.
const (
	CheckNotProtected CheckName = "not_protected" // the account is not protected
	CheckRole         CheckName = "role"          // the role can be assumed with the external id
	CheckIdentity     CheckName = "identity"      // the role is in this account
	CheckExternalID   CheckName = "external_id"   // the role cannot be assumed without the external id
	CheckState        CheckName = "account_state" // AWS has not suspended or closed the account
	CheckReadable     CheckName = "readable"      // the alias and the contacts can be read
	CheckContact      CheckName = "contact"       // AWS would accept the primary contact again
	CheckClean        CheckName = "clean"         // no IAM user of an order is left
)

// CheckOutcome is how a check ended.
type CheckOutcome string

// The outcomes of a check.
const (
	CheckPassed     CheckOutcome = "passed"
	CheckFailed     CheckOutcome = "failed"
	CheckSkipped    CheckOutcome = "skipped"     // the role lacks a permission that is optional
	CheckNotReached CheckOutcome = "not_reached" // an earlier check failed
)

// AccountCheck is one check of a verification.
type AccountCheck struct {
	Name    CheckName    `json:"name"`
	Outcome CheckOutcome `json:"outcome"`
	Found   string       `json:"found,omitempty"` // never holds personal data
	At      *time.Time   `json:"at,omitempty"`    // nil: it was not reached
}

// AccountChecks are the checks of the last verification of an account that had a clear answer.
type AccountChecks struct {
	CheckedAt *time.Time // nil: there was no such verification
	Passed    bool
	Checks    []AccountCheck
}
