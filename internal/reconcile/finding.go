package reconcile

import (
	"fmt"
	"time"

	"quartermaster/internal/provision"
)

// Kind names one invariant that does not hold. Kinds are public: logs, alerts and the output of `quartermaster reconcile`
// contain them.
type Kind string

// The kinds of finding. The table below says how severe each is and what an operator does about it.
const (
	// Within the database.
	KindOrderWithoutAccount Kind = "order_without_account"     // an order in progress holds no account in progress
	KindOrderHoldsTwo       Kind = "order_holds_two_accounts"  // one order holds several accounts
	KindHeldWrongly         Kind = "account_held_wrongly"      // an order holds an account although the order's state forbids it
	KindAccountOfOtherPool  Kind = "account_of_other_pool"     // an order holds an account of another pool or model
	KindCompletedWithout    Kind = "completed_without_account" // a completed order has no Allocated account
	KindAccountHistory      Kind = "account_history_differs"   // the newest entry of an account's history has another status
	KindOrderHistory        Kind = "order_history_differs"     // the newest entry of an order's history has another state
	KindOrderOverdue        Kind = "order_overdue"             // an order is in a state for longer than it may be
	KindPasswordKept        Kind = "password_kept"             // a password is stored for an order that ended without completing
	KindStepOfEndedOrder    Kind = "step_of_ended_order"       // a step was recorded after its order had ended and the account was clean
	KindQueuePositionTwice  Kind = "queue_position_twice"      // two orders have the same place in the queue
	KindRequestHash         Kind = "request_hash_differs"      // the stored hash is not that of the stored request
	KindStockNotGiven       Kind = "stock_not_given_out"       // an order waits although a Ready account fits
	KindOrderNotWoken       Kind = "order_not_woken"           // an order got an account and has not begun with it
	KindStopNotHeard        Kind = "stop_not_heard"            // an order was stopped, and its undo has not begun
	KindClaimsSuspended     Kind = "claims_suspended"          // a pool gives out no accounts, because some could not be entered
	KindPasswordOverdue     Kind = "password_overdue"          // a new password was requested, and the request has not ended
	KindRemovalOverdue      Kind = "removal_overdue"           // an account is reserved for too long for the removal of leftovers
	KindCountsDiffer        Kind = "counts_differ"             // the counts of accounts and orders are not those of their rows
	// Between the database and Temporal.
	KindOrderWithoutWorkflow    Kind = "order_without_workflow"     // no workflow works on an order in progress
	KindAccountWithoutWorkflow  Kind = "account_without_workflow"   // no workflow works in an account in progress
	KindWorkflowOfEndedOrder    Kind = "workflow_of_ended_order"    // an order has ended, and its workflow still runs
	KindWorkflowWithoutOrder    Kind = "workflow_without_order"     // Temporal knows an order that has no row
	KindCompletedOnlyInTemporal Kind = "completed_only_in_temporal" // a workflow completed, and the order's row does not say so
	KindWorkflowEndedOtherwise  Kind = "workflow_ended_otherwise"   // an order is completed, and its workflow is not
	// About the workers.
	KindNoWorkers       Kind = "no_workers"        // no worker polls Temporal for tasks
	KindOrderNotStarted Kind = "order_not_started" // no worker has begun with an accepted order
	// Between the database and AWS.
	KindUserMissing       Kind = "iam_user_missing"          // an Allocated account lacks the order's IAM user
	KindUserLeft          Kind = "iam_user_left"             // a Ready account has the IAM user of an earlier order
	KindAliasDiffers      Kind = "alias_differs"             // an Allocated account has another alias than its order's
	KindContactDiffers    Kind = "contact_differs"           // an Allocated account has another contact than its order's
	KindAccountUnreadable Kind = "account_cannot_be_checked" // AWS did not let the reconciler read the account
)

// Severity says how much a finding hurts.
type Severity string

// The severities.
const (
	Broken  Severity = "broken"  // must never happen: data or an account is at stake
	Stuck   Severity = "stuck"   // does not move, and will not move without help
	Warning Severity = "warning" // slow, or not known
)

// meaning is what a kind of finding means to an operator.
type meaning struct {
	severity Severity
	do       string // what to do when the finding cannot be repaired automatically
}

// byHand is the advice when rows contradict each other, because the program cannot know which of them is right.
const byHand = "the row was changed around the checks of the schema, or the schema was changed. " +
	"Compare order_history and account_history, look into the account, and correct the wrong row by hand, " +
	"in one transaction that sets the actor"

// resetIt is the advice when a run ended in the middle of its work. A new run that starts from the order's request would not
// know what the account contained before, so its undo could not be verified. A reset keeps that knowledge.
const resetIt = "reset the order's workflow to its last completed workflow task (temporal workflow reset --type LastWorkflowTask). " +
	"The run then continues where it was, its undo included. If it ends in the same way again, reset it to an earlier task. " +
	"A reset is safe: before it writes to AWS, the run asks the database whether the order still holds the account. " +
	"If the history is gone, clean the account by hand"

// soldIt is the advice when only Temporal knows that an account was sold.
const soldIt = "the account was sold to this order and must not be drawn again: " +
	"swap every other order that holds it, and make it Invalid. " +
	"The result of the workflow in the Web UI shows what the customer got. " +
	"Then correct the rows of the order and of the account by hand, in one transaction that sets the actor"

// foreignWrite is the advice when an account that the customer has not entered yet differs from what its order wrote.
const foreignWrite = "another order may have written to this account after it was sold. AWS CloudTrail of the account shows who wrote: " +
	"the sessions of an order are named ord-<order id>. Correct the value by hand, and report a bug if it was a session of another order"

// workersRun is the advice when only the workers can go on.
const workersRun = "check that workers run and that they reach the database. "

var meanings = map[Kind]meaning{
	KindOrderWithoutAccount: {Broken, byHand},
	KindOrderHoldsTwo:       {Broken, byHand},
	KindHeldWrongly:         {Broken, byHand},
	KindAccountOfOtherPool:  {Broken, byHand},
	KindCompletedWithout:    {Broken, byHand},
	KindAccountHistory:      {Broken, byHand},
	KindOrderHistory:        {Broken, byHand},
	KindQueuePositionTwice:  {Broken, byHand},
	KindStepOfEndedOrder: {Broken, "a late attempt of the ended order may have written to the account, which another order may hold now. " +
		"Run quartermaster reconcile --aws, compare the account with the order that holds it, " +
		"make the account Invalid if it is Ready, and report a bug"},
	KindRequestHash: {Broken, "the request was changed by something other than Quartermaster: " +
		"compare the row with what the marketplace sent"},
	KindPasswordKept: {Broken, "check whether the account still has the order's IAM user; " +
		"then set sealed to NULL in order_passwords"},
	KindOrderOverdue:  {Warning, "read the order's steps and its problem. Check that the workers run and that AWS answers"},
	KindStockNotGiven: {Stuck, workersRun + "The schedule watch-stock also gives such stock out, every minute"},
	KindStopNotHeard:  {Stuck, workersRun + "The reconciler wakes the order's workflow, which then reads the row and begins the undo"},
	KindOrderNotWoken: {Warning, workersRun + "The schedule watch-stock also wakes such orders, every minute"},
	KindClaimsSuspended: {Stuck, "check the service's own AWS identity " +
		"(may it still assume roles? quartermaster accounts role prints what it needs) and the roles of the accounts that are set aside. " +
		"Claims resume automatically when an account of the pool passes its verification"},
	KindPasswordOverdue: {Stuck, "look at the workflow password/<provider>/<order id> in the Web UI, and at the order's step new_password. " +
		"If no such workflow runs, request the new password again: that is safe"},
	KindRemovalOverdue: {Stuck, "look at the workflow leftovers/<account id> in the Web UI. If no such workflow runs, " +
		"send the request to remove the leftovers again: that is safe"},
	KindCountsDiffer: {Warning, "accounts or orders were changed around the triggers of the schema, or pool_counts was. " +
		"Run `quartermaster reconcile --repair`, which counts again"},
	KindOrderWithoutWorkflow:   {Stuck, resetIt},
	KindAccountWithoutWorkflow: {Stuck, "see the finding about its order"},
	KindWorkflowOfEndedOrder: {Broken, "look at the workflow's pending activities in the Web UI, " +
		"and cancel the workflow if it does not end soon"},
	KindWorkflowWithoutOrder: {Stuck, "the order is safe in Temporal. " +
		"If its workflow is open, it writes the row as soon as the workers reach the database. " +
		"If its workflow failed because of another row that is gone now, read its earlier runs in the Web UI " +
		"and ask the marketplace whether it still wants the order"},
	KindCompletedOnlyInTemporal: {Broken, soldIt},
	KindWorkflowEndedOtherwise: {Warning, "the row is right, and the account is the customer's. " +
		"Run quartermaster reconcile --aws to check that the account still has what the order created. " +
		"To make Temporal agree, reset the workflow: " +
		"a run of an order that has ended changes nothing and ends as the order ended"},
	KindNoWorkers: {Stuck, "start `quartermaster worker`, or read the log and the /readyz of the workers that should run. " +
		"Nothing is lost: everything waits in Temporal"},
	KindOrderNotStarted:   {Stuck, workersRun + "The order is safe in Temporal and starts automatically as soon as they do"},
	KindUserMissing:       {Warning, "the customer may have deleted or retagged the user: ask before you change anything"},
	KindUserLeft:          {Broken, "make the account Invalid, delete the user by hand, then verify the account and return it to Ready"},
	KindAliasDiffers:      {Broken, foreignWrite},
	KindContactDiffers:    {Broken, foreignWrite},
	KindAccountUnreadable: {Warning, "check the role, its trust policy and the external id of the account"},
}

// Finding is one invariant that does not hold. It names orders and accounts by their ids and contains no customer data, so
// that it may be logged and shown.
type Finding struct {
	Kind     Kind               `json:"kind"`
	Severity Severity           `json:"severity"`
	Order    provision.OrderKey `json:"order,omitzero"`
	Account  string             `json:"account,omitempty"` // AWS account id
	What     string             `json:"what"`
	Since    time.Time          `json:"since,omitzero"` // zero: not known
	Do       string             `json:"do"`
	// Repairable says that FindAndRepair can repair the finding.
	Repairable bool `json:"repairable,omitempty"`
	// Repaired says how FindAndRepair repaired the finding; empty: it did not.
	Repaired string `json:"repaired,omitempty"`

	repair *repair
}

// New returns a finding of the kind, with the kind's severity and advice.
func New(kind Kind, order provision.OrderKey, account string, since time.Time, what string) Finding {
	m := meanings[kind]
	return Finding{Kind: kind, Severity: m.severity, Order: order, Account: account, Since: since, What: what, Do: m.do}
}

// String returns the finding as one line: the kind, the order or account, what is wrong, since when, and what to do.
func (f Finding) String() string {
	line := fmt.Sprintf("%s [%s]", f.Kind, f.Severity)
	if f.Order != (provision.OrderKey{}) {
		line += " order " + f.Order.String()
	}
	if f.Account != "" {
		line += " account " + f.Account
	}
	line += ": " + f.What
	if !f.Since.IsZero() {
		line += ", since " + f.Since.UTC().Format(time.RFC3339)
	}
	switch {
	case f.Repaired != "":
		return line + " -- repaired: " + f.Repaired
	case f.Repairable:
		return line + " -- the schedule reconcile repairs this automatically; otherwise: " + f.Do
	}
	return line + " -- " + f.Do
}
