package provision

// What the database and the workflow tell each other about an order in progress.

// Opened is what the workflow learns when its order's row stands.
type Opened struct {
	Nonce    string       `json:"nonce"`    // tags everything that the order creates in AWS
	Settings PoolSettings `json:"settings"` // of the pool, as they were when the order came
	Request  Request      `json:"request"`  // as it is now: it may have been corrected
	Ended    bool         `json:"ended"`    // the order ended before: an older run did the work
}

// Claim is the answer to "which account is mine?".
type Claim struct {
	Account *Account   `json:"account,omitempty"` // nil: none yet, the order waits
	Place   int        `json:"place,omitempty"`   // in the queue, 1 = next
	Woken   []OrderKey `json:"woken,omitempty"`   // other orders that got an account in the same transaction
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
	StepDone     StepState = "done"
	StepFailed   StepState = "failed"
	StepUndone   StepState = "undone"
)
