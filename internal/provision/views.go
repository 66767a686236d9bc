package provision

import (
	"errors"
	"time"
)

// What a store or a handler answers when the thing asked for is not to be had. Match with errors.Is.
var (
	// ErrNotFound says that there is no such thing, or it belongs to another provider.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the state of the thing, or another thing of the same name, forbids it.
	ErrConflict = errors.New("conflict")
	// ErrGone says that it was there and was used up, or its time is over.
	ErrGone = errors.New("gone")
	// ErrStale says that the thing is not any more as the editor saw it.
	ErrStale = errors.New("changed meanwhile")
	// ErrProtected says that the account is protected: it is a payer or the provider's own.
	ErrProtected = errors.New("protected")
	// ErrUnavailable says that PostgreSQL or Temporal did not answer, or not in time. The call may have taken effect. Nothing is
	// wrong with the call: repeat it.
	ErrUnavailable = errors.New("unavailable")
	// ErrRootEmailTaken says that the root e-mail is another account's, whoever's that is.
	ErrRootEmailTaken = errors.New(RootEmailTaken)
	// ErrUnknownModel says that there is no such account model.
	ErrUnknownModel = errors.New("no such account model")
)

// RootEmailTaken says why a root e-mail is refused. It does not reveal whose the other account is.
const RootEmailTaken = "another account in stock has this root e-mail: an address is the root user of one AWS account only, whatever the case of its letters; correct it"

// StateError says that the state of a thing forbids what was asked, and which states would allow it.
type StateError struct{ Reason string }

// Error is the reason.
func (e *StateError) Error() string { return e.Reason }

// OrderView is an order as its reader sees it.
type OrderView struct {
	Order
	RequestHash []byte // SHA-256 of the canonical request
	State       OrderState
	Since       time.Time
	Step        Step
	Steps       []StepView
	Waiting     *Waiting // only while waiting_for_account
	Failure     *Failure
	Leftovers   []string
	Notes       []string
	AccountID   string // of the account that the order holds or got
	Result      *Result
	Password    *PasswordView
}

// StepView is one step of an order as its reader sees it.
type StepView struct {
	Step       Step       `db:"step"`
	AccountID  string     `db:"account_id"`
	State      string     `db:"state"` // running, retrying, done, failed, undone
	Attempt    int        `db:"attempt"`
	StartedAt  time.Time  `db:"started_at"`
	FinishedAt *time.Time `db:"finished_at"`
	Problem    string     `db:"problem"`
}

// Waiting says where in the queue an order stands and why nothing matched.
type Waiting struct {
	Place int    // 1 = next
	Why   string // "0 of 14 accounts match: 9 allocated, 3 invalid, 2 other model"
}

// PasswordView is what is known of an order's password without opening it.
type PasswordView struct {
	ID         string // uuid of the sealed row
	ExpiresAt  time.Time
	RevealedAt *time.Time
}

// PasswordLifetime is how long the link to the password works after the order completed.
const PasswordLifetime = 72 * time.Hour

// PasswordPurpose is what an order's password is sealed for: it opens for this order and account only.
func PasswordPurpose(order OrderKey, accountID string) string {
	return "order-password/" + order.String() + "/" + accountID
}

// Revealed is a sealed password taken out of the store, once.
type Revealed struct {
	OrderKey  OrderKey
	AccountID string
	Sealed    []byte
	UserName  string
	SignInURL string
}

// OrderFilter selects orders, newest first. Zero fields do not filter.
type OrderFilter struct {
	States        []OrderState
	Marketplace   string
	Environment   Environment
	Model         Model // of the request
	AccountID     string
	CreatedAfter  time.Time // inclusive
	CreatedBefore time.Time // exclusive
	Limit         int
	After         *OrderCursor // the last one of the page before
}

// OrderCursor is a place in the list of orders.
type OrderCursor struct {
	CreatedAt time.Time `json:"c"`
	ID        string    `json:"i"`
}

// AccountFilter selects accounts, oldest first. Zero fields do not filter.
type AccountFilter struct {
	Statuses    []AccountStatus
	Marketplace string
	Environment Environment
	Model       Model
	Limit       int
	After       *AccountCursor
}

// AccountCursor is a place in the list of accounts.
type AccountCursor struct {
	AddedAt time.Time `json:"a"`
	ID      string    `json:"i"`
}
