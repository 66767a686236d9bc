// Package activities holds what the workflows do to the world: one file a resource, do and undo side by side.
// errors.go is the only place that decides what is retried.
package activities

import (
	"time"

	"golang.org/x/time/rate"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// Activities are the activities of all workflows. Every method is an activity: registered by its name, safe to repeat.
type Activities struct {
	Database
	Cloud      *awscloud.Cloud
	Sealer     Sealer
	Reconciler Reconciler
	// Webhooks is what delivering events needs.
	Webhooks Webhooks
	Timings  Timings
	// ProtectedIDs are the AWS account ids in which nothing is ever changed, for any provider: payers and our own. Each provider protects more
	// of them: see ProtectedAccounts.
	ProtectedIDs []string
	// VerifyPace bounds how many verifications a second this process begins; nil: as fast as they come.
	VerifyPace *rate.Limiter
}

// Timings bound how long one attempt looks for AWS's eventual consistency before it leaves the rest to a retry.
type Timings struct {
	VisibleFor time.Duration // how long a written thing may stay unseen before the attempt gives up (a retry looks again)
	AbsentFor  time.Duration // how long a thing that may have been written must stay unseen before an undo believes that it is not there; a quarter of VisibleFor when 0
	PollEvery  time.Duration // pause between two looks
	DeniedFor  time.Duration // how long AWS may deny a permission before an operator is asked; 2 minutes when 0
	RefusedFor time.Duration // how long AWS may give any other answer that does not change; 10 minutes when 0
}

// Sealer encrypts passwords at rest. The purpose is authenticated, not stored: what was sealed for one purpose does not
// open for another.
type Sealer interface {
	Seal(plaintext []byte, purpose string) ([]byte, error)
	Open(sealed []byte, purpose string) ([]byte, error)
}

// Assignment is an account in the hands of an order: the input of every activity that works in the account.
type Assignment struct {
	Order    provision.OrderKey     `json:"order"`
	Nonce    string                 `json:"nonce"`
	Request  provision.Request      `json:"request"`
	Settings provision.PoolSettings `json:"settings"`
	Account  provision.Account      `json:"account"`
	// Until is how long an undo tries what AWS refuses; zero: this is no undo, or what is refused now is left.
	Until time.Time `json:"until,omitzero"`
}

// Inspection is what Inspect found before anything was changed.
type Inspection struct {
	Journal        provision.Journal `json:"journal"`
	ExistingReport *provision.Report `json:"existing_report,omitempty"` // the report that the order names
	// Warnings are what the result must say about the account: nothing is wrong, or it cannot be known.
	Warnings []string `json:"warnings,omitempty"`
}

// UserUndo asks RemoveUser to take the user away. UserID is the id that the step recorded; empty when the step's answer
// was lost: then the tags alone say whose the user is.
type UserUndo struct {
	Assignment
	UserID string `json:"user_id,omitempty"`
}

// Restore asks for what the journal holds to be put back.
type Restore struct {
	Assignment
	Journal provision.Journal `json:"journal"`
	// Earlier are the requests before each correction: what they ordered may have been written too.
	Earlier []provision.Request `json:"earlier,omitempty"`
	// Written is what AWS showed after SetContacts had written the contacts; nil when the step's answer was lost.
	Written *provision.WrittenContacts `json:"written,omitempty"`
	// EarlierSettings are as SetUpReport.Earlier: CompareWithJournal looks for a report that was made under them.
	EarlierSettings []provision.PoolSettings `json:"earlier_settings,omitempty"`
}

// SetUpReport asks for the report: the existing one is linked, else a new one is made.
type SetUpReport struct {
	Assignment
	Existing *provision.Report `json:"existing,omitempty"`
	// Earlier are the settings of the pool before an operator changed them: under them an attempt may have made a report elsewhere.
	Earlier []provision.PoolSettings `json:"earlier,omitempty"`
}

// ReportUndo asks RemoveReport to take the report away that the order created.
type ReportUndo struct {
	Assignment
	Report provision.Report `json:"report"` // zero when the step's answer was lost
	// Earlier are as in SetUpReport.
	Earlier []provision.PoolSettings `json:"earlier,omitempty"`
}

// SignIn asks for the login profile of the user.
type SignIn struct {
	Assignment
	User provision.User `json:"user"`
}

// Undone is what an undo has to say: what it left alone because somebody else changed it meanwhile.
type Undone struct {
	Notes []string `json:"notes,omitempty"`
}

// Verification is the comparison of the account with the journal: empty when nothing of the order is left.
type Verification struct {
	Leftovers []string `json:"leftovers,omitempty"`
}
