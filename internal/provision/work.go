package provision

// What the database and the workflow tell each other about an order in progress.

// Opened is what the workflow learns when its order's row stands.
type Opened struct {
	Nonce    string       `json:"nonce"`    // tags everything that the order creates in AWS
	Settings PoolSettings `json:"settings"` // of the pool, as they were when the order came
	Request  Request      `json:"request"`  // as it is now: it may have been corrected
	OrderStatus
}

// OrderStatus is where an order stands according to its row, which is the truth: a run of its workflow may be older than
// the row when it was reset or came from a backup.
type OrderStatus struct {
	State     OrderState `json:"state"`
	AccountID string     `json:"account_id,omitempty"` // the account that the order holds now, in progress or allocated
	Failure   *Failure   `json:"failure,omitempty"`    // why it failed, is undone, or waits for somebody
	Result    *Result    `json:"result,omitempty"`     // only of a completed order
}

// Claim is the answer to "which account is mine?".
type Claim struct {
	Account *Account   `json:"account,omitempty"` // nil: none yet, the order waits
	Woken   []OrderKey `json:"woken,omitempty"`   // other orders that got an account in the same transaction
	// Touched: a step of this order has begun to write to the account already. A run that has no journal of the account can
	// complete the order, but cannot put the account back.
	Touched bool `json:"touched,omitempty"`
}

// Closing ends an order that did not complete and says what becomes of its account.
type Closing struct {
	Order     OrderKey   `json:"order"`
	State     OrderState `json:"state"` // Failed or Cancelled
	Failure   Failure    `json:"failure"`
	AccountID string     `json:"account_id,omitempty"` // empty: the order held none
	Leftovers []string   `json:"leftovers,omitempty"`  // what could not be put back; empty: verified clean
	Notes     []string   `json:"notes,omitempty"`      // what was left alone on purpose
	Park      bool       `json:"park,omitempty"`       // keep even a clean account out of the pool
}

// StepState is how far a step is, for people who watch.
type StepState string

// The states of a step.
const (
	StepRunning  StepState = "running"
	StepRetrying StepState = "retrying"
	StepStopped  StepState = "stopped" // a cancel ended the attempt
	StepDone     StepState = "done"
	StepFailed   StepState = "failed"
	StepUndoing  StepState = "undoing"
	StepUndone   StepState = "undone"
)
