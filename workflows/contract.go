package workflows

import (
	"strings"

	"go.temporal.io/sdk/temporal"

	"quartermaster/internal/provision"
)

// TaskQueue is where the workers listen.
const TaskQueue = "quartermaster"

// ProvisionOrderName is the workflow's name in Temporal.
const ProvisionOrderName = "ProvisionOrder"

// OpenOrderName is the name of the activity that writes an order's row.
const OpenOrderName = "OpenOrder"

// OrderWorkflowID is the id of the workflow of an order: one order, one workflow.
func OrderWorkflowID(key provision.OrderKey) string { return "order/" + key.Provider + "/" + key.ID }

// OrderKeyOf is the order whose workflow has that id; false for an id of another workflow.
func OrderKeyOf(workflowID string) (key provision.OrderKey, ok bool) {
	rest, isOrder := strings.CutPrefix(workflowID, "order/")
	provider, id, both := strings.Cut(rest, "/")
	return provision.OrderKey{Provider: provider, ID: id}, isOrder && both
}

// SignalStock tells a waiting order that an account may be there for it. It carries nothing: the row in the database is
// the truth, the signal only saves the wait for the next look.
const SignalStock = "stock-changed"

// ImportAccountsName is the workflow's name in Temporal.
const ImportAccountsName = "ImportAccounts"

// ImportWorkflowID is the id of the workflow of an import.
func ImportWorkflowID(key provision.ImportKey) string { return "import/" + key.Provider + "/" + key.ID }

// SignalImportKept tells an import's workflow that its file is in the database. It carries nothing and only saves a wait.
const SignalImportKept = "import-kept"

// RemoveLeftoversName is the workflow's name in Temporal.
const RemoveLeftoversName = "RemoveLeftovers"

// LeftoversWorkflowID is the id of the workflow that removes what an order left in an account: one at a time.
func LeftoversWorkflowID(accountID string) string { return "leftovers/" + accountID }

// Updates of a running order. Each is refused when the order's state forbids it.
const (
	UpdateCorrect = "correct" // input Correction
	UpdateRetry   = "retry"   // input provision.Intervention, like those below
	UpdateCancel  = "cancel"
	UpdateFail    = "fail"
	UpdateSwap    = "swap"
	UpdateEndUndo = "end-undo" // of an order that is being undone
)

// Memo keys of an order's workflow. Values are sealed, keys are not.
const (
	// MemoRequestHash is the SHA-256 of the canonical request: what a repeated POST is compared with before the row exists.
	MemoRequestHash = "request_sha256"
	// MemoOrder is the accepted order itself, for a GET that comes before the row.
	MemoOrder = "order"
)

// Search attributes of an order's workflow. They are not encrypted: opaque ids and coarse words only.
var (
	OrderIDKey     = temporal.NewSearchAttributeKeyKeyword("OrderID")
	AccountIDKey   = temporal.NewSearchAttributeKeyKeyword("AccountID")
	ProviderKey    = temporal.NewSearchAttributeKeyKeyword("Provider")
	MarketplaceKey = temporal.NewSearchAttributeKeyKeyword("Marketplace")
	ModelKey       = temporal.NewSearchAttributeKeyKeyword("Model")
	StepKey        = temporal.NewSearchAttributeKeyKeyword("Step")
	ReasonKey      = temporal.NewSearchAttributeKeyKeyword("Reason")
)

// SearchAttributes lists the names and types that the namespace needs before a worker starts.
func SearchAttributes() map[string]string {
	types := map[string]string{}
	for _, key := range []temporal.SearchAttributeKeyKeyword{OrderIDKey, AccountIDKey, ProviderKey, MarketplaceKey, ModelKey, StepKey, ReasonKey} {
		types[key.GetName()] = "Keyword"
	}
	return types
}
