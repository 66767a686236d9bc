package provision

import (
	"errors"
	"fmt"
	"time"
)

// MaxBatch is how many orders or accounts a batch may have.
const MaxBatch = 10_000

// BatchKey names a batch. The id is the caller's, so it is unique only within its provider.
type BatchKey struct {
	Provider string `json:"provider" db:"provider"`
	ID       string `json:"id"       db:"id"` // uuid
}

// String returns the key as logs show it: provider/id.
func (k BatchKey) String() string { return k.Provider + "/" + k.ID }

// BatchVerb is what a batch does to each of its orders or accounts.
type BatchVerb string

// The verbs of batches.
const (
	BatchRetry      BatchVerb = "retry"
	BatchCancel     BatchVerb = "cancel"
	BatchFail       BatchVerb = "fail"
	BatchSwap       BatchVerb = "swap"
	BatchEndUndo    BatchVerb = "end_undo"
	BatchVerify     BatchVerb = "verify"
	BatchInvalidate BatchVerb = "invalidate"
	BatchReturn     BatchVerb = "return"
	BatchDelete     BatchVerb = "delete"
)

// BatchTargets says what a batch acts on.
type BatchTargets string

// What batches act on.
const (
	BatchOrders   BatchTargets = "orders"
	BatchAccounts BatchTargets = "accounts"
)

// batchVerbs says what each verb acts on, how histories call it, and the scope that it needs, as the operation for a single order or
// account does.
var batchVerbs = map[BatchVerb]struct {
	targets BatchTargets
	action  string
	scope   Scope
}{
	BatchRetry:      {BatchOrders, ActionRetry, ScopeOrdersOperate},
	BatchCancel:     {BatchOrders, ActionCancel, ScopeOrdersWrite},
	BatchFail:       {BatchOrders, ActionFail, ScopeOrdersOperate},
	BatchSwap:       {BatchOrders, ActionSwap, ScopeOrdersOperate},
	BatchEndUndo:    {BatchOrders, ActionEndUndo, ScopeOrdersOperate},
	BatchVerify:     {BatchAccounts, ActionVerify, ScopeAccountsWrite},
	BatchInvalidate: {BatchAccounts, ActionInvalidate, ScopeAccountsWrite},
	BatchReturn:     {BatchAccounts, ActionReturn, ScopeAccountsWrite},
	BatchDelete:     {BatchAccounts, ActionDelete, ScopeAccountsWrite},
}

// Targets returns what the verb acts on; empty for an unknown verb.
func (v BatchVerb) Targets() BatchTargets { return batchVerbs[v].targets }

// Action returns the verb as histories call it.
func (v BatchVerb) Action() string { return batchVerbs[v].action }

// Scope returns the scope that the verb needs.
func (v BatchVerb) Scope() Scope { return batchVerbs[v].scope }

// Scope returns the scope that reads batches of these targets.
func (t BatchTargets) Scope() Scope {
	if t == BatchOrders {
		return ScopeOrdersRead
	}
	return ScopeAccountsRead
}

// BatchSelection says what a batch does, and to which orders or accounts: those with the ids or, without ids, those that the filter of
// the verb's targets selects.
type BatchSelection struct {
	Verb     BatchVerb
	IDs      []string
	Orders   OrderFilter
	Accounts AccountFilter
}

// NewBatch is a batch that someone wants.
type NewBatch struct {
	BatchKey
	Tenant      Tenant // what the caller may see; the batch touches nothing else
	Actor       string
	Reason      string
	Selection   BatchSelection
	Expected    int    // how many orders or accounts the caller reviewed
	RequestHash []byte // SHA-256 of the request; a repeated one is compared with it
}

// BatchState is the state of a batch.
type BatchState string

// The states of a batch.
const (
	BatchRunning   BatchState = "running"
	BatchCompleted BatchState = "completed" // every row has an outcome
	BatchStopped   BatchState = "stopped"   // it ended earlier; what was done stays
)

// Batch is a batch and its progress.
type Batch struct {
	BatchKey
	Tenant         Tenant       `db:"-"`
	Actor          string       `db:"actor"`
	Verb           BatchVerb    `db:"verb"`
	Targets        BatchTargets `db:"targets"`
	Reason         string       `db:"reason"`
	RequestHash    []byte       `db:"request_sha256"`
	State          BatchState   `db:"state"`
	StoppedBecause string       `db:"stopped_because"`
	StartedAt      time.Time    `db:"started_at"`
	FinishedAt     *time.Time   `db:"finished_at"`
	BatchCount
}

// BatchCount counts the rows of a batch by outcome. The others wait.
type BatchCount struct {
	Total   int `json:"total"   db:"total"`
	Done    int `json:"done"    db:"done"`
	Refused int `json:"refused" db:"refused"`
	Failed  int `json:"failed"  db:"failed"`
}

// BatchOutcome is what became of one row of a batch.
type BatchOutcome string

// The outcomes of a row.
const (
	RowWaiting BatchOutcome = "waiting" // it was not tried yet
	RowDone    BatchOutcome = "done"
	RowRefused BatchOutcome = "refused" // the order or account does not allow the verb
	RowFailed  BatchOutcome = "failed"  // it is not known whether the verb took effect
)

// BatchRow is one order or account of a batch.
type BatchRow struct {
	N       int          `db:"n"` // its place, from 1
	ID      string       `db:"target_id"`
	Account string       `db:"account_id"` // of a row that swaps: the account that the order held when the batch was created
	Outcome BatchOutcome `db:"outcome"`
	Code    Code         `db:"code"` // of the API's problem; empty unless it was refused or failed
	Message string       `db:"message"`
	EndedAt *time.Time   `db:"ended_at"`
}

// Intervention is what the batch does to an order of a row. Its id is the same in every attempt, so that no order is acted on twice.
func (b Batch) Intervention(row BatchRow) Intervention {
	return Intervention{Actor: b.Actor, Reason: b.Reason, AccountID: row.Account, ID: fmt.Sprintf("%s/%d", b.ID, row.N)}
}

// BatchCandidate is an order or account that a batch would act on.
type BatchCandidate struct {
	ID      string
	State   string // of the order, or the status of the account; empty: there is none of that id
	Refusal        // that it will probably get; empty: none
}

// NewBatchCandidate returns the candidate of that id, in that state. err is why it will probably refuse the verb, or nil.
func NewBatchCandidate(verb BatchVerb, id, state string, err error) BatchCandidate {
	refusal, _ := RefusalOf(verb.Targets().Named(id), err)
	return BatchCandidate{ID: id, State: state, Refusal: refusal}
}

// Refusal says why an order or account does not allow a verb, as the API's problem for a single one does.
type Refusal struct {
	Code    Code
	Message string
}

// RefusalOf returns the refusal of an error about an order or account, which the text names; false for an error that is none.
func RefusalOf(named string, err error) (Refusal, bool) {
	if failure, ok := errors.AsType[*Failure](err); ok && failure.Code.IsRefusal() {
		return Refusal{failure.Code, failure.Reason}, true
	}
	if state, ok := errors.AsType[*StateError](err); ok {
		return Refusal{CodeConflict, state.Reason}, true
	}
	if errors.Is(err, ErrNotFound) {
		return Refusal{CodeNotFound, named + " not found"}, true
	}
	return Refusal{}, false
}

// Named returns what messages call an order or account with the id.
func (t BatchTargets) Named(id string) string {
	if t == BatchOrders {
		return fmt.Sprintf("order %q", id)
	}
	return "account " + id
}

// CountChangedError says that a batch would act on another number of orders or accounts than its caller reviewed.
type CountChangedError struct{ Expected, Found int }

// Error names both numbers. The one that was found is not counted beyond MaxBatch.
func (e *CountChangedError) Error() string {
	if e.Found > MaxBatch {
		return fmt.Sprintf("%d were expected, and now there are more than %d", e.Expected, MaxBatch)
	}
	return fmt.Sprintf("%d were expected, and now there are %d", e.Expected, e.Found)
}

// BatchFilter selects batches, newest first.
type BatchFilter struct {
	Targets []BatchTargets
	Limit   int
	After   *BatchCursor // the last batch of the previous page
}

// BatchCursor is a position in the list of batches.
type BatchCursor struct {
	StartedAt time.Time `json:"t"`
	ID        string    `json:"u"`
}

// BatchRowFilter selects rows of a batch, in their order.
type BatchRowFilter struct {
	Outcomes []BatchOutcome
	Limit    int
	After    int // the place of the last row of the previous page
}
