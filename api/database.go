package api

import (
	"context"
	"time"

	"quartermaster/internal/provision"
)

// Database is what the API calls of the database: an interface for each aggregate, and Ping. Package internal/postgres implements them. A
// version is the one that the caller has seen; 0 means any.
type Database struct {
	Accounts          Accounts
	APIKeys           APIKeys
	Batches           Batches
	Deliveries        Deliveries
	Events            Events
	History           History
	IdempotencyKeys   IdempotencyKeys
	Imports           Imports
	Leftovers         Leftovers
	Models            Models
	Orders            Orders
	Passwords         Passwords
	Pools             Pools
	Processes         Processes
	ProtectedAccounts ProtectedAccounts
	SavedFilters      SavedFilters
	Sessions          Sessions
	Stock             StockLevels
	Webhooks          Webhooks
	// Ping returns an error when the database does not answer.
	Ping func(ctx context.Context) error
}

func (d Database) complete() bool {
	return d.Accounts != nil && d.APIKeys != nil && d.Batches != nil && d.Deliveries != nil && d.Events != nil &&
		d.History != nil && d.IdempotencyKeys != nil && d.Imports != nil && d.Leftovers != nil && d.Models != nil && d.Orders != nil &&
		d.Passwords != nil && d.Pools != nil && d.Processes != nil && d.ProtectedAccounts != nil && d.SavedFilters != nil &&
		d.Sessions != nil && d.Stock != nil && d.Webhooks != nil && d.Ping != nil
}

// Orders are the rows of the orders.
type Orders interface {
	// Exists reports whether the order has a row.
	Exists(ctx context.Context, key provision.OrderKey) (bool, error)
	// Get reads one order of the tenant. Errors: provision.ErrNotFound.
	Get(ctx context.Context, of provision.Tenant, id string) (provision.OrderView, error)
	// List lists at most filter.Limit orders of the tenant, newest first.
	List(ctx context.Context, of provision.Tenant, filter provision.OrderFilter) ([]provision.OrderView, error)
	// Tally counts the orders of the tenant, and those that have ended since a time, unless that is nil.
	Tally(ctx context.Context, of provision.Tenant, endedSince *time.Time) (provision.OrderCounts, error)
	// Tick records whether a manual step of an order is done. Errors: provision.ErrNotFound.
	Tick(ctx context.Context, key provision.OrderKey, number int, done bool, by provision.Intervention) error
	// History reads the history of an order of the tenant after the given row, oldest first. Errors: provision.ErrNotFound.
	History(ctx context.Context, of provision.Tenant, id string, after int64, limit int) ([]provision.OrderHistoryEntry, error)
	// NoteRefusal records an action on an order that was refused with that code, and the fields that it would have corrected.
	NoteRefusal(ctx context.Context, key provision.OrderKey, action string, fields []string, refused provision.Code,
		by provision.Intervention) error
	// ActionNoted reports whether the action with that id was recorded in the order's history.
	ActionNoted(ctx context.Context, key provision.OrderKey, actionID string) (bool, error)
}

// Accounts are the AWS accounts in stock. The methods that change one return it, and the orders that got an account because of the change.
type Accounts interface {
	// Create adds an account, which waits for its verification. Errors: provision.ErrConflict when the account is in a pool already,
	// provision.ErrNotFound when there is no such pool or model.
	Create(ctx context.Context, account provision.Account, actor string) (added provision.Account, woken []provision.OrderKey, err error)
	// Get reads one account of the provider. Errors: provision.ErrNotFound.
	Get(ctx context.Context, provider, id string) (provision.Account, error)
	// List lists at most filter.Limit accounts of the provider, oldest first.
	List(ctx context.Context, provider string, filter provision.AccountFilter) ([]provision.Account, error)
	Update(ctx context.Context, actor, provider, id string, version int64, edit provision.AccountUpdate) (provision.Account,
		[]provision.OrderKey, error)
	// Delete deletes an account. The reason may be empty.
	Delete(ctx context.Context, actor, provider, id string, version int64, reason string) error
	Invalidate(ctx context.Context, actor, provider, id string, version int64, reason string) (provision.Account, []provision.OrderKey, error)
	Return(ctx context.Context, actor, provider, id string, version int64, reason string) (provision.Account, []provision.OrderKey, error)
	Verify(ctx context.Context, actor, provider, id string, version int64) (provision.Account, []provision.OrderKey, error)
	// Counts counts the accounts of the provider by status, those of the filter's pool and model.
	Counts(ctx context.Context, provider string, filter provision.AccountFilter) (provision.AccountCounts, error)
	// Place returns the place in line of a Ready account; 0 when the account is not Ready.
	Place(ctx context.Context, provider, id string) (int, error)
	// Checks reads the checks of the account's last verification. Errors: provision.ErrNotFound.
	Checks(ctx context.Context, provider, id string) (provision.AccountChecks, error)
	// Changes reads what orders changed in the account, newest change first, after the given one. Errors: provision.ErrNotFound.
	Changes(ctx context.Context, provider, id string, after *provision.AccountChangeCursor, limit int) ([]provision.AccountChange, error)
	// History reads the history of an account after the given row, oldest first. Errors: provision.ErrNotFound.
	History(ctx context.Context, provider, id string, after int64, limit int) ([]provision.AccountHistoryEntry, error)
}

// Processes are the APIs and workers that run.
type Processes interface {
	// Identity reads the identity in AWS that a worker last reported. Errors: provision.ErrNotFound when none has.
	Identity(ctx context.Context) (provision.WorkerIdentity, error)
}

// History is who did what to the orders, accounts, pools and API keys of a provider.
type History interface {
	// List lists at most filter.Limit entries of the tenant, newest first.
	List(ctx context.Context, of provision.Tenant, filter provision.HistoryFilter) ([]provision.HistoryEntry, error)
}

// Sessions are the browsers that are signed in to the console.
type Sessions interface {
	// List lists the sessions that may work at the provider, the latest sign-in first.
	List(ctx context.Context, provider string) ([]provision.Session, error)
	// EndAll ends all sessions that may work at the provider, and returns their number.
	EndAll(ctx context.Context, actor, provider, reason string) (ended int, err error)
}

// IdempotencyKeys are the requests that take effect only once. The transaction that carries out such a request records it: see
// provision.WithOnce.
type IdempotencyKeys interface {
	// Check returns a *provision.RepeatError when the caller has sent a request with the same key before.
	Check(ctx context.Context, once provision.Once) error
}

// SavedFilters are the filters of lists that callers saved for themselves.
type SavedFilters interface {
	// List lists the filters of the owner by their names.
	List(ctx context.Context, of provision.FilterOwner) ([]provision.SavedFilter, error)
	// Save saves a filter of the owner, in place of one of that name. Errors: a *provision.StateError when the owner has too many.
	Save(ctx context.Context, of provision.FilterOwner, filter provision.SavedFilter) (provision.SavedFilter, error)
	// Delete deletes a filter of the owner. Errors: provision.ErrNotFound.
	Delete(ctx context.Context, of provision.FilterOwner, name string) error
}

// Leftovers are what undos could not remove from accounts.
type Leftovers interface {
	// BeginRemoval reserves the account for the removal of what an order left there. A repeat changes nothing.
	BeginRemoval(ctx context.Context, actor, provider, id, reason string) (provision.Account, error)
}

// Passwords are the sealed sign-in passwords of orders.
type Passwords interface {
	// Reveal passes a sealed password to open, once, and records who got it. An error of open leaves the password where it is, and is
	// returned. Errors: provision.ErrNotFound, provision.ErrGone.
	Reveal(ctx context.Context, id, to string, open func(provision.RevealedPassword) error) error
}

// Pools are the pools and their settings.
type Pools interface {
	// Exists reports whether the tenant has a pool for the marketplace and environment.
	Exists(ctx context.Context, of provision.Tenant, marketplace string, environment provision.Environment) (bool, error)
	// Marketplaces lists the marketplaces for which the provider has pools.
	Marketplaces(ctx context.Context, provider string) ([]string, error)
	// List lists at most limit pools of after.Provider, by marketplace and environment, after the given one.
	List(ctx context.Context, after provision.Pool, limit int) ([]provision.PoolConfig, error)
	// Get reads one pool. Errors: provision.ErrNotFound.
	Get(ctx context.Context, pool provision.Pool) (provision.PoolConfig, error)
	// Create creates a pool. Errors: provision.ErrConflict, a *provision.InvalidError.
	Create(ctx context.Context, actor string, config provision.PoolConfig) (provision.PoolConfig, error)
	// Update changes the settings of a pool. Errors: provision.ErrNotFound, provision.ErrStale, a *provision.InvalidError.
	Update(ctx context.Context, actor string, pool provision.Pool, version int64,
		edit func(*provision.PoolConfig)) (provision.PoolConfig, error)
	// History reads the history of a pool after the given row, oldest first. Errors: provision.ErrNotFound.
	History(ctx context.Context, pool provision.Pool, after int64, limit int) ([]provision.PoolHistoryEntry, error)
}

// ProtectedAccounts are the accounts that a provider protects.
type ProtectedAccounts interface {
	// Contains reports whether the provider protects the account.
	Contains(ctx context.Context, provider, accountID string) (bool, error)
	// List lists at most limit accounts that the provider protects, by their ids, after the given one.
	List(ctx context.Context, provider, after string, limit int) ([]provision.ProtectedAccount, error)
	// Protect protects an account. Errors: a *provision.StateError while an order holds it.
	Protect(ctx context.Context, actor, provider, accountID, note string) (provision.ProtectedAccount, error)
	// Release ends the protection of an account. The reason may be empty. Errors: provision.ErrNotFound.
	Release(ctx context.Context, actor, provider, accountID, reason string) error
}

// StockLevels are how many accounts the pools have, and the alerts about it.
type StockLevels interface {
	// Count counts the stock of every pool of the provider.
	Count(ctx context.Context, provider string) ([]provision.PoolStock, error)
	// History reads the stock of the provider's pools in the past, by pool and hour.
	History(ctx context.Context, provider string, filter provision.StockHistoryFilter) ([]provision.StockHour, error)
	// Alerts lists at most filter.Limit alerts of the provider, newest first.
	Alerts(ctx context.Context, provider string, filter provision.AlertFilter) ([]provision.StockAlert, error)
	// AcknowledgeAlert records that an operator takes care of an alert. Errors: provision.ErrNotFound, a
	// *provision.StateError when the alert is
	// closed.
	AcknowledgeAlert(ctx context.Context, actor, provider, id, note string) (provision.StockAlert, error)
}

// Webhooks are the endpoints that subscribe to events, and the callbacks of orders.
type Webhooks interface {
	Create(ctx context.Context, actor string, w provision.Webhook, sealed []byte) (provision.Webhook, error)
	List(ctx context.Context, provider string, after *provision.WebhookCursor, limit int) ([]provision.Webhook, error)
	Get(ctx context.Context, key provision.WebhookKey) (provision.Webhook, error)
	Update(ctx context.Context, actor string, key provision.WebhookKey, version int64, edit provision.WebhookUpdate) (provision.Webhook, error)
	// Delete deletes an endpoint. The reason may be empty.
	Delete(ctx context.Context, actor string, key provision.WebhookKey, version int64, reason string) error
	// RotateSecret adds a secret, and returns until when earlier ones sign too.
	RotateSecret(ctx context.Context, actor string, key provision.WebhookKey, sealed []byte, overlap time.Duration) (*time.Time, error)
	CallbackSecret(ctx context.Context, provider string) (provision.WebhookSecretView, error)
	Test(ctx context.Context, actor string, key provision.WebhookKey) (provision.Delivery, error)
}

// Deliveries are the events on their way to webhooks.
type Deliveries interface {
	// DueWebhooks lists the webhooks of a provider that have something to send now.
	DueWebhooks(ctx context.Context, provider string) ([]provision.WebhookKey, error)
	List(ctx context.Context, key provision.WebhookKey, filter provision.DeliveryFilter) ([]provision.Delivery, error)
	Get(ctx context.Context, key provision.WebhookKey, id string) (provision.Delivery, []provision.DeliveryAttempt, error)
	Replay(ctx context.Context, actor string, key provision.WebhookKey, since time.Time) error
	Resend(ctx context.Context, actor string, key provision.WebhookKey, id string) (provision.Delivery, error)
}

// Events are what subscribers are told.
type Events interface {
	// List reads the events of the tenant after filter.After, oldest first, and the position up to which it has
	// read. Errors: provision.ErrGone.
	List(ctx context.Context, of provision.Tenant, filter provision.EventFilter) (events []provision.Event, upTo int64, err error)
	// Now returns the position after everything that has happened until now.
	Now(ctx context.Context) (int64, error)
}

// Imports are the CSV files that add accounts to the stock.
type Imports interface {
	// Create keeps a file until it is imported.
	Create(ctx context.Context, n provision.NewImport) (provision.AccountImport, error)
	Get(ctx context.Context, key provision.ImportKey) (provision.AccountImport, error)
	// List lists at most limit imports of the provider, newest first.
	List(ctx context.Context, provider string, limit int, after *provision.ImportCursor) ([]provision.AccountImport, error)
	// Results lists at most filter.Limit results, in the order of the file.
	Results(ctx context.Context, key provision.ImportKey, filter provision.ImportResultFilter) ([]provision.RowResult, error)
}

// Batches are verbs for many orders or accounts, and the outcome of each.
type Batches interface {
	// Count counts what a batch would act on. It stops at one more than a batch may have.
	Count(ctx context.Context, of provision.Tenant, selection provision.BatchSelection) (int, error)
	// Candidates returns what a batch would act on, at most one more than a batch may have.
	Candidates(ctx context.Context, of provision.Tenant, selection provision.BatchSelection) ([]provision.BatchCandidate, error)
	// Create keeps a batch and what it will act on. Errors: provision.ErrConflict when there is a batch of that id, a
	// *provision.CountChangedError.
	Create(ctx context.Context, n provision.NewBatch) (provision.Batch, error)
	// Get reads one batch of the tenant. Errors: provision.ErrNotFound.
	Get(ctx context.Context, of provision.Tenant, id string) (provision.Batch, error)
	// List lists at most filter.Limit batches of the tenant, newest first.
	List(ctx context.Context, of provision.Tenant, filter provision.BatchFilter) ([]provision.Batch, error)
	// Rows lists at most filter.Limit rows of a batch, in their order.
	Rows(ctx context.Context, key provision.BatchKey, filter provision.BatchRowFilter) ([]provision.BatchRow, error)
	// Stop ends a batch that is running. It returns false for a batch that does not run.
	Stop(ctx context.Context, key provision.BatchKey, because string) (stopped bool, err error)
}

// APIKeys are the keys of the API.
type APIKeys interface {
	// Find reads keys of any provider by their public ids. It leaves out the ids of which there is no key.
	Find(ctx context.Context, ids ...string) ([]provision.APIKey, error)
	// NoteUse records that the key was used, at most once a minute.
	NoteUse(ctx context.Context, id string) error
	// Get reads a key of the provider. Errors: provision.ErrNotFound.
	Get(ctx context.Context, provider, id string) (provision.APIKey, error)
	// List lists at most limit keys of the provider, newest first.
	List(ctx context.Context, provider string, limit int, after *provision.KeyCursor) ([]provision.APIKey, error)
	Create(ctx context.Context, actor string, key provision.APIKey) (provision.APIKey, error)
	// Rotate replaces a key by a successor. Both work until the given time. Errors: provision.ErrNotFound, a *provision.StateError.
	Rotate(ctx context.Context, actor, provider, id string, successor provision.APIKey, until time.Time) (added,
		old provision.APIKey, err error)
	// Revoke ends a key at once. The reason may be empty. With keepOne it refuses to end the last key that may create keys. Errors:
	// provision.ErrNotFound, a
	// *provision.StateError.
	Revoke(ctx context.Context, actor, provider, id, reason string, keepOne bool) (provision.APIKey, error)
}
