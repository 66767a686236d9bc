package activities

import (
	"time"

	"golang.org/x/time/rate"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// Activities are the activities of all workflows. Temporal knows each method by its name, and may call it more than once.
type Activities struct {
	Database
	Cloud      *awscloud.Cloud
	Sealer     Sealer
	Reconciler Reconciler
	// Webhooks holds the dependencies of the activities that deliver events.
	Webhooks Webhooks
	// Batching holds the dependencies of the activities that run batches.
	Batching Batching
	Timings  Timings
	// ProtectedIDs are AWS accounts that are never changed for any provider: payers and our own. Each provider protects
	// further accounts (ProtectedAccounts).
	ProtectedIDs []string
	// VerifyPace limits how many verifications this process begins per second; nil means no limit.
	VerifyPace *rate.Limiter
}

// Timings bound how long one attempt waits for propagation, the delay in AWS between a write and the reads that show it, before
// it leaves the rest to the next attempt.
type Timings struct {
	// VisibleFor is how long an attempt waits until AWS shows what was written.
	VisibleFor time.Duration
	// AbsentFor is how long something that may have been written must stay invisible before an undo concludes that it does
	// not exist; a quarter of VisibleFor when 0.
	AbsentFor time.Duration
	PollEvery time.Duration // the pause between two reads
	// DeniedFor is how long AWS may deny a permission before an operator is asked; 2 minutes when 0.
	DeniedFor time.Duration
	// RefusedFor is how long AWS may repeat any other refusal before an operator is asked; 10 minutes when 0.
	RefusedFor time.Duration
}

// Sealer encrypts secrets at rest. The purpose is authenticated but not stored: a secret that was sealed for one purpose cannot be
// opened for another.
type Sealer interface {
	Seal(plaintext []byte, purpose string) ([]byte, error)
	Open(sealed []byte, purpose string) ([]byte, error)
}

// Work names the work of an order in an account: the input of every activity that works in an account. The database has the rest.
type Work struct {
	Order     provision.OrderKey `json:"order"`
	AccountID string             `json:"account_id"`
	// Until is when an undo stops retrying what AWS refuses. It is zero for a step, and for the last attempt of an undo.
	Until time.Time `json:"until,omitzero"`
	// Kept is the assignment of an undo that was kept, because the order may have been corrected since, for another account. Nil: the
	// one that the database has.
	Kept *provision.Assignment `json:"kept,omitempty"`
}

// Assignment is what an attempt in an account works from.
type Assignment provision.Assignment

// assigned returns the assignment of the work. now is the one that the database has.
func (in Work) assigned(now provision.Assignment) Assignment {
	if in.Kept == nil {
		return Assignment(now)
	}
	kept := Assignment(*in.Kept)
	kept.Account = now.Account
	return kept
}
