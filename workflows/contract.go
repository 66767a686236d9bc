package workflows

import (
	"strings"

	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/provision"
)

// TaskQueue is the task queue that the workers poll.
const TaskQueue = "quartermaster"

// Names of the workflows in Temporal.
const (
	ProvisionOrderName  = "ProvisionOrder"
	RemoveLeftoversName = "RemoveLeftovers"
	IssuePasswordName   = "IssuePassword"
	ImportAccountsName  = "ImportAccounts"
	RunBatchName        = "RunBatch"
	VerifyAccountsName  = "VerifyAccounts"
	WatchStockName      = "WatchStock"
	ReconcileName       = "Reconcile"
	DeliverWebhooksName = "DeliverWebhooks"
	SweepWebhooksName   = "SweepWebhooks"
)

// Names in Temporal of the activities whose results are read from histories.
const (
	OpenOrderName      = "OpenOrder"      // writes an order's row; returns an activities.Opened
	RereadSettingsName = "RereadSettings" // returns provision.PoolSettings
)

// Ids of the schedules, and of the workflows of which one runs at a time.
const (
	ReconcileID      = "reconcile"
	VerifyAccountsID = "verify-accounts" // of the schedule, and of the workflow that SignalAccountsDue starts
	WatchStockID     = "watch-stock"
	SweepWebhooksID  = "sweep-webhooks"
)

// OrderWorkflowID returns the id of the workflow of an order: one order has one workflow.
func OrderWorkflowID(key provision.OrderKey) string { return "order/" + key.Provider + "/" + key.ID }

// OrderKeyOf returns the order whose workflow has the id; false for the id of another workflow.
func OrderKeyOf(workflowID string) (key provision.OrderKey, ok bool) {
	rest, isOrder := strings.CutPrefix(workflowID, "order/")
	provider, id, both := strings.Cut(rest, "/")
	return provision.OrderKey{Provider: provider, ID: id}, isOrder && both
}

// LeftoversWorkflowID returns the id of the workflow that removes what an order left in an account: one at a time.
func LeftoversWorkflowID(accountID string) string { return "leftovers/" + accountID }

// PasswordWorkflowID returns the id of the workflow that sets a new password for the customer of an order: one at a time.
func PasswordWorkflowID(key provision.OrderKey) string {
	return "password/" + key.Provider + "/" + key.ID
}

// ImportWorkflowID returns the id of the workflow of an import.
func ImportWorkflowID(key provision.ImportKey) string { return "import/" + key.Provider + "/" + key.ID }

// BatchWorkflowID returns the id of the workflow of a batch.
func BatchWorkflowID(key provision.BatchKey) string { return "batch/" + key.Provider + "/" + key.ID }

// WebhookWorkflowID returns the id of the workflow of a webhook: one webhook has one workflow, which sends one message at a time.
func WebhookWorkflowID(key provision.WebhookKey) string { return "webhook/" + key.String() }

// Signals. They carry nothing: the rows in the database are the truth, and a signal only saves the wait for the next look at them.
const (
	// SignalStock makes a waiting order look for an account.
	SignalStock = "stock-changed"
	// SignalImportKept makes an import look for its file in the database.
	SignalImportKept = "import-kept"
	// SignalBatchKept makes a batch look for itself in the database.
	SignalBatchKept = "batch-kept"
	// SignalAccountsDue makes VerifyAccounts look for accounts that are due.
	SignalAccountsDue = "accounts-due"
	// SignalDeliver makes the workflow of a webhook look for messages to send.
	SignalDeliver = "deliver"
)

// SignalPassword asks IssuePassword for a new password. Unlike the other signals it is the request itself: its input is a
// provision.PasswordRequest.
const SignalPassword = "password"

// Updates of a running order. The order refuses each that its state forbids.
const (
	UpdateCorrect = provision.ActionCorrect // input Correction
	UpdateRetry   = provision.ActionRetry   // input provision.Intervention, as of those below
	UpdateCancel  = provision.ActionCancel
	UpdateFail    = provision.ActionFail
	UpdateSwap    = provision.ActionSwap
	UpdateEndUndo = provision.ActionEndUndo // while an account is being undone
)

// Correction is the input of UpdateCorrect.
type Correction struct {
	Fields provision.Correction   `json:"fields"`
	By     provision.Intervention `json:"by"`
}

// Memo keys of an order's workflow. Their values are sealed; the keys are not.
const (
	// MemoRequestHash is the SHA-256 of the canonical request. A repeated POST is compared with it until the order has a row.
	MemoRequestHash = "request_sha256"
	// MemoOrder is the accepted order. A GET reads it until the order has a row.
	MemoOrder = "order"
)

// Search attributes. They are not encrypted, so they hold opaque ids and coarse words only.
var (
	OrderIDKey     = temporal.NewSearchAttributeKeyKeyword("OrderID")
	AccountIDKey   = temporal.NewSearchAttributeKeyKeyword("AccountID")
	ProviderKey    = temporal.NewSearchAttributeKeyKeyword("Provider")
	MarketplaceKey = temporal.NewSearchAttributeKeyKeyword("Marketplace")
	ModelKey       = temporal.NewSearchAttributeKeyKeyword("Model")
	StateKey       = temporal.NewSearchAttributeKeyKeyword("State")
	ReasonKey      = temporal.NewSearchAttributeKeyKeyword("Reason")
)

// SearchAttributes returns the names and types of the search attributes that the namespace must have before a worker starts.
func SearchAttributes() map[string]string {
	types := map[string]string{}
	keywords := []temporal.SearchAttributeKeyKeyword{OrderIDKey, AccountIDKey, ProviderKey, MarketplaceKey, ModelKey, StateKey, ReasonKey}
	for _, key := range keywords {
		types[key.GetName()] = "Keyword"
	}
	return types
}
