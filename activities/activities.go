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

// Undone is the result of an undo. The notes name what the undo left alone because someone else had changed it.
type Undone struct {
	Notes []string `json:"notes,omitempty"`
}
