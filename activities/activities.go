// Package activities holds what the workflows do to the world: one file a resource, do and undo side by side.
// errors.go is the only place that decides what is retried.
package activities

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// Activities are the activities of all workflows. Every method is an activity: registered by its name, safe to repeat.
type Activities struct {
	Store      Store
	Cloud      *awscloud.Cloud
	Sealer     Sealer
	Reconciler Reconciler
	// Webhooks is what delivering events needs.
	Webhooks Webhooks
	Timings  Timings
	// Protected are AWS account ids that nothing is ever done in, whoever's they are: payers and our own. Each provider protects
	// more of them (Store.IsProtected).
	Protected []string
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

// Store is what the activities need of the database.
type Store interface {
	OpenOrder(ctx context.Context, order provision.Order) (provision.OpenedOrder, error)
	// RereadSettings reads the settings that the order's pool has now, and keeps them with the order. Errors: provision.ErrNotFound.
	RereadSettings(ctx context.Context, key provision.OrderKey) (provision.PoolSettings, error)
	ClaimAccount(ctx context.Context, key provision.OrderKey) (provision.Claim, error)
	// RejectAccount gives up the account that the order holds. setAside: it could not be entered, which may be our own fault.
	RejectAccount(ctx context.Context, key provision.OrderKey, accountID string, why provision.Failure, setAside bool) (provision.Rejection, error)
	RequireAction(ctx context.Context, key provision.OrderKey, why provision.Failure) error
	Resume(ctx context.Context, key provision.OrderKey) error
	Correct(ctx context.Context, key provision.OrderKey, corrected provision.Request, by provision.Intervention) error
	// NoteAction writes down what somebody did to an order without changing its state. A repeat of the same action (by.ID) writes nothing.
	NoteAction(ctx context.Context, key provision.OrderKey, action string, by provision.Intervention) error
	// StopOrder ends an order that holds no account, or sets one that does to compensating, and writes down who did that and
	// why, in one transaction. A repeat of the same action (by.ID) changes nothing. Errors: a *provision.Failure TooLate when
	// the order has ended or is being undone.
	StopOrder(ctx context.Context, key provision.OrderKey, action string, why provision.Failure, by provision.Intervention) error
	// OrderStatus reads where the order stands. Errors: provision.ErrNotFound.
	OrderStatus(ctx context.Context, key provision.OrderKey) (provision.OrderStatus, error)
	BeginUndo(ctx context.Context, key provision.OrderKey, why provision.Failure) error
	CloseOrder(ctx context.Context, closing provision.OrderClosing) (woken []provision.OrderKey, err error)
	Allocate(ctx context.Context, key provision.OrderKey, accountID string, result provision.Result) error

	DueAccounts(ctx context.Context, limit int) ([]string, error)
	// AccountToVerify reads an account that no order holds, and the time. Errors: provision.ErrNotFound.
	AccountToVerify(ctx context.Context, id string) (account provision.Account, now time.Time, err error)
	ApplyVerifications(ctx context.Context, results []provision.VerificationResult) (woken []provision.OrderKey, err error)
	// IsProtected tells whether the provider protects the account.
	IsProtected(ctx context.Context, provider, accountID string) (bool, error)
	WatchStock(ctx context.Context) (provision.StockWatch, error)

	// ImportBatch imports the next rows of an import, and tells how far it is then. Errors: provision.ErrNotFound.
	ImportBatch(ctx context.Context, key provision.ImportKey, protected []string) (now provision.AccountImport, faults []provision.RowResult, err error)
	FailImport(ctx context.Context, key provision.ImportKey, reason string) error

	// StepStarted notes that an attempt at a step begins. In the same statement it asks whether the order holds the account
	// and is in a state that the step needs, and whether its undo has not begun. Errors: a *provision.Failure OrderNotInProgress.
	StepStarted(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step, attempt int32) error
	// UndoStarted notes that the undo of a step begins, so that no attempt at the step that wakes up late can begin, or end as
	// done. It returns how long the undo must wait until no lease of an attempt that has not reported its end can live; lease
	// is how long such a lease lives. Errors: a *provision.Failure OrderNotInProgress when the order does not hold the account.
	UndoStarted(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step, lease time.Duration) (wait time.Duration, err error)
	// StepEnded notes how an attempt at a step, or at its undo, ended. A step that is being undone or undone never becomes done.
	StepEnded(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step, state provision.StepState, problem string) error

	// StepRefused notes that AWS refuses the step, and tells for how long it has done so with this code, attempt after attempt.
	StepRefused(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step, code provision.Code) (lasting time.Duration, err error)

	// KeepUndo keeps what it takes to run the undo of an order again. KeptUndo reads it for the removal of what was left, and EndRemoval
	// says how that went. Errors of KeptUndo: provision.ErrNotFound.
	KeepUndo(ctx context.Context, key provision.OrderKey, accountID string, sealed []byte) error
	KeptUndo(ctx context.Context, provider, accountID string) (key provision.OrderKey, sealed []byte, err error)
	EndRemoval(ctx context.Context, removed provision.LeftoversRemoved) error

	// KeepPassword stores the sealed password of the order unless one is kept already, and returns the kept one.
	KeepPassword(ctx context.Context, key provision.OrderKey, accountID string, sealed []byte) (kept []byte, err error)
	// ReplacePassword overwrites the kept password: AWS's password policy refused it.
	ReplacePassword(ctx context.Context, key provision.OrderKey, accountID string, sealed []byte) error
	// WithdrawPassword forgets the kept password, if there is one.
	WithdrawPassword(ctx context.Context, key provision.OrderKey, accountID string) error
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
