package activities

import (
	"context"
	"time"

	"quartermaster/internal/provision"
)

// Database is what the activities call of the database: an interface for each aggregate. Package internal/postgres implements them.
type Database struct {
	Orders            Orders
	Steps             Steps
	Passwords         Passwords
	Leftovers         Leftovers
	Verifications     Verifications
	ProtectedAccounts ProtectedAccounts
	Stock             Stock
	Imports           Imports
	Batches           Batches
}

// Orders are the rows of the orders.
type Orders interface {
	// Open writes the order's row, unless there is one, and returns what its workflow needs.
	Open(ctx context.Context, order provision.Order) (provision.OpenedOrder, error)
	// RereadSettings reads the settings that the order's pool has now, and keeps them with the order. Errors: provision.ErrNotFound.
	RereadSettings(ctx context.Context, key provision.OrderKey) (provision.PoolSettings, error)
	// Status reads the order's state, account, failure and result. Errors: provision.ErrNotFound.
	Status(ctx context.Context, key provision.OrderKey) (provision.OrderStatus, error)
	// Claim assigns the oldest Ready account of the pool to the order. A repeat returns the same account.
	Claim(ctx context.Context, key provision.OrderKey) (provision.Claim, error)
	// MatchStock matches the stock of every pool to its queue. It returns the orders that have an account and have not begun with it.
	MatchStock(ctx context.Context) ([]provision.OrderKey, error)
	// RejectAccount takes the account away from the order. With setAside the account could not be entered, which may be our own fault.
	RejectAccount(ctx context.Context, key provision.OrderKey, accountID string, why provision.Failure,
		setAside bool) (provision.Rejection, error)
	// RequireAction sets an order that holds an account to action_required.
	RequireAction(ctx context.Context, key provision.OrderKey, why provision.Failure) error
	// Resume sets an order back from action_required to provisioning.
	Resume(ctx context.Context, key provision.OrderKey) error
	// Correct replaces the order's request by a corrected one.
	Correct(ctx context.Context, key provision.OrderKey, corrected provision.Request, by provision.Intervention) error
	// NoteAction records what an operator did to an order, without changing the order's state. A repeat of the same action (by.ID) records
	// nothing.
	NoteAction(ctx context.Context, key provision.OrderKey, action string, by provision.Intervention) error
	// Stop ends an order that holds no account, and sets one that holds an account to compensating. In the same transaction it records who
	// did that and why. A repeat of the same action (by.ID) changes nothing. Errors: a *provision.Failure TooLate when the order has ended or
	// is being undone.
	Stop(ctx context.Context, key provision.OrderKey, action string, why provision.Failure, by provision.Intervention) error
	// BeginUndo sets an order that holds an account to compensating.
	BeginUndo(ctx context.Context, key provision.OrderKey, why provision.Failure) error
	// Close ends an order that did not complete, and releases its account. It returns the orders that got an account because of that.
	Close(ctx context.Context, closing provision.OrderClosing) (woken []provision.OrderKey, err error)
	// Allocate completes the order: the account belongs to the customer.
	Allocate(ctx context.Context, key provision.OrderKey, accountID string, result provision.Result) error
}

// Steps are the attempts at the steps of orders and at their undos.
type Steps interface {
	// Begin records that an attempt at a step begins. The same statement checks that the order holds the account, that the order's state
	// allows the step, and that the undo of the step has not begun, and returns what the attempt works from. Errors: a
	// *provision.Failure OrderNotInProgress.
	Begin(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step, attempt int32) (provision.Assignment, error)
	// BeginUndo records that the undo of a step begins. From then on no attempt at the step can begin, or end as done. BeginUndo returns how
	// what the undo works from, and how long it must wait until the lease of every attempt that has not reported its end is over. lease is
	// how long such a lease lasts. Errors: a *provision.Failure OrderNotInProgress when the order does not hold the account.
	BeginUndo(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step,
		lease time.Duration) (now provision.Assignment, wait time.Duration, err error)
	// End records how an attempt at a step, or at its undo, ended. A step that is being undone or is undone never becomes done.
	End(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step, end provision.AttemptEnd) error
	// NoteRefusal records that AWS refuses the step with this code, and returns how long it has done so without another code in between.
	NoteRefusal(ctx context.Context, key provision.OrderKey, accountID string, step provision.Step,
		code provision.Code) (lasting time.Duration, err error)
}

// Passwords are the sealed sign-in passwords of orders.
type Passwords interface {
	// Keep stores the sealed password of the order, unless one is kept already, and returns the kept one.
	Keep(ctx context.Context, key provision.OrderKey, accountID string, sealed []byte) (kept []byte, err error)
	// Replace overwrites the kept password, because AWS's password policy refused it.
	Replace(ctx context.Context, key provision.OrderKey, accountID string, sealed []byte) error
	// Withdraw forgets the kept password, if there is one.
	Withdraw(ctx context.Context, key provision.OrderKey, accountID string) error
	// Request accepts a request for a new password and returns the account in which it is set. A repeat of the same request changes
	// nothing. Errors: a *provision.Failure OrderNotInProgress unless the order is completed and its account is allocated to it.
	Request(ctx context.Context, key provision.OrderKey, request provision.PasswordRequest) (accountID string, err error)
	// KeepNew stores the sealed password of a request, unless one is kept already and must not be replaced, ends the link to the earlier
	// password, and returns the kept one. Errors: a *provision.Failure OrderNotInProgress when the request has ended.
	KeepNew(ctx context.Context, key provision.OrderKey, accountID string, by provision.Intervention, sealed []byte,
		replace bool) (kept []byte, err error)
	// EndRequest makes the link to the new password work or, with a failure, forgets the password. A repeat changes nothing.
	EndRequest(ctx context.Context, key provision.OrderKey, request string, failure *provision.Failure) error
}

// Leftovers are what undos could not remove from accounts.
type Leftovers interface {
	// Assignment reads what an undo of the order in the account works from. Errors: provision.ErrNotFound when the order does not hold the
	// account.
	Assignment(ctx context.Context, key provision.OrderKey, accountID string) (provision.Assignment, error)
	// KeepUndo keeps what it takes to run the undo of an order again.
	KeepUndo(ctx context.Context, key provision.OrderKey, accountID string, sealed []byte) error
	// KeptUndo reads what KeepUndo kept. Errors: provision.ErrNotFound.
	KeptUndo(ctx context.Context, provider, accountID string) (key provision.OrderKey, sealed []byte, err error)
	// EndRemoval records what is left in the account after a removal.
	EndRemoval(ctx context.Context, removed provision.LeftoversRemoved) error
}

// Verifications are the checks whether accounts are fit to be drawn.
type Verifications interface {
	// Due lists at most limit accounts whose verification is due.
	Due(ctx context.Context, limit int) ([]string, error)
	// Account reads an account that no order holds, and the time of the database. Errors: provision.ErrNotFound.
	Account(ctx context.Context, id string) (account provision.Account, now time.Time, err error)
	// Apply records the results of verifications and changes the accounts' statuses. It returns the orders that got an account, or that may
	// try theirs again.
	Apply(ctx context.Context, results []provision.VerificationResult) (woken []provision.OrderKey, err error)
}

// ProtectedAccounts are the accounts that the providers protect.
type ProtectedAccounts interface {
	// Contains reports whether the provider protects the account.
	Contains(ctx context.Context, provider, accountID string) (bool, error)
}

// Stock is how many accounts the pools have, and the alerts about it.
type Stock interface {
	// Watch opens, raises, repeats, lowers and closes the alerts of all pools.
	Watch(ctx context.Context) (provision.StockWatch, error)
}

// Imports are the CSV files that add accounts to the stock.
type Imports interface {
	// RunBatch imports the next rows of an import, and returns the import's progress. Errors: provision.ErrNotFound.
	RunBatch(ctx context.Context, key provision.ImportKey, protected []string) (now provision.AccountImport, faults []provision.RowResult,
		err error)
	// Fail ends an import that is running.
	Fail(ctx context.Context, key provision.ImportKey, reason string) error
}

// Batches are verbs for many orders or accounts, and the outcome of each.
type Batches interface {
	// Next returns a batch and, while it is running, at most limit rows that wait. Errors: provision.ErrNotFound.
	Next(ctx context.Context, key provision.BatchKey, limit int) (provision.Batch, []provision.BatchRow, error)
	// ChangeAccount does the verb of the batch to the account of a row, once, and records that. It returns the orders that got an account
	// because of that. Errors: provision.ErrNotFound, a *provision.StateError.
	ChangeAccount(ctx context.Context, b provision.Batch, row provision.BatchRow) (woken []provision.OrderKey, err error)
	// EndRow records what became of a row. A row that has an outcome keeps it.
	EndRow(ctx context.Context, key provision.BatchKey, n int, outcome provision.BatchOutcome, why provision.Refusal) error
	// Advance counts the outcomes of the rows, and completes the batch when no row waits. Errors: provision.ErrNotFound.
	Advance(ctx context.Context, key provision.BatchKey) (provision.Batch, error)
	// Stop ends a batch that is running.
	Stop(ctx context.Context, key provision.BatchKey, because string) (stopped bool, err error)
}

// Deliveries are the events on their way to webhooks.
type Deliveries interface {
	// DueWebhooks lists the webhooks that have something to send now, of one provider or, for "", of all.
	DueWebhooks(ctx context.Context, provider string) ([]provision.WebhookKey, error)
	// Next returns the oldest delivery that the webhook has not received.
	Next(ctx context.Context, key provision.WebhookKey) (provision.NextDelivery, error)
	// Sending reads what an attempt needs. Errors: provision.ErrNotFound; provision.ErrConflict when nothing should be sent now.
	Sending(ctx context.Context, key provision.WebhookKey, deliveryID string) (provision.DeliveryJob, error)
	// RecordAttempt keeps an attempt and its consequences. Errors: provision.ErrNotFound.
	RecordAttempt(ctx context.Context, key provision.WebhookKey, deliveryID string, outcome provision.DeliveryOutcome) error
}

// Events are what subscribers are told.
type Events interface {
	// Purge deletes at most limit events and limit deliveries that are too old, and returns whether there may be more.
	Purge(ctx context.Context, limit int) (more bool, err error)
}
