// Package workflows holds the workflows of the product. Read ProvisionOrder first: it is what happens to an order.
//
//	provision_order.go  the story of an order
//	claim.go            the wait for an account
//	steps.go            what is changed in an account, and what undoes each change
//	undo.go             how an account is undone
//	questions.go        what an order asks for when a customer or an operator must mend something
//	updates.go          what people may do to a running order
//	overtaken.go        what a run does when the order's row is ahead of it
//	order_run.go        the state of a run: its phase, and the account that it holds
//	contract.go         every name that Temporal sees: workflows, ids, signals, updates, search attributes
//	schedules.go        the schedules
//	call.go             how activities are called, options.go with which timeouts and retries
//
// A workflow decides, and activities do the work (package activities). Package control is Temporal's client side, and package worker
// registers and runs everything.
package workflows
