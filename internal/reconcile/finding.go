// Package audit holds the invariants of the product against what is really there: the database against itself, the
// database against Temporal, and, when asked, against AWS. What contradicts itself is a Finding; what can be put right
// without a doubt is repaired, everything else is raised.
package reconcile

import (
	"fmt"
	"time"

	"quartermaster/internal/provision"
)

// Kind names one invariant that does not hold. Kinds are public: they stand in logs, alerts and the output of verify.
type Kind string

// The kinds of finding. What each means to an operator is in the table below.
const (
	// In the database.
	KindOrderWithoutAccount Kind = "order_without_account"     // an order in progress holds no account in progress
	KindOrderHoldsTwo       Kind = "order_holds_two_accounts"  // one order, several accounts
	KindHeldWrongly         Kind = "account_held_wrongly"      // an account is held by an order whose state forbids it
	KindAccountOfOtherPool  Kind = "account_of_other_pool"     // pool or model of account and order differ
	KindCompletedWithout    Kind = "completed_without_account" // a completed order has no Allocated account
	KindAccountHistory      Kind = "account_history_differs"   // the last audit row says another status
	KindOrderHistory        Kind = "order_history_differs"     // the last audit row says another state
	KindOrderOverdue        Kind = "order_overdue"             // longer in a state than it may take
	KindPasswordKept        Kind = "password_kept"             // a password is kept for an order that ended without completion
	KindStepOfEndedOrder    Kind = "step_of_ended_order"       // a step was recorded after its order had ended and the account was clean
	KindQueuePositionTwice  Kind = "queue_position_twice"      // two orders at one place
	KindRequestHash         Kind = "request_hash_differs"      // the hash is not that of the request
	KindStockNotGiven       Kind = "stock_not_given_out"       // an order waits beside a Ready account that fits
	KindOrderNotWoken       Kind = "order_not_woken"           // an order got an account and has not begun with it
	KindStopNotHeard        Kind = "stop_not_heard"            // an order was stopped, and its undo has not begun
	KindClaimsSuspended     Kind = "claims_suspended"          // a pool gives out nothing, because accounts of it could not be entered
	KindRemovalOverdue      Kind = "removal_overdue"           // an account is reserved for the removal of what was left there, for too long
	// Between the database and Temporal.
	KindOrderWithoutWorkflow    Kind = "order_without_workflow"     // an order in progress that no workflow works on
	KindAccountWithoutWorkflow  Kind = "account_without_workflow"   // an account in progress that no workflow works in
	KindWorkflowOfEndedOrder    Kind = "workflow_of_ended_order"    // the order ended, its workflow runs
	KindWorkflowWithoutOrder    Kind = "workflow_without_order"     // Temporal knows an order that has no row
	KindCompletedOnlyInTemporal Kind = "completed_only_in_temporal" // the workflow completed, the row does not say so
	KindWorkflowEndedOtherwise  Kind = "workflow_ended_otherwise"   // the order is completed, its workflow is not
	// Between the database and AWS.
	KindUserMissing       Kind = "iam_user_missing"          // an Allocated account without the order's user
	KindUserLeft          Kind = "iam_user_left"             // a Ready account with a user of an earlier order
	KindAliasDiffers      Kind = "alias_differs"             // an Allocated account with another alias than its order's
	KindContactDiffers    Kind = "contact_differs"           // an Allocated account with another contact than its order's
	KindAccountUnreadable Kind = "account_cannot_be_checked" // AWS did not let us look
)

// Severity says how much a finding hurts.
type Severity string

// The severities.
const (
	Broken  Severity = "broken"  // something that must never be: data or an account is at stake
	Stuck   Severity = "stuck"   // something does not move and will not by itself
	Warning Severity = "warning" // slow, or not known
)

// meaning is what a kind of finding means.
type meaning struct {
	severity Severity
	do       string // what to do, when nothing can be repaired
}

// byHand is the way out of a contradiction in the data: nobody can say from here which side is right.
const byHand = "somebody wrote around the checks of the schema, or the schema was changed: compare order_history and account_history, " +
	"look into the account, and correct the wrong row by hand in one transaction with an actor"

// resetIt is the way out when a run ended in the middle of its work: a new run from the order's request would not know what
// was in the account before, so what it undid could not be verified. A reset keeps all that.
const resetIt = "reset the order's workflow to its last completed workflow task (temporal workflow reset " +
	"--type LastWorkflowTask): it goes on where it was, its undo included. If it ends in the same way again, reset it to an earlier task. " +
	"A reset is safe: before it writes, the run asks the database whether the order still holds the account. " +
	"If the history is gone, clean the account by hand"

// soldIt is the way out when only Temporal knows that an account was sold.
const soldIt = "the account was sold to this order and must not be drawn again: swap every other order that holds it, and make it Invalid. " +
	"The result of the workflow in the Web UI says what the customer got. Then correct the rows of the order and of the account by hand, in one transaction with an actor"

// foreignWrite is the way out when an account that the customer has not entered yet holds what its order did not write.
const foreignWrite = "another order may have written into this account after it was sold. AWS CloudTrail of the account says who did: the sessions of an order are named " +
	"ord-<order id>. Correct the value by hand, and report the fault when it was a session of another order"

var meanings = map[Kind]meaning{
	KindOrderWithoutAccount: {Broken, byHand},
	KindOrderHoldsTwo:       {Broken, byHand},
	KindHeldWrongly:         {Broken, byHand},
	KindAccountOfOtherPool:  {Broken, byHand},
	KindCompletedWithout:    {Broken, byHand},
	KindAccountHistory:      {Broken, byHand},
	KindOrderHistory:        {Broken, byHand},
	KindQueuePositionTwice:  {Broken, byHand},
	KindStepOfEndedOrder: {Broken, "a late attempt of the ended order may have written into the account, which another order may hold by now: run quartermaster verify --aws, " +
		"compare the account with the order that holds it, and make it Invalid when it is Ready. Report the fault"},
	KindRequestHash:   {Broken, "the request was changed outside of the product: compare the row with what the marketplace sent"},
	KindPasswordKept:  {Broken, "look whether the account still has the order's IAM user; then set sealed to NULL in order_passwords"},
	KindOrderOverdue:  {Warning, "read the order's steps and problem; are the workers running, is AWS answering?"},
	KindStockNotGiven: {Stuck, "are the workers running? The order's workflow looks by itself within 15 minutes"},
	KindStopNotHeard:  {Stuck, "are the workers running? The reconciler wakes the order's workflow, which then reads the row and begins the undo"},
	KindOrderNotWoken: {Warning, "are the workers running? The order's workflow looks by itself within 15 minutes"},
	KindClaimsSuspended: {Stuck, "check the service's own AWS identity (may it still assume roles? quartermaster accounts role prints what it needs) and the roles of the accounts that " +
		"are set aside. Claims go on by themselves when the verification of any account of the pool passes"},
	KindRemovalOverdue:         {Stuck, "look at the workflow leftovers/<account id> in the Web UI. When there is none that runs, send the request to remove the leftovers again: that is safe"},
	KindOrderWithoutWorkflow:   {Stuck, resetIt},
	KindAccountWithoutWorkflow: {Stuck, "see the finding about its order"},
	KindWorkflowOfEndedOrder:   {Broken, "look at the workflow's pending activities in the Web UI; cancel it when it does not end by itself"},
	KindWorkflowWithoutOrder: {Stuck, "the order is safe in Temporal. An open workflow writes the row when the workers reach the database. One that was refused " +
		"ended because of a row that is gone: read its earlier runs in the Web UI, and ask the marketplace whether it still wants the order"},
	KindCompletedOnlyInTemporal: {Broken, soldIt},
	KindWorkflowEndedOtherwise: {Warning, "the row is right and the account is the customer's. Run quartermaster verify --aws to see whether the account still holds what the order made. " +
		"To make Temporal agree, reset the workflow: the run of an order that has ended changes nothing and ends as the order ended"},
	KindUserMissing:       {Warning, "the customer may have deleted or retagged the user: ask before you do anything"},
	KindUserLeft:          {Broken, "set the account to Invalid, delete the user by hand, then verify the account and return it to Ready"},
	KindAliasDiffers:      {Broken, foreignWrite},
	KindContactDiffers:    {Broken, foreignWrite},
	KindAccountUnreadable: {Warning, "check the role, its trust policy and the external id of the account"},
}

// Severity is how much a finding of the kind hurts.
func (k Kind) Severity() Severity { return meanings[k].severity }

// Finding is one invariant that does not hold. It names orders and accounts by their ids and holds no data of a customer,
// so that it may be logged and shown.
type Finding struct {
	Kind     Kind               `json:"kind"`
	Severity Severity           `json:"severity"`
	Order    provision.OrderKey `json:"order,omitzero"`
	Account  string             `json:"account,omitempty"` // AWS account id
	What     string             `json:"what"`
	Since    time.Time          `json:"since,omitzero"` // zero: not known
	Do       string             `json:"do"`
	// Repairable says that the reconciler can put it right: Reconcile does, verify only tells.
	Repairable bool `json:"repairable,omitempty"`
	// Repaired says what was done about it; empty: nothing.
	Repaired string `json:"repaired,omitempty"`

	repair *repair
}

// New makes a finding of the kind, with the kind's severity and advice.
func New(kind Kind, order provision.OrderKey, account string, since time.Time, what string) Finding {
	m := meanings[kind]
	return Finding{Kind: kind, Severity: m.severity, Order: order, Account: account, Since: since, What: what, Do: m.do}
}

// String is the finding as one line: kind, whose, what, since when, what to do.
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
		return line + " -- the schedule reconcile repairs this automatically; else: " + f.Do
	}
	return line + " -- " + f.Do
}
