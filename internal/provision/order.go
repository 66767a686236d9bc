package provision

import (
	"slices"
	"time"
)

// OrderKey names an order. The id is the marketplace's, so it is unique only within its provider.
type OrderKey struct {
	Provider string `json:"provider" db:"provider"`
	ID       string `json:"id"       db:"id"`
}

// String returns the key as logs and histories show it: provider/id.
func (k OrderKey) String() string { return k.Provider + "/" + k.ID }

// Tenant is the provider of the order, with all its marketplaces.
func (k OrderKey) Tenant() Tenant { return Tenant{Provider: k.Provider} }

// Order is an accepted order: the input of its workflow.
type Order struct {
	OrderKey
	Request    Request   `json:"request"`
	AcceptedAt time.Time `json:"accepted_at"`
	// Nonce is a UUID that marks everything the order creates in AWS. The API generates it with the order, so that an order
	// whose row is lost and written again still recognizes its resources.
	Nonce string `json:"nonce,omitempty"`
}

// Pool returns the stock that the order draws from.
func (o Order) Pool() Pool {
	return Pool{Provider: o.Provider, Marketplace: o.Request.Marketplace, Environment: o.Request.Environment}
}

// JustAccepted is the view of an order that has no row yet.
func (o Order) JustAccepted() OrderView {
	return OrderView{Order: o, State: Accepted, Since: o.AcceptedAt}
}

// OrderState is the state of an order. The table order_transitions holds the allowed transitions; docs/states.md draws them.
type OrderState string

// The states of an order.
const (
	Accepted          OrderState = "accepted"
	WaitingForAccount OrderState = "waiting_for_account"
	Provisioning      OrderState = "provisioning"
	ActionRequired    OrderState = "action_required"
	Completed         OrderState = "completed"
	Compensating      OrderState = "compensating"
	Failed            OrderState = "failed"
	Cancelled         OrderState = "cancelled"
)

// OrderStates are the states of an order.
var OrderStates = []OrderState{Accepted, WaitingForAccount, Provisioning, ActionRequired, Completed, Compensating, Failed, Cancelled}

// EndedStates are the states in which an order will never change again.
var EndedStates = []OrderState{Completed, Failed, Cancelled}

// Ended reports whether the order will never change again.
func (s OrderState) Ended() bool { return slices.Contains(EndedStates, s) }

// OrderStatus is the order as its row describes it. The row is the truth: after a reset or a restored backup, the run of the
// workflow may be behind it.
type OrderStatus struct {
	State     OrderState `json:"state"`
	AccountID string     `json:"account_id,omitempty"` // the account that the order holds now, in progress or allocated
	Failure   *Failure   `json:"failure,omitempty"`    // why it failed, is being undone, or waits for a correction or an operator
	Result    *Result    `json:"result,omitempty"`     // of a completed order
}

// OpenedOrder is what the workflow learns when the order's row exists.
type OpenedOrder struct {
	Nonce    string       `json:"nonce"`    // marks everything that the order creates in AWS
	Settings PoolSettings `json:"settings"` // of the pool, as they were when the order was accepted
	Request  Request      `json:"request"`  // as it is now, corrections included
	OrderStatus
}

// OrderClosing ends an order that did not complete, and says what happens to its account.
type OrderClosing struct {
	Order     OrderKey   `json:"order"`
	State     OrderState `json:"state"` // Failed or Cancelled
	Failure   Failure    `json:"failure"`
	AccountID string     `json:"account_id,omitempty"` // empty: the order held no account
	Leftovers []string   `json:"leftovers,omitempty"`  // what could not be undone; empty: the account is as it was before the order
	Notes     []string   `json:"notes,omitempty"`      // what was left alone on purpose
	OnFailure OnFailure  `json:"on_failure,omitempty"` // what happens to a clean account
}

// Intervention says who acts on an order from outside, and why: an operator, or the marketplace that placed it.
type Intervention struct {
	Actor     string `json:"actor"`
	Reason    string `json:"reason"`
	AccountID string `json:"account_id,omitempty"` // the account that the caller means; empty: the one that the order holds
	ID        string `json:"id,omitempty"`         // of the workflow update that asked for it; identifies repeats
}

// OrderView is an order as readers of the API see it.
type OrderView struct {
	Order
	RequestHash []byte // see Request.Hash
	State       OrderState
	Since       time.Time
	Step        Step
	Steps       []StepView
	Waiting     *QueuePlace // nil unless the state is WaitingForAccount
	Failure     *Failure
	Leftovers   []string
	Notes       []string
	AccountID   string // of the account that the order holds or got
	Result      *Result
	Ticked      map[int]Tick // the manual steps of the result that are done, by their number from 1
	Password    *PasswordView
}

// Tick says when a manual step was done, and by whom.
type Tick struct {
	At time.Time `json:"at"`
	By string    `json:"by"`
}

// QueuePlace is the place of an order in the queue for an account, and why no account matches.
type QueuePlace struct {
	Place int    // 1: next
	Why   string // e.g. "0 of 14 accounts match: 9 allocated, 3 invalid, 2 other model"
}

// OrderFilter selects orders, newest first. Zero fields do not filter.
type OrderFilter struct {
	States        []OrderState
	Marketplace   string
	Environment   Environment
	Model         Model // of the request
	AccountID     string
	CustomerID    string
	Search        string     // the beginning of an id or alias, a whole account id, or a whole customer id
	Asks          Addressee  // only orders that ask a question, of the customer or of an operator
	CreatedAfter  *time.Time // inclusive
	CreatedBefore *time.Time // exclusive
	EndedAfter    *time.Time // inclusive; only orders that have ended
	EndedBefore   *time.Time // exclusive; only orders that have ended
	Limit         int
	After         *OrderCursor // the last order of the previous page
}

// OrderCursor is a position in the list of orders.
type OrderCursor struct {
	CreatedAt time.Time `json:"c"`
	ID        string    `json:"i"`
}

// OrderCount counts the orders of a pool in one state.
type OrderCount struct {
	Pool
	State  OrderState `db:"state"`
	Count  int        `db:"count"`
	Oldest *time.Time `db:"oldest"` // since when the oldest of them has been in this state; nil: the state is final
}

// MaxCounted is how far orders are counted that no counter counts. There may be more of them.
const MaxCounted = 1000

// Tally is a number of orders. With More, there are more than Count.
type Tally struct {
	Count int
	More  bool
}

// OrderCounts are how many orders a caller may see.
type OrderCounts struct {
	States map[OrderState]Tally
	Asks   map[Addressee]Tally // of those in state ActionRequired
	Ended  *Tally              // since the time that the caller named; nil: none was named
}
