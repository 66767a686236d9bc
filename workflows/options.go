package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"quartermaster/activities"
)

// Activity options: how long an attempt may take and how it is repeated. Time is the only budget; nothing sets MaximumAttempts,
// because an outage of AWS, of PostgreSQL or of ours delays an order and does not fail it. An error that must not be repeated says so
// itself (activities/errors.go).
var (
	// inventory reads the account.
	inventory = workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		HeartbeatTimeout:    activities.LeaseTime,
		WaitForCancellation: true,
		RetryPolicy:         backOff(time.Second, time.Minute),
	}
	// cloud changes the account. An attempt waits out AWS's propagation, which takes minutes on a bad day.
	cloud = workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    activities.LeaseTime,
		WaitForCancellation: true, // an undo must not run while its step still does
		RetryPolicy:         backOff(time.Second, time.Minute),
	}
	// cleanup undoes a change of the account.
	cleanup = workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    activities.LeaseTime,
		WaitForCancellation: true,
		RetryPolicy:         backOff(time.Second, 5*time.Minute),
	}
	// lastCleanup is cleanup after an operator has ended the undo: AWS gets little time.
	lastCleanup = workflow.ActivityOptions{
		ScheduleToCloseTimeout: 2 * time.Minute,
		StartToCloseTimeout:    time.Minute,
		HeartbeatTimeout:       activities.LeaseTime,
		WaitForCancellation:    true,
		RetryPolicy:            backOff(time.Second, 10*time.Second),
	}
	// reconciling reads all orders, accounts and workflows, which takes long when there are many. If it does not finish in time it fails,
	// and the next scheduled run sees the same. No run begins while another one is still at work.
	reconciling = workflow.ActivityOptions{
		ScheduleToCloseTimeout: 20 * time.Minute,
		StartToCloseTimeout:    10 * time.Minute,
		HeartbeatTimeout:       activities.LeaseTime,
		RetryPolicy:            backOff(5*time.Second, time.Minute),
	}
	// verification reads an account that no order holds. If AWS does not answer in time, the account is verified again later.
	verification = workflow.ActivityOptions{
		ScheduleToCloseTimeout: 3 * time.Minute,
		StartToCloseTimeout:    time.Minute,
		HeartbeatTimeout:       activities.LeaseTime,
		WaitForCancellation:    true,
		RetryPolicy:            backOff(time.Second, time.Minute),
	}
	// watching checks the stock of all pools. If it does not finish in time it fails, and the next scheduled run sees the same.
	watching = workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: 50 * time.Second,
		StartToCloseTimeout:    30 * time.Second,
		RetryPolicy:            backOff(time.Second, 10*time.Second),
	}
	// delivering is one attempt to deliver a webhook. The database says when the next attempt is due.
	delivering = workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		HeartbeatTimeout:    activities.LeaseTime,
		RetryPolicy:         backOff(time.Second, time.Minute),
	}
	// sweeping wakes webhooks and deletes old events. If it does not finish in time, the next scheduled run does the same.
	sweeping = workflow.ActivityOptions{
		ScheduleToCloseTimeout: 5 * time.Minute,
		StartToCloseTimeout:    2 * time.Minute,
		HeartbeatTimeout:       activities.LeaseTime,
		RetryPolicy:            backOff(time.Second, time.Minute),
	}
	// batchRows runs a page of a batch. Rows that do not answer are tried several times. It has no other limit: an outage delays a batch.
	batchRows = workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout:    activities.LeaseTime,
		WaitForCancellation: true,
		RetryPolicy:         backOff(time.Second, time.Minute),
	}
	// database is a call of PostgreSQL as a local activity, which costs a fifth of an ordinary one. Its budget fits into one workflow
	// task; patient does what could not be done by then.
	database = workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: 5 * time.Second,
		StartToCloseTimeout:    5 * time.Second,
		RetryPolicy:            backOff(100*time.Millisecond, time.Second),
	}
	// patient is a call of PostgreSQL while it is slow or down: an ordinary activity, whose attempts add no events to the history. It
	// has no other limit: our own trouble delays an order and never fails it.
	patient = workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy:         backOff(time.Second, time.Minute),
	}
)

func backOff(first, longest time.Duration) *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: first, BackoffCoefficient: 2, MaximumInterval: longest}
}
